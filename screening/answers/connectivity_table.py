"""``connectivity.parquet``: each connectivity score beside those of all others in its context.

After Subramanian et al., Cell 171 (2017). Scores of one context are normalised by the mean of those with the same sign,
because the two signs may not reach equally far (NCS). τ is the percentile of a condition among its compendium by the
size of the normalised score, with the sign of the score. The compendium is reference profiles, if the campaign names a
file of them, and scores are normalised by theirs then. Else it is the other conditions of the same screen in the same
context: τ tells how special a condition is here, and not how special a query is, as where it is taken over a library
of queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[np.float64]

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "rank": (pl.Int64, "rank of the condition in hits.parquet"),
    "perturbation": (pl.String, "as in hits.parquet"),
    "context": (pl.String, "as in hits.parquet"),
    "wcs": (
        pl.Float64,
        "weighted connectivity score, -1 (opposite) to 1 (the same); 0 where both lists are found at one end",
    ),
    "wcs_se": (pl.Float64, "Monte Carlo standard error of wcs, by the jackknife over shards"),
    "ncs": (pl.Float64, "wcs over the mean size of the scores of the same sign: in the context, or of the compendium"),
    "tau": (
        pl.Float64,
        "percentile by the size of ncs among the compendium, -100 to 100, with the sign of wcs; empty without one",
    ),
    "compendium": (
        pl.Int64,
        "scores that tau is taken among: all other conditions of the context, or the profiles of objective.compendium",
    ),
}


def connectivity_table(hits: pl.DataFrame, compendium: Array | None = None) -> pl.DataFrame:
    """Return the table of a ranked table by connectivity; conditions that failed have no row.

    ``compendium`` are scores of the query with reference profiles, (profiles,); None: conditions are compared with one
    another.
    """
    schema = {name: kind for name, (kind, _) in COLUMNS.items()}
    done = hits.filter(pl.col("status") == "done").rename({"score": "wcs", "score_se": "wcs_se"})
    parts = [
        rows.with_columns(**_compared(rows["wcs"].to_numpy(), compendium))
        for _, rows in done.group_by("context", maintain_order=True)
    ]
    if not parts:
        return pl.DataFrame(schema=schema)
    found = pl.concat(parts).sort("rank").with_columns(pl.col("tau").fill_nan(None))
    return found.select([pl.col(name).cast(kind) for name, kind in schema.items()])


def _compared(scores: Array, compendium: Array | None) -> dict[str, pl.Series]:
    others = scores if compendium is None else compendium
    ncs, reference = normalised(scores, others), normalised(others, others)
    # A condition that is in the compendium itself is not smaller than itself, and is no other.
    count = len(others) - (compendium is None)
    tau = signed_percentiles(ncs, reference, count)
    return {"ncs": pl.Series(ncs), "tau": pl.Series(tau), "compendium": pl.repeat(count, len(scores), eager=True)}


def normalised(scores: Array, by: Array) -> Array:
    """Divide scores by the mean size of those in ``by`` with the same sign (by 1 if there are none), (conditions,)."""
    found = scores.copy()
    for mine, theirs in ((scores > 0, by > 0), (scores < 0, by < 0)):
        if theirs.any():
            found[mine] = scores[mine] / np.abs(by[theirs]).mean()
    return found


def signed_percentiles(scores: Array, compendium: Array, count: int) -> Array:
    """Return the share of a compendium that is smaller in size, in per cent and with the sign, (conditions,).

    ``count`` is the number of others in the compendium; NaN where there are none.
    """
    if count < 1:
        return np.full(len(scores), np.nan)
    smaller = np.searchsorted(np.sort(np.abs(compendium)), np.abs(scores), side="left")  # of equal ones none is smaller
    return np.asarray(np.sign(scores) * 100.0 * smaller / count)
