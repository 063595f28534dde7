"""Do generated cells give away who was in the training data?

Three questions, each answered with a number and an interval over donors, or with the reason why it can't be:

* *Membership*: can donors of the training be told from donors that were held out, by how near their cells lie to the
  generated ones? The area under the curve over pairs of donors; 0.5 is chance (best published 0.49–0.51). The same over
  cells is kept beside it: finer, and a hint where there are few donors.
* *Distance ratio*: how far is a generated cell from the nearest training cell, over the nearest of as many cells of
  held-out donors? The median, 1 where training cells are no nearer than strangers'; and the same of the nearest
  twentieth of the distances, where copies are.
* *Duplicates*: how many generated cells are a training cell, gene by gene? Cells with few detected genes are alike by
  chance and don't count.

Held-out donors may lie farther off because they are other people or came in another batch: an area above 0.5 says that
the training's donors can be recognised, not that cells were copied. Copying shows in the other two.

Distances are Euclidean in principal components of the generated cells, which are all that an attacker has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.stats import rankdata

from lingshu_core.cells import Cells
from lingshu_core.realism import log1p_per_10k, most_variable
from lingshu_core.tokens import encode

FEWEST_DONORS = 2
"""Donors on each side; with one there is nothing to take an interval over."""
FEWEST_CELLS_OF_DONOR = 20
MOST_CELLS_OF_DONOR = 1_000
FEWEST_GENES = 20
"""A cell with fewer detected genes is equal to another by chance."""
VARIABLE_GENES = 1_000
COMPONENTS = 30
REPLICATES = 500
PERMUTATIONS = 2_000
INTERVAL = 0.9
NEAREST = 0.05
TOO_NEAR = 0.8
"""A ratio of distances below which training cells are nearer than donors differ: real ones give .9 to 1.1."""

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Measure:
    """One number about privacy; without a value it was not measured, and ``words`` says why.

    ``low`` and ``high`` are the ends of the 90 % interval over donors; ``alarm`` is set where training data show.
    """

    value: float | None
    words: str
    low: float | None = None
    high: float | None = None
    alarm: bool = False
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Privacy:
    """What was measured about privacy."""

    membership: Measure
    distance_ratio: Measure
    duplicates: Measure

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as plain data."""
        return asdict(self)

    @classmethod
    def not_measured(cls, reason: str) -> Privacy:
        """Return what to say where nothing can be measured."""
        return cls(*(Measure(None, reason),) * 3)


@dataclass(frozen=True)
class DonorCells:
    """Real cells with their donors.

    ``counts`` (cells, genes); ``donors`` (cells,); ``strata`` (cells,) names what else cells differ in, such as cell
    type and condition: cells of one donor are compared with those of others in the same stratum only.
    """

    counts: sp.csr_matrix
    donors: Labels
    strata: Labels

    @classmethod
    def of(cls, cells: Cells, donor: str | None) -> DonorCells:
        """Take the donors from a column of the cells; None: there are no donors."""
        others = [role for role in (*cells.context_roles, "perturbation") if role != donor]
        donors = np.full(len(cells), "") if donor is None else cells.obs[donor].to_numpy(dtype=np.str_)
        strata = np.array([", ".join(map(str, row)) for row in cells.obs[others].to_numpy()], dtype=np.str_)
        return cls(cells.counts, donors, strata)

    def usable(self, random: np.random.Generator) -> dict[str, npt.NDArray[np.int64]]:
        """Return donor → positions of up to 1,000 of its cells; donors with too few cells are left out."""
        names, sizes = np.unique(self.donors, return_counts=True)
        kept = names[(sizes >= FEWEST_CELLS_OF_DONOR) & (names != "")]
        return {
            str(name): random.permutation(np.flatnonzero(self.donors == name))[:MOST_CELLS_OF_DONOR] for name in kept
        }


