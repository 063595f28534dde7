"""Pareto layers: which conditions no other one beats in every respect at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def pareto_layers(points: Array) -> npt.NDArray[np.int64]:
    """Sort points into layers by dominance.

    A point dominates another if it is no worse on every axis and better on one. Layer 1, the front, has the points
    that none dominates; layer 2 is the front of the rest, and so on. Equal points don't dominate one another and share
    a layer. By efficient non-dominated sorting with binary search (Zhang et al. 2015,
    https://doi.org/10.1109/TEVC.2014.2308305): in lexicographic order a point can only be dominated by earlier ones.

    Parameters
    ----------
    points
        (points, axes), finite; less is better on every axis.

    Returns
    -------
    Layer of every point, from 1, (points,).
    """
    layers = np.zeros(len(points), dtype=np.int64)
    fronts: list[_Front] = []
    for place in np.lexsort(points.T[::-1]):
        point = points[place]
        number = _first_free(fronts, point)
        if number == len(fronts):
            fronts.append(_Front(points.shape[1]))
        fronts[number].add(point)
        layers[place] = number + 1
    return layers


class _Front:
    """Points of one layer, in an array that doubles when it is full; they come in lexicographic order."""

    def __init__(self, axes: int) -> None:
        self._held = np.empty((axes, 8))  # an axis is one run of memory
        self._number = 0

    def add(self, point: Array) -> None:
        if self._number == self._held.shape[1]:
            self._held = np.concatenate([self._held, np.empty_like(self._held)], axis=1)
        self._held[:, self._number] = point
        self._number += 1

    def dominates(self, point: Array) -> bool:
        held = self._held[:, : self._number]
        no_worse = np.ones(self._number, dtype=bool)
        for axis in range(1, len(point)):  # on the first, those that came before are no worse
            no_worse &= held[axis] <= point[axis]
        return bool(no_worse.any()) and bool((held[:, no_worse] < point[:, None]).any())


def _first_free(fronts: list[_Front], point: Array) -> int:
    """Find the first layer without a point that dominates; whoever a layer dominates, all layers before it do."""
    low, high = 0, len(fronts)
    while low < high:
        middle = (low + high) // 2
        if fronts[middle].dominates(point):
            low = middle + 1
        else:
            high = middle
    return low
