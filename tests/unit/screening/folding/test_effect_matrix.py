from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from campaigns.data_spec import is_reserved
from lingshu_core.vocabulary import Vocabulary
from screening.deciding.hits import RunFacts, Scored, extra_columns, hit_table, score_folded
from screening.folding.aggregation import Folded
from screening.folding.effect_matrix import EffectMatrix
from screening.folding.effects import Moments
from screening.objective.objectives import signed_readout

ScoreAt = Callable[..., Scored]


@pytest.fixture
def score_at(
    words: Vocabulary, facts: RunFacts, fold_of: Callable[..., Folded], moments: Callable[..., Moments]
) -> ScoreAt:
    """Score a knock-out that raises D by `height`."""

    def make(label: str, height: float | None) -> Scored:
        control = moments([2.0] * 4)
        found = None if height is None else replace(control, log1p=control.log1p + np.array([0, 0, 0, height]))
        folded = fold_of(label, found, None if height is None else control, reason="" if found else "it broke")
        return score_folded(folded, signed_readout(words.genes, {"D": 1}, ""), words, facts, exclude_own_targets=True)

    return make


def test_failed_conditions_have_no_row(score_at: ScoreAt, words: Vocabulary) -> None:
    matrix = EffectMatrix(words.genes)
    matrix.add(score_at("A", None))
    assert matrix.keys == []
    assert matrix.to_anndata({}, np.ones(4, dtype=bool)) is None


def test_rows_keep_the_order_of_the_plan(score_at: ScoreAt, words: Vocabulary) -> None:
    scored = [score_at("A", 0.1), score_at("B", 0.9), score_at("A+B", -0.5)]
    matrix = EffectMatrix(words.genes)
    for each in scored:
        matrix.add(each)
    assert matrix.keys == [each.folded.planned.key for each in scored]


def test_a_full_matrix_keeps_the_best(score_at: ScoreAt, words: Vocabulary) -> None:
    labels = {"A": 0.1, "B": 0.9, "A+B": -0.5, "E": 0.4, "F": 0.4, "G": 0.2}
    scored = {label: score_at(label, height) for label, height in labels.items()}
    matrix = EffectMatrix(words.genes, most=2)
    for each in scored.values():
        matrix.add(each)
    assert matrix.keys == [scored["B"].folded.planned.key, scored["E"].folded.planned.key]  # E came before F


def test_the_table_of_effects_carries_the_hit_table(score_at: ScoreAt, words: Vocabulary) -> None:
    scored = [score_at("A", 0.1), score_at("B", 0.9)]
    matrix = EffectMatrix(words.genes)
    for each in scored:
        matrix.add(each)
    table = hit_table([each.row for each in scored], extra_columns(words.factors, ()))
    rows = {each.folded.planned.key: table.row(by_predicate=_is(each), named=True) for each in scored}
    found = matrix.to_anndata(rows, np.array([False, False, False, True]))
    assert found is not None
    assert is_reserved(found.obs.index.name)
    assert is_reserved(found.var.index.name)
    np.testing.assert_allclose(found.X[:, 3], [0.1, 0.9], rtol=1e-5)
    np.testing.assert_allclose(found.layers["mean"] - found.layers["control_mean"], found.X, atol=1e-6)
    np.testing.assert_allclose(found.layers["variance"], 0.25, atol=0.6)
    assert found.var["in_objective"].to_list() == [False, False, False, True]
    assert found.obs["perturbation"].to_list() == ["A", "B"]
    assert found.obs["rank"].to_list() == [2, 1]
    assert set(found.obs.columns) == set(table.columns)
    assert found.obs["dose"].dtype == float  # without any dose too
    assert found.obs["dose"].isna().all()
    assert found.obs["reason"].to_list() == ["", ""]


def _is(scored: Scored) -> object:
    import polars as pl

    return pl.col("perturbation") == scored.row["perturbation"]
