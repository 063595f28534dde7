"""The measured effect of some real cells, with the sampling error that so few of them leave.

The effect is depth-matched (:func:`lingshu_core.differences.matched_effect`). The error is *anticipated*: from the
variance of the control cells and the numbers of cells, which are known before the perturbed cells are looked at. The
perturbed cells' own variance would be zero for every gene of which they happen to show no molecule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.differences import STRATA, depth_strata, matched_effect

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MeasuredEffect:
    """What real cells say of a condition, each (genes,), log1p counts per 10k.

    Attributes
    ----------
    effect
        Depth-matched difference to the controls.
    standard_error
        Sampling error of ``effect``, anticipated from the control cells; it leaves donors and batches out.
    expression
        Mean of the control cells.
    """

    effect: Array
    standard_error: Array
    expression: Array


def measured_effect(cells: Cells, perturbed: Mask, controls: Mask) -> MeasuredEffect:
    """Measure an effect and anticipate its sampling error.

    Parameters
    ----------
    cells
        All cells.
    perturbed, controls
        Masks of the two groups, (cells,).

    Raises
    ------
    UnusableCells
        If no stratum of depth has both kinds of cells.
    """
    effect = matched_effect(cells, perturbed, controls)
    scaled = _scaled(cells, controls)
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    square = np.asarray(scaled.multiply(scaled).mean(axis=0)).ravel()
    # A gene of which no control cell shows a molecule has some variance all the same: as if one of them had shown one.
    one = np.log1p(1e4 / np.median(cells.depth[controls])) ** 2 / controls.sum()
    variance = np.maximum(square - mean**2, one)
    return MeasuredEffect(effect, np.sqrt(variance * _variance_share(cells, perturbed, controls)), mean)


def measured_score(cells: Cells, perturbed: Mask, controls: Mask, weights: Array) -> MeasuredEffect:
    """Measure a score, a weighted sum of genes' effects, (genes,), as an effect of one value.

    Genes vary together from cell to cell, so the error is that of the cells' scores; other things as in
    :func:`measured_effect`.
    """
    effect = matched_effect(cells, perturbed, controls) @ weights
    by_cell = np.asarray(_scaled(cells, controls) @ weights)
    error = np.sqrt(by_cell.var() * _variance_share(cells, perturbed, controls))
    return MeasuredEffect(np.array([effect]), np.array([error]), np.array([by_cell.mean()]))


def _scaled(cells: Cells, group: Mask) -> sp.csr_matrix:
    """Return log1p counts per 10k, (cells of the group, genes)."""
    return (sp.diags(1e4 / cells.depth[group]) @ cells.counts[group]).log1p()


def _variance_share(cells: Cells, perturbed: Mask, controls: Mask) -> float:
    """Return the variance of the effect over the variance of one cell: Σ w² (1/perturbed + 1/controls) over strata."""
    strata = depth_strata(cells, controls, STRATA)
    sizes = np.array([((here & perturbed).sum(), (here & controls).sum()) for here in strata], dtype=float)
    counted = sizes[sizes.min(axis=1) > 0]
    weights = counted[:, 1] / counted[:, 1].sum()
    return float((weights**2 * (1.0 / counted).sum(axis=1)).sum())
