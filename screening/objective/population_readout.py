"""Objectives of a population: what drawn cells do together, which no mean of a gene tells.

All are measured in a fixed space of real cells (`lingshu_core.state_space`), in every shard r of a condition against
shard r of its control, which share their random numbers. With X_r and C_r the cells of the two, R the real cells of the
group, D the E-distance, and t the place of a cell on the way from the others (0) to the group (1):

- ``e_distance``: effect = D(C_r, R) − D(X_r, R); score = effect / D(others, R), the share of the distance between the
  real groups by which the cells come nearer. D is unbiased for any number of cells.
- ``state_share``: 2 arcsin √p of the share p of all cells of X that the classifier takes for the group's, minus that of
  C (Cohen's h). With (k + 3/8) / (n + 3/4) for k of n cells it has the variance 1 / n wherever p is (Anscombe 1948,
  https://doi.org/10.1093/biomet/35.3-4.246), so that the noise of a share near 0, where nothing is done, says something
  of shares that are not. It isn't additive over shards: its error is the jackknife's.
- ``heterogeneity``: Var(t | X_r) − Var(t | C_r), both unbiased. If a share p of the cells goes d further and the others
  stay, it is p (1 − p) d².
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lingshu_core.state_space import PlacedCells, StateSpace, View
from screening.errors import BlockError
from screening.folding.effects import Moments, standard_error
from screening.objective.objectives import Array, ByShard, Indices, Members, Readout, check_any_left

COLUMNS: dict[str, str] = {
    "e_distance": "E-distance of the drawn cells from the real cells of the group (components of log1p counts per 10k)",
    "e_distance_control": "the same of the drawn control cells",
    "e_distance_se": "Monte Carlo standard error of the difference of the two",
    "share_in_state": "share of the drawn cells that the classifier takes for cells of the group",
    "share_in_state_control": "the same of the drawn control cells",
    "share_in_state_se": "Monte Carlo standard error of the difference of the two",
    "response": "how far the mean of the drawn cells goes beyond that of the drawn control cells, as a share of the way"
    " between the centres of the real groups",
    "response_se": "Monte Carlo standard error of response",
    "spread": "standard deviation of the drawn cells along that way (way = 1)",
    "spread_control": "the same of the drawn control cells",
    "excess_variance": "heterogeneity of the response: variance of the drawn cells along that way minus that of the"
    " drawn control cells (way = 1)",
    "excess_variance_se": "Monte Carlo standard error of excess_variance",
    "state_accuracy": "balanced accuracy of the classifier on held-out real cells of this context",
}
"""Further columns of a ranked table by such an objective, and what they mean."""

Measure = Callable[[StateSpace, View, Array], float]


def _distance(space: StateSpace, view: View, points: Array) -> float:
    return view.distance(points)


def _share(space: StateSpace, view: View, points: Array) -> float:
    return float(space.in_group(points).mean())


def _place(space: StateSpace, view: View, points: Array) -> float:
    return float(view.position(points).mean())


def _variance(space: StateSpace, view: View, points: Array) -> float:
    return float(view.position(points).var(ddof=1))


MEASURES: Mapping[str, Measure] = {"e_distance": _distance, "state_share": _share, "heterogeneity": _variance}


@dataclass(frozen=True, kw_only=True)
class PopulationReadout(Readout):
    """A population objective in one context.

    ``weights`` is (genes,): what a gene adds to the place on the way. ``sign`` is −1 where less is better.
    """

    space: StateSpace
    sign: float = 1.0

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Genes of the space, (genes,)."""
        used = np.zeros(len(self.weights), dtype=bool)
        used[self.space.genes] = True
        return used

    @property
    def columns(self) -> tuple[str, ...]:
        """All measures, whichever of them is the score."""
        return tuple(COLUMNS)

    def restricted_to(self, genes: Indices) -> PopulationReadout:
        """Return the readout for moments of some of the genes only; the drawn cells keep all of theirs."""
        return replace(self, weights=self.weights[genes], space=self.space.restricted_to(genes))

    def by_shard(self, condition: Moments, control: Moments, left_out: Indices, genes: tuple[str, ...]) -> ByShard:
        """Measure one condition in every shard.

        Raises
        ------
        ObjectiveError
            If no gene is left.
        BlockError
            If the cells of the two can't be paired.
        """
        places = self._places(left_out)
        dropped = tuple(genes[self.space.genes[place]] for place in places)
        used = np.ones(len(self.space.genes), dtype=bool)
        used[list(places)] = False
        check_any_left(used, dropped)
        if self.normalisation == "state_share":
            counts, cells = self._counted(condition, places)
            difference = share_difference(counts, self._counted(control, places)[0], cells)
            return ByShard(self.sign * difference, 1.0, int(used.sum()), dropped)
        measure = MEASURES[self.normalisation]
        found, start = (self._measured(measure, moments, places) for moments in (condition, control))
        nearer = -1.0 if self.normalisation == "e_distance" else 1.0
        scale = self.space.view(places).separation if self.normalisation == "e_distance" else 1.0
        return ByShard(self.sign * nearer * (found - start), max(scale, 1e-6), int(used.sum()), dropped)

    def describe(self, members: Members, left_out: Indices) -> Mapping[str, float]:
        """Return all measures of one condition, means over members."""
        places = self._places(left_out)
        measured = {
            name: [
                np.mean([self._measured(measure, pair[side], places) for pair in members], axis=0) for side in (0, 1)
            ]
            for name, measure in {**MEASURES, "response": _place}.items()
        }  # name → (shards,) of the condition and of the control
        mean = {name: [float(side.mean()) for side in sides] for name, sides in measured.items()}
        error = {name: float(standard_error(found - start)) for name, (found, start) in measured.items()}
        variance = mean["heterogeneity"]
        return {
            "e_distance": mean["e_distance"][0],
            "e_distance_control": mean["e_distance"][1],
            "e_distance_se": error["e_distance"],
            "share_in_state": mean["state_share"][0],
            "share_in_state_control": mean["state_share"][1],
            "share_in_state_se": error["state_share"],
            "response": mean["response"][0] - mean["response"][1],
            "response_se": error["response"],
            "spread": float(np.sqrt(variance[0])),
            "spread_control": float(np.sqrt(variance[1])),
            "excess_variance": variance[0] - variance[1],
            "excess_variance_se": error["heterogeneity"],
            "state_accuracy": self.space.accuracy,
        }

    def _places(self, left_out: Indices) -> tuple[int, ...]:
        """Return the places of genes among those of the space."""
        return tuple(int(place) for place in np.flatnonzero(np.isin(self.space.genes, left_out)))

    def _measured(self, measure: Measure, moments: Moments, places: tuple[int, ...]) -> Array:
        """Return a measure of every shard, (shards,)."""
        placed = self._cells_of(moments)
        view = self.space.view(places)
        points = self.space.points(placed, places)  # (cells, components), shard after shard
        by_shard = points.reshape(placed.shards, -1, points.shape[1])  # (shards, cells of a shard, components)
        return np.array([measure(self.space, view, shard) for shard in by_shard])

    def _counted(self, moments: Moments, places: tuple[int, ...]) -> tuple[Array, int]:
        """Return the cells in the state in every shard, (shards,), and how many cells a shard has."""
        placed = self._cells_of(moments)
        cells = len(placed.points) // placed.shards
        return self._measured(_share, moments, places) * cells, cells

    def _cells_of(self, moments: Moments) -> PlacedCells:
        if moments.placed is None:
            raise BlockError("an objective of kind population is scored from drawn cells, and none were kept")
        return moments.placed


