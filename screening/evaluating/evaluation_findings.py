"""From committed units to all that the report says: tables, verdicts, coverage, pictures, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from campaigns.evaluation_spec import REPLICATE
from lingshu_core.cells import Cells
from lingshu_core.confounding import find_confounding
from lingshu_core.effect_scores import Truth
from lingshu_core.score_noise import NOISE, bootstrap_scores
from lingshu_core.splits import Fold, Split
from screening.evaluating.evaluation_plan import Contender, Evaluation, prior_sources
from screening.evaluating.evaluation_plots import draw_agreement, draw_coverage, draw_folds, draw_scores
from screening.evaluating.evaluation_sections import Findings
from screening.evaluating.evaluation_tables import Run, Tables, deciding_metrics, make_tables, unit_of
from screening.evaluating.evaluation_training import prefilled_genes
from screening.evaluating.evaluation_uncertainty import Measurements, coverage_tables
from screening.evaluating.evaluation_verdict import Verdict, verdicts
from screening.evaluating.leak_checker import LeakReport
from screening.models.card_text import verdict_counts

DRAWS, FEWEST_DRAWS = 100, 20
"""Other draws of the real cells, by which differences are called decided; fewer where there are very many effects."""
MOST_DRAWN_VALUES = 100_000_000
Array = npt.NDArray[np.float64]
Effects = dict[str, dict[str, Array]]
"""Model → label → predicted effect, mean over seeds, (genes,)."""


def gather_findings(
    evaluation: Evaluation,
    asked: Sequence[Contender],
    cells: Cells,
    split: Split,
    runs: Sequence[Run],
    leaks: LeakReport,
) -> Findings:
    """Compare everybody with everybody and put it into words and pictures."""
    spec = evaluation.spec
    truths = {fold.name: _truth(evaluation, cells, fold) for fold in split.folds}
    effects = {fold.name: mean_effects(runs, fold.name) for fold in split.folds}
    noise = pl.concat([pl.DataFrame(schema=NOISE), *(_noise(truths[name], found) for name, found in effects.items())])
    tables = make_tables(asked, runs, split, noise)
    unit = unit_of(tables.scores)
    judged = verdicts(tables, unit)
    coverage, abstention = pl.DataFrame(), pl.DataFrame()
    if "uncertainty" in spec.metrics:
        measurements = Measurements(cells, split, truths, by_perturbation=unit == "perturbation")
        coverage, abstention = coverage_tables(runs, measurements)
    return Findings(
        name=spec.name,
        asked=tuple(asked_lines(evaluation, cells, split)),
        tables=tables,
        verdicts=judged,
        unit=unit,
        coverage=coverage,
        abstention=abstention,
        checks=tuple(_checks(cells, split, leaks)),
        pictures=_pictures(tables, judged, coverage, _pairs(truths, effects, [each.model for each in judged])),
        effects=effects,
        truths=truths,
    )


def _truth(evaluation: Evaluation, cells: Cells, fold: Fold) -> Truth:
    prefilled = prefilled_genes(prior_sources(evaluation), cells, fold)
    return Truth(cells, fold.questions, train=fold.train, fold=fold.name, left_out_genes=prefilled)


def mean_effects(runs: Sequence[Run], fold: str) -> Effects:
    """Return what every contender predicted for the questions of a fold, averaged over its seeds."""
    found: dict[str, dict[str, list[Array]]] = {}
    for run in runs:
        if run.unit.fold == fold and run.result is not None:
            of_model = found.setdefault(run.contender.name, {})
            for label in run.result.labels:
                of_model.setdefault(label, []).append(run.result.effect(label))
    return {
        name: {label: np.mean(effects, axis=0) for label, effects in labels.items()} for name, labels in found.items()
    }


def _noise(truth: Truth, effects: Effects) -> pl.DataFrame:
    asked = {name: {label: its[label] for label in its if label in truth.answers} for name, its in effects.items()}
    size = len(truth.questions) * len(truth.seen)
    draws = int(np.clip(MOST_DRAWN_VALUES // size, FEWEST_DRAWS, DRAWS))
    return bootstrap_scores(truth, {name: its for name, its in asked.items() if its}, draws=draws)


def _pairs(
    truths: Mapping[str, Truth], effects: Mapping[str, Effects], models: Sequence[str]
) -> dict[str, tuple[Array, Array]]:
    """Return predicted and real effects of all genes that count, end to end over the questions."""
    found = {}
    for model in models:
        sides: tuple[list[Array], list[Array]] = ([], [])
        for fold, truth in truths.items():
            for label, effect in effects[fold].get(model, {}).items():
                if label in truth.answers:
                    answer = truth.answers[label]
                    sides[0].append(effect[answer.used])
                    sides[1].append(answer.raw[answer.used])
        if sides[0]:
            found[model] = (np.concatenate(sides[0]), np.concatenate(sides[1]))
    return found


def _pictures(
    tables: Tables, judged: Sequence[Verdict], coverage: pl.DataFrame, pairs: Mapping[str, tuple[Array, Array]]
) -> dict[str, bytes]:
    metrics = deciding_metrics(tables.scores["metric"])
    shown = list(dict.fromkeys(name for each in judged for name in (each.model, each.strongest) if name))
    shown += [REPLICATE] if REPLICATE in set(tables.scores["model"]) else []
    drawn = {
        "scores.png": draw_scores(tables.summary, metrics),
        "agreement.png": draw_agreement(pairs),
        "folds.png": draw_folds(tables.scores, metrics[0], shown) if metrics else None,
        "coverage.png": draw_coverage(coverage.drop_nulls("coverage")) if coverage.height else None,
    }
    return {name: picture for name, picture in drawn.items() if picture is not None}


def asked_lines(evaluation: Evaluation, cells: Cells, split: Split) -> list[str]:
    """Say what was asked: cells, split, settings, and the gates of models that have a card."""
    spec = evaluation.spec
    questions = sum(len(fold.questions) for fold in split.folds)
    perturbations = {question.perturbation for fold in split.folds for question in fold.questions}
    calibration = sum(len(fold.calibration) for fold in split.folds)
    estimator = spec.estimator
    lines = [
        f"cells: {', '.join(spec.data.paths)}: {len(cells):,} cells ({int(cells.is_control.sum()):,} controls),"
        f" {len(cells.genes):,} genes; licence {spec.licence}; source {spec.source}",
        f"split {split.name}: {split.kind}, {len(split.folds)} folds, {questions} questions of"
        f" {len(perturbations)} perturbations, seed {split.seed}, digest {split.digest[:12]}",
        f"estimator: {estimator.steps} {estimator.schedule} steps, guidance {estimator.guidance:g}, prior"
        f" {estimator.prior}, {estimator.shards} shards of {estimator.depth_strata} depths",
        f"seeds: {', '.join(map(str, spec.seeds))}",
    ]
    lines += [
        f"gates of {name}, from its model card: {verdict_counts(card.gates) or 'none'}"
        for name, card in evaluation.cards.items()
    ]
    if calibration:
        lines.append(f"{calibration} further conditions are held out to calibrate intervals with")
    return lines


def _checks(cells: Cells, split: Split, leaks: LeakReport) -> list[str]:
    found = [str(finding) for finding in leaks.findings]
    found += [f"confounding: {each.text}" for each in find_confounding(cells.obs, control=cells.control)]
    return [*found, *(f"split: {note}" for note in split.notes)]
