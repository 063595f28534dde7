"""``connectivity.parquet``: each connectivity score beside those of all others in its context.

After Subramanian et al., Cell 171 (2017). Scores of one context are normalised by the mean of those with the same sign,
because the two signs may not reach equally far (NCS). τ is the percentile of a condition among its compendium by the
size of the normalised score, with the sign of the score. The compendium is the other conditions of the same screen in
the same context: τ tells how special a condition is here, and not how special a query is, as where it is taken over a
library of queries.
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
    "ncs": (pl.Float64, "wcs over the mean size of all scores of the same sign in the context"),
    "tau": (
        pl.Float64,
        "percentile by the size of ncs among the compendium, -100 to 100, with the sign of wcs; empty without one",
    ),
    "compendium": (pl.Int64, "scores that tau is taken among: all other conditions of the context"),
}


def connectivity_table(hits: pl.DataFrame) -> pl.DataFrame:
    """Return the table of a ranked table by connectivity; conditions that failed have no row."""
    schema = {name: kind for name, (kind, _) in COLUMNS.items()}
    done = hits.filter(pl.col("status") == "done").rename({"score": "wcs", "score_se": "wcs_se"})
    parts = [
        rows.with_columns(
            ncs=normalised(rows["wcs"].to_numpy()),
            tau=signed_percentiles(normalised(rows["wcs"].to_numpy())),
            compendium=pl.lit(rows.height - 1),
        )
        for _, rows in done.group_by("context", maintain_order=True)
    ]
    if not parts:
        return pl.DataFrame(schema=schema)
    found = pl.concat(parts).sort("rank").with_columns(pl.col("tau").fill_nan(None))
    return found.select([pl.col(name).cast(kind) for name, kind in schema.items()])


def normalised(scores: Array) -> Array:
    """Divide scores by the mean size of those with the same sign, (conditions,); zero stays zero."""
    found = np.zeros(len(scores))
    for side in (scores > 0, scores < 0):
        if side.any():
            found[side] = scores[side] / np.abs(scores[side]).mean()
    return found


def signed_percentiles(scores: Array) -> Array:
    """Return the share of all others that are smaller in size, in per cent and with the sign, (conditions,).

    NaN where there are no others.
    """
    if len(scores) < 2:
        return np.full(len(scores), np.nan)
    sizes = np.abs(scores)
    smaller = np.searchsorted(np.sort(sizes), sizes, side="left")  # of equal ones none is smaller
    return np.asarray(np.sign(scores) * 100.0 * smaller / (len(scores) - 1))
