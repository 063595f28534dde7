from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lingshu_core import training
from lingshu_core.conditioning import ConditionBatch
from lingshu_core.denoiser import Denoiser, DenoiserConfig, GeneStatistics
from lingshu_core.epoch_order import balanced_order
from lingshu_core.errors import TrainingError
from lingshu_core.preparation import TrainingSet
from lingshu_core.tokens import MASK
from lingshu_core.training import (
    MaskedLoss,
    Trainer,
    TrainingConfig,
    TrainingProgress,
    diffusion_loss,
    drop_factors,
    drop_identities,
    identity_decay,
    pick_device,
    power_ema_exponent,
    split_validation,
    validation_loss,
)

MakeDenoiser = Callable[..., Denoiser]
CPU = torch.device("cpu")


def _equal(first: Denoiser, second: Denoiser) -> bool:
    states = first.state_dict(), second.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _conditions(cells: int, perturbed: int = 0) -> ConditionBatch:
    parts = torch.full((cells, 1), perturbed)
    return ConditionBatch(
        torch.ones(cells, 2, dtype=torch.long),
        parts,
        torch.zeros_like(parts),
        torch.full((cells, 1), torch.nan),
        torch.full((cells,), 6.0),
    )


def _toy() -> Denoiser:
    """Four genes of eight tokens, and weights that make what is visible matter."""
    statistics = GeneStatistics(torch.full((4,), 8), torch.zeros(4, 281), torch.tensor([5.0, 7.0]), torch.ones(2))
    denoiser = Denoiser(DenoiserConfig(condition_rank=3, pooled_width=3), (1, 1), 1, statistics)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.7)
    return denoiser.eval()


def _enumerated_loss(denoiser: Denoiser, cell: Tensor, batch: ConditionBatch) -> float:
    """∫ Σ_M t^|M| (1−t)^(G−|M|) / t · CE(M) dt over all masks M; the integral is a Beta function."""
    genes, total = len(cell), 0.0
    for size in range(1, genes + 1):
        weight = math.factorial(size - 1) * math.factorial(genes - size) / math.factorial(genes)
        for hidden in combinations(range(genes), size):
            masked = cell.clone()
            masked[list(hidden)] = MASK
            for places, loss in denoiser.losses(cell[None], masked[None], batch):
                chosen = [gene - places.start for gene in hidden if places.start <= gene < places.stop]
                total += weight * loss[0, chosen].sum().item()
    return total / genes


@torch.no_grad()
def test_the_loss_is_unbiased() -> None:
    denoiser, cell = _toy(), torch.tensor([0, 3, 1, 7])
    expected = _enumerated_loss(denoiser, cell, _conditions(1, 1))
    generator = torch.Generator().manual_seed(0)
    batch = _conditions(2_000, 1)
    losses = torch.stack([diffusion_loss(denoiser, cell.repeat(2_000, 1), batch, generator, CPU) for _ in range(40)])
    error = losses.std() / math.sqrt(len(losses))
    assert error < 0.02 * expected
    assert abs(losses.mean() - expected) < 4 * error


def test_the_loss_counts_masked_genes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_times", lambda cells, *_: torch.full((cells,), 0.25))
    hidden = torch.tensor([[True, False, False, True], [False, False, False, False]])
    monkeypatch.setattr(training, "mask_tokens", lambda tokens, _times, _generator: torch.where(hidden, MASK, tokens))
    denoiser, tokens, batch = _toy().requires_grad_(False), torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]]), _conditions(2)
    found = diffusion_loss(denoiser, tokens, batch, torch.Generator(), CPU)
    ((_, losses),) = denoiser.losses(tokens, torch.where(hidden, MASK, tokens), batch)
    assert found.item() == pytest.approx(((losses[0, 0] + losses[0, 3]) / 0.25 / 8).item(), rel=1e-5)


