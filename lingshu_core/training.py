"""Training: AdamW, cosine rate with warm-up, 1/t loss, power EMA, early stopping, exact resume.

Random numbers are drawn from (seed, epoch) and (seed, step) only, so a run that was interrupted and resumed
is the run that was not.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lingshu_core.conditioning import CONTROL_INDEX, UNSPECIFIED_INDEX, ConditionBatch, ConditionEncoder
from lingshu_core.denoiser import Denoiser
from lingshu_core.diffusion import draw_times, mask_tokens
from lingshu_core.errors import NoSuchDevice, OutOfMemory, TrainingError
from lingshu_core.exhaustion import MEMORY_ERRORS, device_words, is_out_of_memory, shortened
from lingshu_core.prefetch import prefetched
from lingshu_core.replicas import Alone, Replicas, current_replicas
from lingshu_core.tokens import MASK
from lingshu_core.training_data import TrainingData

TRAINING_VERSION = 2
"""Part of every training's identity: raised whenever the same request would give other weights, so that no training is
resumed, and no evaluation of one reused, across such a change."""
IDENTITIES = "conditions.perturbation.weight"
FEW_CELLS = 100
"""A perturbation with so many training cells or fewer has the whole decay of identities, one with more its share."""
"""The identities of the perturbations in the direct paths."""
SAVE_SECONDS = 300.0
"""An epoch that is longer than this is saved in between, so that an interruption costs minutes at most."""
BATCH_SIZE = "training.batch_size"
"""The setting to lower where a batch doesn't fit into memory."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Parameters
    ----------
    epochs
        Passes over the training cells at most; the learning rate falls over all of them.
    minutes
        Stop after this time, whatever was reached; None: no limit.
    batch_size, learning_rate, weight_decay, warmup_steps
        As in AdamW with betas (.9, .95), gradients clipped at norm 1.
    direct_rate
        Factor on the learning rate of tilt, bias, pooled path and condition embeddings.
    balance
        Cells of a condition with n cells are drawn with weight n^−balance: 0 takes cells as they come, 1 gives
        every condition the same say. Large conditions would otherwise decide what a perturbation does.
    few_visible
        Share of the cells that are masked down to a few visible genes (:func:`lingshu_core.diffusion.draw_times`);
        0 is the published t ~ U(0, 1).
    identity_decay
        Weight decay of the perturbations' identities in the direct paths, for a perturbation of ``FEW_CELLS`` training
        cells or fewer; with n cells it is ``FEW_CELLS`` / n of it. What few cells don't say again and again has to go
        to nothing; where many speak, as much decay would take weak effects away that are there.
    factor_dropout
        Probability that a context factor of a control cell is replaced by "unspecified", so that a campaign may leave
        a factor out. Perturbed cells keep theirs: where a perturbation was measured in one context only, it would
        tell the context, and its identity would learn the context's cells. The perturbation is never dropped.
    identity_dropout
        Probability that the identities of a training cell's perturbations are dropped where there are features
        of them, so that features alone can describe perturbations that were never seen.
    validation_share
        Share of cells kept for validation; 0 switches early stopping off.
    patience
        Epochs without a better validation loss after which training stops.
    ema
        Relative width of the power-function EMA (arXiv 2312.02696, equation 127); published value .05.
    accumulate
        Parts that a batch is cut into, one after the other, before the weights move: less memory, same batch.
    activation_checkpointing
        Whether the transformer's blocks compute their activations anew on the way back: less memory, more time,
        same result.
    """

    epochs: int = 30
    minutes: float | None = None
    batch_size: int = 64
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_steps: int = 50
    direct_rate: float = 5.0
    balance: float = 0.5
    few_visible: float = 0.5
    identity_decay: float = 1.0
    factor_dropout: float = 0.1
    identity_dropout: float = 0.5
    validation_share: float = 0.1
    patience: int = 8
    ema: float = 0.05
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    accumulate: int = 1
    activation_checkpointing: bool = False


@dataclass(frozen=True)
class TrainingProgress:
    """Where training stands, as shown to the user. Losses are nats per gene."""

    step: int
    steps: int
    epoch: int
    loss: float
    validation_loss: float | None
    cells_per_second: float
    seconds_left: float


@dataclass
class TrainingState:
    """Everything that a resumed run needs beside weights and moments.

    ``epoch_loss`` is the sum of the losses of the ``epoch_steps`` steps of an epoch that is not closed yet.
    """

    step: int = 0
    best_loss: float = math.inf
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    finished: str = ""
    epoch_loss: float = 0.0
    epoch_steps: int = 0


def pick_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA where there is one.

    Raises
    ------
    NoSuchDevice
        If CUDA is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise NoSuchDevice(f"device {name!r} was asked for, but torch finds no CUDA device; use device: auto or cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise NoSuchDevice(f"there is no device {name!r}; use auto, cpu, cuda or cuda:N") from error


def power_ema_exponent(relative_width: float) -> float:
    """Solve for γ of the power-function EMA from its relative width (arXiv 2312.02696, equation 126)."""
    low, high = 0.0, 1e4
    for _ in range(200):
        middle = (low + high) / 2
        width = math.sqrt(middle + 1) / ((middle + 2) * math.sqrt(middle + 3))
        low, high = (middle, high) if width > relative_width else (low, middle)
    return low


class Trainer:
    """Trains a denoiser and keeps the averaged weights that did best on the validation cells.

    Parameters
    ----------
    denoiser
        The model; trained in place.
    training, validation
        Cells to learn from, and to stop by (may be empty).
    config
        How to train.
    replicas
        The processes that train together; by default those of torch's process group, if there is one. Each takes its
        share of every batch, and all of them take the same steps.

    Raises
    ------
    TrainingError
        If there is no such device, a batch has fewer cells than parts, or there is no transformer whose
        activations could be computed anew.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        training: TrainingData,
        validation: TrainingData | None,
        config: TrainingConfig,
        replicas: Replicas | None = None,
    ) -> None:
        self.config = config
        self.replicas = replicas or current_replicas()
        self.device = pick_device(config.device)
        self.denoiser = denoiser.to(self.device)
        self.averaged = copy.deepcopy(self.denoiser).eval()
        self.best = copy.deepcopy(self.averaged.state_dict())
        self.training, self.validation = training, validation
        self._check_parts()
        self._loss = self.replicas.wrap(MaskedLoss(self.denoiser))
        if config.activation_checkpointing:
            self._checkpoint_activations()
        self._started, self._base = 0.0, 0.0
        self.steps_per_epoch = max(1, len(training) // config.batch_size)
        self.steps = self.steps_per_epoch * config.epochs
        self.state = TrainingState()
        self.optimiser = torch.optim.AdamW(self._parameter_groups(), betas=(0.9, 0.95), fused=True)
        self._identity_decay = identity_decay(training.conditions.parts, self.denoiser.conditions, config)
        self._ema_exponent = power_ema_exponent(config.ema)

    def run(
        self,
        on_progress: Callable[[TrainingProgress], None] | None = None,
        on_epoch: Callable[[Trainer], None] | None = None,
    ) -> Denoiser:
        """Train until the epochs, the patience or the minutes are used up.

        Parameters
        ----------
        on_progress
            Called after every step.
        on_epoch
            Called when the state may be saved: at the end of every epoch, and in a long one every
            ``SAVE_SECONDS``.

        Returns
        -------
        The averaged model with the lowest validation loss (the last one without validation).
        """
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        while not self.state.finished:
            self._epoch(on_progress, on_epoch)
            self._close_epoch()
            if on_epoch is not None:
                on_epoch(self)
        self.averaged.load_state_dict(self.best)
        return self.averaged

    def _check_parts(self) -> None:
        cells, parts = min(self.config.batch_size, len(self.training)), self.replicas.size * self.config.accumulate
        if cells < parts:
            raise TrainingError(
                f"a batch of {cells} cells can't be cut into {parts} parts ({self.replicas.size} workers, accumulate:"
                f" {self.config.accumulate}); raise training.batch_size, or lower training.workers or accumulate"
            )

    def _checkpoint_activations(self) -> None:
        if self.denoiser.backbone is None:
            raise TrainingError(
                "training.activation_checkpointing is for a transformer, and this configuration has none; leave it out"
            )
        self.denoiser.backbone.checkpointing = True

    def resume(self, state: TrainingState) -> None:
        """Go on from a state; a training that a time limit stopped is given the time anew."""
        self.state = state
        state.seconds = 0.0
        if state.finished.endswith("minutes"):
            state.finished = ""

    def _epoch(
        self,
        on_progress: Callable[[TrainingProgress], None] | None,
        on_epoch: Callable[[Trainer], None] | None,
    ) -> None:
        self._started = saved = time.monotonic()
        self._base = self.state.seconds
        self.denoiser.train()
        with closing(self._batches()) as batches:
            for seen, (rows, tokens) in enumerate(batches, start=1):
                self.state.epoch_loss += self._fitting_step(rows, tokens)
                self.state.epoch_steps += 1
                if on_progress is not None:
                    rate = seen * self.config.batch_size / max(self.state.seconds - self._base, 1e-9)
                    on_progress(self._progress(self.state.epoch_loss / self.state.epoch_steps, rate))
                if self._out_of_time():
                    break
                # Not after the last step: the end of the epoch is saved under the same step.
                if on_epoch is not None and self.state.step % self.steps_per_epoch and _is_due(saved):
                    on_epoch(self)
                    saved = time.monotonic()
        self.state.history.append({"loss": self.state.epoch_loss / max(self.state.epoch_steps, 1)})
        self.state.epoch_loss, self.state.epoch_steps = 0.0, 0

    def _batches(self) -> Generator[tuple[npt.NDArray[np.int64], Tensor], None, None]:
        """Yield what is left of the epoch: the rows of each batch, and the tokens of this replica's share."""
        epoch, done = divmod(self.state.step, self.steps_per_epoch)
        size = self.config.batch_size
        order = self.training.order(self.config.balance, [self.config.seed, epoch])
        batches = [order[i * size : (i + 1) * size] for i in range(done, self.steps_per_epoch)]
        tokens = self.training.token_batches([rows[share_of(len(rows), self.replicas)] for rows in batches])
        # One thread reads and encodes what comes next; who takes the steps never waits for more than that.
        with closing(tokens), closing(prefetched(lambda rows: (rows, next(tokens)), batches)) as ahead:
            yield from ahead

    def _fitting_step(self, rows: npt.NDArray[np.int64], tokens: Tensor) -> float:
        try:
            return self._step(rows, tokens)
        except MEMORY_ERRORS as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(self._too_large(error)) from error

    def _too_large(self, error: BaseException) -> str:
        config, backbone = self.config, self.denoiser.backbone
        ways = [f"training.accumulate: {2 * config.accumulate} (the same batch, in more parts)", "fewer cells a step"]
        if backbone is not None and not backbone.checkpointing:
            ways.append("training.activation_checkpointing: true")
        parts = self.replicas.size * config.accumulate
        at_a_time = f"{config.batch_size:,} cells a step" + (f", in {parts} parts," if parts > 1 else "")
        return (
            f"{BATCH_SIZE}: {at_a_time} don't fit into the memory of the {device_words(self.device.type)}"
            f" ({shortened(error)}); try {', or '.join(ways)}"
        )

    def _step(self, rows: npt.NDArray[np.int64], tokens: Tensor) -> float:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.state.step)
        batch = self.training.conditions[torch.from_numpy(rows)]
        batch = drop_factors(batch, self.config.factor_dropout, generator)
        if self.denoiser.neighbours is not None:
            unnamed, share = self.denoiser.conditions.unnamed, self.config.identity_dropout
            borrowing = self.denoiser.neighbours.has_others(batch.rows.to(self.device)).cpu()
            batch = drop_identities(batch, share, unnamed, borrowing, generator)
        if self.denoiser.pooled is not None and self.denoiser.pooled.fed_back:
            # One answer for the whole batch, whoever computes its parts.
            self.denoiser.pooled.twice = bool(torch.rand((), generator=generator) < 0.5)
        # Dropout draws from torch's own generator: seeded by the step, a resumed run repeats it.
        torch.manual_seed((self.config.seed * 1_000_003 + self.state.step) ^ (self.replicas.rank << 40))
        self._set_rate()
        self.optimiser.zero_grad(set_to_none=True)
        own = self._backward(tokens, batch, generator)
        loss, self.state.seconds = self.replicas.agree(own, self._base + time.monotonic() - self._started, self.device)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {self.state.step}; lower training.learning_rate"
                f" (now {self.config.learning_rate:g})"
            )
        nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        self._decay_identities()
        self.optimiser.step()
        self.state.step += 1
        self._average()
        return loss

    def _backward(self, tokens: Tensor, batch: ConditionBatch, generator: torch.Generator) -> float:
        """Add up the gradients of this replica's share, a part after the other; returns its part of the loss."""
        cells = len(batch.parts)
        # All replicas draw the noise of the whole batch: their number changes who computes, not what.
        times = draw_times(cells, generator, tokens.shape[1], self.config.few_visible)
        share = share_of(cells, self.replicas)
        masked_tokens = mask_tokens(tokens, times, generator, share)
        times, batch = times[share], batch[share]
        parts = np.array_split(np.arange(len(tokens)), self.config.accumulate)
        total = 0.0
        for part in parts:
            here = slice(int(part[0]), int(part[-1]) + 1)
            weight = len(part) / cells
            with self.replicas.gathering(self._loss, last=part is parts[-1]):
                loss = self._loss(tokens[here], masked_tokens[here], times[here], batch[here], self.device)
                # Gradients are averaged over replicas: each one's sum has to count as often as there are replicas.
                (loss * (weight * self.replicas.size)).backward()
            total += loss.item() * weight
        return total

    def _set_rate(self) -> None:
        step, warmup = self.state.step, self.config.warmup_steps
        share = min(step / max(self.steps, 1), 1.0)
        rate = self.config.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / warmup) * group["factor"]

    def _decay_identities(self) -> None:
        """Decoupled weight decay, as AdamW has it, with a strength for each perturbation."""
        identities = self.denoiser.conditions.perturbation.weight
        for group in self.optimiser.param_groups:
            if any(parameter is identities for parameter in group["params"]):
                with torch.no_grad():
                    identities.mul_(1.0 - group["lr"] * self._identity_decay.to(identities.device))

    def _average(self) -> None:
        weight = (1.0 - 1.0 / self.state.step) ** (self._ema_exponent + 1.0)
        with torch.no_grad():
            for averaged, current in zip(self.averaged.parameters(), self.denoiser.parameters(), strict=True):
                averaged.lerp_(current, 1.0 - weight)

    def _close_epoch(self) -> None:
        epoch = self.state.step // self.steps_per_epoch
        if self.validation is None or not len(self.validation):
            self.best = copy.deepcopy(self.averaged.state_dict())
        else:
            loss = validation_loss(self.averaged, self.validation, self.device, self.replicas)
            self.state.history[-1]["validation_loss"] = loss
            if loss < self.state.best_loss:
                self.state.best_loss, self.state.best_epoch = loss, epoch
                self.best = copy.deepcopy(self.averaged.state_dict())
            elif epoch - self.state.best_epoch >= self.config.patience:
                self.state.finished = f"no better validation loss for {self.config.patience} epochs"
        if self.state.step >= self.steps:
            self.state.finished = f"{self.config.epochs} epochs"
        elif self._out_of_time():
            self.state.finished = f"{self.config.minutes:g} minutes"

    def _out_of_time(self) -> bool:
        return self.config.minutes is not None and self.state.seconds > 60 * self.config.minutes

    def _progress(self, loss: float, rate: float) -> TrainingProgress:
        left = (self.steps - self.state.step) * self.config.batch_size / max(rate, 1e-9)
        if self.config.minutes is not None:
            left = min(left, max(0.0, 60 * self.config.minutes - self.state.seconds))
        validation = self.state.history[-1].get("validation_loss") if self.state.history else None
        epoch = (self.state.step - 1) // self.steps_per_epoch
        return TrainingProgress(self.state.step, self.steps, epoch, loss, validation, rate, left)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        direct: list[tuple[str, nn.Parameter]] = []
        network: list[tuple[str, nn.Parameter]] = []
        for name, parameter in self.denoiser.named_parameters():
            if parameter.requires_grad:
                is_direct = name.split(".")[0] in ("bias", "tilt", "pooled", "conditions", "neighbours")
                (direct if is_direct else network).append((name, parameter))
        identities = [p for n, p in direct if n == IDENTITIES]
        direct = [(n, p) for n, p in direct if n != IDENTITIES]
        # Their decay is each perturbation's own (`_decay_identities`), which the optimiser has no notion of.
        groups = [{"params": identities, "weight_decay": 0.0, "factor": self.config.direct_rate}]
        for members, factor in ((direct, self.config.direct_rate), (network, 1.0)):
            decayed = [p for n, p in members if p.dim() >= 2 and not n.startswith("bias")]
            free = [p for n, p in members if p.dim() < 2 or n.startswith("bias")]
            groups.append({"params": decayed, "weight_decay": self.config.weight_decay, "factor": factor})
            groups.append({"params": free, "weight_decay": 0.0, "factor": factor})
        return [group for group in groups if group["params"]]


