"""Cells, model and results in a bucket of a real S3 server, and read back with other people's tools."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import duckdb
import fsspec
import numpy as np
import polars as pl
import pytest
import s3fs
from obstore.store import S3Store
from zarr.storage import ObjectStore

from actors.blobs import open_blobs
from actors.ledger import Ledger
from screening.publishing.publication import ledger_url
from screening.run import run_campaign
from screening.training.training_request import train_model

pytestmark = pytest.mark.s3
WriteYaml = Callable[..., Path]
FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}


@pytest.fixture(autouse=True)
def _fresh_client(s3_url: str) -> None:
    s3fs.S3FileSystem.clear_instance_cache()  # clients remember credentials of other tests


def test_everything_in_a_bucket(
    write_train: WriteYaml,
    write_screen: WriteYaml,
    lingshu: Callable[..., tuple[int, str, str]],
    quiet: Any,
    tiny: Path,
    s3_url: str,
    tmp_path: Path,
) -> None:
    with fsspec.open(f"{s3_url}/cells.h5ad", "wb") as handle:
        handle.write((tiny / "cells.h5ad").read_bytes())
    columns = {name: name for name in ("perturbation", "perturbation_type", "dose", "cell_type", "donor")}
    training = {"epochs": 1, "device": "cpu"}
    path = write_train(data={"path": f"{s3_url}/cells.h5ad", "columns": columns}, training=training)
    local = train_model(path)
    remote = train_model(path, overrides={"output": f"{s3_url}/model"})
    assert remote.cells == 432
    model = {name for name, _ in open_blobs(f"{s3_url}/model").list()}
    assert model == {each.name for each in (tmp_path / "model").iterdir()}

    assert "24 conditions" in lingshu("validate", write_screen(model=f"{s3_url}/model"))[1]
    screen = write_screen(**FEW, model=f"{s3_url}/model", output=f"{s3_url}/screen")
    first = run_campaign(screen, quiet)
    assert (first.computed, first.failed) == (6, 0)
    again = run_campaign(screen, quiet)
    assert (again.computed, again.reused) == (0, 6)
    assert again.hits.equals(first.hits, null_equal=True)

    # The same cells and seed make the same model, here and there, and the same table.
    assert local.digest == remote.digest
    here = run_campaign(write_screen(**FEW, model=str(tmp_path / "model")), quiet)
    assert here.hits.equals(first.hits, null_equal=True)
    assert "6 of 6 blocks" in " ".join(lingshu("status", screen)[1].split())


def test_hits_are_one_line_in_every_tool(
    write_screen: WriteYaml,
    lingshu: Callable[..., tuple[int, str, str]],
    quiet: Any,
    s3_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hits = run_campaign(write_screen(**FEW, output=f"{s3_url}/screen"), quiet).hits
    code, out, _ = lingshu("hits", f"{s3_url}/screen", "--format", "csv")
    assert code == 0
    assert pl.read_csv(out.encode())["perturbation"].to_list() == hits["perturbation"].to_list()
    assert lingshu("hits", f"{s3_url}/screen", "--top", 1)[1].splitlines()[1].split()[0] == "1"

    assert pl.read_parquet(f"{s3_url}/screen/hits.parquet").equals(hits, null_equal=True)

    # DuckDB without its httpfs extension, which it would have to fetch: any fsspec filesystem serves.
    duckdb.register_filesystem(fsspec.filesystem("s3"))
    found = duckdb.sql(f"select perturbation, score from read_parquet('{s3_url}/screen/hits.parquet')").fetchall()
    assert found == list(zip(hits["perturbation"], hits["score"], strict=True))

    with fsspec.open(f"{s3_url}/screen/effects.h5ad") as handle:
        effects = anndata.read_h5ad(handle)
    assert effects.shape == (2, 40)


def test_drawn_cells_in_a_bucket(write_screen: WriteYaml, quiet: Any, s3_url: str) -> None:
    estimator = {"kind": "sampled", "store_cells": True, "shards": 8, "depth_strata": 2}
    run_campaign(write_screen(**FEW, estimator=estimator, output=f"{s3_url}/screen"), quiet)
    # Settings and credentials come from the environment, as they do for the run itself.
    store = S3Store.from_url(f"{s3_url}/screen/cells.zarr", client_options={"allow_http": True})
    cells = anndata.read_zarr(ObjectStore(store, read_only=True))
    assert cells.shape == (3 * 16, 40)
    assert np.issubdtype(cells.X.dtype, np.integer)
    assert set(cells.obs["perturbation"]) == {"control", "REG04", "REG05"}


def test_a_bucket_and_a_folder_hold_the_same_blocks(
    write_screen: WriteYaml, quiet: Any, s3_url: str, tmp_path: Path
) -> None:
    places = [f"{s3_url}/screen", str(tmp_path / "here")]
    digests = []
    for place in places:
        run_campaign(write_screen(**FEW, output=place), quiet)
        ledger = Ledger(open_blobs(ledger_url(place)))
        digests.append({task: ledger.record(task).sha256 for task in ledger.committed()})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 6


@pytest.mark.ray
def test_replicas_commit_to_a_bucket_by_themselves(
    write_screen: WriteYaml, quiet: Any, ray_cluster: object, s3_url: str, tmp_path: Path
) -> None:
    calm = run_campaign(write_screen(**FEW), quiet)
    compute = {"backend": "ray", "replicas": 2}
    result = run_campaign(write_screen(**FEW, compute=compute, output=f"{s3_url}/screen"), quiet)
    assert result.complete
    assert result.hits.equals(calm.hits, null_equal=True)