def test_training_beats_the_marginals_it_starts_from(
    make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    untrained = validation_loss(make_denoiser(), learning_set, CPU)
    trainer = Trainer(make_denoiser(), learning_set, learning_set, replace(quick_training, epochs=8))
    trained = trainer.run()
    losses = [epoch["validation_loss"] for epoch in trainer.state.history]
    assert len(losses) == 8
    assert untrained > losses[0] > losses[-1]
    assert validation_loss(trained, learning_set, CPU) == min(losses) < 0.95 * untrained
    assert trainer.state.finished == "8 epochs"


def test_the_backbone_learns_too(
    make_denoiser: MakeDenoiser,
    backbone_config: DenoiserConfig,
    learning_set: TrainingSet,
    quick_training: TrainingConfig,
) -> None:
    start = make_denoiser(backbone_config)
    before = validation_loss(start, learning_set, CPU)
    trained = Trainer(start, learning_set, None, replace(quick_training, epochs=3)).run()
    assert trained.head is not None
    assert trained.head.weight.abs().max() > 0
    assert validation_loss(trained, learning_set, CPU) < before


def test_equal_seeds_train_equal_models(
    make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    short = replace(quick_training, epochs=2)
    first = Trainer(make_denoiser(), learning_set, None, short).run()
    torch.manual_seed(99)
    np.random.seed(99)
    assert _equal(Trainer(make_denoiser(), learning_set, None, short).run(), first)
    other = Trainer(make_denoiser(), learning_set, None, replace(short, seed=1)).run()
    assert not _equal(other, first)


def test_training_stops_when_patience_ends_and_returns_the_best(
    make_denoiser: MakeDenoiser,
    learning_set: TrainingSet,
    quick_training: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = iter([1.0, 0.9, 0.95, 0.9, 0.8, 0.7])
    monkeypatch.setattr(training, "validation_loss", lambda *_: next(planned))
    kept: list[dict[str, Tensor]] = []
    trainer = Trainer(make_denoiser(), learning_set, learning_set, replace(quick_training, epochs=9, patience=2))
    best = trainer.run(
        on_epoch=lambda running: kept.append({k: v.clone() for k, v in running.averaged.state_dict().items()})
    )
    assert trainer.state.finished == "no better validation loss for 2 epochs"
    assert [epoch["validation_loss"] for epoch in trainer.state.history] == [1.0, 0.9, 0.95, 0.9]
    assert (trainer.state.best_epoch, trainer.state.best_loss) == (2, 0.9)
    assert all(torch.equal(value, kept[1][name]) for name, value in best.state_dict().items())
    assert any(not torch.equal(value, kept[3][name]) for name, value in best.state_dict().items())


def test_training_stops_when_its_time_is_up(
    make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    trainer = Trainer(make_denoiser(), learning_set, None, replace(quick_training, minutes=1e-9))
    trainer.run()
    assert trainer.state.step == 1
    assert trainer.state.finished == "1e-09 minutes"


def test_progress_is_told_after_every_step(
    make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    told: list[TrainingProgress] = []
    rates: list[list[tuple[float, float]]] = []
    config = replace(quick_training, epochs=2)
    trainer = Trainer(make_denoiser(), learning_set, learning_set, config)

    def listen(progress: TrainingProgress) -> None:
        told.append(progress)
        rates.append([(group["lr"], group["factor"]) for group in trainer.optimiser.param_groups])

    trainer.run(listen)
    steps = len(learning_set) // 16
    assert [progress.step for progress in told] == list(range(1, 2 * steps + 1))
    assert [progress.epoch for progress in told] == [0] * steps + [1] * steps
    assert {progress.steps for progress in told} == {2 * steps}
    assert told[0].validation_loss is None
    assert all(progress.cells_per_second > 0 for progress in told)
    assert told[-1].seconds_left == 0
    for step, groups in enumerate(rates):
        cosine = 0.1 + 0.45 * (1 + math.cos(math.pi * step / (2 * steps)))
        expected = config.learning_rate * cosine * min(1.0, (step + 1) / config.warmup_steps)
        assert all(rate == pytest.approx(expected * factor) for rate, factor in groups)
        assert {factor for _, factor in groups} == {config.direct_rate}  # no backbone


def test_direct_paths_learn_faster_and_biases_do_not_decay(
    make_denoiser: MakeDenoiser, backbone_config: DenoiserConfig, learning_set: TrainingSet
) -> None:
    denoiser = make_denoiser(backbone_config)
    trainer = Trainer(denoiser, learning_set, None, TrainingConfig())
    settings = {
        id(parameter): (group["factor"], group["weight_decay"])
        for group in trainer.optimiser.param_groups
        for parameter in group["params"]
    }
    named = {name: settings[id(parameter)] for name, parameter in denoiser.named_parameters()}
    config = trainer.config
    assert named["tilt"] == named["pooled.weight"] == (config.direct_rate, config.weight_decay)
    assert named["conditions.perturbation.weight"] == (config.direct_rate, 0.0)  # each has a decay of its own
    assert named["bias.0"] == named["conditions.log_slope"] == (config.direct_rate, 0.0)
    assert named["head.weight"] == named["backbone.down.weight"] == (1.0, config.weight_decay)
    assert named["backbone.norm.weight"] == (1.0, 0.0)


def test_identities_decay_by_how_few_cells_speak_of_them(make_denoiser: MakeDenoiser) -> None:
    conditions = make_denoiser().conditions
    names = len(conditions.perturbation.weight)
    parts = torch.zeros((700, 2), dtype=torch.long)
    parts[:400, 0], parts[400:430, 0], parts[430:450, 1] = 1, 2, 2
    decay = identity_decay(parts, conditions, TrainingConfig(identity_decay=2.0))
    assert decay.shape == (names, 1)
    # 400 cells; 50 cells, counted in either place of a combination; none
    assert decay[1:4, 0].tolist() == [0.5, 2.0, 2.0]


def test_a_step_decays_identities_and_nothing_else_that_stands_still(
    make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    denoiser = make_denoiser(noise=0.3)
    before = denoiser.conditions.perturbation.weight.detach().clone()
    trainer = Trainer(denoiser, learning_set, None, replace(quick_training, identity_decay=10.0))
    trainer._set_rate()
    trainer._decay_identities()
    rate = quick_training.learning_rate * quick_training.direct_rate / quick_training.warmup_steps
    decay = identity_decay(learning_set.conditions.parts, denoiser.conditions, trainer.config)
    torch.testing.assert_close(denoiser.conditions.perturbation.weight.detach(), before * (1 - rate * decay))


def test_the_average_has_power_function_weights(
    make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    trainer = Trainer(make_denoiser(), learning_set, None, replace(quick_training, epochs=2))
    path: list[Tensor] = []
    trainer.run(lambda _: path.append(trainer.denoiser.tilt.detach().clone()))
    power = power_ema_exponent(0.05) + 1
    reached = (torch.arange(len(path) + 1, dtype=torch.float64) / len(path)) ** power
    expected = (torch.stack(path).double() * reached.diff()[:, None, None]).sum(dim=0)
    assert torch.allclose(trainer.averaged.tilt.double(), expected, atol=1e-6)
    assert not torch.allclose(path[-1].double(), expected, atol=1e-4)


@pytest.mark.parametrize(("width", "exponent"), [(0.05, 16.97), (0.10, 6.94)])
def test_exponents_are_the_published_ones(width: float, exponent: float) -> None:
    assert power_ema_exponent(width) == pytest.approx(exponent, abs=0.005)


def test_perturbed_cells_are_never_taken_for_controls(
    make_denoiser: MakeDenoiser,
    learning_set: TrainingSet,
    quick_training: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[npt.NDArray[np.int64]] = []
    shown: list[ConditionBatch] = []
    real_step, real_loss = Trainer._step, MaskedLoss.forward

    def step(self: Trainer, rows: npt.NDArray[np.int64], tokens: Tensor) -> float:
        taken.append(rows)
        return real_step(self, rows, tokens)

    def loss(self: MaskedLoss, *places: Any) -> Tensor:
        shown.append(places[3])
        return real_loss(self, *places)

    monkeypatch.setattr(Trainer, "_step", step)
    monkeypatch.setattr(MaskedLoss, "forward", loss)
    Trainer(make_denoiser(), learning_set, None, replace(quick_training, epochs=1, factor_dropout=0.9)).run()
    assert len(shown) == len(taken) > 3
    for rows, conditions in zip(taken, shown, strict=True):
        expected = learning_set.conditions[torch.from_numpy(rows)]
        assert torch.equal(conditions.parts, expected.parts)
        assert torch.equal(conditions.doses.nan_to_num(), expected.doses.nan_to_num())
        assert torch.equal(conditions.log_depth, expected.log_depth)
        assert not torch.equal(conditions.factors, expected.factors)


def test_factors_are_dropped_independently_at_the_given_rate() -> None:
    batch = _conditions(20_000)
    dropped = drop_factors(batch, 0.2, torch.Generator().manual_seed(0)).factors == 0
    assert dropped.float().mean(dim=0).tolist() == pytest.approx([0.2, 0.2], abs=0.01)
    assert dropped.all(dim=1).float().mean().item() == pytest.approx(0.04, abs=0.005)
    assert torch.equal(drop_factors(batch, 0.0, torch.Generator()).factors, batch.factors)
    assert drop_factors(batch, 1.0, torch.Generator()).factors.max() == 0


def test_half_of_the_batches_go_without_the_first_answer(
    make_denoiser: MakeDenoiser,
    learning_set: TrainingSet,
    quick_training: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[bool] = []
    real = MaskedLoss.forward

    def loss(self: MaskedLoss, *places: Any) -> Tensor:
        assert self.denoiser.pooled is not None
        heard.append(self.denoiser.pooled.twice)
        return real(self, *places)

    monkeypatch.setattr(MaskedLoss, "forward", loss)
    trainer = Trainer(make_denoiser(), learning_set, None, replace(quick_training, epochs=4, accumulate=2))
    trainer.run()
    assert heard[::2] == heard[1::2]  # both parts of a batch alike
    assert 0.2 < sum(heard) / len(heard) < 0.8
    assert trainer.averaged.pooled is not None
    assert trainer.averaged.pooled.twice


def test_perturbed_cells_keep_their_factors() -> None:
    both = _conditions(4)
    both.parts[2:] = 1
    assert drop_factors(both, 1.0, torch.Generator()).factors.tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(0, 10_000))
def test_without_balance_every_cell_comes_once(sizes: list[int], seed: int) -> None:
    order = balanced_order(np.array(sizes), 0.0, [seed, 0])
    assert np.array_equal(np.sort(order), np.arange(len(sizes)))


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_with_balance_every_cell_comes_as_often_as_its_weight_says(seed: int, balance: float) -> None:
    sizes = np.repeat([10, 90], [10, 90])
    weights = sizes.astype(float) ** -balance
    expected = weights / weights.sum() * 100
    drawn = np.bincount(balanced_order(sizes, balance, [seed, 1]), minlength=100)
    assert (np.abs(drawn - expected) < 1 + 1e-9).all()  # systematic: never off by a whole draw
    assert abs(drawn[:10].sum() - expected[:10].sum()) < 1 + 1e-9


def test_full_balance_gives_every_condition_the_same_say() -> None:
    sizes = np.repeat([10, 90], [10, 90])
    order = balanced_order(sizes, 1.0, [0, 0])
    assert (order < 10).sum() == pytest.approx(50, abs=1)
    assert not np.array_equal(order, balanced_order(sizes, 1.0, [0, 1]))
    assert np.array_equal(order, balanced_order(sizes, 1.0, [0, 0]))


@given(st.integers(1, 300), st.floats(0, 0.5), st.integers(0, 1_000))
def test_validation_cells_are_not_trained_on(cells: int, share: float, seed: int) -> None:
    training_rows, held = split_validation(cells, share, seed)
    assert np.array_equal(np.sort(np.concatenate([training_rows, held])), np.arange(cells))
    assert len(held) == round(cells * share)
    assert (np.diff(training_rows) > 0).all()


def test_the_validation_loss_is_the_same_at_every_call(trained: Denoiser, learning_set: TrainingSet) -> None:
    first = validation_loss(trained, learning_set, CPU)
    torch.manual_seed(5)
    assert validation_loss(trained, learning_set, CPU) == first
    assert validation_loss(trained, learning_set, CPU, batch_size=17) == pytest.approx(first, rel=0.25)


def test_fewer_cells_than_a_batch_make_one_batch(
    make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    few = learning_set.select(np.arange(5))
    trainer = Trainer(make_denoiser(), few, None, replace(quick_training, epochs=2))
    trainer.run()
    assert trainer.state.step == 2


def test_a_loss_that_is_no_number_stops_the_training_with_a_cure(
    make_denoiser: MakeDenoiser, learning_set: TrainingSet, quick_training: TrainingConfig
) -> None:
    denoiser = make_denoiser()
    with torch.no_grad():
        denoiser.bias[0].fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 0; lower training\.learning_rate \(now 0\.003\)"):
        Trainer(denoiser, learning_set, None, quick_training).run()


def test_a_cuda_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    assert pick_device("cpu") == CPU
    with pytest.raises(TrainingError, match="'cuda:1' was asked for, but torch finds no CUDA device; use device: auto"):
        pick_device("cuda:1")


def test_identities_are_dropped_where_there_are_features_all_of_a_cell_at_once() -> None:
    parts = torch.tensor([[1, 2]]).repeat(400, 1)
    batch = replace(_conditions(400), parts=parts, rows=torch.tensor([[5, 0]]).repeat(400, 1))
    dropped = drop_identities(batch, 0.3, 9, batch.rows > 0, torch.Generator().manual_seed(1))
    assert set(dropped.parts[:, 0].tolist()) == {1, 9}
    assert (dropped.parts[:, 1] == 2).all()  # nothing would be left of it
    assert 0.2 < (dropped.parts[:, 0] == 9).float().mean() < 0.4
    assert torch.equal(dropped.rows, batch.rows)


def test_a_device_of_no_known_kind_is_refused() -> None:
    with pytest.raises(TrainingError, match="there is no device 'gpu'; use auto, cpu, cuda or cuda:N"):
        pick_device("gpu")