def _is_due(saved: float) -> bool:
    return time.monotonic() - saved >= SAVE_SECONDS


def identity_decay(parts: Tensor, conditions: ConditionEncoder, config: TrainingConfig) -> Tensor:
    """Return the weight decay of every perturbation's identity, (perturbations, 1).

    Parameters
    ----------
    parts
        Perturbations of the training cells, (cells, parts of a combination).
    """
    names = len(conditions.perturbation.weight)
    cells = torch.bincount(parts.reshape(-1), minlength=names)[:names].clamp_min(1)  # (cells · parts,) → (names,)
    return config.identity_decay * (FEW_CELLS / cells).clamp_max(1.0)[:, None]


def diffusion_loss(
    denoiser: Denoiser,
    tokens: Tensor,
    batch: ConditionBatch,
    generator: torch.Generator,
    device: torch.device,
    few_visible: float = 0.0,
) -> Tensor:
    """Mask cells at random and return the masked cross-entropy weighted by 1/t, nats per gene."""
    times = draw_times(len(tokens), generator, tokens.shape[1], few_visible)
    masked_tokens = mask_tokens(tokens, times, generator)
    loss: Tensor = MaskedLoss(denoiser)(tokens, masked_tokens, times, batch, device)
    return loss


class MaskedLoss(nn.Module):
    """The loss as a module of its own: what replicas wrap has to be called as one."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(
        self, tokens: Tensor, masked_tokens: Tensor, times: Tensor, batch: ConditionBatch, device: torch.device
    ) -> Tensor:
        """Return the cross-entropy of the masked places weighted by 1/t, nats per gene, mean over the cells."""
        masked_tokens = masked_tokens.to(device)
        tokens, weight = tokens.to(device), (1.0 / times).to(device)[:, None]
        batch = batch.to(device)
        total = torch.zeros((), device=device)
        for genes, loss in self.denoiser.losses(tokens, masked_tokens, batch):
            total = total + (loss * (masked_tokens[:, genes] == MASK) * weight).sum()
        return total / tokens.numel()


def share_of(cells: int, replicas: Replicas) -> slice:
    """Return which of the cells of a batch are this replica's: shares follow one another and differ by one at most."""
    start, stop = (cells * rank // replicas.size for rank in (replicas.rank, replicas.rank + 1))
    return slice(start, stop)


@torch.no_grad()
def validation_loss(
    denoiser: Denoiser,
    data: TrainingData,
    device: torch.device,
    replicas: Replicas | None = None,
    batch_size: int = 128,
) -> float:
    """Return the loss on cells with masks that are the same at every call, nats per gene.

    Replicas take a share of every batch each, and all of them get the same number.
    """
    denoiser.eval()
    replicas = replicas or Alone()
    generator = torch.Generator().manual_seed(20_260_325)
    batches = [np.arange(start, min(start + batch_size, len(data))) for start in range(0, len(data), batch_size)]
    shares = [share_of(len(rows), replicas) for rows in batches]
    loss, total = MaskedLoss(denoiser), 0.0
    token_batches = data.token_batches([rows[share] for rows, share in zip(batches, shares, strict=True)])
    for rows, share, tokens in zip(batches, shares, token_batches, strict=True):
        times = draw_times(len(rows), generator, tokens.shape[1])
        masked_tokens = mask_tokens(tokens, times, generator, share)
        if len(tokens):
            batch = data.conditions[torch.from_numpy(rows[share])]
            total += loss(tokens, masked_tokens, times[share], batch, device).item() * len(tokens)
    return replicas.total(total, device) / len(data)


def drop_factors(batch: ConditionBatch, probability: float, generator: torch.Generator) -> ConditionBatch:
    """Replace context factors of controls by "unspecified" at random; perturbed cells, and depths, stay as they are."""
    perturbed = (batch.parts != CONTROL_INDEX).any(dim=1, keepdim=True)
    kept = perturbed | (torch.rand(batch.factors.shape, generator=generator) >= probability)
    factors = torch.where(kept, batch.factors, UNSPECIFIED_INDEX)
    return replace(batch, factors=factors)


def drop_identities(
    batch: ConditionBatch, probability: float, unnamed: int, borrowing: Tensor, generator: torch.Generator
) -> ConditionBatch:
    """Replace described parts by "unnamed" at random, all parts of a cell at once: features have to do alone.

    Parts that have nobody to borrow from, not ``borrowing`` (cells, parts), keep their identity: nothing would be
    left of them, and treated cells would be taught as controls.
    """
    dropped = torch.rand((len(batch.parts), 1), generator=generator) < probability
    return replace(batch, parts=torch.where(dropped & borrowing, unnamed, batch.parts))


def split_validation(
    cells: int, share: float, seed: int, protected: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split positions of cells into training and validation, both sorted.

    ``protected`` cells, (cells,), are never held for validation: a perturbation with a handful of cells would
    otherwise be screened without having been learned.
    """
    order = np.random.default_rng([seed, 77]).permutation(cells)
    held = order[: round(cells * share)]
    if protected is not None:
        held = held[~protected[held]]
    return np.setdiff1d(np.arange(cells), held), np.sort(held)
