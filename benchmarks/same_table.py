"""The Papalexi campaign on 1 replica, on 3, and killed in the middle and continued: the same table, to the bit."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import polars as pl

from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

CAMPAIGN = EXAMPLES / "papalexi/screen.yaml"


def measure() -> Figures:
    """Run the campaign in every way and compare; all figures."""
    folder = RESULTS / "same-table"
    model = str(folder / "model")
    if not Path(model, "manifest.json").exists():
        spec = load_training(EXAMPLES / "papalexi/train.yaml").spec.model_copy(update={"output": model})
        train_spec(spec, training_config(spec, {}))
    runs: dict[str, Any] = {}
    for name, overrides in (
        ("one process, no Ray", {"backend": "in_process"}),
        ("1 replica", {"replicas": 1}),
        ("3 replicas", {"replicas": 3}),
    ):
        output = str(folder / name.replace(" ", "-"))
        result = run_campaign(CAMPAIGN, Silent(), {"model": model, "output": output, **overrides})
        runs[name] = [result.computed, result.reused, *_digests(output)]
    runs["killed and continued"] = _killed(folder, model)
    table(["run", "blocks computed", "reused", "hits", "effects"], [[name, *row] for name, row in runs.items()])
    same = len({tuple(row[2:]) for row in runs.values()}) == 1
    print("all equal to the bit" if same else "NOT equal")
    return {"equal": same, "reused_after_kill": runs["killed and continued"][1]}


def _digests(output: str) -> tuple[str, str]:
    hits = pl.read_parquet(f"{output}/hits.parquet").write_csv(float_precision=17)
    effects = anndata.read_h5ad(f"{output}/effects.h5ad")
    state = hashlib.sha256()
    for values in (effects.X, *(effects.layers[name] for name in sorted(effects.layers))):
        state.update(np.ascontiguousarray(values).tobytes())
    return hashlib.sha256(hits.encode()).hexdigest()[:12], state.hexdigest()[:12]


def _killed(folder: Path, model: str) -> list[Any]:
    """Start the run in a process of its own, kill it when a third is committed, and run it again."""
    output = folder / "killed"
    command = [sys.executable, "-m", "benchmarks.same_table", "--run", model, str(output)]
    process = subprocess.Popen(command, start_new_session=True)
    commits = output / "ledger/commits"
    while process.poll() is None and (not commits.exists() or len(list(commits.iterdir())) < 15):
        time.sleep(0.002)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    result = run_campaign(CAMPAIGN, Silent(), {"model": model, "output": str(output)})
    return [result.computed, result.reused, *_digests(str(output))]


if __name__ == "__main__":
    if "--run" in sys.argv:
        given = {"model": sys.argv[-2], "output": sys.argv[-1], "backend": "in_process"}
        run_campaign(CAMPAIGN, Silent(), given)
    else:
        main(measure, __doc__ or "")
