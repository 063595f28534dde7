"""Are generated cells like real ones? A verdict for one context or one condition, calibrated on real cells.

A classifier that finds any difference at all says nothing: with enough cells it finds one in every model. So each of
the six distances of ``gate_statistics`` is placed between two marks that are measured in the same context, with the
same number of cells:

* *real beside real*: halves of the real cells, drawn many times. Their 95 % quantile, taken jointly over the
  distances, is what real cells themselves need. (Halves that mix real and generated cells are drawn too, and the
  larger limit counts as long as it is below the one to fail by: cells that are exchangeable with real ones then pass
  with that probability, however few they are.)
* *real beside wrong*: cells that are wrong in a known way. For the classifier and the MMD the real cells of other
  contexts (the median over them), and where those are not to be told from this context's, cells drawn from the mean
  profile; for the depth and the zeros the same cells at half their depth; for the spread half the variance; for
  gene–gene correlations the same cells with each gene's counts exchanged among them.

A distance passes within the null, or within a tenth of the way to the wrong cells; it fails from half of the way on.
In between it warns. Correlations fail from nine tenths on only: within one cell type they are the last that a model
learns from few cells, and no mean effect depends on them. A distance that decides nothing here, because real cells
among themselves exceed the half way, is left out. The worst distance is the verdict.

Cells are capped at 200 a side. More would only make the null narrower, and a model is never exactly real: the question
is whether 200 generated cells can be taken for 200 real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.gate_statistics import STATISTICS, Array, Pool
from lingshu_core.spoiled_cells import at_half_depth, without_state, without_ties

Verdict = Literal["pass", "warn", "fail", "undecided", "not measured"]
FEWEST_CELLS = 40
HALF_THE_VARIANCE = float(np.log(2.0))
OF_IDENTITY = ("classifier", "mmd")
"""Distances without which nothing is decided: the others don't tell one kind of cell from another."""
STATELESS = "cells drawn from the mean profile"


@dataclass(frozen=True)
class GateSettings:
    """How a gate is calibrated.

    Attributes
    ----------
    most_cells
        Cells on each side.
    level
        Share of halves of real cells that pass.
    pass_share, fail_share, fail_share_of_correlation
        Shares of the way from real beside real to real beside wrong.
    pools, splits
        The null is drawn from ``pools`` × ``splits`` halves of the real cells.
    repeats
        Halves that generated cells are compared with; the median counts.
    most_others
        Other contexts that are looked at; those with the most cells.
    """

    most_cells: int = 200
    level: float = 0.95
    pass_share: float = 0.1
    fail_share: float = 0.5
    fail_share_of_correlation: float = 0.9
    pools: int = 8
    splits: int = 25
    repeats: int = 5
    most_others: int = 8


@dataclass(frozen=True)
class GateStatistic:
    """One distance: of generated cells, of real ones among themselves, of wrong ones, and where the limits are.

    ``share`` is how far generated cells are on the way from real (0) to wrong (1); None where the distance decides
    nothing.
    """

    name: str
    value: float
    real: float
    wrong: float
    share: float | None
    pass_limit: float
    fail_limit: float
    verdict: Verdict


