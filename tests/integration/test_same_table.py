"""The same campaign on this process, on one replica and on three: the same numbers, to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import polars as pl
import pytest

from actors.blobs import open_blobs
from actors.cluster import RaySession
from actors.ledger import Ledger
from screening.publishing.publication import ledger_url
from screening.run import run_campaign

VARIANTS: dict[str, dict[str, Any]] = {
    "in_process": {"backend": "in_process"},
    "one": {"backend": "ray", "replicas": 1},
    "three": {"backend": "ray", "replicas": 3, "lease_seconds": 0.05},
}

ENOUGH = {"shards": 32, "depth_strata": 12, "steps": 3}
"""Work enough that a second replica is up before the first has done it all."""


@pytest.mark.ray
def test_the_table_does_not_depend_on_who_computed_it(
    ray_cluster: RaySession, write_screen: Callable[..., Path], quiet: Any, tmp_path: Path
) -> None:
    tables, effects, replicas, blocks = {}, {}, {}, {}
    for name, compute in VARIANTS.items():
        output = str(tmp_path / name)
        result = run_campaign(write_screen(output=output, compute=compute, estimator=ENOUGH), quiet)
        assert (result.computed, result.reused, result.failed) == (96, 0, 0)
        tables[name] = pl.read_parquet(f"{output}/hits.parquet")
        effects[name] = anndata.read_h5ad(f"{output}/effects.h5ad")
        ledger = Ledger(open_blobs(ledger_url(output)))
        replicas[name] = {ledger.record(task).replica for task in ledger.committed()}
        blocks[name] = {task: ledger.record(task).sha256 for task in ledger.committed()}
    assert [len(replicas[name]) for name in ("in_process", "one")] == [1, 1]
    assert len(replicas["three"]) > 1  # the last to start may find nothing left to do
    for name in ("one", "three"):
        assert blocks[name] == blocks["in_process"]
        assert tables[name].equals(tables["in_process"], null_equal=True)
        np.testing.assert_array_equal(effects[name].X, effects["in_process"].X)
        for layer, values in effects["in_process"].layers.items():
            np.testing.assert_array_equal(effects[name].layers[layer], values)