def measure_privacy(generated: sp.csr_matrix, training: DonorCells, held_out: DonorCells, seed: int = 0) -> Privacy:
    """Measure what generated cells give away.

    Parameters
    ----------
    generated
        UMI counts, (cells, genes), drawn under the conditions of training cells.
    training
        The cells that the model was trained on: all of them, for the duplicates.
    held_out
        Cells that it was not trained on. Donors that are in the training too don't count.
    seed
        Of the choice of cells and of the intervals.
    """
    random = np.random.default_rng(seed)
    duplicates = count_duplicates(generated, training.counts, held_out.counts)
    strangers = ~np.isin(held_out.donors, np.unique(training.donors))
    held_out = DonorCells(held_out.counts[strangers], held_out.donors[strangers], held_out.strata[strangers])
    sides = training.usable(random), held_out.usable(random)
    reason = _too_few(*map(len, sides))
    if reason:
        return Privacy(Measure(None, reason), Measure(None, reason), duplicates)
    space = _Space(generated)
    points = [
        {donor: space.place(cells.counts[rows]) for donor, rows in side.items()}
        for cells, side in zip((training, held_out), sides, strict=True)
    ]
    strata = [
        {donor: cells.strata[rows] for donor, rows in side.items()}
        for cells, side in zip((training, held_out), sides, strict=True)
    ]
    return Privacy(
        membership(space, points[0], points[1], strata[0] | strata[1], random),
        distance_ratio(space, points[0], points[1], random),
        duplicates,
    )


def _too_few(training: int, held_out: int) -> str:
    for donors, which in ((training, "in the training"), (held_out, "held out")):
        if donors < FEWEST_DONORS:
            told = "no donor" if donors == 0 else "one donor only"
            return (
                f"not measured: {told} with at least {FEWEST_CELLS_OF_DONOR} cells is {which}, and"
                f" {FEWEST_DONORS} are needed on either side"
            )
    return ""


class _Space:
    """Principal components of generated cells, and the generated cells in it."""

    def __init__(self, generated: sp.csr_matrix) -> None:
        scaled = log1p_per_10k(generated)
        self._genes = most_variable(scaled, VARIABLE_GENES)
        dense = scaled[:, self._genes].toarray()
        self._mean = dense.mean(axis=0)
        _, _, axes = np.linalg.svd(dense - self._mean, full_matrices=False)
        self._axes = axes[:COMPONENTS]
        self.generated = self._project(dense)

    def place(self, counts: sp.csr_matrix) -> Array:
        """Return cells, (cells, genes), in the components, (cells, components)."""
        return self._project(log1p_per_10k(counts)[:, self._genes].toarray())

    def _project(self, dense: Array) -> Array:
        return np.asarray((dense - self._mean) @ self._axes.T)


def membership(
    space: _Space,
    training: dict[str, Array],
    held_out: dict[str, Array],
    strata: dict[str, Labels],
    random: np.random.Generator,
) -> Measure:
    """Tell donors of the training from others by the distance of their cells to the nearest generated one."""
    donors = [*training, *held_out]
    near = {name: -nearest_distance(points, space.generated) for name, points in (training | held_out).items()}
    ranks = _ranks_in_strata(np.concatenate([near[d] for d in donors]), np.concatenate([strata[d] for d in donors]))
    ends = np.cumsum([len(near[donor]) for donor in donors])[:-1]
    of_donor = dict(zip(donors, np.split(ranks, ends), strict=True))
    scores = [np.array([of_donor[donor].mean() for donor in side]) for side in (training, held_out)]
    value = _area(scores[0], scores[1])
    replicates = [_area(*(random.choice(side, len(side)) for side in scores)) for _ in range(REPLICATES)]
    low, high = _interval(replicates)
    cells = [np.concatenate([of_donor[donor] for donor in side]) for side in (training, held_out)]
    chance = _chance(scores[0], scores[1], random)
    alarm = low > 0.5 and chance <= 1 - INTERVAL
    words = "donors of the training can be recognised" if alarm else "donors of the training are not told from others"
    details = {
        "of_cells": _area(*cells),
        "p_chance": chance,
        "training_donors": float(len(training)),
        "held_out_donors": float(len(held_out)),
    }
    told = (
        f"{words} (of {len(training)} and {len(held_out)} donors, p {chance:.2f}; over cells {details['of_cells']:.2f})"
    )
    return Measure(value, told, low, high, alarm, details)


def _chance(first: Array, second: Array, random: np.random.Generator) -> float:
    """Return how often an area as large comes about when donors change sides; exact for few donors."""
    both, size = np.concatenate([first, second]), len(first)
    if comb(len(both), size) <= PERMUTATIONS:
        sides = [np.isin(np.arange(len(both)), chosen) for chosen in combinations(range(len(both)), size)]
    else:
        sides = [np.isin(np.arange(len(both)), random.permutation(len(both))[:size]) for _ in range(PERMUTATIONS)]
    areas = np.array([_area(both[side], both[~side]) for side in sides])
    return float((areas >= _area(first, second) - 1e-12).mean())


