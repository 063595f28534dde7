from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from lingshu_core.effect_scores import EFFECT_METRICS, Truth, effect_of, targets_of
from lingshu_core.errors import PredictionRefused, UnusableCells
from lingshu_core.metric_catalogue import METRICS


@pytest.fixture(scope="module")
def truth(screened: Any) -> Truth:
    return Truth(screened.cells, screened.questions, train=screened.train, fold="held out")


def _real(truth: Truth) -> dict[str, np.ndarray]:
    return {label: answer.raw for label, answer in truth.answers.items()}


def _means(truth: Truth, predicted: dict[str, np.ndarray]) -> dict[str, float | None]:
    scores = truth.scores(predicted)
    return {name: scores.mean(name) for name in EFFECT_METRICS}


def test_the_real_effect_is_the_best_prediction(truth: Truth) -> None:
    found = truth.scores(_real(truth))
    assert found.left_out.is_empty()
    assert found.values.height == len(EFFECT_METRICS) * len(truth.questions)
    assert found.values["fold"].unique().to_list() == ["held out"]
    for metric in set(EFFECT_METRICS) - {"pearson_delta_matched"}:
        assert found.mean(metric) == pytest.approx(METRICS[metric].best), metric


def test_no_change_and_one_effect_for_all_tell_nothing(truth: Truth) -> None:
    nothing = _means(truth, {label: np.zeros_like(effect) for label, effect in _real(truth).items()})
    assert nothing["pds_l1"] == nothing["pds_cosine"] == nothing["direction_fidelity"] == 0.5
    assert nothing["pearson_delta"] == 0.0
    assert nothing["error_norm"] == 1.0
    mean = np.mean(list(_real(truth).values()), axis=0)
    same = _means(truth, dict.fromkeys(_real(truth), mean))
    assert same["pds_l1"] == same["pds_cosine"] == pytest.approx(0.5)


def test_training_cells_of_the_same_perturbation_predict_well(truth: Truth, screened: Any) -> None:
    cells, labels = screened.cells, screened.cells.obs["perturbation"].to_numpy()
    here = screened.train & (cells.obs["cell_type"] == "B").to_numpy()
    predicted = {
        each.label: effect_of(cells, here & (labels == each.perturbation), here & cells.is_control)
        for each in screened.questions
    }
    found = _means(truth, predicted)
    assert found["pearson_delta"] > 0.9
    assert found["pearson_systema"] > 0.85
    assert found["pds_cosine"] == 1.0
    assert found["weighted_r2_delta"] > 0.8


def test_own_targets_do_not_count(truth: Truth, screened: Any) -> None:
    genes = list(screened.cells.genes)
    spoiled = {label: effect.copy() for label, effect in _real(truth).items()}
    for question in screened.questions:
        spoiled[question.label][genes.index(question.perturbation)] += 50.0
    assert _means(truth, spoiled) == pytest.approx(_means(truth, _real(truth)))


def test_no_others_target_counts_when_perturbations_are_told_apart(truth: Truth, screened: Any) -> None:
    # Nothing but: every gene that somebody knocked out goes down, for the others. Left in, it pushes them all away.
    genes = list(screened.cells.genes)
    trick = {}
    for question in screened.questions:
        effect = np.zeros(len(genes))
        for other in screened.questions:
            effect[genes.index(other.perturbation)] = 3.0 if other is not question else 0.0
        trick[question.label] = effect
    assert _means(truth, trick)["pds_l1"] == pytest.approx(0.5)
    assert _means(truth, trick)["pds_cosine"] == pytest.approx(0.5)


def test_genes_without_a_molecule_and_prefilled_genes_do_not_count(screened: Any) -> None:
    cells = screened.cells
    counts = cells.counts.tolil(copy=True)
    counts[:, 7] = 0
    emptied = replace(cells, counts=counts.tocsr())
    label = screened.questions[0].label
    truth = Truth(emptied, screened.questions, train=screened.train, left_out_genes={label: [1, 2]})
    used = truth.answers[label].used
    assert not used[[1, 2, 3, 7]].any()  # GENE3 is the own target
    assert used.sum() == len(cells.genes) - 4
    assert truth.answers[screened.questions[1].label].used[[1, 2]].all()


