from collections.abc import Callable, Collection
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import ScreenSpec, Vocabulary, VocabularyError, build_grid
from campaigns.pairs import RankedSingles, SingleRanking, describe_pairs, top_pairs
from campaigns.screen_spec import PairsSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source

DIGEST = "ab" * 32


def pairs(top: int = 2, **more: Any) -> PairsSpec:
    return PairsSpec.model_validate({"from": "results/singles", "top": top, **more})


def ranked(*names: str, left_out: int = 0) -> RankedSingles:
    return RankedSingles(names, left_out, ("donor=D1",), DIGEST, "cd" * 32)


@given(st.lists(st.text("ABCDEF", min_size=1), unique=True, min_size=2, max_size=30), st.integers(2, 40))
def test_all_pairs_of_the_best_each_once(names: list[str], top: int) -> None:
    found = top_pairs(pairs(top), ranked(*names))
    best = names[:top]
    assert found[: len(best)] == best
    assert len(set(found)) == len(found) == len(best) + comb(len(best), 2)


def test_the_notice_counts_what_is_skipped() -> None:
    text = describe_pairs(pairs(20), ranked(*(f"G{number}" for number in range(1_990)), left_out=10), 1)
    assert text.startswith("190 pairs of the top 20 of 2,000 genetic singles in results/singles")
    assert "1,998,810 pairs were skipped" in text
    assert "hits.parquet abababababab" in text
    assert "10 singles have no rank" in text


def screen(**perturbations: Any) -> ScreenSpec:
    data = {
        "kind": "screen",
        "name": "x",
        "model": "m",
        "contexts": [{"donor": "D1"}],
        "perturbations": perturbations,
        "objective": {"kind": "markers", "genes": {"IRF1": "up"}},
        "output": "o",
    }
    return validate(ScreenSpec, Source("screen.yaml", data))


@pytest.fixture
def ranking() -> Callable[..., SingleRanking]:
    """A reader that has the same answer for every place, and notes what it was asked."""

    def make(answer: RankedSingles | str, asked: list[tuple[str, str, list[str]]] | None = None) -> SingleRanking:
        def read(url: str, type: str, contexts: Collection[str]) -> RankedSingles | str:
            if asked is not None:
                asked.append((url, type, list(contexts)))
            return answer

        return read

    return make


def test_a_screen_of_pairs_has_the_singles_and_their_pairs(
    vocabulary: Vocabulary, ranking: Callable[..., SingleRanking]
) -> None:
    asked: list[tuple[str, str, list[str]]] = []
    spec = screen(pairs={"from": "results/singles", "top": 2})
    grid = build_grid(spec, vocabulary, single_ranking=ranking(ranked("STAT2", "IRF1", "STAT1"), asked))
    assert [each.label for each in grid.perturbations] == ["IRF1", "IRF1+STAT2", "STAT2"]
    assert asked == [("results/singles", "genetic", ["donor=D1"])]
    assert [notice for notice in grid.notices if "1 pairs of the top 2 of 3" in notice]


def test_a_single_that_is_named_too_is_there_once_and_quietly(
    vocabulary: Vocabulary, ranking: Callable[..., SingleRanking]
) -> None:
    spec = screen(genetic=["STAT1"], pairs={"from": "results/singles", "top": 2})
    grid = build_grid(spec, vocabulary, single_ranking=ranking(ranked("STAT1", "IRF1")))
    assert [each.label for each in grid.perturbations] == ["IRF1", "IRF1+STAT1", "STAT1"]
    assert not [notice for notice in grid.notices if "twice" in notice]


@pytest.mark.parametrize(
    ("answer", "field", "said"),
    [
        ("results/singles: no such folder", "perturbations.pairs.from", "no such folder"),
        (ranked("STAT1"), "perturbations.pairs.of", "ranks 1 genetic singles in these contexts"),
        (ranked("STAT1", "NOBODY"), "perturbations.pairs", "unknown perturbation 'NOBODY'"),
        (ranked("STAT1", "IFNB1"), "perturbations.pairs", "'IFNB1' is a cytokine perturbation"),
    ],
)
def test_what_cannot_be_paired_is_told_with_its_place(
    vocabulary: Vocabulary,
    ranking: Callable[..., SingleRanking],
    answer: RankedSingles | str,
    field: str,
    said: str,
) -> None:
    spec = screen(pairs={"from": "results/singles", "top": 2})
    with pytest.raises(VocabularyError) as refused:
        build_grid(spec, vocabulary, Source("screen.yaml", {}), single_ranking=ranking(answer))
    assert refused.value.field == field
    assert said in str(refused.value)


def test_without_a_reader_pairs_are_a_problem(vocabulary: Vocabulary) -> None:
    with pytest.raises(VocabularyError, match="can't be read here"):
        build_grid(screen(pairs={"from": "results/singles", "top": 2}), vocabulary)