def _ranks_in_strata(values: Array, strata: Labels) -> Array:
    """Return the rank of every value within its stratum, from 0 to 1, (cells,)."""
    ranks = np.empty(len(values))
    for stratum in np.unique(strata):
        rows = strata == stratum
        ranks[rows] = (rankdata(values[rows]) - 0.5) / rows.sum()
    return ranks


def _area(first: Array, second: Array) -> float:
    """Return how often a value of the first exceeds one of the second; ties count half."""
    ranks = rankdata(np.concatenate([first, second]))[: len(first)]
    return float((ranks.sum() - len(first) * (len(first) + 1) / 2) / (len(first) * len(second)))


def distance_ratio(
    space: _Space, training: dict[str, Array], held_out: dict[str, Array], random: np.random.Generator
) -> Measure:
    """Compare the distances of generated cells to training cells and to as many cells of held-out donors."""
    sides = (training, held_out)
    totals = [sum(map(len, side.values())) for side in sides]
    nearest = [_nearest_by_donor(space, side, min(totals) / total) for side, total in zip(sides, totals, strict=True)]
    found = _ratios(*(side.min(axis=0) for side in nearest))
    replicates = [
        _ratios(*(side[random.integers(len(side), size=len(side))].min(axis=0) for side in nearest))
        for _ in range(REPLICATES)
    ]
    low, high = _interval([median for median, _ in replicates])
    nearest_low, nearest_high = _interval([near for _, near in replicates])
    alarm = min(high, nearest_high) < TOO_NEAR
    words = "some generated cells lie on training cells" if alarm else "training cells are about as near as others"
    details = {"of_nearest": found[1], "of_nearest_low": nearest_low, "of_nearest_high": nearest_high}
    return Measure(found[0], words, low, high, alarm, details | {"cells_of_a_side": float(min(totals))})


def _nearest_by_donor(space: _Space, cells: dict[str, Array], share: float) -> Array:
    """Return how far generated cells are from a share of each donor's cells, (donors, generated cells)."""
    parts = [points[: max(round(len(points) * share), 1)] for points in cells.values()]
    return np.stack([nearest_distance(space.generated, part) for part in parts])


def _ratios(to_training: Array, to_others: Array) -> tuple[float, float]:
    """Return the median ratio of distances, and the ratio of their nearest twentieths."""
    ratio = float(np.median(to_training / np.maximum(to_others, 1e-12)))
    near = [float(np.quantile(distance, NEAREST)) for distance in (to_training, to_others)]
    return ratio, near[0] / max(near[1], 1e-12)


def nearest_distance(points: Array, others: Array) -> Array:
    """Return the Euclidean distance of each point, (points, dimensions), from the nearest of some others, (points,)."""
    squared = np.square(points).sum(axis=1)[:, None] + np.square(others).sum(axis=1) - 2 * points @ others.T
    return np.asarray(np.sqrt(np.maximum(squared.min(axis=1), 0.0)))


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)


def count_duplicates(generated: sp.csr_matrix, training: sp.csr_matrix, held_out: sp.csr_matrix) -> Measure:
    """Count generated cells that are equal to a training cell in every gene, as the model sees counts (tokens).

    How many held-out real cells are, tells what chance does.
    """
    known = set(_rows(training))
    made, real = list(_rows(generated)), list(_rows(held_out))
    empty = generated.shape[0] - len(made)
    if not made or not known:
        which = "generated" if not made else "training"
        return Measure(None, f"not measured: no {which} cell has {FEWEST_GENES} detected genes")
    copies, by_chance = sum(row in known for row in made), sum(row in known for row in real)
    usual = by_chance / len(real) if real else 0.0
    alarm = copies > 0 and copies / len(made) > usual
    words = f"{copies:,} of {len(made):,} generated cells are a training cell in every gene"
    words += f"; {empty:,} with fewer than {FEWEST_GENES} detected genes don't count" if empty else ""
    details = {"compared": float(len(made)), "near_empty": float(empty), "share_of_held_out_cells": usual}
    return Measure(float(copies), words, alarm=alarm, details=details)


def _rows(counts: sp.csr_matrix) -> list[bytes]:
    """Return each cell with enough detected genes as bytes: its genes and their tokens."""
    tidy = counts.tocsr(copy=True)
    tidy.eliminate_zeros()
    tidy.sort_indices()
    genes, tokens = tidy.indices.astype(np.int32), encode(tidy.data).astype(np.int32)
    spans = zip(tidy.indptr[:-1], tidy.indptr[1:], strict=True)
    return [
        genes[first:last].tobytes() + tokens[first:last].tobytes()
        for first, last in spans
        if last - first >= FEWEST_GENES
    ]
