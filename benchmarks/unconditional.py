"""Cells from nothing: generated against held-out real cells, beside scVI and beside the training cells themselves.

pbmc3k (blood) and Baron's pancreas, all genes; a random 70 % of the cells for training, as many cells generated as
were held out. The published figures (Pearson, Spearman, iLISI, MMD, 1-Wasserstein) and classifier AUC, errors of depth,
zeros and gene–gene correlation, and the total variation of cell-type shares (types given by a classifier trained on the
training cells; for every row alike). Steps against realism, with the published sampler (cosine, N = 256) among them.

scVI is trained on the same cells in an environment of its own, see ``scvi_cells.py``; without it its rows read "not
run". Its own heuristic would give so few cells 400 epochs; here it has LINGSHU_SCVI_EPOCHS (100), a warm-up of the
prior over half of them (its default of 400 would leave prior draws untrained) and its own early stopping.

Each row is kept in ``results/benchmarks/unconditional``: what is there is not computed again. Hours on one core, so the
environment can narrow it: LINGSHU_DATASETS (pbmc3k,baron), LINGSHU_SEEDS (0; more than the first for the rows marked
in ``REPEATED`` only), LINGSHU_MINUTES (start no new row after that time; 0: only print what is there).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.report import DATA, RESULTS, Figures, main, table
from campaigns.training_spec import TrainSpec
from lingshu_core.checkpoint import load_checkpoint
from lingshu_core.conditioning import Condition
from lingshu_core.generation import StartCells, draw_contexts, draw_depths, generate_cells, generation_root
from lingshu_core.randomness import RandomRoot
from lingshu_core.realism import most_variable, realism, total_variation
from lingshu_core.reveal import RevealSettings
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

SEEDS = tuple(map(int, os.environ.get("LINGSHU_SEEDS", "0").split(",")))
MINUTES = float(os.environ.get("LINGSHU_MINUTES", "inf"))
HELD_OUT, EPOCHS = 0.3, 30
SCVI_EPOCHS = int(os.environ.get("LINGSHU_SCVI_EPOCHS", "100"))
SCVI_NAMES = {kind: f"scVI, {SCVI_EPOCHS} epochs, {kind}" for kind in ("prior", "posterior")}
SCVI = os.environ.get("LINGSHU_SCVI_PYTHON", "")
DATASETS = {"pbmc3k": "pbmc3k_raw.h5ad", "baron": "baron2016_pancreas_human.h5ad"}
COLUMNS = (
    *("pearson", "spearman", "ilisi", "mmd", "wasserstein", "classifier_auc"),
    *("depth_mean_error", "depth_sd_error", "zeros_error", "correlation_error", "types", "forward passes a cell"),
)


@dataclass(frozen=True)
class Sampler:
    """How cells are drawn from which model."""

    model: str
    steps: int
    schedule: str
    rounds: int = 0
    remasked: float = 0.0
    """After the steps, so many rounds in which this share of the genes is masked and drawn anew, in one step each."""
    cells: int | None = None
    """How many are drawn; None: as many as were held out."""

    @property
    def name(self) -> str:
        """For the table."""
        again = f" and {self.rounds} rounds of {self.remasked:.0%} remasked" if self.rounds else ""
        fewer = f" ({self.cells} cells)" if self.cells else ""
        return f"{self.model}, {self.schedule} {self.steps}{again}{fewer}"


MODELS: dict[str, dict[str, Any]] = {
    "direct": {},
    "direct without depth token": {"depth_token": False},
    "direct without labels": {},
}
SAMPLERS = (
    *(Sampler("direct", steps, "geometric") for steps in (1, 3, 6, 12, 24)),
    *(Sampler("direct", steps, "cosine") for steps in (3, 6, 12)),
    Sampler("direct", 6, "uniform"),
    Sampler("direct", 6, "geometric", rounds=6, remasked=0.3),
    Sampler("direct", 12, "geometric", rounds=12, remasked=0.1),
    Sampler("direct", 12, "geometric", rounds=12, remasked=0.5),
    Sampler("direct without labels", 12, "geometric"),
    Sampler("direct without labels", 24, "geometric"),
    Sampler("direct without depth token", 12, "geometric"),
    Sampler("direct", 12, "geometric", cells=200),
    Sampler("direct", 256, "cosine", cells=200),
    Sampler("direct without depth token", 256, "cosine", cells=200),
)
REPEATED = ("real training cells", *SCVI_NAMES.values(), "direct, geometric 6", "direct, geometric 12")
"""Rows that are run with every seed; the others with the first."""


@dataclass(frozen=True)
class Case:
    """A data set, split once."""

    name: str
    training: anndata.AnnData
    held_out: anndata.AnnData

    @property
    def folder(self) -> Path:
        """Where everything of this case is written."""
        return RESULTS / "unconditional" / self.name


def measure() -> Figures:
    """Compute what is not there yet; all figures."""
    figures: dict[str, Any] = {}
    until = time.monotonic() + 60 * MINUTES
    for name in os.environ.get("LINGSHU_DATASETS", ",".join(DATASETS)).split(","):
        case = split(name, DATASETS[name])
        rows = []
        for label, draw in _rows(case):
            seeds = SEEDS if label in REPEATED else SEEDS[:1]
            found = [_row(case, label, seed, draw, until) for seed in seeds]
            known = [row for row in found if row is not None]
            medians = {column: float(np.median([row[column] for row in known])) for column in COLUMNS if known}
            rows.append([label, len(known), *(medians.get(column, "not run") for column in COLUMNS)])
            figures[f"{name}: {label}"] = medians
        print(f"\n{name}: {case.training.n_obs} training cells, {case.held_out.n_obs} held out")
        table(["cells", "seeds", *COLUMNS], rows)
    return figures


def split(name: str, file: str) -> Case:
    """Hold a random share of the cells out."""
    cells = anndata.read_h5ad(DATA / file)
    cells.X = sp.csr_matrix(cells.X).astype(np.float32)
    order = np.random.default_rng(2026).permutation(cells.n_obs)
    held = order[: round(HELD_OUT * cells.n_obs)]
    case = Case(name, cells[np.sort(np.setdiff1d(order, held))].copy(), cells[np.sort(held)].copy())
    case.folder.mkdir(parents=True, exist_ok=True)
    if not (case.folder / "train.h5ad").exists():
        case.training.write_h5ad(case.folder / "train.h5ad")
    return case


Draw = Callable[[int], tuple[sp.csr_matrix, float] | None]


def _rows(case: Case) -> list[tuple[str, Draw]]:
    rows: list[tuple[str, Draw]] = [("real training cells", lambda seed: (_real(case, seed), 0.0))]
    for predictive, name in SCVI_NAMES.items():
        rows.append((name, partial(_scvi, case, predictive)))
    for sampler in SAMPLERS:
        rows.append((sampler.name, partial(_drawn, case, sampler)))
    return rows


def _row(case: Case, label: str, seed: int, draw: Draw, until: float) -> dict[str, float] | None:
    path = case.folder / "rows" / f"{label.replace(' ', '-').replace(',', '')}-{seed}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    started = time.monotonic()
    if started > until:
        return None
    drawn = draw(seed)
    if drawn is None:
        return None
    counts, passes = drawn
    found = realism(counts, sp.csr_matrix(case.held_out.X), sp.csr_matrix(case.training.X)).as_dict()
    found |= {"types": _types(case, counts), "forward passes a cell": passes}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found))
    print(f"{case.name} {label} {seed}: {time.monotonic() - started:.0f} s {found}", file=sys.stderr, flush=True)
    return found


def _real(case: Case, seed: int) -> sp.csr_matrix:
    chosen = np.random.default_rng(seed).choice(case.training.n_obs, case.held_out.n_obs, replace=False)
    return sp.csr_matrix(case.training.X)[chosen]


def _drawn(case: Case, sampler: Sampler, seed: int) -> tuple[sp.csr_matrix, float]:
    return _lingshu(case, sampler, seed), sampler.steps + sampler.rounds


def _lingshu(case: Case, sampler: Sampler, seed: int) -> sp.csr_matrix:
    checkpoint = load_checkpoint(_model(case, sampler.model, seed))
    root, cells = generation_root(seed), sampler.cells or case.held_out.n_obs
    words = checkpoint.vocabulary
    contexts = draw_contexts(words, [{}] * cells, root)
    depth = draw_depths(words, checkpoint.control_depths, contexts, root)
    conditions = [Condition(context) for context in contexts]

    def draw(steps: int, schedule: Any, root: RandomRoot, start: StartCells | None = None) -> sp.csr_matrix:
        settings = RevealSettings(steps, schedule)
        batches = generate_cells(checkpoint.denoiser, words, conditions, depth, root, settings, start)
        return sp.vstack([batch.counts for batch in batches]).tocsr()

    counts = draw(sampler.steps, sampler.schedule, root)
    everything = np.ones(len(words.genes), dtype=bool)
    for number in range(1, sampler.rounds + 1):
        start = StartCells(counts, everything, keep=1.0 - sampler.remasked)
        counts = draw(1, "uniform", generation_root(seed + 1_000 * number), start)
    return counts.astype(np.float32)


def _model(case: Case, model: str, seed: int) -> str:
    output = case.folder / f"{model.replace(' ', '-')}-{seed}"
    if not (output / "manifest.json").exists():
        labelled = model != "direct without labels"
        spec = TrainSpec.model_validate(
            {
                "kind": "train",
                "name": "unconditional",
                "data": {
                    "path": str(case.folder / "train.h5ad"),
                    "columns": {"perturbation": None, "cell_type": "cell_type"},
                    "context": ["cell_type"] if labelled else [],
                },
                "model": {"configuration": "direct", "overrides": MODELS[model]},
                "training": {"epochs": EPOCHS, "balance": 0.0, "factor_dropout": 0.3},
                "output": str(output),
            }
        )
        train_spec(spec, training_config(spec, {"seed": seed}))
    return str(output)


def _scvi(case: Case, predictive: str, seed: int) -> tuple[sp.csr_matrix, float] | None:
    if not SCVI:
        return None
    files = {kind: case.folder / f"scvi-{SCVI_EPOCHS}-{kind}-{seed}.h5ad" for kind in SCVI_NAMES}
    options: Sequence[object] = (
        *("--train", case.folder / "train.h5ad", "--epochs", SCVI_EPOCHS, "--early-stopping", "--seed", seed),
        *("--kl-warmup", SCVI_EPOCHS // 2),
        *("--generate", case.held_out.n_obs, "--predictive", *files, "--cells", *files.values()),
    )
    script = str(Path(__file__).with_name("scvi_cells.py"))
    if not all(file.exists() for file in files.values()):
        subprocess.run([SCVI, script, *map(str, options)], check=True, stdout=sys.stderr)
    return sp.csr_matrix(anndata.read_h5ad(files[predictive]).X).astype(np.float32), 1.0


def _types(case: Case, counts: sp.csr_matrix) -> float:
    """Return the total variation between the types of these cells and of the held-out ones, seen by one classifier."""
    training, held_out, drawn = (_scaled(each) for each in (case.training.X, case.held_out.X, counts))
    genes = most_variable(training, 2_000)
    scaler = StandardScaler(with_mean=False).fit(training[:, genes])
    labels = case.training.obs["cell_type"].astype(str).to_numpy()
    model = LogisticRegression(C=0.01, max_iter=300).fit(scaler.transform(training[:, genes]), labels)
    seen = [model.predict(scaler.transform(each[:, genes])) for each in (drawn, held_out)]
    return total_variation(*seen)


def _scaled(counts: Any) -> sp.csr_matrix:
    counts = sp.csr_matrix(counts)
    return sp.csr_matrix(sp.diags(1e4 / np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)) @ counts).log1p()


if __name__ == "__main__":
    main(measure, __doc__ or "")
