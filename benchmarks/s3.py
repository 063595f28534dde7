"""The Papalexi campaign into a bucket of a real S3 server on this machine, and read back in three ways.

And what 500 conditions of the same model (knock-outs alone, in pairs and in triples; 3 geometric steps, 8 shards of 16
cells, 299 genes) ask of the bucket, from the file to the hits, in one process: every operation of a store is counted,
with its bytes. `store_share` is the part of the run's time for which it waits for the store; reads of the ranking that
is shown meanwhile are counted, but nobody waits for them.
"""

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

from benchmarks.papalexi_screen import write_screen
from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from benchmarks.s3_server import S3Server, serve_s3
from benchmarks.stage_clock import StageClock, model_watched, store_watched
from campaigns.source import load_training
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

CAMPAIGN = EXAMPLES / "papalexi/screen.yaml"
OUTPUT = "s3://screen/papalexi"
CONDITIONS = 500


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
        traffic = measure_traffic(Path(folder), CONDITIONS)
        return {**traffic, "equal": equal, "computed": result.computed, "reused": again.reused, **seconds}


def measure_traffic(folder: Path, conditions: int) -> dict[str, float]:
    """Count what a larger campaign asks of the bucket."""
    path, clock = (
        write_screen(folder, conditions, "s3://screen/traffic", steps=3, shards=8, depth_strata=16),
        StageClock(),
    )
    with store_watched() as store, model_watched() as model:
        began = clock.now()
        run_campaign(path, clock)
        whole = clock.now() - began
    figures = {
        "bytes_per_condition": (store.bytes_read + store.bytes_written) / conditions,
        "bytes_written_per_condition": store.bytes_written / conditions,
        "requests_per_condition": sum(store.calls.values()) / conditions,
        "store_share": store.seconds / whole.wall,
        "model_share_in_a_bucket": model.seconds / whole.wall,
        "store_ms_a_request": 1e3 * (store.seconds + store.seconds_aside) / sum(store.calls.values()),
        "traffic_wall_seconds": whole.wall,
        "traffic_cpu_seconds": whole.cpu,
    }
    table([f"{conditions} conditions into a bucket", "value"], [[k.replace("_", " "), v] for k, v in figures.items()])
    print(f"operations: {dict(store.calls)}")
    return figures


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
