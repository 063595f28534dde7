"""Scores of predictions as a long table, and why some of them are not there.

A metric that a set of cells can't carry has no value at all: neither zero nor NaN. It stands in ``left_out`` instead,
with the reason in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

VALUES = pl.Schema({"metric": pl.String, "fold": pl.String, "label": pl.String, "value": pl.Float64})
LEFT_OUT = pl.Schema({"metric": pl.String, "fold": pl.String, "label": pl.String, "reason": pl.String})


@dataclass(frozen=True)
class Scores:
    """Scores of one prediction.

    ``values`` has the columns ``metric, fold, label, value``, no NaN among them; ``left_out`` has ``metric, fold,
    label, reason``, where a null label stands for all of the fold.
    """

    values: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=VALUES))
    left_out: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEFT_OUT))

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric over the labels; None where it has no value."""
        found = self.values.filter(pl.col("metric") == metric)["value"]
        return float(np.mean(found.to_numpy())) if len(found) else None


class ScoreRows:
    """Collects scores a row at a time.

    Parameters
    ----------
    fold
        Name of the fold.
    """

    def __init__(self, fold: str = "") -> None:
        self._fold = fold
        self._values: list[tuple[str, str, str, float]] = []
        self._left_out: list[tuple[str, str, str | None, str]] = []

    def add(self, metric: str, label: str, value: float | None, reason: str = "undefined") -> None:
        """Add a value; where there is none (None, NaN or infinite), the reason."""
        if value is None or not np.isfinite(value):
            self.leave_out(metric, label, reason)
        else:
            self._values.append((metric, self._fold, label, float(value)))

    def leave_out(self, metric: str, label: str | None, reason: str) -> None:
        """Note why a metric has no value, for one label or (None) for all."""
        self._left_out.append((metric, self._fold, label, reason))

    def scores(self) -> Scores:
        """Return what was collected."""
        return Scores(
            pl.DataFrame(self._values, schema=VALUES, orient="row"),
            pl.DataFrame(self._left_out, schema=LEFT_OUT, orient="row"),
        )


def join_scores(parts: Iterable[Scores]) -> Scores:
    """Put the scores of several folds or groups of metrics into one table."""
    tables: Sequence[Scores] = tuple(parts)
    return Scores(
        pl.concat([pl.DataFrame(schema=VALUES), *(each.values for each in tables)]),
        pl.concat([pl.DataFrame(schema=LEFT_OUT), *(each.left_out for each in tables)]),
    )
