"""Every trick that was played on the evaluators of 2025: it is refused, or scores no better than honest cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.effect_scores import EFFECT_METRICS, Truth
from lingshu_core.errors import PredictionRefused
from lingshu_core.metric_catalogue import METRICS
from lingshu_core.population_scores import POPULATION_METRICS, CellGroup, ReferenceCells
from lingshu_core.prediction_checks import CheckedPrediction, cell_digests, check_prediction, predicted_effects


@pytest.fixture
def honest(screened: Any) -> anndata.AnnData:
    """The training cells of the same perturbations in the same context: what a good model would draw."""
    cells = screened.cells
    here = screened.train & (cells.obs["cell_type"] == "B").to_numpy()
    obs = cells.obs.loc[here, ["perturbation", "cell_type"]].reset_index(drop=True)
    obs.index = obs.index.astype(str)
    return anndata.AnnData(cells.counts[here].astype(np.float32), obs=obs, var=pd.DataFrame(index=list(cells.genes)))


@pytest.fixture(scope="module")
def truth(screened: Any) -> Truth:
    return Truth(screened.cells, screened.questions, train=screened.train)


def _check(screened: Any, predicted: anndata.AnnData, **options: Any) -> CheckedPrediction:
    return check_prediction(predicted, screened.cells, screened.questions, **options)


def _effects_score(screened: Any, truth: Truth, predicted: anndata.AnnData) -> dict[str, float]:
    checked = _check(screened, predicted)
    scores = truth.scores(predicted_effects(checked, screened.cells, screened.questions))
    return {name: METRICS[name].goodness(scores.mean(name) or np.nan) for name in EFFECT_METRICS}


def _cells_score(screened: Any, predicted: anndata.AnnData) -> dict[str, float]:
    reference = ReferenceCells(CellGroup.of(screened.cells, screened.train))
    real = {each.label: CellGroup.of(screened.cells, each.perturbed) for each in screened.questions}
    scores = reference.scores(_check(screened, predicted).groups, real)
    return {
        name: METRICS[name].goodness(mean) for name in POPULATION_METRICS if (mean := scores.mean(name)) is not None
    }


def _perturbed(predicted: anndata.AnnData) -> np.ndarray:
    return np.flatnonzero(predicted.obs["perturbation"] != "control")


def test_honest_cells_are_taken_and_score_well(screened: Any, honest: anndata.AnnData, truth: Truth) -> None:
    checked = _check(screened, honest)
    assert list(checked.groups) == [each.label for each in screened.questions]
    effects = predicted_effects(checked, screened.cells, screened.questions)
    assert truth.scores(effects).mean("pearson_delta") > 0.9
    controls = int((honest.obs["perturbation"] == "control").sum())
    assert checked.notes == (
        f"{controls} predicted control cells are not used: effects are measured against the real controls",
    )


# --- tricks that are accepted and win nothing


def test_altered_controls_change_nothing(screened: Any, honest: anndata.AnnData, truth: Truth) -> None:
    plain, altered = _effects_score(screened, truth, honest), honest.copy()
    control = np.flatnonzero(altered.obs["perturbation"] == "control")
    counts = altered.X.toarray()
    counts[control] = np.random.default_rng(0).poisson(50, size=counts[control].shape)
    altered.X = sp.csr_matrix(counts)
    assert _effects_score(screened, truth, altered) == plain
    assert _effects_score(screened, truth, honest[_perturbed(honest)].copy()) == plain


def test_counts_times_a_number_change_no_effect_and_spoil_the_totals(
    screened: Any, honest: anndata.AnnData, truth: Truth
) -> None:
    doubled = honest.copy()
    doubled.X = sp.csr_matrix(2 * honest.X)
    assert _effects_score(screened, truth, doubled) == pytest.approx(_effects_score(screened, truth, honest))
    assert (
        _cells_score(screened, doubled)["depth_mean_error"] < _cells_score(screened, honest)["depth_mean_error"] - 0.5
    )


def test_genes_in_another_order_are_sorted_by_name(screened: Any, honest: anndata.AnnData, truth: Truth) -> None:
    turned = honest[:, np.random.default_rng(0).permutation(honest.n_vars)].copy()
    assert _effects_score(screened, truth, turned) == pytest.approx(_effects_score(screened, truth, honest))
    assert "genes were in another order and were sorted by name" in _check(screened, turned).notes


def test_swapped_names_score_worse(screened: Any, honest: anndata.AnnData, truth: Truth) -> None:
    swapped = honest.copy()
    swapped.var_names = list(np.roll(honest.var_names, 1))
    plain, other = _effects_score(screened, truth, honest), _effects_score(screened, truth, swapped)
    assert other["pearson_delta"] < plain["pearson_delta"] - 0.3
    assert other["mae"] < plain["mae"]


def test_rounded_logarithms_score_worse(screened: Any, honest: anndata.AnnData, truth: Truth) -> None:
    logs = honest.copy()
    logs.X = sp.csr_matrix(np.round(np.log1p(honest.X.toarray())))
    plain, other = _effects_score(screened, truth, honest), _effects_score(screened, truth, logs)
    for metric in ("mae", "wmse", "error_norm", "pearson_delta", "weighted_r2_delta"):
        assert other[metric] < plain[metric], metric


def test_a_little_more_variance_does_not_score_better(screened: Any, honest: anndata.AnnData, truth: Truth) -> None:
    noisy, rng = honest.copy(), np.random.default_rng(0)
    noisy.X = sp.csr_matrix(rng.poisson(honest.X.toarray() * rng.lognormal(sigma=0.5, size=honest.shape)).astype(float))
    plain, other = _effects_score(screened, truth, honest), _effects_score(screened, truth, noisy)
    for metric in ("mae", "error_norm", "pearson_delta"):
        assert other[metric] < plain[metric], metric
    plain, other = _cells_score(screened, honest), _cells_score(screened, noisy)
    for metric in ("energy_distance", "mmd", "classifier_auc", "wasserstein"):
        assert other[metric] < plain[metric], metric


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_blown_up_effects_are_told_apart_no_better_and_are_wrong(screened: Any, truth: Truth, factor: float) -> None:
    rng = np.random.default_rng(0)
    guess = {label: answer.raw + 0.4 * rng.normal(size=len(answer.raw)) for label, answer in truth.answers.items()}
    plain = truth.scores(guess)
    blown = truth.scores({label: factor * effect for label, effect in guess.items()})
    for metric in ("pds_cosine", "pearson_delta", "direction_fidelity"):
        assert blown.mean(metric) == pytest.approx(plain.mean(metric)), metric
    for metric in ("mae", "wmse", "error_norm", "weighted_r2_delta", "mae_skill"):
        better = METRICS[metric].goodness
        assert better(blown.mean(metric)) < better(plain.mean(metric)), metric


# --- tricks that are refused


def _dense(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[anndata.AnnData], anndata.AnnData]:
    def spoil(predicted: anndata.AnnData) -> anndata.AnnData:
        predicted.X = sp.csr_matrix(change(predicted.X.toarray()))
        return predicted

    return spoil


def _of_one(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[anndata.AnnData], anndata.AnnData]:
    def spoil(predicted: anndata.AnnData) -> anndata.AnnData:
        counts = predicted.X.toarray()
        some = np.flatnonzero(predicted.obs["perturbation"] == "GENE8")
        counts[some] = change(counts[some])
        predicted.X = sp.csr_matrix(counts)
        return predicted

    return spoil


def _wider(counts: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.poisson(counts * rng.lognormal(-2.0, 2.0, size=counts.shape)).astype(float)


def _first_becomes(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(counts: np.ndarray) -> np.ndarray:
        counts = counts.astype(float)
        counts[0, 0] = value
        return counts

    return change


def _named(names: Callable[[list[str]], list[str]]) -> Callable[[anndata.AnnData], anndata.AnnData]:
    def spoil(predicted: anndata.AnnData) -> anndata.AnnData:
        predicted.var_names = names(list(predicted.var_names))
        return predicted

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_dense(np.log1p), "the cells hold values that are no integers, as after normalisation or a logarithm"),
        (_of_one(np.log1p), "cells of 1 of 6 questions hold values that are no integers.*scales are mixed.*GENE8 in B"),
        (_of_one(lambda counts: 100 * counts), "'GENE8 in B' have 1[0-9.]+ times the counts of real control cells"),
        (_of_one(lambda counts: counts // 20 + 1.0), "'GENE8 in B' have 0.1[0-9]+ times the counts"),
        (
            _dense(lambda counts: np.round(200 * counts / counts.sum(axis=1, keepdims=True))),
            "all have nearly the same total",
        ),
        (_of_one(_first_becomes(np.nan)), "'GENE8 in B' have values that are NaN or infinite"),
        (_of_one(_first_becomes(np.inf)), "NaN or infinite"),
        (_of_one(_first_becomes(-1.0)), r"negative values \(smallest -1\)"),
        (_of_one(_wider), r"'GENE8 in B' vary [2-9][0-9.]* times as much as real control cells"),
        (_of_one(lambda counts: 0 * counts), "100% of the cells of 'GENE8 in B' have no count at all"),
        (_of_one(lambda counts: np.tile(counts[:3], (20, 1))[: len(counts)]), "are copies of 3; copies make"),
        (_named(lambda names: [*names[:-1], "ISG15"]), "1 genes of the real cells are missing and 1 others are there"),
        (_named(lambda names: [*names[:-1], names[0]]), r"duplicate genes \(GENE0\)"),
        (
            lambda predicted: predicted[predicted.obs["perturbation"] != "GENE8"].copy(),
            r"1 of 6 questions are not answered \(such as GENE8 in B\).*leaving out the hard ones",
        ),
        (lambda predicted: anndata.AnnData(obs=predicted.obs, var=predicted.var), "X is empty"),
    ],
)
def test_tricks_are_refused(screened: Any, honest: anndata.AnnData, spoil: Any, message: str) -> None:
    with pytest.raises(PredictionRefused, match=message):
        _check(screened, spoil(honest))


def test_real_cells_of_the_answer_are_refused_even_in_another_order(screened: Any, honest: anndata.AnnData) -> None:
    question, counts = screened.questions[0], honest.X.toarray()
    some = np.flatnonzero(honest.obs["perturbation"] == question.perturbation)
    answer = screened.cells.counts[question.perturbed].toarray()
    counts[some[::2]] = answer[np.arange(len(some[::2])) % len(answer)][::-1]
    honest.X = sp.csr_matrix(counts)
    with pytest.raises(
        PredictionRefused, match=r"[45][0-9]% of the cells of 'GENE3 in B' are real cells of the answer"
    ):
        _check(screened, honest)


def test_copies_are_found_by_counts_not_by_storage() -> None:
    counts = np.random.default_rng(0).poisson(5, size=(4, 30))
    plain = sp.csr_matrix(counts)
    stored = sp.csr_matrix(counts.astype(np.float32))
    stored.data = np.r_[stored.data]
    stored.indices, stored.data = stored.indices[::-1].copy(), stored.data[::-1].copy()  # columns of all rows turned
    stored.indptr = np.r_[0, np.cumsum(np.diff(stored.indptr)[::-1])]
    assert cell_digests(stored)[::-1] == cell_digests(plain)
    assert cell_digests(sp.csr_matrix(np.eye(3))) == []  # a cell of one gene is nobody's copy


# --- labels, doses and library sizes


def test_cells_may_name_their_question(screened: Any, honest: anndata.AnnData) -> None:
    named = honest[_perturbed(honest)].copy()
    named.obs = pd.DataFrame({"asked": [f"{name} in B" for name in named.obs["perturbation"]]}, index=named.obs_names)
    checked = _check(screened, named, columns={"question": "asked"})
    assert {label: len(group) for label, group in checked.groups.items()} == {
        label: len(group) for label, group in _check(screened, honest).groups.items()
    }
    with pytest.raises(PredictionRefused, match="no column 'perturbation'; columns are: asked"):
        _check(screened, named)


def test_other_contexts_answer_nothing(screened: Any, honest: anndata.AnnData) -> None:
    more = anndata.concat([honest, honest], index_unique="-")
    more.obs["cell_type"] = np.repeat(["B", "T"], honest.n_obs)
    checked = _check(screened, more)
    assert any(note.endswith("cells answer no question and are not used") for note in checked.notes)
    assert sum(map(len, checked.groups.values())) == len(_perturbed(honest))


def test_doses_are_told_apart(screened: Any, honest: anndata.AnnData) -> None:
    question = replace(screened.questions[0], parts=(("GENE3", 0.1),))
    dosed = honest[honest.obs["perturbation"] == "GENE3"].copy()
    with pytest.raises(PredictionRefused, match="no column 'dose'"):
        check_prediction(dosed, screened.cells, [question])
    dosed.obs["dose"] = ["0.1"] * 12 + ["1"] * (dosed.n_obs - 12)
    assert len(check_prediction(dosed, screened.cells, [question]).groups[question.label]) == 12


def test_library_sizes_of_more_genes_than_the_panel_have_to_be_given(screened: Any, honest: anndata.AnnData) -> None:
    panel = replace(screened.cells, depth=2 * screened.cells.depth)
    with pytest.raises(PredictionRefused, match="counted over more genes than the panel has"):
        check_prediction(honest, panel, screened.questions)
    honest.obs["total"] = 2.0 * np.asarray(honest.X.sum(axis=1)).ravel()
    checked = check_prediction(honest, panel, screened.questions, columns={"depth": "total"})
    group = checked.groups["GENE3 in B"]
    assert group.depth == pytest.approx(2 * group.totals)
    honest.obs["total"] = 1.0
    with pytest.raises(PredictionRefused, match="smaller than the cell's own counts"):
        check_prediction(honest, panel, screened.questions, columns={"depth": "total"})


def test_a_few_empty_cells_are_left_out(screened: Any, honest: anndata.AnnData) -> None:
    counts = honest.X.toarray()
    some = np.flatnonzero(honest.obs["perturbation"] == "GENE8")
    counts[some[0]] = 0
    honest.X = sp.csr_matrix(counts)
    checked = _check(screened, honest)
    assert "1 cells of 'GENE8 in B' without a count are not used" in checked.notes
    assert len(checked.groups["GENE8 in B"]) == len(some) - 1
