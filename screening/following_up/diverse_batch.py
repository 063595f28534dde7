"""A batch whose members are worth much and unlike one another, chosen greedily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Distances(Protocol):
    """How unlike conditions are."""

    def to(self, place: int) -> Array:
        """Return the distance of every condition to one of them, (conditions,), between 0 and 1."""
        ...


@dataclass(frozen=True)
class Choice:
    """One condition of a batch.

    Attributes
    ----------
    place
        Which condition.
    nearest
        The one that was chosen before and is most like it; None for the first.
    distance
        How unlike the two are, between 0 and 1; 1 for the first.
    """

    place: int
    nearest: int | None
    distance: float


def choose_batch(
    worth: Array,
    is_first: npt.NDArray[np.bool_],
    distances: Distances,
    size: int,
    kind: npt.NDArray[np.int64] | None = None,
) -> list[Choice]:
    """Choose conditions one by one: the largest worth times the distance to the nearest that is chosen already.

    The distance makes it the farthest-first traversal (Gonzalez 1985, https://doi.org/10.1016/0304-3975(85)90224-5),
    which as a choice of batches is known as k-centre or core-set (Sener and Savarese 2018,
    https://openreview.net/forum?id=H1aIuk-RW); the worth weights it.

    Parameters
    ----------
    worth
        What each condition is worth by itself, (conditions,), not negative.
    is_first
        Those that come before all others, (conditions,).
    distances
        Between conditions.
    size
        How many are asked for; fewer are chosen where there are fewer.
    kind
        What each condition is one of, such as its perturbation, (conditions,): a second one of a kind waits until all
        kinds that are worth anything have one. By default every condition is a kind.

    Returns
    -------
    The batch in the order of choice, nobody twice. Of equal conditions the first is chosen.
    """
    free = np.ones(len(worth), dtype=bool)
    least, nearest = np.ones(len(worth)), np.full(len(worth), -1, dtype=np.int64)
    kind = np.arange(len(worth)) if kind is None else kind
    batch: list[Choice] = []
    for _ in range(min(size, len(worth))):
        taken = np.isin(kind, kind[[choice.place for choice in batch]])
        place = _best(worth, least, free, is_first, ~taken)
        batch.append(Choice(place, None if nearest[place] < 0 else int(nearest[place]), float(least[place])))
        free[place] = False
        found = distances.to(place)
        closer = (found < least) | (nearest < 0)
        least, nearest = np.where(closer, found, least), np.where(closer, place, nearest)
    return batch


def _best(
    worth: Array,
    least: Array,
    free: npt.NDArray[np.bool_],
    is_first: npt.NDArray[np.bool_],
    is_new: npt.NDArray[np.bool_],
) -> int:
    left = free
    for preferred in (is_first, is_new & (worth > 0)):
        left = left & preferred if (left & preferred).any() else left
    gain = np.where(left, worth * least, -1.0)
    if gain.max() <= 0.0:  # all that is left is like what was chosen: then by worth alone
        gain = np.where(left, worth, -1.0)
    return int(gain.argmax())
