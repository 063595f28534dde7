"""Conditions a minute beside STATE's published command, as it comes and at equal standard error of the effects.

STATE (`arc-state`, ``state tx infer``) in its default configuration, weights as good as untrained: see
``state_cells.py``, and set LINGSHU_STATE_PYTHON to the Python of its environment. Timed is its loop, from one
condition to the next: imports, weights, files read and written are left out. Ours are whole campaigns
(`run_campaign`, in this process, from the YAML to the published tables), whose fixed costs count, with the examples'
own steps and cells. Both in CPU seconds, one thread, one after the other in every repetition; medians.

**Equal standard error.** STATE maps a set of control cells, drawn with replacement, to as many perturbed cells; the
effect is a difference of means, and its Monte Carlo error is that of the draw: the variance of a cell over the number
of cells. Untrained weights say nothing of that variance, so it is *assumed* to be that of real perturbed cells (Kang,
Papalexi: within the perturbation and the cell type; log1p counts per 10k). Its controls are taken to be free of noise
and of charge. So it needs as many cells as make ``Σ_g variance_g / cells`` our ``Σ_g effect_se_g²``, over the genes
that it predicts, and its time grows with the sets of 512 cells. ``break_even`` is the variance, as a share of the
real one, at which the ratio would still be 20.

Models are those of ``python -m benchmarks.backbone``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import anndata
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from benchmarks.report import DATA, EXAMPLES, RESULTS, Figures, Silent, main, table
from screening.run import run_campaign

STATE = os.environ.get("LINGSHU_STATE_PYTHON", "")
REPETITIONS = int(os.environ.get("LINGSHU_REPETITIONS", "5"))
ASKED = 1
"""Perturbations of one question; before them come its controls, which aren't timed."""
DATASETS = os.environ.get("LINGSHU_DATASETS", "papalexi,kang").split(",")
MODELS = os.environ.get("LINGSHU_MODELS", "direct,small").split(",")
SET = 512
"""Cells of a set, STATE's default: one set is one condition."""
TARGET = 20.0


@dataclass(frozen=True)
class Case:
    """A data set: ours is asked the example's campaign, STATE as many cells of one type."""

    name: str
    file: str
    genes: int
    cell_type: str
    asked: dict[str, dict[str, Any]]
    """Model → what of the campaign it is asked; conditions that share a control stay together."""


CASES = (
    Case(
        "papalexi",
        "papalexi2021_thp1_crispr_299.h5ad",
        299,
        "THP-1",
        {"direct": {}, "small": {"perturbations": {"genetic": ["IFNGR1", "IFNGR2", "JAK2", "STAT1", "IRF1"]}}},
    ),
    Case(
        "kang",
        "kang2018_ifnb_pbmc.h5ad",
        2_000,
        "CD14+ Monocytes",
        {
            "direct": {"contexts": {"cell_type": "all_seen"}},
            "small": {"contexts": {"cell_type": ["CD14+ Monocytes"]}},
        },
    ),
)


@dataclass(frozen=True)
class Ours:
    """A campaign that ran: CPU seconds a condition, and how far its effects are from their means."""

    seconds: float
    squared_error: float


class State:
    """STATE in its own process, which answers one question after the other."""

    def __init__(self, case: Case) -> None:
        script, work = Path(__file__).with_name("state_cells.py"), (RESULTS / "state" / case.name).absolute()
        options = ("--data", DATA / case.file, "--work", work, "--genes", case.genes, "--cell-type", case.cell_type)
        # -P: beside the script lies this file, which has the name of their package.
        command = [STATE, "-P", str(script), *map(str, options)]
        # Not ours to be quiet about: its own words go to the error stream.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.genes = work / "data/cells.h5ad"
        self.model = self._answer()

    def seconds(self) -> float:
        """Return the CPU seconds of one condition, of one set of cells."""
        opened_pipe(self.process.stdin).write(f"{ASKED} {SET}\n")
        opened_pipe(self.process.stdin).flush()
        return float(np.median(self._answer()))

    def _answer(self) -> Any:
        line = opened_pipe(self.process.stdout).readline()
        if not line:
            raise SystemExit(f"{STATE}: ended with {self.process.wait()}; what it said stands above")
        return json.loads(line)


def opened_pipe(stream: IO[str] | None) -> IO[str]:
    """Return a pipe that was asked for."""
    if stream is None:
        raise SystemExit("a pipe to STATE is closed")
    return stream


@contextmanager
def opened(case: Case) -> Iterator[State]:
    """Start STATE and end it."""
    state = State(case)
    try:
        yield state
    finally:
        opened_pipe(state.process.stdin).close()
        state.process.wait()


