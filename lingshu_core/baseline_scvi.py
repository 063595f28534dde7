"""A conditional variational autoencoder as a baseline, trained by scvi-tools (Lopez et al. 2018, Nat Methods).

scVI is trained on the training cells' counts with the condition (perturbation and dose) as a covariate of its decoder.
A perturbation is predicted by the counterfactual of control cells of the context: their latent means are shifted by
what the perturbation shifts them on average over the contexts where it was measured (latent arithmetic, as in scGen;
Lotfollahi et al. 2019, Nat Methods), and decoded under the perturbation's label. Both are needed: how much of an effect
the encoder keeps in the latent space and how much the decoder has under the label is left to the training. What counts
is the difference from the same cells decoded as controls, so that what scVI gets wrong about controls falls out.

scvi-tools is needed to train, not to predict: the decoder is one hidden layer, and its weights are in the checkpoint.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
import torch
from scipy import stats

from lingshu_core.baseline_cells import ControlCells
from lingshu_core.baseline_effects import Context
from lingshu_core.baseline_rules import Additive
from lingshu_core.baseline_statistics import Array, Population, Rows, label_order
from lingshu_core.cells import Cells
from lingshu_core.errors import ConfigurationError
from lingshu_core.vocabulary import Vocabulary

REPRESENTATIVES = 32
"""Control cells of a context that are decoded, evenly over their depths."""
_GAMMA_NODES = 12
_MOST_COUNTED = 400
"""Poisson means are summed up to this count, and expanded to second order beyond half of it."""


@dataclass(frozen=True)
class ScviSettings:
    """How scVI is trained; None leaves a setting to scvi-tools.

    Its number of epochs falls with the cells: 400 up to 20,000 cells.
    """

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class ConditionalVae:
    """What is kept of a trained scVI.

    ``hidden_weights`` (hidden, latent + conditions) and ``hidden_bias`` (hidden,) with the batch norm in them;
    ``output_weights`` (genes, hidden) and ``output_bias`` (genes,); ``dispersion`` of the negative binomial, (genes,);
    ``latent`` means of the kept control cells, (kept, latent), and ``library`` sizes over the genes, (kept,);
    ``shifts`` of each condition, (conditions, latent), zero for condition 0, the control; ``labels`` (−1: control) and
    ``doses`` name the conditions, (conditions,).
    """

    hidden_weights: Array
    hidden_bias: Array
    output_weights: Array
    output_bias: Array
    dispersion: Array
    latent: Array
    library: Array
    shifts: Array
    labels: Rows
    doses: Array

    def rates(self, cells: Rows, condition: int) -> Array:
        """Decode control cells under a condition: expected counts, (cells, genes)."""
        dims = self.latent.shape[1]
        inner = (self.latent[cells] + self.shifts[condition]) @ self.hidden_weights[:, :dims].T
        inner = np.maximum(inner + self.hidden_weights[:, dims + condition] + self.hidden_bias, 0.0)
        logits = inner @ self.output_weights.T + self.output_bias
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(self.library[cells, None] * share / share.sum(axis=1, keepdims=True))

    def population(self, cells: Rows, depth: Array, condition: int) -> Population:
        """Return the expected moments of control cells decoded under a condition."""
        rates = self.rates(cells, condition)
        log1p, log1p_square = self._log1p_moments(rates, depth)
        count_square = rates + np.square(rates) * (1.0 + 1.0 / self.dispersion)
        moments = [log1p, log1p_square, rates.mean(axis=0), count_square.mean(axis=0)]
        return Population(np.stack(moments), float(depth.mean()), len(cells))

    def _log1p_moments(self, rates: Array, depth: Array) -> tuple[Array, Array]:
        """Return mean and mean square of log1p counts per 10k over cells, (genes,) each.

        A negative binomial count is Poisson with a gamma mean: quantiles of the gamma, and a table of the Poisson.
        """
        first, second = np.zeros(rates.shape[1]), np.zeros(rates.shape[1])
        for rate, cell_depth in zip(rates, depth, strict=True):
            means = rate[:, None] * self._gamma_nodes  # (genes, nodes)
            table = poisson_log1p(np.log(np.maximum(means, 1e-8)), 1e4 / cell_depth)
            first += table[0].mean(axis=1)
            second += table[1].mean(axis=1)
        return first / len(rates), second / len(rates)

    @cached_property
    def _gamma_nodes(self) -> Array:
        """Middle quantiles of each gene's gamma distribution of mean 1, (genes, nodes)."""
        levels = (np.arange(_GAMMA_NODES) + 0.5) / _GAMMA_NODES
        nodes = stats.gamma.ppf(levels[None, :], self.dispersion[:, None]) / self.dispersion[:, None]
        return np.asarray(nodes / nodes.mean(axis=1, keepdims=True))


