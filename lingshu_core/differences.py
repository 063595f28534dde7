"""Differences between two groups of real cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GroupDifference:
    """Difference of the means of two groups, log1p counts per 10k, with its standard error; both (genes,)."""

    difference: Array
    standard_error: Array

    def certain(self, errors: float = 2.0) -> npt.NDArray[np.bool_]:
        """Tell which differences exceed that many standard errors, (genes,)."""
        return np.abs(self.difference) > errors * np.maximum(self.standard_error, 1e-12)


def group_difference(cells: Cells, start: npt.NDArray[np.bool_], to: npt.NDArray[np.bool_]) -> GroupDifference:
    """Compare two groups of cells, gene by gene.

    Parameters
    ----------
    cells
        All cells.
    start, to
        Masks of the two groups, (cells,).

    Raises
    ------
    UnusableCells
        If a group has fewer than two cells.
    """
    for name, group in (("from", start), ("to", to)):
        if group.sum() < 2:
            raise UnusableCells(
                f"{cells.source}: the group {name!r} has {int(group.sum())} cells; at least 2 are needed"
            )
    start_mean, start_error = _mean_and_error(cells, start)
    to_mean, to_error = _mean_and_error(cells, to)
    return GroupDifference(to_mean - start_mean, np.hypot(start_error, to_error))


def _mean_and_error(cells: Cells, group: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    scaled = (sp.diags(1e4 / cells.depth[group]) @ cells.counts[group]).log1p()
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    square = np.asarray(scaled.multiply(scaled).mean(axis=0)).ravel()
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0) / (group.sum() - 1))


def matched_effect(
    cells: Cells, perturbed: npt.NDArray[np.bool_], controls: npt.NDArray[np.bool_], strata: int = 10
) -> Array:
    """Return the depth-matched effect of real cells, log1p counts per 10k, (genes,).

    Cells are stratified by the quantiles of the controls' depths; differences within strata are averaged with
    the controls' shares as weights. It is the counterpart of what the estimator predicts: a raw difference
    mixes the effect on expression with the shift in depth. Strata without perturbed cells are left out.

    Raises
    ------
    UnusableCells
        If no stratum has both kinds of cells.
    """
    edges = np.quantile(cells.depth[controls], np.linspace(0, 1, strata + 1))[1:-1]
    stratum = np.searchsorted(edges, cells.depth)
    differences, weights = [], []
    for s in range(strata):
        here = stratum == s
        if (here & perturbed).any() and (here & controls).any():
            differences.append(cells.log1p_per_10k(here & perturbed) - cells.log1p_per_10k(here & controls))
            weights.append(int((here & controls).sum()))
    if not differences:
        raise UnusableCells(f"{cells.source}: no stratum of depth has both perturbed and control cells")
    return np.average(differences, axis=0, weights=weights)
