"""Cell representations: the model's, PCA's and scVI's, on cells of donors that none of them was trained on.

Baron's pancreas (donors 1 to 3 for training, donor 4 held out) and Kang's blood cells (two of eight donors held out).
On the held-out cells: label transfer (15 nearest training cells; accuracy, macro F1), k-means with as many clusters as
there are types (adjusted Rand index, normalised mutual information); over all cells the silhouette by donor (0: donors
are mixed). Types with fewer than 5 training cells are left out of the scores. One seed unless ``SEEDS`` says more.

scVI is trained in an environment of its own, see ``scvi_cells.py``; without it its rows read "not run".
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import (
    accuracy_score,
    adjusted_rand_score,
    f1_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.report import DATA, RESULTS, Figures, main, table
from campaigns.training_spec import TrainSpec
from screening.models.embed import KEY, EmbeddingRequest, embed
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

SEEDS = (0,)
VARIABLE_GENES, COMPONENTS, NEIGHBOURS, EPOCHS = 2000, 50, 15, 150
FEWEST = 5
SCVI = os.environ.get("LINGSHU_SCVI_PYTHON", "")
COLUMNS = ("accuracy", "macro F1", "ARI", "NMI", "silhouette by donor", "training, s")
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A data set and the donors that nothing is trained on."""

    name: str
    file: str
    perturbation: str | None
    held_out: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where everything of this case is written."""
        return RESULTS / "embedding" / self.name


CASES = (
    Case("Baron, donor 4 held out", "baron2016_pancreas_human.h5ad", None, ("human4",)),
    Case(
        "Kang, donors 1256 and 1244 held out", "kang2018_ifnb_pbmc.h5ad", "perturbation", ("donor_1256", "donor_1244")
    ),
)


def measure() -> Figures:
    """Train and score every representation on every data set; all figures."""
    figures: dict[str, Any] = {}
    for case in CASES:
        cells, held = _cells(case)
        rows = []
        for name, represent in _representations(case, held).items():
            for seed in SEEDS:
                started = time.monotonic()
                found = represent(cells, seed)
                seconds = time.monotonic() - started
                row = ["not run"] * len(COLUMNS) if found is None else [*scores(found, cells.obs, held), seconds]
                rows.append([name, seed, *row])
                figures[f"{case.name}: {name}, seed {seed}"] = dict(zip(COLUMNS, row, strict=True))
                print(rows[-1], file=sys.stderr, flush=True)
        print(f"\n{case.name}: {int((~held).sum())} training cells, {int(held.sum())} held out")
        table(["representation", "seed", *COLUMNS], rows)
    return figures


def _cells(case: Case) -> tuple[anndata.AnnData, npt.NDArray[np.bool_]]:
    cells = anndata.read_h5ad(DATA / case.file)
    held = cells.obs["donor"].isin(case.held_out).to_numpy()
    case.folder.mkdir(parents=True, exist_ok=True)
    cells[~held].copy().write_h5ad(case.folder / "train.h5ad")
    return cells, held


def _representations(
    case: Case, held: npt.NDArray[np.bool_]
) -> Mapping[str, Callable[[anndata.AnnData, int], Matrix | None]]:
    return {
        "PCA": lambda cells, seed: pca(cells, held, seed),
        "scVI": lambda cells, seed: scvi(case, seed),
        "lingshu, no labels in training": lambda cells, seed: lingshu(case, [], seed),
        "lingshu, cell types stated in training": lambda cells, seed: lingshu(case, ["cell_type"], seed),
    }


def pca(cells: anndata.AnnData, held: npt.NDArray[np.bool_], seed: int) -> Matrix:
    """Return 50 principal components of log1p counts per 10k of 2,000 variable genes; fitted on training cells."""
    counts = sp.csr_matrix(cells.X).astype(float)
    scaled = (sp.diags(1e4 / np.asarray(counts.sum(axis=1)).ravel()) @ counts).log1p().tocsr()
    training = scaled[~held]
    mean = np.asarray(training.mean(axis=0)).ravel()
    variance = np.asarray(training.multiply(training).mean(axis=0)).ravel() - mean**2
    variable = np.argsort(-variance, kind="stable")[:VARIABLE_GENES]
    fitted = PCA(COMPONENTS, random_state=seed).fit(training[:, variable].toarray())
    return fitted.transform(scaled[:, variable].toarray())


def scvi(case: Case, seed: int) -> Matrix | None:
    """Return scVI's latent means (its defaults, 2,000 variable genes); None where scVI isn't there."""
    if not SCVI:
        return None
    latent = case.folder / f"scvi-{seed}.npy"
    script = str(Path(__file__).with_name("scvi_cells.py"))
    options = {
        "--train": case.folder / "train.h5ad",
        "--genes": VARIABLE_GENES,
        "--epochs": EPOCHS,
        "--seed": seed,
        "--embed": DATA / case.file,
        "--latent": latent,
    }
    words = [str(word) for pair in options.items() for word in pair]
    subprocess.run([SCVI, script, *words], check=True, stdout=sys.stderr)
    return np.load(latent)


def lingshu(case: Case, context: list[str], seed: int) -> Matrix:
    """Train `direct` on the training donors and represent all cells."""
    folder = case.folder / f"{'-'.join(context) or 'unlabelled'}-{seed}"
    spec = TrainSpec.model_validate(
        {
            "kind": "train",
            "name": "embedding",
            "data": {
                "path": str(case.folder / "train.h5ad"),
                "columns": {"perturbation": case.perturbation, "cell_type": "cell_type"},
                "context": context,
            },
            "training": {"epochs": 16, "balance": 0.0},
            "output": str(folder / "model"),
        }
    )
    train_spec(spec, training_config(spec, {"seed": seed}))
    output = str(folder / "cells.h5ad")
    embed(EmbeddingRequest(str(DATA / case.file), spec.output, output))
    return np.asarray(anndata.read_h5ad(output).obsm[KEY], dtype=float)


def scores(found: Matrix, obs: pd.DataFrame, held: npt.NDArray[np.bool_]) -> list[float]:
    """Return accuracy, macro F1, ARI, NMI of the held-out cells, and the silhouette by donor of all."""
    types = obs["cell_type"].astype(str).to_numpy()
    training = pd.Series(types[~held]).value_counts()
    counted = np.isin(types, training.index[training >= FEWEST])
    learn, test = ~held & counted, held & counted
    predicted = KNeighborsClassifier(NEIGHBOURS).fit(found[learn], types[learn]).predict(found[test])
    present = sorted(set(types[test]))
    clusters = KMeans(len(present), n_init=10, random_state=0).fit_predict(found[test])
    return [
        float(accuracy_score(types[test], predicted)),
        float(f1_score(types[test], predicted, labels=present, average="macro")),
        float(adjusted_rand_score(types[test], clusters)),
        float(normalized_mutual_info_score(types[test], clusters)),
        float(silhouette_score(found, obs["donor"].astype(str))),
    ]


if __name__ == "__main__":
    main(measure, __doc__ or "")
