"""Scores of one fold: what the real cells say of it, measured once, and every contender held against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import anndata
import numpy as np

from lingshu_core.cells import Cells
from lingshu_core.effect_scores import Context, Truth, context_of, targets_of
from lingshu_core.population_scores import CellGroup, ReferenceCells, halves
from lingshu_core.score_noise import replicate_scores
from lingshu_core.score_table import Scores, join_scores
from lingshu_core.splits import Fold, Question
from screening.evaluating.cell_eval_scores import (
    CellEval2Scale,
    Targets,
    as_anndata,
    cell_eval2_scale,
    cell_eval2_scores,
    cell_eval_scores,
)
from screening.evaluating.evaluation_answers import Answers

OF_PACKAGES = ("cell_eval", "cell_eval2")
OF_CELLS = ("realism", *OF_PACKAGES)
"""Groups of metrics that compare cells, so that cells have to be drawn."""
STATES = "cell_type"


class FoldScorer:
    """Scores answers to the questions of a fold.

    Parameters
    ----------
    cells, fold
        All cells, and the fold.
    groups
        Groups of metrics that are wanted.
    prefilled
        Label → positions of genes that a prior fills in for any contender: they count for none.
    """

    def __init__(
        self, cells: Cells, fold: Fold, groups: Sequence[str], prefilled: Mapping[str, Sequence[int]] | None = None
    ) -> None:
        self._cells, self._fold, self._groups = cells, fold, tuple(groups)
        self._prefilled = dict(prefilled or {})
        self._scales: dict[tuple[str, ...], CellEval2Scale] = {}
        self.genes = len(cells.genes)

    @cached_property
    def truth(self) -> Truth:
        """Real effects."""
        fold = self._fold
        return Truth(self._cells, fold.questions, train=fold.train, fold=fold.name, left_out_genes=self._prefilled)

    @cached_property
    def _reference(self) -> ReferenceCells:
        train = self._fold.train
        obs = self._cells.obs
        states = obs[STATES].to_numpy()[train] if STATES in obs else None
        return ReferenceCells(CellGroup.of(self._cells, train), states=states)

    @cached_property
    def _real(self) -> dict[str, CellGroup]:
        return {each.label: CellGroup.of(self._cells, each.perturbed) for each in self._fold.questions}

    def cells_wanted(self, most: int) -> Callable[[Question], int] | None:
        """Return how many cells to draw of a question: as many as it has real ones, at most ``most``; None for none."""
        if not set(self._groups).intersection(OF_CELLS):
            return None
        return lambda question: min(most, len(self._real.get(question.label, ())))

    def scores(self, answers: Answers) -> Scores:
        """Score answers; those to other questions (for calibration) are left alone."""
        return join_scores(self._parts(answers))

    def _parts(self, answers: Answers) -> Iterator[Scores]:
        labels = {each.label for each in self._fold.questions}
        if "effects" in self._groups:
            yield self.truth.scores({label: effect for label, effect in answers.effects.items() if label in labels})
        if "realism" in self._groups:
            yield self._reference.scores(answers.cells, self._real, fold=self._fold.name)
        for group in OF_PACKAGES:
            if group in self._groups:
                yield from self._package_scores(group, answers.cells, self._real)

    def _package_scores(
        self, group: str, cells: Mapping[str, CellGroup], answer: Mapping[str, CellGroup]
    ) -> Iterator[Scores]:
        """Score with a public evaluator, context by context: it compares perturbations of one context."""
        for questions in self._contexts:
            asked = [each for each in questions if each.label in cells]
            if not asked:
                continue
            controls = np.any([each.controls for each in asked], axis=0)
            real = as_anndata(self._cells, {each.label: answer[each.label] for each in asked}, controls)
            predicted = as_anndata(self._cells, {each.label: cells[each.label] for each in asked}, controls)
            targets = {each.label: sorted(targets_of(each, self._cells)) for each in asked}
            if group == "cell_eval":
                yield cell_eval_scores(real, predicted, targets, fold=self._fold.name)
            else:
                whole = as_anndata(self._cells, {each.label: each.perturbed for each in asked}, controls)
                scale = self._scale(tuple(each.label for each in asked), whole, targets)
                yield cell_eval2_scores(real, predicted, targets, scale=scale, fold=self._fold.name)

    @cached_property
    def _contexts(self) -> list[list[Question]]:
        found: dict[Context, list[Question]] = {}
        for question in self._fold.questions:
            found.setdefault(context_of(question), []).append(question)
        return list(found.values())

    def _scale(self, labels: tuple[str, ...], real: anndata.AnnData, targets: Targets) -> CellEval2Scale:
        """Measure both ends of the scale; it is the same for all who answered the same questions."""
        if labels not in self._scales:
            self._scales[labels] = cell_eval2_scale(real, targets)
        return self._scales[labels]

    def ceiling(self) -> Scores:
        """Score one half of the real cells as a prediction of the other half."""
        parts = []
        if "effects" in self._groups:
            parts.append(replicate_scores(self.truth))
        pairs = {label: halves(group) for label, group in self._real.items()}
        one, other = ({label: pair[side] for label, pair in pairs.items()} for side in (0, 1))
        if "realism" in self._groups:
            parts.append(self._reference.scores(one, other, fold=self._fold.name))
        for name in OF_PACKAGES:
            if name in self._groups:
                parts += self._package_scores(name, one, other)
        return join_scores(parts)
