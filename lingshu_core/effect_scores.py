"""Scores of predicted effects against real cells, one row per question and metric.

The own targets of a genetic perturbation, genes without a molecule in the cells asked about, and genes that the caller
leaves out (pre-filled by a prior) don't count. A prediction that says nothing where something could be said (the same
for every gene) is charged the value of no information, so that silence never beats an honest answer; only what the
*real* cells can't carry is left out, for every model alike, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from lingshu_core.cells import Cells
from lingshu_core.errors import PredictionRefused, UnusableCells
from lingshu_core.gene_scores import GENE_METRICS, Answer, gene_scores
from lingshu_core.methods import target_of
from lingshu_core.metric_catalogue import LEAST_TO_TELL_APART
from lingshu_core.metrics import discrimination
from lingshu_core.real_effects import (
    GroupSums,
    MeanPerturbation,
    group_sums,
    in_context,
    matched_effects,
    mean_perturbation,
    responding,
    response_weights,
    welch_t,
)
from lingshu_core.score_table import ScoreRows, Scores
from lingshu_core.splits import Question

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Effects = Mapping[str, Array]
Context = tuple[tuple[str, str], ...]

DISCRIMINATIONS: Mapping[str, Literal["l1", "cosine"]] = {"pds_l1": "l1", "pds_cosine": "cosine"}
EFFECT_METRICS = (*GENE_METRICS, *DISCRIMINATIONS)


class Truth:
    """What the real cells say about the questions of a fold; measured once, used for every model and baseline.

    Parameters
    ----------
    cells
        All cells.
    questions
        What is asked.
    train
        The training cells, (cells,), for the mean training perturbation; without them the metrics that need it are left
        out.
    fold
        Name of the fold, as it stands in the table.
    left_out_genes
        Label → positions of genes that don't count, such as those that a prior pre-fills.
    candidates
        Further questions whose real effects stand beside when perturbations are told apart.

    Attributes
    ----------
    answers
        Label → what the real cells answer.
    seen
        Genes that have a molecule in the cells asked about, (genes,).

    Raises
    ------
    UnusableCells
        If a question has fewer than two perturbed or control cells.
    """

    def __init__(
        self,
        cells: Cells,
        questions: Sequence[Question],
        *,
        train: Mask | None = None,
        fold: str = "",
        left_out_genes: Mapping[str, Sequence[int]] | None = None,
        candidates: Sequence[Question] = (),
    ) -> None:
        self.cells, self.questions, self.fold, self.train = cells, tuple(questions), fold, train
        self.left_out_genes = dict(left_out_genes or {})
        known = {each.label for each in questions}
        self.candidates = self.questions + tuple(each for each in candidates if each.label not in known)
        for question in self.candidates:
            _check_cells(question, cells)
        asked = np.any([each.perturbed | each.controls for each in questions], axis=0)
        # Genes without a molecule in these cells have no effect to be right about.
        self.seen: Mask = np.asarray(cells.counts[asked].sum(axis=0)).ravel() > 0
        self.answers = self._answers()
        self._beside = {
            each.label: effect_of(cells, each.perturbed, each.controls)
            for each in self.candidates
            if each.label not in known
        }

    def _answers(self) -> dict[str, Answer]:
        found = {}
        for context in dict.fromkeys(context_of(each) for each in self.questions):
            here = in_context(self.cells, dict(context))
            mean = None if self.train is None else mean_perturbation(self.cells, self.train, dict(context))
            perturbed = group_sums(self.cells, here & ~self.cells.is_control)
            for group in _by_controls([each for each in self.questions if context_of(each) == context]):
                controls = group_sums(self.cells, group[0].controls)
                matched = matched_effects(self.cells, group[0].controls, [each.perturbed for each in group])
                for question, effect in zip(group, matched, strict=True):
                    found[question.label] = self._answer(question, controls, perturbed, effect, mean)
        return {each.label: found[each.label] for each in self.questions}

    def _answer(
        self,
        question: Question,
        controls: GroupSums,
        perturbed: GroupSums,
        matched: Array | str,
        mean: MeanPerturbation | None,
    ) -> Answer:
        used, own = self.used(question), group_sums(self.cells, question.perturbed)
        t, p_values = welch_t(own.moments(), controls.moments())
        rest = perturbed.without(own)
        # A gene that every perturbation changes is not what sets this one apart.
        specific = welch_t(own.moments(), rest.moments())[0] if rest.cells > 1 else t
        weights = np.zeros(len(used))
        if used.any():
            weights[used] = response_weights(specific[used])
        return Answer(
            raw=own.moments().mean - controls.moments().mean,
            matched=matched,
            used=used,
            weights=weights,
            responds=responding(p_values, used),
            mean=mean,
        )

    def effect(self, label: str) -> Array:
        """Return the measured effect of a question or of a candidate beside them, (genes,)."""
        return self.answers[label].raw if label in self.answers else self._beside[label]

    def used(self, question: Question) -> Mask:
        """Return which genes count for a question, (genes,)."""
        used = self.seen & ~np.isin(np.array(self.cells.genes), list(targets_of(question, self.cells)))
        used[list(self.left_out_genes.get(question.label, ()))] = False
        return used

    def scores(self, predicted: Effects) -> Scores:
        """Score predicted effects.

        Parameters
        ----------
        predicted
            Label → effect, (genes,), ``log1p counts per 10k``. A label that is not there was not answered.

        Raises
        ------
        PredictionRefused
            If a label was never asked, or an effect has another shape or is not finite.
        """
        self.check(predicted)
        rows = ScoreRows(self.fold)
        for label, answer in self.answers.items():
            if label not in predicted:
                for metric in EFFECT_METRICS:
                    rows.leave_out(metric, label, "not predicted")
                continue
            for metric, value in gene_scores(predicted[label], answer).items():
                if isinstance(value, str):
                    rows.leave_out(metric, label, value)
                else:
                    rows.add(metric, label, float(value[0]), "undefined for these real cells")
        self._add_told_apart(predicted, rows)
        return rows.scores()

    def _add_told_apart(self, predicted: Effects, rows: ScoreRows) -> None:
        measured = {each.label: self.effect(each.label)[None] for each in self.candidates}
        for metric in DISCRIMINATIONS:
            for label, value in self.told_apart(metric, predicted, measured).items():
                if isinstance(value, str):
                    rows.leave_out(metric, label, value)
                else:
                    rows.add(metric, label, float(value[0]))

    def told_apart(self, metric: str, predicted: Effects, real: Effects) -> dict[str, Array | str]:
        """Return label → perturbation discrimination scores, (draws,), or the reason why there is none.

        Parameters
        ----------
        metric
            One of ``DISCRIMINATIONS``.
        predicted
            Label → effect, (genes,).
        real
            Label → real effects of every candidate, (draws, genes).
        """
        found: dict[str, Array | str] = {}
        for context in dict.fromkeys(context_of(each) for each in self.questions):
            candidates = [each for each in self.candidates if context_of(each) == context]
            names = [each.label for each in candidates]
            labels = [label for label in names if label in predicted]
            genes = self._genes_of_all(candidates)
            reason = _why_not_told_apart(len(names), genes)
            if reason or not labels:
                found.update(dict.fromkeys(labels, reason))
                continue
            own = np.array([names.index(label) for label in labels])
            guesses = np.stack([predicted[label][genes] for label in labels])
            draws = (np.stack(draw)[:, genes] for draw in zip(*(real[name] for name in names), strict=True))
            scores = [discrimination(guesses, draw, own, DISCRIMINATIONS[metric]) for draw in draws]
            found.update(zip(labels, np.stack(scores, axis=1), strict=True))
        return found

    def _genes_of_all(self, candidates: Sequence[Question]) -> Mask:
        """Return the genes that tell perturbations apart: no candidate's own target, for none of them, (genes,).

        If only the prediction's own target were left out, the others' targets would push their effects away from every
        prediction, and even a prediction of no change would seem to tell them apart.
        """
        return np.asarray(np.all([self.used(each) for each in candidates], axis=0))

    def check(self, predicted: Effects) -> None:
        """Refuse predicted effects that can't be scored; errors as in `scores`."""
        for label, effect in predicted.items():
            if label not in self.answers:
                asked = ", ".join(list(self.answers)[:5])
                raise PredictionRefused(f"predicted effect of {label!r}: never asked; asked are: {asked}, …")
            if np.shape(effect) != self.seen.shape:
                raise PredictionRefused(
                    f"predicted effect of {label!r} has the shape {np.shape(effect)}; it has to be {self.seen.shape}:"
                    " one number a gene, in the order of the cells' genes"
                )
            bad = int((~np.isfinite(effect)).sum())
            if bad:
                raise PredictionRefused(f"predicted effect of {label!r} has {bad} values that are NaN or infinite")


