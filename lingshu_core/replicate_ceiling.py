"""How well real cells predict real cells: the ceiling of every score.

The cells of a condition and its controls are split into random halves. The effect that one half shows is a prediction
of the effect that the other half shows, with all the noise of the experiment and none of a model. No prediction can be
asked to agree better with so few cells, and where the halves don't agree, nothing can be decided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]
_PERTURBED, _CONTROLS = 0, 1


@dataclass(frozen=True)
class Halves:
    """Cells of a condition and its controls in two halves, (cells,) each."""

    perturbed: tuple[Mask, Mask]
    controls: tuple[Mask, Mask]


@dataclass(frozen=True)
class HalfEffects:
    """Effect of one half as a prediction and of the other as the truth, log1p counts per 10k, (genes,) each."""

    prediction: Array
    truth: Array


def split_halves(perturbed: Mask, controls: Mask, seed: int, split: int) -> Halves:
    """Split a condition's cells and its controls into random halves.

    Parameters
    ----------
    perturbed, controls
        Which cells they are, (cells,).
    seed, split
        Root of the random numbers, and which of several splits.

    Raises
    ------
    UnusableCells
        If there are fewer than two cells of either.
    """
    found = int(perturbed.sum()), int(controls.sum())
    if min(found) < 2:
        raise UnusableCells(
            f"{found[0]} perturbed and {found[1]} control cells can't be split into halves; two of each are needed"
        )
    return Halves(_halves(perturbed, [seed, split, _PERTURBED]), _halves(controls, [seed, split, _CONTROLS]))


def split_half_effects(
    cells: Cells, perturbed: Mask, controls: Mask, *, splits: int = 10, seed: int = 0
) -> tuple[HalfEffects, ...]:
    """Measure the effect in both halves, for several random splits.

    Parameters
    ----------
    cells
        Real cells, with counts in memory.
    perturbed, controls
        Which of them answer the question, (cells,).
    splits
        How many random splits.
    seed
        Root of the random numbers.

    Raises
    ------
    UnusableCells
        If there are fewer than two cells of either.
    """
    effects = []
    for split in range(splits):
        halves = split_halves(perturbed, controls, seed, split)
        first, second = (
            real_effect(cells, treated, untreated)
            for treated, untreated in zip(halves.perturbed, halves.controls, strict=True)
        )
        effects.append(HalfEffects(first, second))
    return tuple(effects)


def _halves(mask: Mask, seed: list[int]) -> tuple[Mask, Mask]:
    order = np.random.default_rng(seed).permutation(np.flatnonzero(mask))
    first, second = np.zeros_like(mask), np.zeros_like(mask)
    first[order[: len(order) // 2]] = True
    second[order[len(order) // 2 :]] = True
    return first, second