_GRID = np.linspace(np.log(1e-8), np.log(_MOST_COUNTED / 2), 400)
_COUNTS = np.arange(_MOST_COUNTED + 1)
_POISSON = stats.poisson.pmf(_COUNTS[None, :], np.exp(_GRID)[:, None])  # (grid, counts)


def poisson_log1p(log_mean: Array, factor: float) -> tuple[Array, Array]:
    """Return the mean of log1p(factor · c) and of its square for Poisson counts c, of the shape of `log_mean`."""
    values = np.log1p(factor * _COUNTS)
    tables = _POISSON @ values, _POISSON @ np.square(values)
    small = [np.interp(log_mean, _GRID, table) for table in tables]
    mean = np.exp(log_mean)
    inside = 1.0 + factor * mean
    centre = np.log(inside) - np.square(factor) * mean / (2.0 * np.square(inside))
    large = centre, np.square(centre) + np.square(factor) * mean / np.square(inside)
    beyond = log_mean > _GRID[-1]
    first, second = (np.where(beyond, far, near) for near, far in zip(small, large, strict=True))
    return first, second


@dataclass(frozen=True)
class Decoded(Additive):
    """Effects as the decoder has them; sums of parts and unseen parts as in the additive rule."""

    vae: ConditionalVae | None = None
    controls: ControlCells | None = None
    _known: dict[frozenset[tuple[str, str]], tuple[Rows, Array]] = field(default_factory=dict, repr=False)

    def of_label(self, label: int, dose: float | None, context: Context) -> Array:
        """Return the decoded change of a label, between its doses linear in the logarithm."""
        if self.vae is None:
            raise ConfigurationError("scvi was not trained")
        rows = np.flatnonzero(self.vae.labels == label)
        doses = self.vae.doses[rows]
        positive = np.isfinite(doses) & (doses > 0)
        if dose is None or not positive.any():
            return np.asarray(np.mean([self._decoded(int(row), context) for row in rows], axis=0))
        rows, doses = rows[positive], doses[positive]
        order = np.argsort(doses)
        at = float(np.interp(np.log(dose), np.log(doses[order]), np.arange(len(rows))))
        low = int(at)
        lower = self._decoded(int(rows[order[low]]), context)
        if at == low:
            return lower
        return lower + (at - low) * (self._decoded(int(rows[order[low + 1]]), context) - lower)

    def _decoded(self, condition: int, context: Context) -> Array:
        if self.vae is None or self.controls is None:
            raise ConfigurationError("scvi was not trained")
        cells, control = self._representatives(self.vae, self.controls, context)
        return self.vae.population(cells, self.controls.depth[cells], condition).scaled() - control

    def _representatives(self, vae: ConditionalVae, controls: ControlCells, context: Context) -> tuple[Rows, Array]:
        """Return control cells of a context and their scaled moments when decoded as what they are."""
        key = frozenset(context.items())
        if key not in self._known:
            level = self.effects.level(context)
            spread = (np.arange(REPRESENTATIVES) + 0.5) / REPRESENTATIVES
            cells = controls.spread(level.members(level.find(context)), spread)
            self._known[key] = cells, vae.population(cells, controls.depth[cells], 0).scaled()
        return self._known[key]


def check_scvi() -> None:
    """Make sure that scvi-tools is there.

    Raises
    ------
    ConfigurationError
        Naming the extra.
    """
    try:
        import scvi  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"the baseline scvi needs scvi-tools ({error}): pip install 'lingshu-screen[scvi]', or choose another one"
        ) from error


