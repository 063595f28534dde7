"""Two gloo processes take the steps that one process takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest
import torch

from lingshu_core.backbone import BackboneConfig
from lingshu_core.cells import Cells
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.errors import TrainingError
from lingshu_core.preparation import TrainingSet
from lingshu_core.replicas import Alone, ProcessGroup
from lingshu_core.training import Trainer, TrainingConfig, share_of

DIRECT = DenoiserConfig(condition_rank=6, pooled_width=5, depth_knots=4, dropout=0.0)
BACKBONE = BackboneConfig(blocks=1, width=16, heads=2, feed_forward=24, patch_size=4)
SETTINGS = {"epochs": 2, "batch_size": 15, "learning_rate": 3e-3, "warmup_steps": 5, "threads": 1}
CASES = {
    "direct": (DIRECT, {}),
    "accumulated": (DIRECT, {"accumulate": 3}),
    # Without a depth token an embedding has no part in the loss: its gradients are missing in both.
    "backbone": (replace(DIRECT, backbone=BACKBONE, depth_token=False), {"activation_checkpointing": True}),
}

WORKER = """
import json, sys
import torch, torch.distributed as dist
from lingshu_core.cells import CellSource, read_cells
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.preparation import build_vocabulary, gene_statistics, training_set
from lingshu_core.training import Trainer, TrainingConfig

task = json.loads(sys.argv[1])
dist.init_process_group("gloo", init_method=task["meet"], rank=task["rank"], world_size=2)
cells = read_cells(CellSource(task["path"], task["columns"], control="ctrl"))
vocabulary = build_vocabulary(cells)
histories = {}
for name, (shape, settings) in task["cases"].items():
    config = DenoiserConfig.from_json(shape)
    sizes = tuple(len(values) for values in vocabulary.factors.values())
    model = Denoiser(config, sizes, len(vocabulary.parts), gene_statistics(cells, vocabulary, config))
    data = training_set(cells, vocabulary, model.gene_order)
    every = torch.arange(len(data)).numpy()
    trainer = Trainer(model, data, data.select(every[::9]), TrainingConfig(**settings))
    trainer.run()
    histories[name] = trainer.state.history
print(json.dumps(histories))
"""


def test_two_replicas_lose_as_one_process_does(
    cells: Cells,
    learning_set: TrainingSet,
    make_denoiser: Callable[..., Denoiser],
    start_python: Callable[..., Popen[str]],
    tmp_path: Path,
) -> None:
    columns = {"perturbation": "treatment", "perturbation_type": "kind", "dose": "dose"}
    columns |= {"cell_type": "type", "donor": "donor"}
    cases = {name: [config.to_json(), SETTINGS | changes] for name, (config, changes) in CASES.items()}
    task = {"path": cells.source, "columns": columns, "cases": cases, "meet": f"file://{tmp_path}/meet"}
    workers = [start_python(WORKER, json.dumps(task | {"rank": rank})) for rank in (0, 1)]
    said = [worker.communicate(timeout=200) for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), said[0][1][-2000:] + said[1][1][-2000:]
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in said)
    assert first == second  # one loss, one decision
    every = torch.arange(len(learning_set)).numpy()
    for name, (config, _) in CASES.items():
        alone = Trainer(
            make_denoiser(config), learning_set, learning_set.select(every[::9]), TrainingConfig(**SETTINGS), Alone()
        )
        alone.run()
        for found, expected in zip(first[name], alone.state.history, strict=True):
            # The transformer rounds to bf16, and otherwise for other batch sizes.
            assert found == pytest.approx(expected, rel=2e-3 if name == "backbone" else 1e-5), name


def test_shares_cover_a_batch() -> None:
    for size in (1, 2, 3, 5):
        for count in (5, 15, 16):
            shares = []
            for rank in range(size):
                replica = Alone()
                replica.rank, replica.size = rank, size
                shares += list(range(count))[share_of(count, replica)]
            assert shares == list(range(count))


def test_parts_of_a_batch_change_nothing_but_the_memory(
    make_denoiser: Callable[..., Denoiser], learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    histories = []
    for parts in (1, 4):
        trainer = Trainer(make_denoiser(DIRECT), learning_set, None, replace(quick_training, accumulate=parts))
        trainer.run()
        histories.append([epoch["loss"] for epoch in trainer.state.history])
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)


def test_activations_computed_anew_give_the_same_weights(
    make_denoiser: Callable[..., Denoiser], learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    config = replace(DIRECT, backbone=BACKBONE)
    states = []
    for anew in (False, True):
        settings = replace(quick_training, epochs=1, activation_checkpointing=anew)
        states.append(Trainer(make_denoiser(config), learning_set, None, settings).run().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_settings_that_do_not_fit_are_refused(
    make_denoiser: Callable[..., Denoiser], learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    with pytest.raises(TrainingError, match="a batch of 16 cells can't be cut into 17 parts"):
        Trainer(make_denoiser(), learning_set, None, replace(quick_training, accumulate=17))
    with pytest.raises(TrainingError, match="activation_checkpointing is for a transformer"):
        Trainer(make_denoiser(), learning_set, None, replace(quick_training, activation_checkpointing=True))


def test_a_process_group_is_found_where_there_is_one(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        group = ProcessGroup()
        assert (group.rank, group.size) == (0, 1)
        assert group.agree(0.5, 3.0, torch.device("cpu")) == (0.5, 3.0)
    finally:
        torch.distributed.destroy_process_group()
