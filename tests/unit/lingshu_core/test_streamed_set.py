from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch

from lingshu_core import training
from lingshu_core.cell_store import StoredCells, open_store
from lingshu_core.cells import CellSource
from lingshu_core.denoiser import Denoiser
from lingshu_core.preparation import TrainingSet
from lingshu_core.resume import load_state, save_state
from lingshu_core.streamed_set import StreamedSet, streamed_set
from lingshu_core.training import Trainer, TrainingConfig, validation_loss
from lingshu_core.vocabulary import Vocabulary


@pytest.fixture
def stored(table: anndata.AnnData, source_of: Callable[..., CellSource], tmp_path: Path) -> StoredCells:
    source, half = source_of(table), table.n_obs // 2 + 3
    paths = [str(tmp_path / name) for name in ("one.h5ad", "two.h5ad")]
    table[:half].copy().write_h5ad(paths[0])
    table[half:].copy().write_h5ad(paths[1])
    return open_store([replace(source, path=path) for path in paths])[0]


@pytest.fixture
def streamed(stored: StoredCells, vocabulary: Vocabulary, make_denoiser: Callable[..., Denoiser]) -> StreamedSet:
    return replace(streamed_set(stored, vocabulary, make_denoiser().gene_order), block_cells=10, mixed_blocks=3)


def test_batches_from_disk_are_those_from_memory(streamed: StreamedSet, learning_set: TrainingSet) -> None:
    assert np.array_equal(streamed.condition_cells, learning_set.condition_cells)
    for name, expected in vars(learning_set.conditions).items():
        assert torch.equal(getattr(streamed.conditions, name).nan_to_num(), expected.nan_to_num()), name
    order = streamed.order(0.5, [1, 2])
    batches = [order[start : start + 16] for start in range(0, len(order), 16)]
    for found, expected in zip(streamed.token_batches(batches), learning_set.token_batches(batches), strict=True):
        assert torch.equal(found, expected)
    kept = np.arange(3, len(learning_set), 4)
    positions = np.array([5, 0, 11, 5])
    assert torch.equal(streamed.select(kept).batch(positions)[0], learning_set.select(kept).batch(positions)[0])


def test_a_block_is_read_once_a_window_and_let_go(streamed: StreamedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = StoredCells.read

    def count(self: StoredCells, start: int, stop: int) -> object:
        read.append(start)
        return real(self, start, stop)

    monkeypatch.setattr(StoredCells, "read", count)
    order = streamed.order(0.0, [0, 0])
    list(streamed.token_batches([order[start : start + 8] for start in range(0, len(order), 8)]))
    assert len(read) == len(set(read)) == len(set(streamed._blocks().tolist()))


def test_validation_is_the_same_from_disk(
    streamed: StreamedSet, learning_set: TrainingSet, make_denoiser: Callable[..., Denoiser]
) -> None:
    cpu = torch.device("cpu")
    assert validation_loss(make_denoiser(), streamed, cpu) == validation_loss(make_denoiser(), learning_set, cpu)


class Interruption(Exception):
    """The machine goes away."""


def test_a_training_from_disk_resumes_in_mid_epoch(
    streamed: StreamedSet,
    make_denoiser: Callable[..., Denoiser],
    quick_training: TrainingConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def new() -> Trainer:
        return Trainer(make_denoiser(), streamed, None, replace(quick_training, epochs=2))

    calm = new()
    calm.run()
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)

    def save(running: Trainer) -> None:
        save_state(str(tmp_path), "this", running)
        if running.state.step == 3:
            raise Interruption

    with pytest.raises(Interruption):
        new().run(on_epoch=save)
    resumed = new()
    assert load_state(str(tmp_path), "this", resumed) == 3 < resumed.steps_per_epoch
    resumed.run()
    expected = calm.averaged.state_dict()
    assert resumed.state.history == calm.state.history
    assert all(torch.equal(value, expected[name]) for name, value in resumed.averaged.state_dict().items())
