"""How long the command line takes to answer, and a local run to begin its work; medians of five.

Commands are whole processes, wall and CPU seconds. A run is the quickstart with one knock-out, on a model that is
trained here on simulated cells for one epoch, from the start of ``lingshu run`` to the first committed block, so that
one block of computing is in it: in its own process, and with one replica of Ray on this machine, whose cluster it
starts. CPU seconds of a run are those of its own process and of all that it waited for, to its end.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks.report import EXAMPLES, RESULTS, Figures, main, table
from campaigns.source import load_training
from lingshu_core.checkpoint import load_header
from lingshu_core.errors import CheckpointError
from lingshu_core.simulation_config import SimulationConfig
from lingshu_core.simulator import simulate
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

REPETITIONS = 5
COMMANDS = {
    "help": ["--help"],
    "run_help": ["run", "--help"],
    "validate": ["validate", str(EXAMPLES / "papalexi/screen.yaml")],
}
BACKENDS = ("in_process", "ray")
FOLDER = RESULTS / "start"


def measure() -> Figures:
    """Time every command; all figures."""
    figures: dict[str, float] = {}
    rows = []
    for name, arguments in COMMANDS.items():
        wall, cpu = zip(*(_once(arguments) for _ in range(REPETITIONS)), strict=True)
        figures |= {f"{name}_wall": float(np.median(wall)), f"{name}_cpu": float(np.median(cpu))}
        rows.append([f"lingshu {' '.join(arguments)}", figures[f"{name}_wall"], figures[f"{name}_cpu"]])
    for backend in BACKENDS:
        wall, cpu = zip(*(_until_ready(backend) for _ in range(REPETITIONS)), strict=True)
        figures |= {f"ready_{backend}_wall": float(np.median(wall)), f"ready_{backend}_cpu": float(np.median(cpu))}
        row = [figures[f"ready_{backend}_wall"], figures[f"ready_{backend}_cpu"]]
        rows.append([f"lingshu run, {backend}, until a block is there", *row])
    table(["command", "wall, s", "CPU, s"], rows)
    return figures


def _once(arguments: list[str]) -> tuple[float, float]:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-m", "screening.cli", *arguments], check=True, capture_output=True)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _until_ready(backend: str) -> tuple[float, float]:
    """Run a campaign of one knock-out, and watch for the first commit."""
    output, model = FOLDER / backend, _model()
    shutil.rmtree(output, ignore_errors=True)
    asked = yaml.safe_load((EXAMPLES / "quickstart/screen.yaml").read_text())
    asked |= {"model": str(model), "output": str(output), "compute": {"backend": backend, "replicas": 1}}
    asked["perturbations"] = {"genetic": ["REG02"]}
    asked["objective"]["gene_set"]["file"] = str(FOLDER / "program.gmt")
    campaign = FOLDER / f"{backend}.yaml"
    campaign.write_text(yaml.safe_dump(asked))
    command = [sys.executable, "-m", "screening.cli", "run", str(campaign)]
    before, started = _cpu_of_children(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not _committed(output) and process.poll() is None:
        time.sleep(0.02)
    wall = time.monotonic() - started
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    return wall, _cpu_of_children() - before


def _model() -> Path:
    """Simulate and train, unless a model that can be read is there."""
    model = FOLDER / "simulated"
    try:
        load_header(str(model))
    except CheckpointError:
        files = simulate(SimulationConfig(seed=0)).write(FOLDER)
        spec = load_training(EXAMPLES / "quickstart/train.yaml").spec
        data = spec.data.model_copy(update={"path": str(files.cells)})
        spec = spec.model_copy(update={"output": str(model), "data": data})
        train_spec(spec, training_config(spec, {"epochs": 1}))
    return model


def _committed(output: Path) -> bool:
    folder = output / "ledger/commits"
    return folder.is_dir() and any(folder.iterdir())


def _cpu_of_children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main(measure, __doc__ or "")
