"""``safety.parquet``: what every condition does besides what is wanted, and which are on the Pareto front.

The score of a side effect and the effect in a spared context are measured with the same errors as a score: by the null
where the model has pseudo-perturbations, else by Monte Carlo and the spread of members alone. What is over a limit
beyond that error is unsafe, what is under it beyond that error is safe, and all others are undecided. To be safe, a
condition has to be under every limit, so each can be tested at its own level (intersection-union test; Berger 1982,
https://doi.org/10.1080/00401706.1982.10487790).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import special

from campaigns.conditions import FEATURES_ONLY
from campaigns.safety_spec import SafetySpec
from screening.answers.pareto import pareto_layers
from screening.deciding.null_distribution import freedom

SAFETY = "safety.parquet"
LEVEL = 0.95
"""How sure one has to be that a side effect is over its limit, or under it."""
SAFE, UNSAFE, UNDECIDED, FAILED = "safe", "unsafe", "undecided", "failed"
BY_NULL, BY_MONTE_CARLO = "null", "Monte Carlo"
SPARED = "effect in spared contexts"

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "perturbation": (pl.String, "as in the ranked table"),
    "context": (pl.String, "as in the ranked table"),
    "decision": (pl.String, "of the ranked table, which knows nothing of safety: hit, not, undecided, failed, refused"),
    "score": (pl.Float64, "of the ranked table, in its `score_unit`"),
    "score_se": (pl.Float64, "Monte Carlo standard error of score"),
    "safety": (
        pl.String,
        "safe (under every limit), unsafe (over one), undecided or failed; each limit at 95 %, one-sided",
    ),
    "safety_reason": (pl.String, "why it was judged so"),
    "error_from": (
        pl.String,
        "what the errors behind safety are: null (pseudo-perturbations), or Monte Carlo (and the spread of members)",
    ),
    "worst_penalty": (pl.String, "the side effect that is largest above its null"),
    "harm": (
        pl.Float64,
        "how large it is above its null, in control standard deviations; 0 where no side effect is above it",
    ),
    "over_limit": (pl.String, "side effects over their limit beyond their error, joined by +"),
    "is_spared": (pl.Boolean, "whether the context is one of those to be spared"),
    "spared_context": (pl.String, "of the spared contexts, the one in which the perturbation does most, either way"),
    "spared_score": (pl.Float64, "its score there, in the unit of score"),
    "spared_se": (pl.Float64, "Monte Carlo standard error of spared_score"),
    "spared_error": (pl.Float64, "standard deviation that spared_score is tested with"),
    "pareto_layer": (
        pl.Int64,
        "1: no condition of the context has a higher score with no more harm; 2: none of the rest, and so on; empty in"
        " spared contexts",
    ),
    "is_on_front": (pl.Boolean, "whether pareto_layer is 1"),
}
PENALTY_COLUMNS: Mapping[str, tuple[Any, str]] = {
    "penalty": (pl.Float64, "score of the side effect, in control standard deviations"),
    "penalty_se": (pl.Float64, "its Monte Carlo standard error"),
    "penalty_sd": (pl.Float64, "its spread between members (standard deviation); empty for one member"),
    "penalty_centre": (pl.Float64, "mean of the pseudo-perturbations; empty without a null"),
    "penalty_error": (pl.Float64, "standard deviation that it is tested with"),
}
"""For each side effect, with its name in square brackets behind: ``penalty[apoptosis]``."""


def safety_table(hits: pl.DataFrame, penalties: pl.DataFrame, asked: SafetySpec, spared: Sequence[str]) -> pl.DataFrame:
    """Judge every condition by its side effects.

    Parameters
    ----------
    hits
        The ranked and decided table.
    penalties
        As :meth:`screening.objective.safety_scores.PenaltyScores.table` gives it.
    asked
        Names and limits.
    spared
        Labels of the contexts to be spared.

    Returns
    -------
    ``COLUMNS`` and, for each side effect, ``PENALTY_COLUMNS``; rows in the order of ``hits``.
    """
    known = hits.select("perturbation", "context", is_judged=_is_judged())
    measured = measure(penalties.join(known, on=["perturbation", "context"], how="left"))
    limits = {penalty.name: penalty.limit for penalty in asked.signatures}
    there = measure(hits.filter(pl.col("context").is_in(list(spared))).with_columns(is_judged=_is_judged()))
    table = _with_spared(_with_penalties(hits, measured, list(limits)), there, spared)
    table = _with_verdicts(table, limits, there, asked.spare_limit, spared)
    schema = columns_of(list(limits))
    return _with_layers(table, bool(limits)).select([pl.col(name).cast(kind) for name, (kind, _) in schema.items()])


def columns_of(names: Sequence[str]) -> dict[str, tuple[Any, str]]:
    """Return the columns of a table with these side effects, with type and meaning."""
    own = {
        f"{column}[{name}]": (kind, f"{name}: {meaning}")
        for name in names
        for column, (kind, meaning) in PENALTY_COLUMNS.items()
    }
    return dict(COLUMNS) | own


def _is_judged() -> pl.Expr:
    """Whether the null speaks of a condition (:func:`screening.deciding.decisions.is_judged`)."""
    return (pl.col("support") != FEATURES_ONLY) & (pl.col("training_cells_all") > 0)


def measure(rows: pl.DataFrame) -> pl.DataFrame:
    """Add to scores what they are tested with.

    Parameters
    ----------
    rows
        Columns score, score_se, score_sd, members, shards, null_blocks, null_centre, null_sd and is_judged.

    Returns
    -------
    The rows with ``above`` (score less the null's centre), ``error``, ``margin`` (of a one-sided 95 % bound, Student t)
    and ``error_from``. By the null, an error is that of a score without an effect, or what Monte Carlo and members make
    of it where that is more; else the latter, with the degrees of freedom of Welch and Satterthwaite.
    """
    by_null = (pl.col("is_judged") & (pl.col("null_sd") > 0)).fill_null(value=False)
    speaks = rows.select(by_null).to_series().to_numpy()
    chance = np.square(_numbers(rows, "score_se"))
    between = np.square(_numbers(rows, "score_sd"))
    own = np.sqrt(chance + between)
    error = np.where(speaks, np.maximum(_numbers(rows, "null_sd"), own), own)
    null_freedom = np.array([freedom(number or 0) for number in rows["null_blocks"]], dtype=float)
    degrees = np.where(
        speaks, null_freedom, _welch(chance, _numbers(rows, "shards"), between, _numbers(rows, "members"))
    )
    return rows.with_columns(
        above=pl.col("score") - pl.when(by_null).then(pl.col("null_centre")).otherwise(0.0),
        error=pl.Series(error, dtype=pl.Float64),
        margin=pl.Series(special.stdtrit(degrees, LEVEL) * error, dtype=pl.Float64),
        error_from=pl.when(by_null).then(pl.lit(BY_NULL)).otherwise(pl.lit(BY_MONTE_CARLO)),
    )


def _numbers(rows: pl.DataFrame, name: str) -> npt.NDArray[np.float64]:
    return rows[name].cast(pl.Float64).fill_null(0.0).to_numpy()


def _welch(
    chance: npt.NDArray[np.float64],
    shards: npt.NDArray[np.float64],
    between: npt.NDArray[np.float64],
    members: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Degrees of freedom of a sum of two variances, of shards and of members."""
    parts = np.square(chance) / np.maximum(shards - 1, 1) + np.square(between) / np.maximum(members - 1, 1)
    whole = np.square(chance + between)
    return np.where(parts > 0, whole / np.where(parts > 0, parts, 1.0), np.maximum(shards - 1, 1))


def _with_penalties(hits: pl.DataFrame, measured: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Put the side effects beside the conditions, and the worst of them."""
    table = hits.select("perturbation", "context", "status", "reason", "decision", "score", "score_se")
    for name in names:
        own = measured.filter(pl.col("penalty") == name).select(
            "perturbation",
            "context",
            pl.col("score").alias(f"penalty[{name}]"),
            pl.col("score_se").alias(f"penalty_se[{name}]"),
            pl.col("score_sd").alias(f"penalty_sd[{name}]"),
            pl.col("null_centre").alias(f"penalty_centre[{name}]"),
            pl.col("error").alias(f"penalty_error[{name}]"),
            pl.struct("above", "margin", "error_from").alias(f"bound[{name}]"),
        )
        table = table.join(own, on=["perturbation", "context"], how="left", maintain_order="left")
    worst = measured.sort(["above", "penalty"], descending=[True, False]).group_by("perturbation", "context").first()
    worst = worst.select("perturbation", "context", worst_penalty="penalty", harm=pl.col("above").clip(0.0))
    return table.join(worst, on=["perturbation", "context"], how="left", maintain_order="left")


def _with_spared(table: pl.DataFrame, there: pl.DataFrame, spared: Sequence[str]) -> pl.DataFrame:
    """Give every perturbation what it does in the spared contexts; nothing where it failed in one of them."""
    done = there.filter(pl.col("status") == "done").with_columns(size=pl.col("above").abs())
    ordered = done.sort(["size", "context"], descending=[True, False])
    worst = ordered.group_by("perturbation").agg(
        spared_context=pl.col("context").first(),
        spared_score=pl.col("score").first(),
        spared_se=pl.col("score_se").first(),
        spared_error=pl.col("error").first(),
        spared_size=pl.col("size").first(),
        contexts=pl.len(),
    )
    worst = worst.filter(pl.col("contexts") == len(spared)).drop("contexts")
    joined = table.join(worst, on="perturbation", how="left", maintain_order="left")
    return joined.with_columns(is_spared=pl.col("context").is_in(list(spared)))


def _with_verdicts(
    table: pl.DataFrame,
    limits: Mapping[str, float | None],
    there: pl.DataFrame,
    spare_limit: float | None,
    spared: Sequence[str],
) -> pl.DataFrame:
    asked = {name: limit for name, limit in limits.items() if limit is not None}
    elsewhere = _spared_bounds(there, spare_limit)
    number = 0 if spare_limit is None else len(spared)
    rows = table.select("perturbation", "status", "reason", *(f"bound[{name}]" for name in asked)).iter_rows(named=True)
    verdicts = [
        _verdict(row, _own_bounds(row, asked), elsewhere.get(row["perturbation"], []), asked, number) for row in rows
    ]
    names = ("safety", "safety_reason", "error_from", "over_limit")
    return table.with_columns(
        **{
            name: pl.Series([verdict[place] for verdict in verdicts], dtype=pl.String)
            for place, name in enumerate(names)
        }
    )


def _own_bounds(row: Mapping[str, Any], asked: Mapping[str, float]) -> list[_Bound]:
    found = ((name, limit, row[f"bound[{name}]"]) for name, limit in asked.items())
    return [
        _Bound(name, bound["above"], bound["margin"], limit, bound["error_from"])
        for name, limit, bound in found
        if bound is not None and bound["above"] is not None  # a join without a match gives either
    ]


class _Bound:
    """One side effect beside its limit."""

    __slots__ = ("above", "basis", "limit", "margin", "name")

    def __init__(self, name: str, above: float, margin: float, limit: float, basis: str) -> None:
        self.name, self.above, self.margin, self.limit, self.basis = name, above, margin, limit, basis

    @property
    def is_over(self) -> bool:
        return self.above - self.margin > self.limit

    @property
    def is_under(self) -> bool:
        return self.above + self.margin <= self.limit

    @property
    def words(self) -> str:
        return f"{self.name} {self.above:.3g} ± {self.margin:.2g}, limit {self.limit:g}"


def _spared_bounds(there: pl.DataFrame, limit: float | None) -> dict[str, list[_Bound]]:
    bounds: dict[str, list[_Bound]] = {}
    if limit is None:
        return bounds
    done = there.filter(pl.col("status") == "done")
    for perturbation, context, above, margin, basis in done.select(
        "perturbation", "context", "above", "margin", "error_from"
    ).iter_rows():
        bounds.setdefault(perturbation, []).append(_Bound(f"effect in {context}", abs(above), margin, limit, basis))
    return bounds


def _verdict(
    row: Mapping[str, Any], own: list[_Bound], elsewhere: list[_Bound], asked: Collection[str], spared: int
) -> tuple[str, str, str | None, str]:
    """Return verdict, reason, what the errors are, and the names of what is over its limit."""
    if row["status"] != "done":
        return FAILED, row["reason"] or "", None, ""
    bounds = own + elsewhere
    if not (asked or spared):
        return UNDECIDED, "no limit is set; see pareto_layer", None, ""
    by_null = bool(bounds) and all(bound.basis == BY_NULL for bound in bounds)
    basis = BY_NULL if by_null else BY_MONTE_CARLO
    note = (
        "" if by_null else "; by Monte Carlo error alone, as no null speaks of it: the noise of a training isn't in it"
    )
    over = [bound for bound in bounds if bound.is_over]
    names = "+".join(dict.fromkeys(SPARED if bound in elsewhere else bound.name for bound in over))
    if over:
        return UNSAFE, "; ".join(bound.words for bound in over) + note, basis, names
    if missing := list(_unknown(own, elsewhere, asked, spared)):
        return UNDECIDED, "; ".join(missing), basis, ""
    unsure = [bound for bound in bounds if not bound.is_under]
    if unsure:
        return UNDECIDED, "; ".join(bound.words for bound in unsure) + note, basis, ""
    nearest = min(bounds, key=lambda bound: bound.limit - bound.above - bound.margin)
    return SAFE, f"within all {len(bounds)} limits, nearest {nearest.words}{note}", basis, ""


def _unknown(own: list[_Bound], elsewhere: list[_Bound], asked: Collection[str], spared: int) -> Iterator[str]:
    """Say which side effects couldn't be measured."""
    lacking = [name for name in asked if name not in {bound.name for bound in own}]
    if lacking:
        yield f"{', '.join(lacking)}: no gene is left once the own targets are left out"
    if len(elsewhere) < spared:
        yield f"it failed in {spared - len(elsewhere)} of {spared} spared contexts, so its effect there isn't known"


def _with_layers(table: pl.DataFrame, has_penalties: bool) -> pl.DataFrame:
    """Sort the conditions of every context into Pareto layers: score up, harm down, effect in spared contexts down."""
    axes = [-pl.col("score"), *([pl.col("harm")] if has_penalties else []), *_spared_axis(table)]
    points = table.select([axis.alias(str(number)) for number, axis in enumerate(axes)])
    usable = ~table["is_spared"] & table.select(pl.col("status") == "done").to_series()
    usable &= ~points.select(pl.any_horizontal(pl.all().is_null())).to_series()
    layers = np.full(table.height, -1, dtype=np.int64)
    contexts = table.select("context").with_row_index("at").filter(usable).group_by("context").agg("at")
    for at in contexts["at"]:
        places = at.to_numpy()
        layers[places] = pareto_layers(points[places].to_numpy())
    found = pl.Series(layers).replace(-1, None)
    return table.with_columns(pareto_layer=found, is_on_front=found == 1)


def _spared_axis(table: pl.DataFrame) -> list[pl.Expr]:
    return [pl.col("spared_size")] if table["is_spared"].any() else []
