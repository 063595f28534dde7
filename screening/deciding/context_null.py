"""The pseudo-perturbations of one context, kept so that they can be scored on the genes of any condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from campaigns.conditions import Perturbation
from lingshu_core.vocabulary import Vocabulary, split_label
from screening.deciding.null_distribution import NullDistribution
from screening.folding.aggregation import Folded
from screening.folding.effects import Moments
from screening.objective.objectives import UNITS, Readout, least_spread, score_members

Indices = npt.NDArray[np.int64]


class ContextNull:
    """Gathers the pseudo-perturbations of a context and scores them, each by the members of the ensemble.

    Own targets are left out of the score of a genetic perturbation, which gives it other genes than its neighbour's:
    its null leaves the same ones out. Only the genes that the objective needs are kept in memory.

    Parameters
    ----------
    readout
        Of the context.
    genes
        The model's genes.
    trained
        Training cells of every part, pseudo-perturbations among them (:func:`trained_cells`).
    """

    def __init__(self, readout: Readout, genes: tuple[str, ...], trained: Mapping[str, int]) -> None:
        self._kept = np.flatnonzero(readout.needed)
        self._place = {int(gene): place for place, gene in enumerate(self._kept) if readout.used[gene]}
        self._readout = readout.restricted_to(self._kept)
        self._genes = tuple(genes[gene] for gene in self._kept)
        self._trained = trained
        self._blocks: list[tuple[tuple[Moments, Moments], ...]] = []
        self._cells: list[float] = []
        self._known: dict[tuple[int, ...], NullDistribution | None] = {}

    def add(self, folded: Folded) -> None:
        """Take a pseudo-perturbation that was computed; one that failed is no block."""
        if folded.moments is None or folded.control is None:
            return
        members = folded.members or ((folded.moments, folded.control),)
        self._blocks.append(tuple((self._cut(found), self._cut(control)) for found, control in members))
        self._cells += self._cells_of(folded.planned.condition.perturbation)
        self._known.clear()

    def columns(self, perturbation: Perturbation, left_out: Indices, drawn: float = np.inf) -> dict[str, Any]:
        """Return what a row of the ranked table says of its null.

        ``left_out`` are the genes that its score leaves out, as indices of the model's genes; ``drawn`` the cells that
        one model drew for it, which may be fewer than for the null.
        """
        null, cells = self.without(left_out), self._cells_of(perturbation)
        if null is None:
            return {"null_blocks": len(self._blocks)}
        null = replace(null, floor=max(null.floor, self._floor(drawn)))
        return {
            "null_blocks": null.blocks,
            "null_centre": null.centre_of(len(cells)),
            "null_sd": null.sd_of(cells),
            "minimum_effect": null.minimum_effect(cells),
        }

    def without(self, left_out: Indices) -> NullDistribution | None:
        """Return the null of a score that leaves some of the model's genes out; None where there is none."""
        places = tuple(sorted(self._place[gene] for gene in map(int, left_out) if gene in self._place))
        if places not in self._known:
            self._known[places] = self._scored(np.array(places, dtype=np.int64))
        return self._known[places]

    def _scored(self, left_out: Indices) -> NullDistribution | None:
        scores = [score_members(members, self._readout, left_out, self._genes).score for members in self._blocks]
        floor = self._floor(min((members[0][0].cells for members in self._blocks), default=1))
        return NullDistribution.of(np.array(scores, dtype=np.float64), np.array(self._cells, dtype=np.float64), floor)

    def _floor(self, drawn: float) -> float:
        return float(least_spread(UNITS[self._readout.normalisation], np.array(drawn)))

    def _cells_of(self, perturbation: Perturbation) -> Sequence[float]:
        return [float(self._trained.get(part.name, 0)) for part in perturbation.parts]

    def _cut(self, moments: Moments) -> Moments:
        return Moments(
            log1p=moments.log1p[:, self._kept],
            counts=moments.counts[:, self._kept],
            log1p_square=moments.log1p_square[self._kept],
            counts_square=moments.counts_square[self._kept],
            cells=moments.cells,
            placed=moments.placed,
        )


def trained_cells(vocabulary: Vocabulary) -> Counter[str]:
    """Return the cells that every part was learned from, alone or in combinations, and every pseudo-perturbation."""
    cells: Counter[str] = Counter()
    for label, seen in vocabulary.perturbations.items():
        for part in split_label(label):
            cells[part] += seen.cells
    for context in vocabulary.contexts:
        cells.update(context.pseudo_cells)
    return cells
