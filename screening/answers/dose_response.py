"""``doses.parquet``: a Hill curve of the score over doses, for every dosed perturbation in every context.

The error of a score has the parts that the ranked table has, taken as independent at every dose: Monte Carlo
(``score_se``), members (``score_sd``) and the null (``null_sd``), the last for what it says of doses:

- The null of a drug is that of a label learned from all of its cells, and these are spread over its doses. D doses
  together know no more than the whole, so each of them has √D times its error.
- What few cells say is held down in training: of an effect a share b is left, as in a ridge regression, whose errors
  are the variance that the null shows, and a bias. With effects as large as the held-down model expects them, both make
  1 / b times the variance. With b = n / (n + m) of n cells, the null's variance is b² / n, so that its slope over log n
  is 1 − 2b: b is read off the slope that is fitted to the null anyway.

Intervals are 90 % of the curves that these errors leave open (:func:`screening.answers.hill_curve.posterior_draws`). A
bias that all drugs share is no error that any of this could show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from screening.answers.hill_curve import Array, HillCurves, fit_hill, flatness, monotonicity, posterior_draws
from screening.deciding.decisions import HIT
from screening.deciding.null_table import null_of

DOSES = "doses.parquet"
LEAST_LEVELS = 4
"""Doses, the control among them: a curve has three numbers, and the control fixes none of them."""
LEVEL = 0.05
"""Of flat (monotone) curves, the share that is called not flat (not monotone) by chance, at most."""
LEAST_ERROR = 0.02
"""Of the largest score: in the unit of a score, which is a mean of logs, not even an exact Hill curve is one."""
DRAWS = 2000
LEAST_LEFT = 0.1
"""Share of an effect that is left of few cells, at least: the slope of few blocks is a rough guide."""
TAILS = (0.05, 0.95)

FITTED, ABOVE, BELOW = "fitted", "above_doses", "below_doses"
FLAT, NOT_MONOTONE, TOO_FEW = "flat", "not_monotone", "too_few_doses"

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "perturbation": (pl.String, "cytokine, drug or change of the environment, without its doses; combinations as A+B"),
    "perturbation_type": (pl.String, "cytokine, drug or environment"),
    "context": (pl.String, "factors of the context"),
    "potency_rank": (
        pl.Int64,
        "rank by ec50 within the context, 1 is the lowest dose; only of fitted curves that rise and whose efficacy is"
        " decided",
    ),
    "efficacy_rank": (pl.Int64, "rank by best_score within the context; only where efficacy is decided"),
    "efficacy": (pl.String, "decided (a hit at one dose at least) or undecided; without a null nothing is decided"),
    "outcome": (
        pl.String,
        "fitted; above_doses, below_doses (the EC50 lies beyond the doses, so there is no number); flat; not_monotone;"
        " too_few_doses",
    ),
    "reason": (pl.String, "why it came out so"),
    "ec50": (pl.Float64, "dose of the half of emax, in the units of the training data; empty beyond the doses"),
    "ec50_low": (
        pl.Float64,
        "lower end of its 90 % interval, of noise and holding down; empty where that lies below the lowest dose",
    ),
    "ec50_high": (pl.Float64, "upper end of it; empty where that lies above the highest dose"),
    "ec50_bounded": (
        pl.Boolean,
        "whether both ends of that interval lie within the doses; if not, the doses don't hold the EC50 on that side",
    ),
    "emax": (pl.Float64, "score that the curve tends to, in `score_unit`; negative where it falls; only of fitted"),
    "emax_low": (pl.Float64, "lower end of its 90 % interval"),
    "emax_high": (pl.Float64, "upper end of its 90 % interval"),
    "slope": (pl.Float64, "Hill slope; few doses leave it near 1, where a weak prior holds it; only of fitted"),
    "slope_low": (pl.Float64, "lower end of its 90 % interval"),
    "slope_high": (pl.Float64, "upper end of its 90 % interval"),
    "top_score": (pl.Float64, "the curve at the highest dose, in `score_unit`; wherever there is a curve"),
    "top_score_low": (pl.Float64, "lower end of its 90 % interval"),
    "top_score_high": (pl.Float64, "upper end of its 90 % interval"),
    "fit_error": (pl.Float64, "root mean square of scores less curve over the doses, in `score_unit`"),
    "monotone_p": (
        pl.Float64,
        "chance that noise alone strays so far from a monotone curve (isotonic regression, chi-square, an upper bound)",
    ),
    "flat_p": (pl.Float64, "chance that noise alone strays so far from 0 (chi-square)"),
    "best_score": (pl.Float64, "highest score at any dose, in `score_unit`"),
    "best_dose": (pl.Float64, "dose of that score, in the units of the training data"),
    "doses": (pl.Int64, "doses with a score, without the control"),
    "lowest_dose": (pl.Float64, "lowest of them, in the units of the training data"),
    "highest_dose": (pl.Float64, "highest of them, in the units of the training data"),
    "error": (
        pl.Float64,
        "largest standard error of a score that the curve goes by, in `score_unit`; its null is shared out over doses,"
        " so it is more than `null_sd`",
    ),
    "error_of": (pl.String, "what these errors hold: Monte Carlo, members, null"),
    "score_unit": (pl.String, "unit of score"),
    "run_id": (pl.String, "digest of plan and objective"),
}


@dataclass(frozen=True)
class _Series:
    """Scores of one perturbation in one context by rising dose, each (doses,).

    ``noise`` is how far a score strays where nothing is done, ``errors`` how far it may be off for what a curve is made
    of.
    """

    doses: Array
    scores: Array
    noise: Array
    errors: Array


def dose_table(
    hits: pl.DataFrame, names: Mapping[str, str], seed: int, null: pl.DataFrame | None = None
) -> pl.DataFrame | None:
    """Fit every dosed perturbation of a ranked table in every context; None where nothing has a dose.

    Parameters
    ----------
    hits
        The ranked and decided table.
    names
        Label of a dosed perturbation (``A@0.1+B@0.1``) → its name without doses (``A+B``).
    seed
        Of the draws behind the intervals.
    null
        The pseudo-perturbations of the screen; None where the model has none.
    """
    dosed = hits.filter(pl.col("dose").is_not_null() & pl.col("perturbation").is_in(list(names)))
    if dosed.is_empty():
        return None
    dosed = dosed.with_columns(name=pl.col("perturbation").replace_strict(names, return_dtype=pl.String))
    dosed = dosed.sort("name", "context", "dose")
    schema = {name: kind for name, (kind, _) in COLUMNS.items()}
    return _ranked(pl.DataFrame(list(_rows(dosed, seed, shares_left(null))), schema=schema))


def shares_left(null: pl.DataFrame | None) -> dict[str, float]:
    """Return what share of an effect is left of few cells, by context, as the null shows it; see above."""
    if null is None:
        return {}
    found = {context: null_of(rows) for (context,), rows in null.group_by("context", maintain_order=True)}
    return {
        str(context): float(np.clip(0.5 * (1.0 - each.slope), LEAST_LEFT, 1.0))
        for context, each in found.items()
        if each is not None
    }


def _rows(dosed: pl.DataFrame, seed: int, left: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    for (name, context), rows in dosed.group_by("name", "context", maintain_order=True):
        done = rows.filter(pl.col("status") == "done")
        yield {
            "perturbation": name,
            "context": context,
            "perturbation_type": rows["perturbation_type"][0],
            "efficacy": "decided" if (rows["decision"] == HIT).any() else "undecided",
            "score_unit": done["score_unit"][0] if done.height else None,
            "run_id": rows["run_id"][0],
            **_described(done),
            **_response(done, rows.height - done.height, seed, left.get(context, 1.0)),
        }


def _described(done: pl.DataFrame) -> dict[str, Any]:
    if done.is_empty():
        return {"doses": 0}
    best = done.row(int(done["score"].arg_max() or 0), named=True)
    return {
        "best_score": best["score"],
        "best_dose": best["dose"],
        "doses": done.height,
        "lowest_dose": done["dose"][0],
        "highest_dose": done["dose"][-1],
    }


def _response(done: pl.DataFrame, failed: int, seed: int, left: float) -> dict[str, Any]:
    """Fit, or say why not."""
    if done.height < LEAST_LEVELS - 1:
        lost = f", {failed} more failed" if failed else ""
        text = f"{done.height} doses and the control{lost}: a curve needs {LEAST_LEVELS} levels, the control among them"
        return {"outcome": TOO_FEW, "reason": text}
    series, parts = _series(done, left)
    found: dict[str, Any] = {"error": float(series.errors.max()), "error_of": ", ".join(parts)}
    found |= {"flat_p": flatness(series.scores, series.noise)}
    found |= {"monotone_p": monotonicity(series.scores, series.noise)}
    if found["flat_p"] > LEVEL:
        text = f"no dose stands out from its error ({found['error_of']}); chi-square p {found['flat_p']:.2g}"
        return found | {"outcome": FLAT, "reason": text}
    if found["monotone_p"] < LEVEL:
        text = f"isotonic regression p {found['monotone_p']:.2g}: more than noise lies between it and a monotone curve"
        return found | {"outcome": NOT_MONOTONE, "reason": text}
    return found | _curve(series, seed)


def _series(done: pl.DataFrame, left: float) -> tuple[_Series, list[str]]:
    """Take the scores by dose with their errors, and say what the errors hold."""
    scores = done["score"].to_numpy().astype(float)
    columns = {"Monte Carlo": "score_se", "members": "score_sd", "null": "null_sd"}
    known = {what: done[name].fill_null(0.0).to_numpy() for what, name in columns.items()}
    held = [what for what, values in known.items() if (values > 0).any()]
    floor = max(LEAST_ERROR * float(np.abs(scores).max()), 1e-12)
    own = np.square(known["Monte Carlo"]) + np.square(known["members"])
    null = np.square(known["null"])
    noise, errors = (np.maximum(np.sqrt(own + times * null), floor) for times in (1.0, done.height / left))
    return _Series(done["dose"].to_numpy().astype(float), scores, noise, errors), held or ["none"]


def _curve(series: _Series, seed: int) -> dict[str, Any]:
    doses, highest = series.doses, float(series.doses[-1])
    curve = fit_hill(doses, series.scores, series.errors)
    fitted = np.array([curve.at(dose)[0] for dose in doses])
    draws = posterior_draws(doses, series.scores, series.errors, DRAWS, np.random.default_rng([seed, len(doses)]))
    low, high = np.quantile(draws.at(highest), TAILS)
    found = {
        "top_score": float(curve.at(highest)[0]),
        "top_score_low": float(low),
        "top_score_high": float(high),
        "fit_error": float(np.sqrt(np.square(series.scores - fitted).mean())),
    }
    ec50 = float(curve.ec50[0])
    if ec50 > highest:
        text = f"the EC50 lies beyond the doses, above {highest:g}: the curve still rises or falls there"
        return found | {"outcome": ABOVE, "reason": text}
    if ec50 < doses[0]:
        text = f"the EC50 lies beyond the doses, below {doses[0]:g}: half of the response is there already"
        return found | {"outcome": BELOW, "reason": text}
    spare = len(doses) - 3
    reason = "as many doses as numbers of the curve: it goes through all of them" if spare == 0 else f"{spare} to spare"
    return found | {"outcome": FITTED, "reason": reason, "ec50": ec50, **_parameters(curve, draws, doses)}


def _parameters(curve: HillCurves, draws: HillCurves, doses: Array) -> dict[str, float | None]:
    low, high = (float(end) for end in np.quantile(draws.ec50, TAILS))
    found: dict[str, float | None] = {
        "ec50_low": low if low >= doses[0] else None,
        "ec50_high": high if high <= doses[-1] else None,
        "ec50_bounded": doses[0] <= low and high <= doses[-1],
    }
    for name, value, drawn in (("emax", curve.emax, draws.emax), ("slope", curve.slope, draws.slope)):
        low, high = (float(end) for end in np.quantile(drawn, TAILS))
        found |= {name: float(value[0]), f"{name}_low": low, f"{name}_high": high}
    return found


def _ranked(table: pl.DataFrame) -> pl.DataFrame:
    """Rank the decided ones by potency and by efficacy; equal ones by name."""
    decided = pl.col("efficacy") == "decided"
    potent = decided & (pl.col("outcome") == FITTED) & (pl.col("emax") > 0)
    return table.sort("context", "perturbation").with_columns(
        potency_rank=_rank("ec50", potent, descending=False),
        efficacy_rank=_rank("best_score", decided, descending=True),
    )


def _rank(column: str, among: pl.Expr, *, descending: bool) -> pl.Expr:
    value = pl.when(among).then(pl.col(column))
    return value.rank("ordinal", descending=descending).over("context").cast(pl.Int64)