def measure() -> Figures:
    """Time both sides on every data set; all figures."""
    if not STATE:
        raise SystemExit("set LINGSHU_STATE_PYTHON to the Python of an environment with arc-state; see state_cells.py")
    figures: dict[str, Any] = {}
    rows = []
    for case in [each for each in CASES if each.name in DATASETS]:
        with opened(case) as state:
            print(f"{case.name}: STATE {state.model}", file=sys.stderr, flush=True)
            found = _alternating(case, state)
        for name, each in found.items():
            rows.append([case.name, name, *each.values()])
            figures |= {f"{case.name}_{name}_{key}": value for key, value in each.items()}
            print(rows[-1], file=sys.stderr, flush=True)
    table(["data", "ours", *(name.replace("_", " ") for name in each)], rows)
    for model, key in {"direct": "state_ratio", "small": "state_ratio_small"}.items():
        if lowest := [value for name, value in figures.items() if name.endswith(f"{model}_equal_error")]:
            figures[key] = min(lowest)
            print(f"lowest ratio of {model} at equal error: {min(lowest):.0f} ×, target {TARGET:.0f} ×")
    return figures


def _alternating(case: Case, state: State) -> dict[str, dict[str, float]]:
    """Run both sides one after the other, several times over."""
    theirs: list[float] = []
    ours: dict[str, list[Ours]] = {name: [] for name in case.asked if name in MODELS}
    genes = anndata.read_h5ad(state.genes, backed="r").var["highly_variable"].to_numpy()
    for repetition in range(REPETITIONS):
        theirs.append(state.seconds())
        for name, done in ours.items():
            done.append(screen(case, name, genes))
            print(f"{case.name} {repetition}: STATE {theirs[-1]:.2f}, {name} {done[-1]}", file=sys.stderr, flush=True)
    variance = cell_variance(case, genes)
    return {name: compared(done, theirs, variance) for name, done in ours.items()}


def compared(ours: list[Ours], theirs: list[float], variance: float) -> dict[str, float]:
    """Return what a table shows of one model; ``variance`` is that of a real cell, summed over genes."""
    pairs = list(zip(ours, theirs, strict=True))
    cells = variance / float(np.median([each.squared_error for each in ours]))
    plain = [their / own.seconds for own, their in pairs]
    equal = float(np.median(plain)) * cells / SET
    return {
        "seconds_a_condition": float(np.median([each.seconds for each in ours])),
        "conditions_a_minute": 60.0 / float(np.median([each.seconds for each in ours])),
        "STATE_seconds_a_set": float(np.median(theirs)),
        "STATE_conditions_a_minute": 60.0 / float(np.median(theirs)),
        "as_it_comes": float(np.median(plain)),
        "least_as_it_comes": min(plain),
        "cells_of_STATE_for_our_error": cells,
        "equal_error": equal,
        "break_even": TARGET / equal,
    }


def screen(case: Case, name: str, genes: npt.NDArray[np.bool_]) -> Ours:
    """Run a campaign into an empty place, in CPU seconds a condition of its table."""
    output, model = RESULTS / f"state/{case.name}-{name}", RESULTS / f"backbone/{case.name}-{name}/model"
    if not (model / "manifest.json").exists():
        raise SystemExit(f"{model}: no model here; run `python -m benchmarks.backbone` first")
    shutil.rmtree(output, ignore_errors=True)
    overrides = {"model": str(model), "output": str(output), "backend": "in_process", **case.asked[name]}
    started = time.process_time()
    result = run_campaign(EXAMPLES / f"{case.name}/screen.yaml", Silent(), overrides)
    seconds = time.process_time() - started
    errors = np.asarray(anndata.read_h5ad(output / "effects.h5ad").layers["effect_se"], dtype=float)[:, genes]
    return Ours(seconds / result.hits.height, float(np.median(np.square(errors).sum(axis=1))))


def cell_variance(case: Case, genes: npt.NDArray[np.bool_]) -> float:
    """Return the variance of real perturbed cells, summed over genes; the median of perturbations and cell types."""
    cells = anndata.read_h5ad(DATA / case.file)
    counts = sp.csr_matrix(cells.X).astype(float)
    scaled = (sp.diags(1e4 / np.asarray(counts.sum(axis=1)).ravel()) @ counts).log1p()[:, genes]
    groups = cells.obs.reset_index(drop=True).groupby(["perturbation", "cell_type"], observed=True).groups
    found = [
        float(scaled[rows.to_numpy()].toarray().var(axis=0, ddof=1).sum())
        for (perturbation, _), rows in groups.items()
        if perturbation != "control" and len(rows) > 20
    ]
    return float(np.median(found))


if __name__ == "__main__":
    main(measure, __doc__ or "")
