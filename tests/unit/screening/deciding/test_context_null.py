from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from campaigns.conditions import NULL_TYPE, Perturbation
from lingshu_core.vocabulary import Vocabulary
from screening.deciding.context_null import ContextNull, trained_cells
from screening.folding.aggregation import Folded
from screening.folding.effects import Moments
from screening.objective.objectives import score_members, signed_readout

GENES = ("A", "B", "C", "D")
DOWN = signed_readout(GENES, {"A": -1, "B": -1, "D": -1}, "A, B, D down")
NAMES = tuple(f"null-{i}" for i in range(6))
TRAINED = {name: 5 + i for i, name in enumerate(NAMES)} | {"A": 15, "B": 10}
NONE = np.empty(0, dtype=np.int64)


@pytest.fixture
def blocks(moments: Callable[..., Moments], fold_of: Callable[..., Folded]) -> list[Folded]:
    control = moments([2.0] * 4, seed=1)
    shifts = np.random.default_rng(0).normal(0, 0.1, (len(NAMES), 4))
    return [
        fold_of(name, replace(control, log1p=control.log1p + shift), control, kind=NULL_TYPE)
        for name, shift in zip(NAMES, shifts, strict=True)
    ]


@pytest.fixture
def null(blocks: list[Folded]) -> ContextNull:
    found = ContextNull(DOWN, GENES, TRAINED)
    for block in blocks:
        found.add(block)
    return found


@pytest.mark.parametrize("left_out", [NONE, np.array([0]), np.array([2]), np.array([1, 3])])
def test_blocks_are_scored_as_conditions_are_on_the_same_genes(
    null: ContextNull, blocks: list[Folded], left_out: np.ndarray
) -> None:
    pairs = [(block.moments, block.control) for block in blocks]
    expected = [score_members([pair], DOWN, left_out, GENES).score for pair in pairs]  # type: ignore[list-item]
    found = null.without(left_out)
    assert found is not None
    assert found.centre == pytest.approx(np.mean(expected))
    assert found.sd == pytest.approx(np.std(expected, ddof=1))


def test_genes_without_weight_change_nothing(null: ContextNull) -> None:
    assert null.without(np.array([2])) is null.without(NONE)
    assert null.without(np.array([0])) is not null.without(NONE)


def test_a_row_is_told_the_null_of_its_parts(null: ContextNull) -> None:
    single = null.columns(Perturbation.parse("A", "genetic"), NONE)
    double = null.columns(Perturbation.parse("A+B", "genetic"), NONE)
    assert single["null_blocks"] == 6
    assert double["null_centre"] == pytest.approx(2 * single["null_centre"])
    assert double["null_sd"] > single["null_sd"]


def test_members_count_as_one_block(null: ContextNull, blocks: list[Folded]) -> None:
    ensemble = ContextNull(DOWN, GENES, TRAINED)
    for block in blocks:
        assert block.moments is not None
        assert block.control is not None
        ensemble.add(replace(block, members=((block.moments, block.control),) * 3))
    one, three = null.without(NONE), ensemble.without(NONE)
    assert one is not None
    assert three is not None
    assert (three.blocks, three.centre) == (one.blocks, pytest.approx(one.centre))


def test_a_block_that_failed_is_none(null: ContextNull, fold_of: Callable[..., Folded]) -> None:
    null.add(fold_of("null-7", None, None, kind=NULL_TYPE, reason="it broke"))
    assert null.columns(Perturbation.parse("A", "genetic"), NONE)["null_blocks"] == 6
    empty = ContextNull(DOWN, GENES, TRAINED)
    empty.add(fold_of("null-7", None, None, kind=NULL_TYPE, reason="it broke"))
    assert empty.columns(Perturbation.parse("A", "genetic"), NONE) == {"null_blocks": 0}


def test_parts_are_learned_from_all_their_labels(words: Vocabulary) -> None:
    first = replace(words.contexts[0], pseudo_cells={"null-1": 4})
    second = replace(words.contexts[1], pseudo_cells={"null-1": 3})
    found = trained_cells(replace(words, contexts=(first, second, words.contexts[2]), pseudo=("null-1",)))
    assert found == {"A": 18, "B": 10, "C": 9, "null-1": 7}