def fit_scvi(cells: Cells, vocabulary: Vocabulary, controls: ControlCells, settings: ScviSettings) -> ConditionalVae:
    """Train scVI on cells and take from it what predictions need.

    Parameters
    ----------
    cells
        Training cells only; of cells on disk an even sample.
    vocabulary, controls
        Of the same cells.
    settings
        How to train.

    Raises
    ------
    ConfigurationError
        If scvi-tools isn't installed.
    """
    check_scvi()
    read = cells.counted()
    conditions = _conditions(read, vocabulary)
    names = [f"{label}@{dose!r}" for label, dose in conditions.named]
    table = _table(read.counts, [names[condition] for condition in conditions.of_cell])
    kept = _table(controls.counts, [names[0]] * len(controls.depth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scvi-tools and what it trains with, about themselves
        model, order = _train(table, settings)
        latent, kept_latent = model.get_latent_representation(table), model.get_latent_representation(kept)
    weights = {name: value.detach().cpu().double().numpy() for name, value in model.module.state_dict().items()}
    rows = [list(order).index(name) for name in names]
    return _folded(
        weights, rows, kept_latent.astype(np.float64), _shifts(latent, read, conditions), conditions, controls
    )


def _table(counts: sp.csr_matrix, conditions: list[str]) -> anndata.AnnData:
    rows = pd.Index([str(row) for row in range(len(conditions))])
    return anndata.AnnData(counts.astype(np.float32), pd.DataFrame({"condition": conditions}, index=rows, dtype=str))


def _train(table: anndata.AnnData, settings: ScviSettings) -> tuple[Any, npt.NDArray[Any]]:
    """Train; returns scVI's model and its order of the conditions."""
    import scvi

    for name in ("scvi", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(settings.threads)
    scvi.settings.seed = settings.seed
    scvi.model.SCVI.setup_anndata(table, batch_key="condition")
    model = scvi.model.SCVI(table, gene_likelihood="nb", dispersion="gene", n_layers=1)
    accelerator, _, number = settings.device.replace("cuda", "gpu").partition(":")
    model.train(
        max_epochs=settings.epochs,
        accelerator=accelerator,
        devices=[int(number)] if number else "auto",
        batch_size=settings.batch_size or 128,
        plan_kwargs={"lr": settings.learning_rate} if settings.learning_rate else None,
        enable_progress_bar=False,
    )
    return model, model.adata_manager.get_state_registry("batch").categorical_mapping


@dataclass(frozen=True)
class _Conditions:
    """``named`` label (−1: control) and dose (−1: none) of each condition; ``of_cell`` its number, (cells,)."""

    named: tuple[tuple[int, float], ...]
    of_cell: Rows


def _conditions(cells: Cells, vocabulary: Vocabulary) -> _Conditions:
    number = {label: i for i, label in enumerate(label_order(vocabulary))} | {vocabulary.control: -1}
    labels = cells.obs["perturbation"].map(number).to_numpy()
    doses = np.where(labels < 0, -1.0, np.nan_to_num(cells.obs["dose"].to_numpy(dtype=float), nan=-1.0))
    pairs = list(zip(labels.tolist(), doses.tolist(), strict=True))
    named = tuple(sorted(set(pairs)))  # the control first
    of = {pair: i for i, pair in enumerate(named)}
    return _Conditions(named, np.array([of[pair] for pair in pairs]))


def _shifts(latent: Array, cells: Cells, conditions: _Conditions) -> Array:
    """Return by how much each condition shifts the latent means within contexts, averaged by precision."""
    shifts = np.zeros((len(conditions.named), latent.shape[1]))
    weights = np.zeros(len(conditions.named))
    roles = list(cells.context_roles)
    groups = cells.obs.groupby(roles, sort=False).indices.values() if roles else [np.arange(len(cells))]
    for here in groups:
        own = conditions.of_cell[here]
        untreated = latent[here[own == 0]]
        for condition in np.unique(own[own > 0]) if len(untreated) else ():
            treated = latent[here[own == condition]]
            precision = len(treated) * len(untreated) / (len(treated) + len(untreated))
            shifts[condition] += precision * (treated.mean(axis=0) - untreated.mean(axis=0))
            weights[condition] += precision
    return shifts / np.maximum(weights, 1e-12)[:, None]


def _folded(
    weights: Mapping[str, Array],
    rows: list[int],
    latent: Array,
    shifts: Array,
    conditions: _Conditions,
    controls: ControlCells,
) -> ConditionalVae:
    """Fold the batch norm of the decoder into its hidden layer, and put the conditions into our order."""
    layer = "decoder.px_decoder.fc_layers.Layer 0"
    linear, bias = weights[f"{layer}.0.weight"], weights[f"{layer}.0.bias"]
    scale = weights[f"{layer}.1.weight"] / np.sqrt(weights[f"{layer}.1.running_var"] + _BATCH_NORM_EPS)
    dims = latent.shape[1]
    ordered = np.concatenate([linear[:, :dims], linear[:, dims:][:, rows]], axis=1)
    doses = np.array([dose for _, dose in conditions.named])
    return ConditionalVae(
        hidden_weights=ordered * scale[:, None],
        hidden_bias=(bias - weights[f"{layer}.1.running_mean"]) * scale + weights[f"{layer}.1.bias"],
        output_weights=weights["decoder.px_scale_decoder.0.weight"],
        output_bias=weights["decoder.px_scale_decoder.0.bias"],
        dispersion=np.clip(np.exp(weights["px_r"]), 1e-2, 1e4),
        latent=latent,
        library=np.asarray(controls.counts.sum(axis=1)).ravel().astype(np.float64),
        shifts=shifts,
        labels=np.array([label for label, _ in conditions.named]),
        doses=np.where(doses < 0, np.nan, doses),
    )


_BATCH_NORM_EPS = 1e-3
"""What scVI's layers are built with."""
