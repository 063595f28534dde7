"""The Papalexi campaign into a bucket of a real S3 server on this machine, and read back in three ways."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from benchmarks.s3_server import S3Server, serve_s3
from campaigns.source import load_training
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

CAMPAIGN = EXAMPLES / "papalexi/screen.yaml"
OUTPUT = "s3://screen/papalexi"


def measure() -> Figures:
    """Run the campaign into the bucket and read it back; all figures."""
    model = str(RESULTS / "same-table/model")
    if not Path(model, "manifest.json").exists():
        spec = load_training(EXAMPLES / "papalexi/train.yaml").spec.model_copy(update={"output": model})
        train_spec(spec, training_config(spec, {}))
    with tempfile.TemporaryDirectory() as folder, serve_s3(Path(folder)) as server:
        os.environ.update(server.environment)
        seconds: dict[str, float] = {}
        with _timed("run into s3://", seconds):
            result = run_campaign(CAMPAIGN, Silent(), {"model": model, "output": OUTPUT})
        with _timed("run again (all reused)", seconds):
            again = run_campaign(CAMPAIGN, Silent(), {"model": model, "output": OUTPUT})
        local = run_campaign(CAMPAIGN, Silent(), {"model": model, "output": str(RESULTS / "s3-local")})
        with _timed("lingshu hits", seconds):
            printed = subprocess.run(
                [sys.executable, "-m", "screening.cli", "hits", OUTPUT, "--top", "6"],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
        print(printed)
        with _timed("polars", seconds):
            by_polars = pl.read_parquet(f"{OUTPUT}/hits.parquet")
        with _timed("duckdb", seconds):
            by_duckdb = _duckdb(server)
        table(["step", "seconds"], list(seconds.items()))
        top = by_polars["perturbation"].head(6).to_list()
        equal = by_polars.equals(local.hits) and top == by_duckdb
        print(f"{result.computed} blocks computed, then {again.reused} reused; equal to a local run: {equal}")
        return {"equal": equal, "computed": result.computed, "reused": again.reused, **seconds}


@contextlib.contextmanager
def _timed(name: str, seconds: dict[str, float]):  # type: ignore[no-untyped-def]
    started = time.monotonic()
    yield
    seconds[name] = time.monotonic() - started


def _duckdb(server: S3Server) -> list[str]:
    """Query the table where it lies.

    DuckDB reads s3:// itself once its httpfs extension is there; here it goes through the s3fs of this package, so
    that nothing has to be downloaded.
    """
    import s3fs

    connection = duckdb.connect()
    connection.register_filesystem(s3fs.S3FileSystem(endpoint_url=server.endpoint))
    query = f"SELECT perturbation FROM read_parquet('{OUTPUT}/hits.parquet') ORDER BY rank LIMIT 6"
    return [row[0] for row in connection.sql(query).fetchall()]


if __name__ == "__main__":
    main(measure, __doc__ or "")
