"""A small experiment as `.h5ad`, and small models on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata
import fsspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from lingshu_core.backbone import BackboneConfig
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.preparation import TrainingSet, build_vocabulary, gene_statistics, training_set
from lingshu_core.relations import Relations
from lingshu_core.split_builder import SplitRules, build_split
from lingshu_core.split_table import CellTable
from lingshu_core.splits import Question, Split
from lingshu_core.training import Trainer, TrainingConfig
from lingshu_core.vocabulary import Vocabulary

GENES = 23  # no multiple of the patch size
COLUMNS = {
    "perturbation": "treatment",
    "perturbation_type": "kind",
    "dose": "dose",
    "cell_type": "type",
    "donor": "donor",
}
TREATMENTS = (
    # label, type, dose, cells in each of the four contexts
    ("ctrl", "control", np.nan, 12),
    ("STAT1", "genetic", np.nan, 6),
    ("JAK2", "genetic", np.nan, 6),
    ("STAT1+JAK2", "genetic", np.nan, 4),
    ("ruxolitinib", "drug", 0.1, 2),
    ("ruxolitinib", "drug", 1.0, 2),
    ("ruxolitinib", "drug", 10.0, 2),
)
SMALL = DenoiserConfig(condition_rank=6, pooled_width=5, depth_knots=4)
SMALL_BACKBONE = DenoiserConfig(
    condition_rank=6,
    pooled_width=5,
    depth_knots=4,
    backbone=BackboneConfig(blocks=1, width=16, heads=2, feed_forward=24, patch_size=4),
)

MakeDenoiser = Callable[..., Denoiser]
KNOCKED_OUT = tuple(f"GENE{gene}" for gene in (3, 8, 13, 18, 23, 28))


@dataclass(frozen=True)
class Screened:
    """Cells of six knock-outs in two cell types, and questions in the first of them about cells held out there."""

    cells: Cells
    train: npt.NDArray[np.bool_]
    questions: tuple[Question, ...]


@pytest.fixture(scope="session")
def make_screened() -> Callable[..., Screened]:
    """`make_screened(seed=0, strength=1.0, cells=60, genes=40)`: a knock-out moves its target and eight genes."""
    return _screened


def _screened(seed: int = 0, strength: float = 1.0, cells: int = 60, genes: int = 40) -> Screened:
    rng = np.random.default_rng(seed)
    labels = np.repeat(["control", *KNOCKED_OUT], [3 * cells, *[cells] * len(KNOCKED_OUT)])
    obs = pd.DataFrame(
        [
            {"perturbation": str(label), "perturbation_type": kind, "dose": np.nan, "cell_type": cell_type}
            for cell_type in ("B", "T")
            for label in labels
            for kind in ["none" if label == "control" else "genetic"]
        ]
    )
    rates = np.tile(rng.permutation(np.geomspace(0.3, 30.0, genes)), (len(obs), 1))
    rates[obs["cell_type"] == "T", :4] *= 3.0
    for number, target in enumerate(KNOCKED_OUT):
        change = np.zeros(genes)
        change[int(target.removeprefix("GENE"))] = -2.0
        change[rng.choice(genes, 8, replace=False)] += rng.choice([-1.0, 1.0], 8) * (1 + 0.2 * number)
        rates[obs["perturbation"] == target] *= np.exp(strength * change)
    counts = rng.poisson(rates * rng.lognormal(sigma=0.2, size=(len(obs), 1)))
    made = Cells(
        counts=sp.csr_matrix(counts.astype(np.int32)),
        genes=tuple(f"GENE{gene}" for gene in range(genes)),
        obs=obs,
        depth=counts.sum(axis=1).astype(float),
        context_roles=("cell_type",),
        control="control",
        source="screened",
    )
    held = (obs["cell_type"] == "B").to_numpy() & (rng.random(len(obs)) < 0.5)
    questions = tuple(
        Question(
            f"{target} in B",
            {"cell_type": "B"},
            ((target, None),),
            held & (obs["perturbation"] == target).to_numpy(),
            held & made.is_control,
            target,
        )
        for target in KNOCKED_OUT
    )
    return Screened(made, ~held, questions)


@pytest.fixture(scope="session")
def screened() -> Screened:
    return _screened()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def untouched_table() -> anndata.AnnData:
    rng = np.random.default_rng(5)
    rows = [
        {"treatment": label, "kind": kind, "dose": dose, "type": cell_type, "donor": donor}
        for cell_type in ("B cells", "T cells")
        for donor in ("D1", "D2")
        for label, kind, dose, cells in TREATMENTS
        for _ in range(cells)
    ]
    obs = pd.DataFrame(rows, index=[f"cell{i}" for i in range(len(rows))])
    rate = rng.permutation(np.geomspace(0.05, 150.0, GENES))  # so that the inner order is another one
    rates = np.tile(rate, (len(obs), 1))
    rates[obs["type"] == "T cells", :6] *= 8.0
    rates[obs["treatment"].str.contains("STAT1"), 10:14] *= 0.2
    rates[obs["treatment"].str.contains("JAK2"), 12:16] *= 3.0
    rates *= rng.lognormal(sigma=0.3, size=(len(obs), 1))
    counts = rng.poisson(rates)
    obs["total"] = counts.sum(axis=1) + 100
    var = pd.DataFrame(index=[f"GENE{i}" for i in range(GENES)])
    return anndata.AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


@pytest.fixture
def table(untouched_table: anndata.AnnData) -> anndata.AnnData:
    """The experiment, to be spoiled."""
    return untouched_table.copy()


@pytest.fixture
def source_of(tmp_path: Path) -> Callable[..., CellSource]:
    """Write a table and say how to read it; `source_of(table, **fields of CellSource)`."""

    def write(table: anndata.AnnData, **fields: object) -> CellSource:
        path = str(tmp_path / "cells.h5ad")
        table.write_h5ad(path)
        return CellSource(**{"path": path, "columns": COLUMNS, "control": "ctrl", **fields})

    return write


@pytest.fixture(scope="session")
def cells(untouched_table: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    path = str(tmp_path_factory.mktemp("cells") / "cells.h5ad")
    untouched_table.copy().write_h5ad(path)
    return read_cells(CellSource(path, COLUMNS, control="ctrl"))


@pytest.fixture(scope="session")
def vocabulary(cells: Cells) -> Vocabulary:
    return build_vocabulary(cells)


@pytest.fixture(scope="session")
def make_denoiser(cells: Cells, vocabulary: Vocabulary) -> MakeDenoiser:
    """A fresh model of the experiment: `make_denoiser(config, seed=0, noise=0.0)`.

    `noise` is added to every trainable weight but those that have to be zero, so that all paths speak.
    """

    def make(config: DenoiserConfig = SMALL, seed: int = 0, noise: float = 0.0) -> Denoiser:
        sizes = tuple(len(values) for values in vocabulary.factors.values())
        statistics = gene_statistics(cells, vocabulary, config)
        denoiser = Denoiser(config, sizes, len(vocabulary.parts), statistics, seed=seed)
        return _with_noise(denoiser, noise, seed).eval()

    return make


def _with_noise(denoiser: Denoiser, noise: float, seed: int) -> Denoiser:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=noise)
        for module in denoiser.modules():
            if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
    return denoiser


@pytest.fixture(scope="session")
def small_config() -> DenoiserConfig:
    return SMALL


@pytest.fixture(scope="session")
def backbone_config() -> DenoiserConfig:
    return SMALL_BACKBONE


@pytest.fixture(scope="session")
def learning_set(cells: Cells, vocabulary: Vocabulary, make_denoiser: MakeDenoiser) -> TrainingSet:
    return training_set(cells, vocabulary, make_denoiser().gene_order)


@pytest.fixture(scope="session")
def quick_training() -> TrainingConfig:
    return TrainingConfig(epochs=4, batch_size=16, learning_rate=3e-3, warmup_steps=5, validation_share=0.0)


@pytest.fixture(scope="session")
def trained(make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig) -> Denoiser:
    """A model that has seen a few dozen batches; not to be changed."""
    return Trainer(make_denoiser(), learning_set, None, quick_training).run()


@pytest.fixture
def memory_url() -> Iterator[str]:
    """A folder in fsspec's memory file system, emptied afterwards."""
    yield "memory://lingshu-tests"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/lingshu-tests"):
        filesystem.rm("/lingshu-tests", recursive=True)