def test_drugs_and_cytokines_have_no_target_to_leave_out(screened: Any) -> None:
    cells, question = screened.cells, screened.questions[0]
    assert targets_of(question, cells) == {"GENE3"}
    obs = cells.obs.assign(perturbation_type=cells.obs["perturbation_type"].replace("genetic", "cytokine"))
    assert targets_of(question, replace(cells, obs=obs)) == frozenset()


def test_targets_of_a_combination_are_left_out_whatever_the_method(screened: Any) -> None:
    question = replace(screened.questions[0], parts=(("GENE3 (CRISPRi)", None), ("GENE8", None)))
    assert targets_of(question, screened.cells) == {"GENE3", "GENE8"}


def test_few_perturbations_are_not_told_apart_unless_others_stand_beside(screened: Any) -> None:
    few = screened.questions[:2]
    alone = Truth(screened.cells, few, train=screened.train)
    found = alone.scores(_real(alone))
    assert found.mean("pds_l1") is None
    reasons = found.left_out.filter(pl.col("metric") == "pds_cosine")["reason"]
    assert reasons.to_list() == ["2 perturbations in this context; at least 5 are needed"] * 2
    beside = Truth(screened.cells, few, train=screened.train, candidates=screened.questions)
    assert beside.scores(_real(beside)).mean("pds_l1") == 1.0


def test_without_training_cells_there_is_no_mean_to_centre_on(screened: Any) -> None:
    truth = Truth(screened.cells, screened.questions)
    left_out = truth.scores(_real(truth)).left_out
    assert set(left_out["metric"]) == {"pearson_systema", "weighted_r2_delta", "mae_skill"}


def test_one_training_perturbation_gives_a_skill_but_no_centre(screened: Any) -> None:
    cells = screened.cells
    train = screened.train & (cells.is_control | (cells.obs["perturbation"] == "GENE3").to_numpy())
    truth = Truth(cells, screened.questions, train=train)
    assert set(truth.scores(_real(truth)).left_out["metric"]) == {"pearson_systema", "weighted_r2_delta"}


def test_what_was_not_predicted_is_said_for_every_metric(truth: Truth) -> None:
    label, effect = next(iter(_real(truth).items()))
    found = truth.scores({label: effect})
    assert set(found.values["label"]) == {label}
    missing = found.left_out.filter(pl.col("reason") == "not predicted")
    assert missing.height == len(EFFECT_METRICS) * (len(truth.questions) - 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda effects: {"STAT1 in B": effects["GENE3 in B"]}, "never asked; asked are: GENE3 in B"),
        (lambda effects: {"GENE3 in B": effects["GENE3 in B"][:5]}, "shape"),
        (lambda effects: {"GENE3 in B": effects["GENE3 in B"] * np.nan}, "40 values that are NaN"),
    ],
)
def test_what_cannot_be_scored_is_refused(truth: Truth, spoil: Any, message: str) -> None:
    with pytest.raises(PredictionRefused, match=message):
        truth.scores(spoil(_real(truth)))


def test_a_question_needs_cells(screened: Any) -> None:
    empty = replace(screened.questions[0], perturbed=np.zeros(len(screened.cells), dtype=bool))
    with pytest.raises(UnusableCells, match="0 perturbed cells; at least 2"):
        Truth(screened.cells, [empty])


def test_the_order_of_genes_does_not_matter(screened: Any, truth: Truth) -> None:
    cells, order = screened.cells, np.random.default_rng(0).permutation(len(screened.cells.genes))
    turned = replace(cells, counts=cells.counts[:, order].tocsr(), genes=tuple(np.array(cells.genes)[order]))
    other = Truth(turned, screened.questions, train=screened.train)
    guess = {label: effect + 0.3 * np.sin(np.arange(len(effect))) for label, effect in _real(truth).items()}
    found = _means(other, {label: effect[order] for label, effect in guess.items()})
    assert found == pytest.approx(_means(truth, guess))


def test_weights_find_what_sets_a_perturbation_apart(screened: Any) -> None:
    # Every perturbed cell has forty molecules of GENE30: far from controls, but the same for all perturbations.
    cells = screened.cells
    counts = cells.counts.tolil(copy=True)
    counts[np.flatnonzero(~cells.is_control), 30] = 40
    common = replace(cells, counts=counts.tocsr())
    answer = Truth(common, screened.questions, train=screened.train).answers[screened.questions[0].label]
    assert answer.responds[30]
    assert answer.weights[30] < 0.05
    assert answer.weights.sum() == pytest.approx(1.0)