@dataclass(frozen=True)
class Gate:
    """The verdict on one context or condition.

    ``cells`` are the real cells that there are, ``compared`` those on each side, ``beside`` says what the wrong cells
    are.
    """

    verdict: Verdict
    reason: str
    cells: int
    compared: int = 0
    beside: str = ""
    statistics: tuple[GateStatistic, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the gate as plain data."""
        return asdict(self)


def judge_cells(
    generated: sp.csr_matrix,
    real: sp.csr_matrix,
    others: Sequence[sp.csr_matrix] = (),
    seed: int = 0,
    settings: GateSettings | None = None,
) -> Gate:
    """Judge the generated cells of one context or condition.

    Parameters
    ----------
    generated, real
        UMI counts of the same genes, (cells, genes).
    others
        Real cells of other contexts: what generated cells must not be like.
    seed
        Seed of the halves.
    settings
        How the gate is calibrated.

    Returns
    -------
    The gate; ``undecided`` where there are too few cells to tell even wrong ones.
    """
    settings = settings or GateSettings()
    cells = real.shape[0]
    compared = min(cells // 2, generated.shape[0], settings.most_cells)
    if compared < FEWEST_CELLS // 2:
        few = f"{cells} real cells" if cells < FEWEST_CELLS else f"{generated.shape[0]} generated cells"
        needed = FEWEST_CELLS if cells < FEWEST_CELLS else FEWEST_CELLS // 2
        return Gate("undecided", f"{few}; at least {needed} are needed", cells)
    comparison = _Comparison(real, compared, settings, np.random.default_rng(seed))
    nulls = (comparison.null(), comparison.null(generated))
    value = comparison.beside(lambda rows: generated, settings.repeats)
    for beside, wrong in comparison.references(others):
        found = _place(value, nulls, wrong, settings)
        if any(each.verdict != "undecided" for each in found if each.name in OF_IDENTITY):
            return Gate(_worst(found), _reason(found), cells, compared, beside, found)
    reason = f"{compared} cells on each side are too few to tell real cells from {beside}"
    return Gate("undecided", reason, cells, compared, beside, found)


class _Comparison:
    """Compares equally many cells with halves of the real ones."""

    def __init__(self, real: sp.csr_matrix, compared: int, settings: GateSettings, random: np.random.Generator) -> None:
        self._real, self._compared, self._settings, self._random = real, compared, settings, random
        self._few = max(settings.repeats // 2, 1)

    def null(self, others: sp.csr_matrix | None = None) -> Array:
        """Return the distances of random halves, (splits, statistics): of the real cells, or of real and other ones."""
        splits = []
        for _ in range(self._settings.pools):
            half, rest = self._halves()
            pool = Pool.of(half, rest if others is None else self._choose(others, self._compared))
            splits.append(pool.distances(self._random.choice([-1.0, 1.0], (self._settings.splits, self._compared))))
        return np.concatenate(splits)

    def beside(self, make: Callable[[sp.csr_matrix], sp.csr_matrix], repeats: int) -> Array:
        """Return the median distances of halves from cells that may be made of the other half, (statistics,)."""
        found = []
        for _ in range(repeats):
            half, rest = self._halves()
            others = make(rest)
            size = min(self._compared, others.shape[0])
            found.append(Pool.of(half[:size], self._choose(others, size)).distances()[0])
        return np.asarray(np.median(found, axis=0))

    def references(self, others: Sequence[sp.csr_matrix]) -> Iterator[tuple[str, Array]]:
        """Yield what wrong cells are and their distances from real ones, (statistics,), the best reference first."""
        # Fewer cells are told apart less well, whatever they are.
        chosen = [each for each in others if each.shape[0] >= self._compared / 2]
        chosen = sorted(chosen, key=lambda each: -each.shape[0])[: self._settings.most_others]
        if chosen:
            distances = [self.beside(lambda _, own=each: own, self._few) for each in chosen]  # type: ignore[misc]
            yield f"the real cells of {len(chosen)} other contexts", self._wrong(np.median(distances, axis=0))
        yield (
            STATELESS,
            self._wrong(self.beside(lambda rows: without_state(rows, self._random), self._settings.repeats)),
        )

    def _wrong(self, identity: Array) -> Array:
        of = dict.fromkeys(OF_IDENTITY, identity) | dict.fromkeys(("depth", "zeros"), self._shallow)
        of["correlation"] = self._untied
        places = enumerate(STATISTICS)
        return np.array([of[name][place] if name in of else HALF_THE_VARIANCE for place, name in places])

    @cached_property
    def _shallow(self) -> Array:
        return self.beside(lambda rows: at_half_depth(rows, self._random), self._few)

    @cached_property
    def _untied(self) -> Array:
        return self.beside(lambda rows: without_ties(rows, self._random), self._settings.repeats)

    def _halves(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        both = self._choose(self._real, 2 * self._compared)
        return both[: self._compared], both[self._compared :]

    def _choose(self, cells: sp.csr_matrix, number: int) -> sp.csr_matrix:
        return cells[self._random.permutation(cells.shape[0])[:number]]


def _place(value: Array, nulls: tuple[Array, Array], wrong: Array, settings: GateSettings) -> tuple[GateStatistic, ...]:
    """Place every distance between real and wrong."""
    real = np.median(nulls[0], axis=0)
    fail_shares = np.array(
        [settings.fail_share_of_correlation if name == "correlation" else settings.fail_share for name in STATISTICS]
    )
    fails = real + fail_shares * (wrong - real)
    tells = (real + wrong) / 2 > _limits(nulls[0], np.ones(len(STATISTICS), dtype=bool), settings.level)
    usual, exchanged = (_limits(null, tells, settings.level) for null in nulls)
    # Very wrong cells make the halves that they are mixed into differ too: no reason to let them pass.
    passes = np.maximum.reduce([usual, np.minimum(exchanged, fails), real + settings.pass_share * (wrong - real)])
    found = []
    for place, name in enumerate(STATISTICS):
        own, null, other, low, high = (float(each[place]) for each in (value, real, wrong, passes, fails))
        share = (own - null) / (other - null) if tells[place] else None
        verdict = _verdict(own, low, high) if tells[place] else "undecided"
        found.append(GateStatistic(name, own, null, other, share, low, high, verdict))
    return tuple(found)


def _verdict(value: float, passes: float, fails: float) -> Verdict:
    if value <= passes:
        return "pass"
    return "warn" if value < fails else "fail"


def _limits(null: Array, counted: npt.NDArray[np.bool_], level: float) -> Array:
    """Return limits that a share ``level`` of the halves keeps in all the counted statistics at once, (statistics,)."""
    middle = np.median(null, axis=0)
    width = np.maximum(np.quantile(null, level, axis=0) - middle, 1e-12)
    worst = ((null - middle) / width)[:, counted].max(axis=1, initial=1.0)
    return np.asarray(middle + np.quantile(worst, level) * width)


def _worst(found: Sequence[GateStatistic]) -> Verdict:
    verdicts = [each.verdict for each in found]
    return next(cast(Verdict, verdict) for verdict in ("fail", "warn", "pass") if verdict in verdicts)


def _reason(found: Sequence[GateStatistic]) -> str:
    """Say which distances are too large, and how far they are on the way to wrong cells."""
    large = [(each, each.share) for each in found if each.verdict in ("fail", "warn") and each.share is not None]
    if not large:
        return "like real cells"
    large.sort(key=lambda pair: (pair[0].verdict != "fail", -pair[1]))
    return ", ".join(f"{each.name} {share:.0%}" for each, share in large) + " of the way to wrong cells"
