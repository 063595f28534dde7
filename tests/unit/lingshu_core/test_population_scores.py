from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from lingshu_core.errors import PredictionRefused, UnusableCells
from lingshu_core.population_scores import MEASURES, POPULATION_METRICS, CellGroup, ReferenceCells, halves

GENES = 60


def _group(seed: int, cells: int = 150, kinds: float = 0.4, depth: float = 1.0) -> CellGroup:
    """Two kinds of cells in the shares `1 − kinds` and `kinds`."""
    rng = np.random.default_rng(seed)
    rate = np.tile(np.geomspace(0.2, 8.0, GENES), (cells, 1))
    second = _kinds(seed, cells, kinds) == "second"
    rate[second] *= np.where(np.arange(GENES) % 3 == 0, 8.0, 1.0)
    counts = rng.poisson(rate * depth * rng.lognormal(sigma=0.2, size=(cells, 1)))
    return CellGroup(sp.csr_matrix(counts), counts.sum(axis=1).astype(float))


def _kinds(seed: int, cells: int = 150, kinds: float = 0.4) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(cells) < kinds, "second", "first")


@pytest.fixture(scope="module")
def reference() -> ReferenceCells:
    return ReferenceCells(_group(0, 300), states=_kinds(0, 300).tolist())


def _values(reference: ReferenceCells, generated: CellGroup, real: CellGroup) -> dict[str, float]:
    table = reference.scores({"a": generated}, {"a": real}, fold="f").values
    return dict(zip(table["metric"], table["value"], strict=True))


def test_cells_of_one_population_are_alike(reference: ReferenceCells) -> None:
    found = _values(reference, _group(1), _group(2))
    assert sorted(found) == sorted(POPULATION_METRICS)
    assert abs(found["energy_distance"]) < 0.1
    assert found["mmd_p"] > 0.05
    assert found["ilisi"] > 0.8
    assert 0.35 < found["classifier_auc"] < 0.65
    assert found["proportion_error"] < 0.15


@pytest.mark.parametrize(
    ("spoiled", "metrics"),
    [
        (_group(1, depth=0.5), ("depth_mean_error", "depth_sd_error", "zeros_error", "classifier_auc")),
        (_group(1, kinds=1.0), ("energy_distance", "mmd", "mmd_p", "ilisi", "proportion_error", "wasserstein")),
        (_group(1, kinds=0.0), ("energy_distance", "mmd", "mmd_p", "correlation_error", "proportion_error")),
    ],
)
def test_what_is_wrong_is_found(reference: ReferenceCells, spoiled: CellGroup, metrics: tuple[str, ...]) -> None:
    right, wrong = (_values(reference, group, _group(2)) for group in (_group(1), spoiled))
    for metric in metrics:
        best = {"mmd_p": 1.0, "ilisi": 1.0, "classifier_auc": 0.5}.get(metric, 0.0)
        assert abs(wrong[metric] - best) > 1.5 * abs(right[metric] - best), metric
    assert wrong["mmd_p"] < 0.06


def test_as_many_cells_of_either_side_are_compared_and_the_draw_is_repeatable(reference: ReferenceCells) -> None:
    many = _group(3, 700)
    assert _values(reference, many, _group(2, 60)) == _values(reference, many, _group(2, 60))
    doubled = CellGroup(sp.vstack([many.counts, many.counts]).tocsr(), np.r_[many.depth, many.depth])
    assert abs(_values(reference, doubled, _group(2, 60))["energy_distance"]) < 0.3


def test_the_order_of_cells_and_genes_does_not_matter_much(reference: ReferenceCells) -> None:
    order = np.random.default_rng(0).permutation(GENES)

    def turned(group: CellGroup) -> CellGroup:
        return CellGroup(group.counts[:, order].tocsr(), group.depth)

    other = ReferenceCells(turned(_group(0, 300)), states=_kinds(0, 300).tolist())
    plain = _values(reference, _group(1, 100), _group(2, 100))
    again = _values(other, turned(_group(1, 100)), turned(_group(2, 100)))
    for metric in ("energy_distance", "wasserstein", "depth_mean_error", "zeros_error", "correlation_error"):
        assert again[metric] == pytest.approx(plain[metric], abs=1e-6), metric


def test_few_cells_say_less_and_very_few_nothing(reference: ReferenceCells) -> None:
    found = reference.scores({"a": _group(1, 20), "b": _group(1, 5)}, {"a": _group(2), "b": _group(2)})
    of_a = found.left_out.filter(pl.col("label") == "a")
    assert set(of_a["metric"]) == {"ilisi", "classifier_auc", "correlation_error"}
    assert set(of_a["reason"]) == {"20 cells of a side; at least 30 are needed"}
    assert set(found.left_out.filter(pl.col("label") == "b")["metric"]) == set(POPULATION_METRICS)
    assert set(found.values["label"]) == {"a"}


def test_what_was_not_generated_is_said(reference: ReferenceCells) -> None:
    found = reference.scores({}, {"a": _group(2)})
    assert found.values.is_empty()
    assert set(found.left_out["reason"]) == {"not predicted"}


@pytest.mark.parametrize("states", [None, ["same"] * 100])
def test_without_states_there_are_no_proportions(states: list[str] | None) -> None:
    found = ReferenceCells(_group(0, 100), states=states).scores({"a": _group(1)}, {"a": _group(2)})
    assert found.left_out.row(0) == ("proportion_error", "", None, "the reference has no states to tell apart")
    assert set(found.values["metric"]) == set(POPULATION_METRICS) - {"proportion_error"}


def test_cells_that_all_have_one_total_have_no_error_of_its_spread(reference: ReferenceCells) -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(200, np.full(GENES, 1 / GENES), size=60)
    flat = CellGroup(sp.csr_matrix(counts), counts.sum(axis=1).astype(float))
    found = reference.scores({"a": _group(1)}, {"a": flat})
    assert "depth_sd_error" in set(found.left_out["metric"])


def test_totals_are_counted_whatever_the_library_size_says(reference: ReferenceCells) -> None:
    plain = _group(1)
    deeper = CellGroup(plain.counts, 3 * plain.depth)
    assert deeper.totals == pytest.approx(plain.depth)
    assert _values(reference, deeper, _group(2))["depth_mean_error"] == pytest.approx(
        _values(reference, plain, _group(2))["depth_mean_error"]
    )


def test_other_genes_are_refused(reference: ReferenceCells) -> None:
    short = CellGroup(_group(1).counts[:, :50].tocsr(), _group(1).depth)
    with pytest.raises(PredictionRefused, match="50 genes; it has to be the 60"):
        reference.scores({"a": short}, {"a": _group(2)})


def test_components_need_cells() -> None:
    with pytest.raises(UnusableCells, match="20 reference cells"):
        ReferenceCells(_group(0, 20))


def test_halves_of_real_cells_give_the_floor(reference: ReferenceCells) -> None:
    first, second = halves(_group(4, 301))
    assert len(first) == len(second) == 150
    assert _values(reference, first, second)["mmd_p"] > 0.01


def test_groups_are_taken_from_cells(screened: Any) -> None:
    group = CellGroup.of(screened.cells, screened.questions[0].perturbed)
    assert len(group) == screened.questions[0].perturbed.sum()
    mean = np.asarray(group.log1p_per_10k().mean(axis=0)).ravel()
    assert mean == pytest.approx(screened.cells.log1p_per_10k(screened.questions[0].perturbed))
    assert set(MEASURES) <= set(POPULATION_METRICS)
