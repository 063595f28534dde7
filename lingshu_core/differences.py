"""Differences between two groups of real cells, at equal depth.

Means of ``log1p counts per 10k`` depend on the library size of the cells, so a raw difference of two groups mixes
what they express with how deeply they were read. Both functions here stratify by depth, as the estimator does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy import stats

from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STRATA, MOST_STRATA = 10, 30
_CELLS_PER_STRATUM = 10
"""A small group gets fewer strata, so that a stratum's error can still be estimated."""


@dataclass(frozen=True)
class GroupDifference:
    """Depth-matched difference of two groups, log1p counts per 10k, with its standard error; both (genes,)."""

    difference: Array
    standard_error: Array

    def certain(self, false_discoveries: float = 0.05) -> Mask:
        """Tell which genes differ, (genes,): Benjamini–Hochberg over all genes, normal approximation."""
        z = np.abs(self.difference) / np.maximum(self.standard_error, 1e-12)
        rates = stats.false_discovery_control(2.0 * stats.norm.sf(z))
        return np.asarray(rates <= false_discoveries)


def group_difference(cells: Cells, start: Mask, to: Mask) -> GroupDifference:
    """Compare two groups of cells, gene by gene and at equal depth.

    Cells are stratified by the quantiles of ``start``'s depths; differences within strata are averaged with the
    numbers of ``start`` cells as weights.

    Parameters
    ----------
    cells
        All cells.
    start, to
        Masks of the two groups, (cells,).

    Raises
    ------
    UnusableCells
        If a group has fewer than two cells, or their depths do not overlap.
    """
    for name, group in (("from", start), ("to", to)):
        if group.sum() < 2:
            raise UnusableCells(
                f"{cells.source}: the group {name!r} has {int(group.sum())} cells; at least 2 are needed"
            )
    strata = int(np.clip(min(start.sum(), to.sum()) // _CELLS_PER_STRATUM, 1, MOST_STRATA))
    deep = np.median(cells.depth[to])
    # Cells deeper or shallower than all of the other group have nothing to be compared with.
    low, high = cells.depth[start].min(), cells.depth[start].max()
    to = to & (cells.depth >= low) & (cells.depth <= high)
    differences, variances, weights = [], [], []
    for here in depth_strata(cells, start, strata):
        if (here & start).sum() < 2 or (here & to).sum() < 2:
            continue
        start_mean, start_variance = _mean_and_variance(cells, here & start)
        to_mean, to_variance = _mean_and_variance(cells, here & to)
        differences.append(to_mean - start_mean)
        variances.append(start_variance + to_variance)
        weights.append(int((here & start).sum()))
    if not differences:
        raise UnusableCells(
            f"{cells.source}: the depths of the two groups do not overlap (medians {np.median(cells.depth[start]):.0f}"
            f" and {deep:.0f}); they can't be compared at equal depth"
        )
    shares = np.array(weights) / np.sum(weights)
    return GroupDifference(shares @ np.stack(differences), np.sqrt(np.square(shares) @ np.stack(variances)))


def matched_effect(cells: Cells, perturbed: Mask, controls: Mask, strata: int = STRATA) -> Array:
    """Return the depth-matched effect of real cells, log1p counts per 10k, (genes,).

    Cells are stratified by the quantiles of the controls' depths; differences within strata are averaged with
    the controls' shares as weights. It is the counterpart of what the estimator predicts. Strata without
    perturbed cells are left out.

    Raises
    ------
    UnusableCells
        If no stratum has both kinds of cells.
    """
    differences, weights = [], []
    for here in depth_strata(cells, controls, strata):
        if (here & perturbed).any() and (here & controls).any():
            differences.append(cells.log1p_per_10k(here & perturbed) - cells.log1p_per_10k(here & controls))
            weights.append(int((here & controls).sum()))
    if not differences:
        raise UnusableCells(f"{cells.source}: no stratum of depth has both perturbed and control cells")
    return np.average(differences, axis=0, weights=weights)


def depth_strata(cells: Cells, group: Mask, strata: int) -> Iterator[Mask]:
    """Yield which cells lie in each stratum between the quantiles of a group's depths, (cells,)."""
    edges = np.quantile(cells.depth[group], np.linspace(0, 1, strata + 1))[1:-1]
    stratum = np.searchsorted(edges, cells.depth)
    for number in range(strata):
        yield stratum == number


def _mean_and_variance(cells: Cells, group: Mask) -> tuple[Array, Array]:
    """Return the mean of a group and the squared standard error of it, both (genes,)."""
    scaled = (sp.diags(1e4 / cells.depth[group]) @ cells.counts[group]).log1p()
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    square = np.asarray(scaled.multiply(scaled).mean(axis=0)).ravel()
    return mean, np.maximum(square - mean**2, 0.0) / (group.sum() - 1)
