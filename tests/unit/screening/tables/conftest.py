"""Places of results that hold a small ranked table, published as a run publishes it."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from actors.blobs import Blobs, open_blobs
from actors.epoch import Epoch
from actors.history import History
from screening.deciding.hits import hit_table
from screening.publishing.publication import Publication, publish


@pytest.fixture
def make_hits() -> Callable[..., pl.DataFrame]:
    """Make a ranked table: `make_hits({"A": 0.5, "B": None}, cell_type="T cells")`; None: it failed."""

    def make(scores: dict[str, float | None], extra: dict[str, Any] | None = None, **factors: str) -> pl.DataFrame:
        label = ", ".join(f"{name}={value}" for name, value in factors.items())
        rows = []
        for number, (name, score) in enumerate(scores.items()):
            row = {"perturbation": name, "context": label, "support": "in_vocabulary", **factors, **(extra or {})}
            row |= {"training_cells": 20, "training_cells_all": 30, "top_up": "G1 +0.10", "top_down": "G2 -0.20"}
            if score is None:
                rows.append(row | {"status": "failed", "reason": "it exploded"})
            else:
                row |= {"status": "done", "score": score, "score_se": 0.01, "q_value": 0.01 * (number + 1)}
                rows.append(row | {"decision": "hit" if score > 0.4 else "not"})
        kinds = {name: pl.Float64 if isinstance(value, float) else pl.String for name, value in (extra or {}).items()}
        return hit_table(rows, dict.fromkeys(factors, pl.String) | kinds)

    return make


@pytest.fixture
def publish_hits() -> Callable[..., Blobs]:
    """Publish a table in a place, as `publish_hits(url, hits, "name")` or again with other hits; gives the place."""

    def run(url: str, hits: pl.DataFrame, name: str = "tiny", run_id: str = "a" * 64, **changes: Any) -> Blobs:
        blobs = open_blobs(url)
        facts = {"campaign": name, "question": "is it?", "model_digest": "b" * 64, **changes.pop("facts", {})}
        content = Publication(run_id, hits, None, "kind: screen\n", b'{"objective":{}}', facts, **changes)
        publish(Epoch.begin(History(blobs)), content)
        return blobs

    return run
