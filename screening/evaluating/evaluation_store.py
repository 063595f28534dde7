"""What the bytes of a committed unit mean: what one model, trained with one seed, says of one fold, as safetensors.

Arrays hold predicted effects; everything else (scores, reasons, facts) is one JSON text in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import safetensors
import safetensors.numpy

from lingshu_core.score_table import LEFT_OUT, VALUES, Scores
from screening.errors import BlockError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class UnitResult:
    """What came of a unit.

    Attributes
    ----------
    labels
        Questions that were answered, those for calibration included, in the order of the arrays.
    effects, errors
        Predicted effects and their Monte Carlo standard errors, both (labels, genes), log1p counts per 10k; errors are
        (0, genes) where there are none.
    scores
        A row per metric and label, and what can't be scored, each with its reason.
    unanswered
        Label of each question that the model can't answer → why.
    facts
        Plain values: digest and paths of the model, what the training took.
    """

    labels: tuple[str, ...]
    effects: Array
    errors: Array
    scores: Scores
    unanswered: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def effect(self, label: str) -> npt.NDArray[np.float64]:
        """Return the predicted effect of a question, (genes,)."""
        return self.effects[self.labels.index(label)].astype(np.float64)

    def error(self, label: str) -> npt.NDArray[np.float64]:
        """Return its Monte Carlo standard error, (genes,)."""
        if not len(self.errors):
            return np.zeros(self.effects.shape[1])
        return self.errors[self.labels.index(label)].astype(np.float64)


def encode_unit(result: UnitResult) -> bytes:
    """Turn a unit into bytes; the same unit always gives the same bytes."""
    content = {
        "labels": result.labels,
        "values": result.scores.values.to_dict(as_series=False),
        "left_out": result.scores.left_out.to_dict(as_series=False),
        "unanswered": dict(result.unanswered),
        "facts": dict(result.facts),
    }
    arrays = {"effects": np.ascontiguousarray(result.effects), "errors": np.ascontiguousarray(result.errors)}
    return safetensors.numpy.save(arrays, {"unit": json.dumps(content, sort_keys=True)})


def decode_unit(data: bytes) -> UnitResult:
    """Read a unit back.

    Raises
    ------
    BlockError
        If the bytes are not a unit.
    """
    try:
        arrays = safetensors.numpy.load(data)
        length = int.from_bytes(data[:8], "little")  # of the header, in the first eight bytes
        content = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["unit"])
        return UnitResult(
            labels=tuple(content["labels"]),
            effects=arrays["effects"],
            errors=arrays["errors"],
            scores=Scores(
                pl.DataFrame(content["values"], schema=VALUES), pl.DataFrame(content["left_out"], schema=LEFT_OUT)
            ),
            unanswered=content["unanswered"],
            facts=content["facts"],
        )
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise BlockError(f"not a unit of an evaluation ({error}); remove its commit and evaluate again") from error
