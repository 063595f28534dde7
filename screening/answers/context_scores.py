"""Scores of perturbations in several contexts, side by side, with their noise and what of it contexts share.

The noise of a score is mostly that of the label: which cells the perturbation was learned from. A model that carries
one effect over to every context carries its noise over too, so a mean over contexts isn't less noisy than one of them.
How far that goes, the null tells: the correlation, between contexts, of the scores of the same pseudo-perturbation.

It counts where scores are averaged. Where they are compared, their noise is taken as independent: that the model says
the same everywhere doesn't make a difference better known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import special

from screening.deciding.decisions import FAILED, NO_NULL, REFUSED, null_p_values
from screening.deciding.null_distribution import LEVEL, freedom
from screening.deciding.null_table import null_of
from screening.deciding.null_tails import Tails

Array = npt.NDArray[np.float64]

LEAST_CORRELATED = 3
"""Of fewer pseudo-perturbations no correlation is taken."""
MEASURED, MEMBERS, COMPUTATION = "null", "Monte Carlo and members", "Monte Carlo only"
"""What the noise of scores is known from."""


@dataclass(frozen=True)
class ContextScores:
    """Scores above the null, and the noise around them.

    Attributes
    ----------
    perturbations, contexts
        Labels of rows and columns.
    above
        Scores less the centre of their null (0 without one), (perturbations, contexts); NaN where there is none.
    null_sd
        Standard deviation of the null for as many cells, (perturbations, contexts); 0 without a null.
    own_variance
        Monte Carlo error and members together, where they make more than the null; what they make more.
    obstacles
        Why a score can't be judged, (perturbations, contexts); empty where it can.
    correlation
        Of the null between contexts, (contexts, contexts), from 0 to 1.
    blocks
        Pseudo-perturbations in standard deviations of their context's null, (blocks, contexts); empty without a null.
    null_blocks
        How many pseudo-perturbations the null of a context has at least; 0 without a null.
    degrees
        Degrees of freedom of the noise; None without a null, whose noise is taken as normal.
    errors
        What the noise is known from.
    tails
        Of the null, as the campaign asks for them (``hits.tails``).
    """

    perturbations: tuple[str, ...]
    contexts: tuple[str, ...]
    above: Array
    null_sd: Array
    own_variance: Array
    obstacles: npt.NDArray[np.object_]
    correlation: Array
    blocks: Array
    null_blocks: int
    degrees: int | None
    errors: str
    tails: Tails = "learned"

    @classmethod
    def of(
        cls, hits: pl.DataFrame, null: pl.DataFrame | None, contexts: Sequence[str], tails: Tails = "learned"
    ) -> ContextScores:
        """Lay out the rows of a ranked table in these contexts; ``null`` are its pseudo-perturbations."""
        rows = hits.filter(pl.col("context").is_in(list(contexts)))
        names = tuple(rows["perturbation"].unique().sort().to_list())
        at = _places(rows, names, contexts)
        done = np.asarray(rows["status"] == "done")
        above = rows["score"] - rows["null_centre"].fill_null(0.0)
        sd = np.where(done, rows["null_sd"].fill_null(0.0).to_numpy(), 0.0)
        own = np.square(rows["score_se"].to_numpy()) + np.square(rows["score_sd"].fill_null(0.0).to_numpy())
        blocks = _blocks(null, contexts)
        there = rows.filter(done & (sd > 0))["null_blocks"].drop_nulls()
        number = int(there.to_numpy().min()) if len(there) else 0
        degrees = freedom(number) if number else None
        shape = (len(names), len(contexts))
        return cls(
            names,
            tuple(contexts),
            _laid_out(np.where(done, above.to_numpy(), np.nan), at, shape),
            np.nan_to_num(_laid_out(sd, at, shape)),
            np.nan_to_num(_laid_out(np.where(done, np.maximum(own - np.square(sd), 0.0), 0.0), at, shape)),
            _obstacles(rows, at, shape),
            _correlation(blocks, len(contexts)),
            blocks,
            number,
            degrees,
            MEASURED if degrees is not None else MEMBERS if rows["score_sd"].count() else COMPUTATION,
            tails,
        )

    @property
    def doubt(self) -> str:
        """Words before the reason of what can't be decided: whether the noise is known too well to be true."""
        return "" if self.degrees is not None else f"{self.errors}, which is too sure: "

    @property
    def there(self) -> npt.NDArray[np.bool_]:
        """Where there is a score, (perturbations, contexts)."""
        return np.isfinite(self.above)

    @cached_property
    def noise_correlation(self) -> float:
        """Mean correlation of the null between two contexts; NaN without a null or with one context."""
        number = len(self.contexts)
        if self.degrees is None or number < 2:
            return float("nan")
        return float((self.correlation.sum() - np.trace(self.correlation)) / (number * (number - 1)))

    def averaging(self, columns: npt.NDArray[np.bool_]) -> Array:
        """Return the weights of the mean over some contexts, (perturbations, contexts); NaN where none has a score."""
        chosen = self.there & columns[None, :]
        number = chosen.sum(axis=1, keepdims=True)
        return np.where(number > 0, chosen / np.maximum(number, 1), np.nan)

    def mean(self, weights: Array) -> Array:
        """Return weighted sums of the scores, (perturbations,)."""
        return np.asarray((weights * np.nan_to_num(self.above)).sum(axis=1), dtype=np.float64)

    def variance(self, weights: Array, *, widened: bool = False) -> Array:
        """Return the variance of the noise of weighted sums, (perturbations,), with what contexts share.

        ``widened``: for a normal distribution, where the null's standard deviation is an estimate from few blocks.
        """
        scaled = weights * self.null_sd
        shared = np.asarray(((scaled @ self.correlation) * scaled).sum(axis=1), dtype=np.float64)
        own = np.asarray((np.square(weights) * self.own_variance).sum(axis=1), dtype=np.float64)
        return shared * (self._widening if widened else 1.0) + own

    def least(self, weights: Array, asked: float) -> Array:
        """Return the minimum effect of weighted means: how far only 5 % without an effect are, or ``asked``."""
        return np.maximum(asked, self.quantile(LEVEL) * np.sqrt(self.variance(weights)))

    def quantile(self, level: float) -> float:
        """Return a quantile of the noise in its standard deviations."""
        return float(special.ndtri(level) if self.degrees is None else special.stdtrit(self.degrees, level))

    def p_values(self, z: Array, *, mirrored: bool = False) -> Array:
        """Return the chance of such values or higher ones without an effect; ``z`` in standard deviations, any shape.

        As in the ranked table, with the tails that the campaign asks for. ``mirrored``: the noise of these values can
        be turned round, as in a difference of two scores. Ranks are then taken among the pseudo-perturbations and
        among their mirror images, and the larger chance counts; the learned shapes lean to the right only, and the
        chance in their heavier tail is taken either way.
        """
        if self.degrees is None:
            return np.asarray(special.ndtr(-z), dtype=np.float64)
        found = np.full(z.shape, np.nan)
        there = np.isfinite(z)
        number = np.full(int(there.sum()), self.null_blocks, dtype=np.int64)
        blocks = self.blocks.T  # (blocks, contexts) → (contexts, blocks)
        found[there] = null_p_values(z[there], number, blocks, self.tails)
        if mirrored and self.tails == "empirical":
            found[there] = np.maximum(found[there], null_p_values(z[there], number, -blocks, self.tails))
        return found

    def only(self, rows: npt.NDArray[np.bool_]) -> ContextScores:
        """Keep some of the perturbations."""
        return replace(
            self,
            perturbations=tuple(name for name, kept in zip(self.perturbations, rows, strict=True) if kept),
            above=self.above[rows],
            null_sd=self.null_sd[rows],
            own_variance=self.own_variance[rows],
            obstacles=self.obstacles[rows],
        )

    @property
    def _widening(self) -> float:
        degrees = 0 if self.degrees is None else max(self.degrees, 3)
        return degrees / (degrees - 2.0) if degrees else 1.0


