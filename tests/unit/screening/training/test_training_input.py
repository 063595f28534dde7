from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest

from campaigns.errors import SpecError
from campaigns.source import load_training
from lingshu_core.cell_store import StoredCells
from lingshu_core.errors import TrainingError, UnusableCells
from screening.training.training_input import BYTES_PER_VALUE
from screening.training.training_request import train_model
from screening.training.training_run import TrainingResult, training_cells

WriteTrain = Callable[..., Path]
QUICK = {"epochs": 2, "warmup_steps": 2, "learning_rate": 0.002, "device": "cpu"}
COLUMNS = {name: name for name in ("perturbation", "perturbation_type", "dose", "cell_type", "donor")}


@pytest.fixture
def several(tiny: Path, tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Write the cells as two files and give the `data` block that names them."""

    def write(**changes: object) -> dict[str, object]:
        table = anndata.read_h5ad(tiny / "cells.h5ad")
        for number, rows in enumerate(np.array_split(np.arange(table.n_obs), 2)):
            table[rows].copy().write_h5ad(tmp_path / f"part-{number}.h5ad")
        return {"path": str(tmp_path / "part-*.h5ad"), "columns": COLUMNS} | changes

    return write


def test_cells_on_disk_are_trained_on_as_those_in_memory(
    write_train: WriteTrain, several: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    hold_out = [{"cell_type": "type_1", "perturbation": "REG04"}]
    results: list[TrainingResult] = []
    for in_memory in (True, False):
        data = several(in_memory=in_memory)
        path = write_train(data=data, hold_out=hold_out, training=QUICK, output=str(tmp_path / str(in_memory)))
        results.append(train_model(path))
    memory, disk = results
    assert (memory.cells, memory.held_out) == (disk.cells, disk.held_out)
    assert disk.validation_loss == pytest.approx(memory.validation_loss, rel=0.02)  # another order of the cells
    cards = [json.loads((tmp_path / name / "model.json").read_text()) for name in ("True", "False")]
    assert cards[0]["data_digest"] == cards[1]["data_digest"]
    assert cards[0]["data"].count("part-") == 1
    for name in ("vocabulary.json", "controls.safetensors", "priors.json"):
        assert (tmp_path / "True" / name).read_bytes() == (tmp_path / "False" / name).read_bytes(), name
    assert not (tmp_path / "False" / "data_pass.npz").exists()


def test_auto_decides_by_what_the_counts_would_take(write_train: WriteTrain, tiny: Path) -> None:
    values = anndata.read_h5ad(tiny / "cells.h5ad").X.nnz
    for limit, stored in ((values * BYTES_PER_VALUE * 0.9e-9, True), (values * BYTES_PER_VALUE * 1.1e-9, False)):
        data = {"path": str(tiny / "cells.h5ad"), "columns": COLUMNS, "memory_gb": limit}
        cells, _ = training_cells(load_training(write_train(data=data)).spec)
        assert isinstance(cells, StoredCells) is stored


def test_an_interrupted_training_from_disk_goes_on(
    write_train: WriteTrain, several: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    def stop(progress: object) -> None:
        if progress.epoch == 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    path = write_train(data=several(in_memory=False), training=QUICK)
    calm = train_model(path, overrides={"output": str(tmp_path / "calm")})
    with pytest.raises(KeyboardInterrupt):
        train_model(path, stop)
    assert (tmp_path / "model" / "data_pass.npz").exists()
    resumed = train_model(path)
    assert resumed.resumed_at > 0
    assert resumed.validation_loss == calm.validation_loss


def test_holding_out_all_controls_is_refused_on_disk_too(
    write_train: WriteTrain, several: Callable[..., dict[str, object]]
) -> None:
    with pytest.raises(UnusableCells, match="hold_out leaves no control cells"):
        train_model(write_train(data=several(in_memory=False), hold_out=[{"perturbation": "control"}]))


@pytest.mark.parametrize(
    ("block", "fragment"),
    [
        ({"training": {"workers": 3, "accumulate": 4, "batch_size": 8}}, r"training\.batch_size: a batch of 8 cells"),
        ({"training": {"workers": 2, "device": "cuda:1"}}, r"training\.device: cuda:1 is one device"),
        ({"data": {"path": [], "columns": COLUMNS}}, r"data\.path"),
        ({"data": {"path": ["a.h5ad", "a.h5ad"], "columns": COLUMNS}}, r"data\.path.* 'a\.h5ad' is listed twice"),
        ({"data": {"path": "a.h5ad", "columns": COLUMNS, "genes": "union"}}, r"data\.genes"),
        ({"data": {"path": "a.h5ad", "columns": COLUMNS, "in_memory": "no"}}, r"data\.in_memory"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_place(
    write_train: WriteTrain, block: dict[str, object], fragment: str
) -> None:
    with pytest.raises(SpecError, match=fragment):
        load_training(write_train(**block))


def test_workers_from_the_command_line_are_checked_as_the_files(write_train: WriteTrain) -> None:
    with pytest.raises(SpecError, match=r"command line \(--workers\).*a batch of 64 cells can't be cut into 65 parts"):
        train_model(write_train(training=QUICK), overrides={"workers": 65})


def test_a_transformer_is_needed_to_compute_its_activations_anew(write_train: WriteTrain) -> None:
    with pytest.raises(TrainingError, match="activation_checkpointing is for a transformer"):
        train_model(write_train(training=QUICK | {"activation_checkpointing": True}))
