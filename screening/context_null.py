"""The pseudo-perturbations of one context, kept so that they can be scored on the genes of any condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from screening.aggregation import Folded
from screening.effects import Moments
from screening.null_distribution import NullDistribution
from screening.objectives import Readout, score_members

Indices = npt.NDArray[np.int64]


class ContextNull:
    """Gathers the pseudo-perturbations of a context and scores them, each by the members of the ensemble.

    Own targets are left out of the score of a genetic perturbation, which gives it other genes than its neighbour's:
    its null leaves the same ones out. Only the genes of the objective are kept in memory.

    Parameters
    ----------
    readout
        Of the context.
    genes
        The model's genes.
    """

    def __init__(self, readout: Readout, genes: tuple[str, ...]) -> None:
        self._used = np.flatnonzero(readout.used)
        self._place = {int(gene): place for place, gene in enumerate(self._used)}
        self._readout = replace(readout, weights=readout.weights[self._used])
        self._genes = tuple(genes[gene] for gene in self._used)
        self._blocks: list[tuple[tuple[Moments, Moments], ...]] = []
        self._known: dict[tuple[int, ...], NullDistribution | None] = {}

    def add(self, folded: Folded) -> None:
        """Take a pseudo-perturbation that was computed; one that failed is no block."""
        if folded.moments is None or folded.control is None:
            return
        members = folded.members or ((folded.moments, folded.control),)
        self._blocks.append(tuple((self._cut(found), self._cut(control)) for found, control in members))
        self._known.clear()

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self._blocks)

    def columns(self, left_out: Indices, score: float, *, parts: int = 1, judged: bool = True) -> dict[str, Any]:
        """Return what a row of the ranked table says of its null.

        Parameters
        ----------
        left_out
            Genes that its score leaves out, as indices of the model's genes.
        score
            Of the condition.
        parts
            Of the combination; 1 where it is none.
        judged
            Whether the null speaks of such a condition at all; if not, there is no p-value.
        """
        single = self.without(left_out)
        if single is None:
            return {"null_blocks": self.blocks}
        null = single.of_combination(parts)
        return {
            "null_blocks": null.blocks,
            "null_centre": null.centre,
            "null_sd": null.spread,
            "minimum_effect": null.minimum_effect,
            "p_null": null.p_value(score) if judged else None,
        }

    def without(self, left_out: Indices) -> NullDistribution | None:
        """Return the null of a score that leaves some of the model's genes out; None where there is none."""
        places = tuple(sorted(self._place[gene] for gene in map(int, left_out) if gene in self._place))
        if places not in self._known:
            self._known[places] = self._scored(np.array(places, dtype=np.int64))
        return self._known[places]

    def _scored(self, left_out: Indices) -> NullDistribution | None:
        scores = [score_members(members, self._readout, left_out, self._genes).score for members in self._blocks]
        return NullDistribution.of(np.array(scores, dtype=np.float64))

    def _cut(self, moments: Moments) -> Moments:
        return Moments(
            log1p=moments.log1p[:, self._used],
            counts=moments.counts[:, self._used],
            log1p_square=moments.log1p_square[self._used],
            counts_square=moments.counts_square[self._used],
            cells=moments.cells,
        )