def effect_of(cells: Cells, perturbed: Mask, controls: Mask) -> Array:
    """Return mean(perturbed) − mean(controls) of ``log1p counts per 10k``, (genes,)."""
    return cells.log1p_per_10k(perturbed) - cells.log1p_per_10k(controls)


def context_of(question: Question) -> Context:
    """Return the context of a question as a key."""
    return tuple(sorted(question.context.items()))


def targets_of(question: Question, cells: Cells) -> frozenset[str]:
    """Return the genes that a genetic perturbation acts on; none of a drug or a cytokine.

    A drug need not lower its target's transcript, and a cytokine may share its name with a gene that responds.
    """
    types = set(cells.obs["perturbation_type"].to_numpy()[question.perturbed])
    return frozenset(target_of(name) for name, _ in question.parts) if "genetic" in types else frozenset()


def _check_cells(question: Question, cells: Cells) -> None:
    for name, group in (("perturbed", question.perturbed), ("control", question.controls)):
        if group.sum() < 2:
            raise UnusableCells(
                f"{cells.source}: the question {question.label!r} has {int(group.sum())} {name} cells; at least 2 are"
                " needed"
            )


def _by_controls(questions: Sequence[Question]) -> list[list[Question]]:
    """Group questions that are measured against the same control cells."""
    groups: dict[bytes, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.controls.tobytes(), []).append(question)
    return list(groups.values())


def _why_not_told_apart(candidates: int, genes: Mask) -> str:
    if candidates < LEAST_TO_TELL_APART:
        return f"{candidates} perturbations in this context; at least {LEAST_TO_TELL_APART} are needed"
    return "" if genes.any() else "every gene is some perturbation's own target"