SPLIT_LABELS = ("STAT1", "STAT2", "JAK2", "IRF1", "IRF1 (CRISPRa)", "JAK2+STAT1", "IRF1+JAK2", "MYC+STAT2", "A1CF+MYC")


@pytest.fixture(scope="session")
def split_labels() -> tuple[str, ...]:
    """The perturbations of `make_table`."""
    return SPLIT_LABELS


@pytest.fixture(scope="session")
def make_table() -> Callable[..., CellTable]:
    """Labels of an experiment whose conditions are of any size, or of about one: `make_table(seed, 300, even=False)`.

    Three cell types, two donors and some cells of no known donor, two batches, three guides a perturbation; JAK2 is at
    two doses.
    """

    def make(seed: int, cells: int = 300, *, even: bool = False) -> CellTable:
        random = np.random.default_rng(seed)
        weights = random.dirichlet(np.full(len(SPLIT_LABELS), 1e6 if even else 1.0))
        labels = np.where(random.random(cells) < 0.35, "control", random.choice(SPLIT_LABELS, size=cells, p=weights))
        guides = random.integers(1, 4, cells)
        obs = pd.DataFrame(
            {
                "perturbation": labels,
                "perturbation_type": np.where(labels == "control", "none", "genetic"),
                "cell_type": random.choice(["T", "B", "NK"], size=cells),
                "donor": random.choice(["d1", "d2", "ambiguous"], size=cells, p=[0.5, 0.4, 0.1]),
                "batch": random.choice(["b1", "b2"], size=cells),
                "guide": [f"{label}-g{guide}" for label, guide in zip(labels, guides, strict=True)],
                "dose": np.where(labels == "JAK2", random.choice([0.1, 1.0], size=cells), np.nan),
            }
        )
        names = random.permutation([f"cell{i:04d}" for i in range(cells)]).astype(np.str_)
        return CellTable(names, obs, ("cell_type", "donor"), "control", "made.h5ad")

    return make


@pytest.fixture
def split_experiment(make_table: Callable[..., CellTable]) -> CellTable:
    """Labels of an experiment whose conditions are all of about one size."""
    return make_table(1, 1_800, even=True)


@pytest.fixture
def build_one(split_experiment: CellTable) -> Callable[..., Split]:
    """Split that experiment: `build_one("combination", minimum_cells=5, relations=None, factor="donor", …)`."""

    def make(kind: str, minimum_cells: int = 5, relations: Relations | None = None, **options: object) -> Split:
        rules = {key: options.pop(key) for key in ("pool", "controls", "calibration", "seed") if key in options}
        return build_split(split_experiment, kind, SplitRules(minimum_cells=minimum_cells, **rules), options, relations)

    return make