def share_difference(found: Array, start: Array, cells: int) -> Array:
    """Return values of shards whose mean is the difference of arcsine shares, and whose spread is the jackknife's.

    As :func:`screening.objective.connectivity_readout.jackknifed` does for another score that is none of single shards.

    Parameters
    ----------
    found, start
        Cells in the state, of a condition and of its control, (shards,).
    cells
        Of a shard.
    """
    shards = len(found)
    whole = _arcsine(found.sum(), shards * cells) - _arcsine(start.sum(), shards * cells)
    left = (shards - 1) * cells
    without = _arcsine(found.sum() - found, left) - _arcsine(start.sum() - start, left)
    held = (shards - 1) * without
    return np.asarray(whole + held.mean() - held, dtype=np.float64)


def _arcsine(counts: Array, cells: int) -> Array:
    return np.asarray(2.0 * np.arcsin(np.sqrt((counts + 0.375) / (cells + 0.75))), dtype=np.float64)


def population_readout(space: StateSpace, genes: int, measure: str, sign: float, question: str) -> PopulationReadout:
    """Make the readout of a population objective from the space of its real cells; ``genes`` is the model's number."""
    view, weights = space.view(), np.zeros(genes)
    weights[space.genes] = space.loadings @ view.way / max(float(view.way @ view.way), 1e-12)
    return PopulationReadout(weights, measure, question, space=space, sign=sign)  # type: ignore[arg-type]
