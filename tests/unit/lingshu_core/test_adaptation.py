from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lingshu_core.adaptation import AdaptationConfig, ControlCells, adapt, with_values
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint
from lingshu_core.conditioning import Condition, index_conditions
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.depths import control_depths, pooled_depths
from lingshu_core.errors import UnusableCells
from lingshu_core.preparation import build_vocabulary, gene_statistics, training_set
from lingshu_core.training import Trainer, TrainingConfig

SHORT = AdaptationConfig(steps=60, batch_size=16, learning_rate=0.1)


def _trained(cells: Cells, config: DenoiserConfig) -> Checkpoint:
    words = build_vocabulary(cells)
    sizes = tuple(len(values) for values in words.factors.values())
    denoiser = Denoiser(config, sizes, len(words.parts), gene_statistics(cells, words, config))
    data = training_set(cells, words, denoiser.gene_order)
    best = Trainer(
        denoiser, data, None, TrainingConfig(epochs=12, batch_size=16, warmup_steps=5, learning_rate=2e-3)
    ).run()
    return Checkpoint(words, control_depths(cells, words), {}, "digest", denoiser=best)


@pytest.fixture(scope="module")
def known(cells: Cells) -> Checkpoint:
    """A model that never saw T cells."""
    here = cells.select(np.asarray(cells.obs["cell_type"] == "B cells"))
    return _trained(here, DenoiserConfig(condition_rank=6, pooled_width=5, depth_knots=4))


def _controls(cells: Cells, keep: np.ndarray) -> ControlCells:
    found = cells.select(keep & cells.is_control)
    contexts = tuple({role: str(row[role]) for role in cells.context_roles} for row in found.obs.to_dict("records"))
    return ControlCells(found.counts, np.ones(len(cells.genes), dtype=bool), contexts, found.depth)


@pytest.fixture
def controls(cells: Cells) -> ControlCells:
    return _controls(cells, np.asarray(cells.obs["cell_type"] == "T cells"))


def test_a_new_context_is_learned_from_its_controls(known: Checkpoint, controls: ControlCells) -> None:
    learned = adapt(known, controls, SHORT)
    assert learned.loss_after < learned.loss_before - 0.01
    assert learned.new_values == {"cell_type": ("T cells",), "donor": ()}
    assert learned.vocabulary.factors["cell_type"] == ("B cells", "T cells")
    new = learned.vocabulary.contexts[len(known.vocabulary.contexts) :]
    assert [(context.factors["donor"], context.adapted) for context in new] == [("D1", True), ("D2", True)]
    depths = pooled_depths(learned.vocabulary, learned.control_depths, {"cell_type": "T cells", "donor": "D1"})
    assert len(depths) == new[0].control_cells


def test_nothing_but_the_new_values_changes(known: Checkpoint, controls: ControlCells) -> None:
    before = {name: value.clone() for name, value in known.denoiser.state_dict().items()}
    learned = adapt(known, controls, SHORT).denoiser.state_dict()
    for name, value in known.denoiser.state_dict().items():
        assert torch.equal(value, before[name])  # the model that was given stays as it is
        assert torch.equal(learned[name][: len(value)] if value.dim() else learned[name], value)
    grown = [name for name, value in learned.items() if value.shape != before[name].shape]
    assert grown == ["conditions.factors.0.weight"]


def test_what_was_known_is_predicted_as_before(known: Checkpoint, controls: ControlCells) -> None:
    learned = adapt(known, controls, SHORT)
    tokens = torch.zeros(2, known.denoiser.genes, dtype=torch.long)
    condition = [Condition({"cell_type": "B cells", "donor": "D1"}, (("JAK2", None),))] * 2
    thetas = [
        model.features(tokens, index_conditions(words, condition, np.array([300.0, 900.0]))).theta
        for model, words in ((known.denoiser, known.vocabulary), (learned.denoiser, learned.vocabulary))
    ]
    assert torch.equal(*thetas)


def test_new_values_start_at_the_mean_of_the_seen_ones(known: Checkpoint) -> None:
    wider = with_values(known.denoiser, {"cell_type": 0, "donor": 2}, ("cell_type", "donor"))
    table = wider.conditions.factor_tables[1].weight
    assert table.shape[0] == 5
    assert torch.allclose(table[3], table[1:3].mean(dim=0))
    assert torch.equal(table[3], table[4])
    assert torch.equal(table[0], torch.zeros_like(table[0]))


def test_genes_that_were_not_measured_do_not_count(known: Checkpoint, controls: ControlCells) -> None:
    present = controls.present.copy()
    present[::2] = False
    counts = controls.counts.toarray()
    counts[:, ~present] = 7  # never to be looked at
    spoiled = replace(controls, present=present, counts=type(controls.counts)(counts))
    clean = replace(controls, present=present)
    found = [adapt(known, each, SHORT).denoiser.conditions.factor_tables[0].weight for each in (spoiled, clean)]
    assert torch.equal(*found)


def test_the_same_request_gives_the_same_numbers(known: Checkpoint, controls: ControlCells) -> None:
    first, second = adapt(known, controls, SHORT), adapt(known, controls, SHORT)
    assert first.loss_after == second.loss_after


def test_contexts_that_are_known_or_hardly_there_are_refused(known: Checkpoint, cells: Cells) -> None:
    seen = _controls(cells, np.asarray(cells.obs["cell_type"] == "B cells"))
    with pytest.raises(UnusableCells, match="was trained on 12 control cells of B cells, D1; leave them out"):
        adapt(known, seen, SHORT)
    few = np.asarray(cells.obs["cell_type"] == "T cells") & (np.arange(len(cells)) % 4 == 0)
    with pytest.raises(UnusableCells, match="T cells, D1 has 3 control cells, and at least 10 are needed"):
        adapt(known, _controls(cells, few), SHORT)