def _places(rows: pl.DataFrame, names: Sequence[str], contexts: Sequence[str]) -> tuple[npt.NDArray[np.int64], ...]:
    row, column = {name: i for i, name in enumerate(names)}, {name: i for i, name in enumerate(contexts)}
    labels = rows.select("perturbation", "context").iter_rows()
    found = np.array([(row[name], column[context]) for name, context in labels], dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _laid_out(values: Array, at: tuple[npt.NDArray[np.int64], ...], shape: tuple[int, int]) -> Array:
    whole = np.full(shape, np.nan)
    whole[at] = values
    return whole


def _obstacles(
    rows: pl.DataFrame, at: tuple[npt.NDArray[np.int64], ...], shape: tuple[int, int]
) -> npt.NDArray[np.object_]:
    """Say of every score why it can't be judged: the reasons of the ranked table."""
    whole = np.full(shape, "it was not screened", dtype=object)
    columns = rows.select("status", "decision", "decision_reason", "p_null").iter_rows()
    whole[at] = np.array([_obstacle(*row) for row in columns], dtype=object)
    return whole


def _obstacle(status: str, decision: str | None, reason: str | None, p_null: float | None) -> str:
    if status != "done":
        return f"{FAILED}: {reason or 'no reason'}"
    if decision == REFUSED:
        return f"{REFUSED}: {reason or 'its gate fails'}"
    if p_null is None:
        return reason or NO_NULL
    return ""


def _blocks(null: pl.DataFrame | None, contexts: Sequence[str]) -> Array:
    """Return the pseudo-perturbations in standard deviations of their context's null, (blocks, contexts)."""
    if null is None:
        return np.empty((0, len(contexts)))
    done = null.filter(pl.col("status") == "done")
    row = {name: i for i, name in enumerate(done["perturbation"].unique().sort())}
    whole = np.full((len(row), len(contexts)), np.nan)
    for column, context in enumerate(contexts):
        here = done.filter(pl.col("context") == context)
        scores, cells = (here[name].to_numpy().astype(float) for name in ("score", "training_cells_all"))
        found = null_of(here)
        standardised = np.empty(0) if found is None else found.standardised(scores, cells)
        if len(standardised):
            whole[[row[name] for name in here["perturbation"]], column] = standardised
    return whole


def _correlation(blocks: Array, contexts: int) -> Array:
    """Return the correlation between contexts, from 0 to 1; 1 where too few blocks tell it, to be careful."""
    whole = np.ones((contexts, contexts))
    known = np.flatnonzero(np.isfinite(blocks).any(axis=0))
    complete = blocks[:, known][np.isfinite(blocks[:, known]).all(axis=1)]
    if len(known) > 1 and len(complete) >= LEAST_CORRELATED:
        whole[np.ix_(known, known)] = np.clip(np.corrcoef(complete.T), 0.0, 1.0)
    np.fill_diagonal(whole, 1.0)
    return whole
