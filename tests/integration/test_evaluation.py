"""An evaluation on a real Ray cluster and in a bucket of a real S3 server: the same tables as in one process."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.blobs import open_blobs
from screening.evaluating.evaluation_run import run_evaluation

WriteYaml = Callable[..., Path]
TABLES = ("scores.parquet", "summary.parquet", "comparisons.parquet", "runs.parquet", "coverage.parquet")


def tables(url: str) -> dict[str, pl.DataFrame]:
    blobs = open_blobs(url)
    return {name: pl.read_parquet(io.BytesIO(blobs.get(name))) for name in TABLES}


@pytest.mark.ray
def test_replicas_side_by_side_say_the_same(
    write_evaluation: WriteYaml, quiet: Any, ray_cluster: object, tiny_evaluation: Path, tmp_path: Path
) -> None:
    path = write_evaluation(compute={"backend": "ray", "replicas": 2})
    result = run_evaluation(path, quiet)
    assert result.complete
    assert result.computed == 8
    alone = tables(str(tiny_evaluation))
    for name, table in tables(str(tmp_path / "evaluation")).items():
        assert table.equals(alone[name]), name


@pytest.mark.s3
def test_everything_in_a_bucket(
    write_evaluation: WriteYaml,
    quiet: Any,
    s3_url: str,
    tiny_evaluation: Path,
    lingshu: Callable[..., tuple[int, str, str]],
) -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # clients remember credentials of other tests
    path = write_evaluation(output=f"{s3_url}/evaluation")
    code, out, _ = lingshu("evaluate", path)
    assert code == 0
    assert "8 units computed, 0 reused, 0 failed" in out
    alone = tables(str(tiny_evaluation))
    for name, table in tables(f"{s3_url}/evaluation").items():
        assert table.equals(alone[name]), name
    models = {key for key, _ in open_blobs(f"{s3_url}/evaluation/models/tilted").list()}
    assert sum(key.endswith("weights.safetensors") for key in models) == 2
    assert not any("state" in key for key in models)
    again = run_evaluation(path, quiet)
    assert (again.computed, again.reused) == (0, 8)
