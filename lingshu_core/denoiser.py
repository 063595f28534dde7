"""The denoiser: p(token of every masked gene | visible genes, condition).

Design choices, in the order in which they matter for a laboratory's data set:

1. *A bias for each gene and token* that starts at the log marginal frequencies of the training cells.
2. *A low-rank tilt by the condition.* logits[g, v] += Σ_k θ_gk φ_k(v) with φ = (1[v > 0], ℓ, ℓ²/4), ℓ = log(1 + v), and
   θ_gk = ⟨u, W_gk⟩; u is the sum of the embeddings of context, perturbation and depth, W starts at zero.
   It is a generalised linear model of counts inside the diffusion model, additive in the conditions.
3. *A pooled path*: the visible genes, summed with learned weights and passed through a small network, are
   added to u, so that what is visible tilts every masked gene at once. Cell states come from here.
4. *A backbone*, optional: the published transformer over gene patches. Without it (``direct``) the model
   is two matrix products and trains many times faster on a CPU.
5. *Each gene has its own vocabulary*: a gene that never showed more than three molecules keeps eight tokens
   instead of 281 (``tokens.support_sizes``). Genes of equal vocabulary are handled together, so inside the
   model genes are *sorted by support*; ``gene_order`` leads from the outer to the inner order.

Paths 1–3 and 5 are ours; the backbone, the tokens and the guidance are Lingshu-Cell's (arXiv 2603.25240).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lingshu_core.backbone import LIFTED_SHARE, Backbone, BackboneConfig
from lingshu_core.conditioning import ConditionBatch, ConditionEncoder
from lingshu_core.errors import ConfigurationError
from lingshu_core.first_step import FirstSteps
from lingshu_core.neighbours import FeatureBank, Neighbours
from lingshu_core.tokens import MASK, N_TOKENS, REPRESENTATIVE_COUNTS

MOST_LOGITS = 2**24
"""Logits that are computed at once, 64 MB of them; more come piece by piece."""
GATHERED_SHARE = 1 / 256
"""Up to this share of a group's places θ is computed for each place alone, beyond it for all of them."""
IMPOSSIBLE = -1e4
"""Logit of a token that a gene is never drawn as. Its probability is zero in fp32, and so is every gradient; minus
infinity would make averages of weights undefined."""
N_STATISTICS = 3
"""Sufficient statistics φ of the tilt: presence 1[v > 0], ℓ = log(1 + v) and ℓ²/4."""


@dataclass(frozen=True)
class DenoiserConfig:
    """Hyper-parameters of the denoiser.

    Parameters
    ----------
    condition_rank
        Rank of the tilt, the width of u.
    pooled_width
        Width of the pooled visible genes; 0 switches the pooled path off.
    tilt, gene_bias, depth_token
        Which of the direct paths are on.
    dropout
        Dropout on the pooled path's latent.
    depth_knots
        Knots of the piecewise linear depth embedding.
    interaction
        Whether the context may change what a perturbation does.
    self_conditioning
        Whether the pooled path sees its own first answer and gives a second one.
    backbone
        Shape of the transformer, or None for ``direct``.
    """

    condition_rank: int = 48
    pooled_width: int = 64
    tilt: bool = True
    gene_bias: bool = True
    depth_token: bool = True
    dropout: float = 0.1
    depth_knots: int = 16
    interaction: bool = False
    self_conditioning: bool = True
    backbone: BackboneConfig | None = None

    @property
    def paths(self) -> str:
        """Which paths are on, as every result names them."""
        switches = {
            "bias": self.gene_bias,
            "tilt": self.tilt,
            "pooled": self.tilt and self.pooled_width > 0,
            "depth": self.depth_token,
            "interaction": self.interaction,
            "self": self.tilt and self.pooled_width > 0 and self.self_conditioning,
            "backbone": self.backbone is not None,
        }
        return "+".join(name for name, on in switches.items() if on)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DenoiserConfig:
        """Read plain data.

        Raises
        ------
        ConfigurationError
            If a name is unknown.
        """
        # Written before there was self-conditioning: it has none.
        content = {"self_conditioning": False, **content}
        backbone = content.pop("backbone", None)
        try:
            return cls(**content, backbone=BackboneConfig(**backbone) if backbone else None)
        except TypeError as error:
            raise ConfigurationError(f"denoiser configuration: {error}") from error


CONFIGURATIONS: Mapping[str, DenoiserConfig] = {
    "direct": DenoiserConfig(),
    "tiny": DenoiserConfig(backbone=BackboneConfig(blocks=2, width=64, heads=2, feed_forward=256, patch_size=32)),
    "small": DenoiserConfig(backbone=BackboneConfig(blocks=4, width=128, heads=4, feed_forward=512, patch_size=32)),
    "base": DenoiserConfig(backbone=BackboneConfig(blocks=8, width=384, heads=6, feed_forward=1536, patch_size=32)),
    # As published: context and perturbation reach the genes through the prefix tokens and in no other way.
    "paper": DenoiserConfig(
        pooled_width=0,
        tilt=False,
        gene_bias=False,
        depth_token=False,
        self_conditioning=False,
        backbone=BackboneConfig(blocks=13, width=640, heads=10, feed_forward=2560, patch_size=32),
    ),
}
"""Named configurations; ``direct`` is the default on a CPU (see docs/benchmarks.md)."""


def configuration(name: str, overrides: Mapping[str, Any] | None = None) -> DenoiserConfig:
    """Return a named configuration with some values replaced.

    Overrides name fields of :class:`DenoiserConfig`, or of :class:`BackboneConfig` where there is one.

    Raises
    ------
    ConfigurationError
        If the name or an override is unknown.
    """
    if name not in CONFIGURATIONS:
        raise ConfigurationError(f"unknown configuration {name!r}; there are {', '.join(CONFIGURATIONS)}")
    config = CONFIGURATIONS[name]
    for key, value in (overrides or {}).items():
        if key != "backbone" and key in DenoiserConfig.__dataclass_fields__:
            config = replace(config, **{key: value})
        elif config.backbone is not None and key in BackboneConfig.__dataclass_fields__:
            config = replace(config, backbone=replace(config.backbone, **{key: value}))
        else:
            known = [f for f in DenoiserConfig.__dataclass_fields__ if f != "backbone"]
            known += list(BackboneConfig.__dataclass_fields__) if config.backbone else []
            raise ConfigurationError(f"configuration {name!r} has no setting {key!r}; it has {', '.join(known)}")
    return config


@dataclass(frozen=True)
class GeneStatistics:
    """What the denoiser has to know of the training cells before it is trained.

    ``support`` (genes,) tokens kept per gene; ``log_marginals`` (genes, 281) log frequencies of the tokens;
    ``depth_knots`` (knots,) increasing log depths; ``typical_dose`` (perturbations + 1,); ``last_token`` (genes,)
    beyond which a gene is never drawn, None for the whole support.
    """

    support: Tensor
    log_marginals: Tensor
    depth_knots: Tensor
    typical_dose: Tensor
    last_token: Tensor | None = None


@dataclass(frozen=True)
class SupportGroup:
    """Genes ``start`` to ``stop`` of the inner order, all with the first ``tokens`` tokens."""

    index: int
    start: int
    stop: int
    tokens: int


@dataclass(frozen=True)
class Features:
    """What one forward pass leaves for the head.

    ``latent`` (cells, rank) and ``tilt`` (rank, genes · 3) give θ, None without a tilt; ``stream`` (cells, patches,
    width) and the backbone's way up give a vector for every gene, None without a backbone. Both are made where they
    are asked for: a step that reveals eight genes of 18,080 needs no more.
    """

    latent: Tensor | None
    tilt: Tensor | None
    stream: Tensor | None = field(default=None)
    backbone: Backbone | None = field(default=None)

    @cached_property
    def hidden(self) -> Tensor | None:
        """The backbone's vectors of all genes, (cells, genes, width)."""
        if self.stream is None or self.backbone is None:
            return None
        with half_precision(self.stream):
            return self.backbone.lift(self.stream)

    def hidden_at(self, cell: Tensor, gene: Tensor) -> Tensor | None:
        """Return the backbone's vectors of some places, (places, width)."""
        if self.stream is None or self.backbone is None:
            return None
        if len(cell) > LIFTED_SHARE * len(self.stream) * self.backbone.genes:
            return None if self.hidden is None else self.hidden[cell, gene]
        with half_precision(self.stream):
            return self.backbone.lift_at(self.stream, cell, gene)

    @property
    def theta(self) -> Tensor | None:
        """θ of all genes, (cells, genes, 3)."""
        return None if self.tilt is None else self.theta_of(slice(0, self.tilt.shape[1] // N_STATISTICS))

    def theta_of(self, genes: slice) -> Tensor | None:
        """Return θ of some genes, (cells, genes, 3)."""
        if self.latent is None or self.tilt is None:
            return None
        tilt = self.tilt[:, genes.start * N_STATISTICS : genes.stop * N_STATISTICS]
        return (self.latent @ tilt).view(len(self.latent), -1, N_STATISTICS)  # (cells, genes · 3) → genes, 3

    def theta_at(self, cell: Tensor, gene: Tensor, genes: slice) -> Tensor | None:
        """Return θ of some places among some genes, (places, 3); ``gene`` counts from the first of them."""
        if self.latent is None or self.tilt is None:
            return None
        if len(cell) > GATHERED_SHARE * len(self.latent) * (genes.stop - genes.start):
            theta = self.theta_of(genes)
            return None if theta is None else theta[cell, gene]
        every = self.tilt.view(len(self.tilt), -1, N_STATISTICS)  # (rank, genes · 3) → genes, 3
        tilt = every[:, gene + genes.start]  # (rank, places, 3)
        return tilt.mul_(self.latent.T[:, cell, None]).sum(dim=0)

    def guided(self, unconditional: Features, strength: float) -> Features:
        """Return features whose logits are a_u + (w + 1)(a_c − a_u); logits are linear in the features."""
        return Features(
            _guided(self.latent, unconditional.latent, strength),
            self.tilt,
            _guided(self.stream, unconditional.stream, strength),
            self.backbone,
        )


def half_precision(values: Tensor) -> torch.autocast:
    """Compute as the backbone does, in bf16 where that pays."""
    return torch.autocast(device_type=values.device.type, dtype=torch.bfloat16)


def _size_of(features: Features) -> int:
    kept = (features.latent, features.stream)
    return sum(each.numel() * each.element_size() for each in kept if each is not None)


def _guided(conditional: Tensor | None, unconditional: Tensor | None, strength: float) -> Tensor | None:
    if conditional is None or unconditional is None:
        return None
    return torch.lerp(unconditional, conditional, strength + 1.0)


class Denoiser(nn.Module):
    """Logits of every gene's tokens from visible tokens and condition; genes in the inner order.

    Parameters
    ----------
    config
        Hyper-parameters.
    factor_sizes
        Values of each context factor.
    perturbations
        Single perturbations that were seen.
    genes
        What is known of the training cells.
    seed
        Seed of the initial weights.
    bank
        Feature vectors of perturbations; None: there are none.
    """

    statistics: Tensor
    last_token: Tensor
    gene_order: Tensor
    bias: nn.ParameterList

    def __init__(
        self,
        config: DenoiserConfig,
        factor_sizes: tuple[int, ...],
        perturbations: int,
        genes: GeneStatistics,
        seed: int = 0,
        bank: FeatureBank | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.first_steps: FirstSteps[Features] | None = None
        self.genes = len(genes.support)
        self.neighbours = None if bank is None else Neighbours(bank)
        generator = torch.Generator().manual_seed(seed)
        order = torch.argsort(genes.support, stable=True)
        self.register_buffer("gene_order", order)
        self.groups = support_groups(genes.support[order])
        self.register_buffer("statistics", tilt_statistics())
        last = genes.support - 1 if genes.last_token is None else genes.last_token
        self.register_buffer("last_token", last[order])
        impossible = torch.arange(genes.log_marginals.shape[1], device=last.device) > last[order][:, None]
        marginals = genes.log_marginals[order].masked_fill(impossible.to(genes.log_marginals.device), IMPOSSIBLE)
        self.bias = nn.ParameterList(
            nn.Parameter(
                marginals[group.start : group.stop, : group.tokens].clone()
                if config.gene_bias
                else torch.zeros(group.stop - group.start, group.tokens),
                requires_grad=config.gene_bias,
            )
            for group in self.groups
        )
        rank = config.condition_rank
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conditions = ConditionEncoder(
                rank,
                factor_sizes,
                perturbations,
                genes.depth_knots,
                genes.typical_dose,
                scale=rank**-0.5,
                use_depth=config.depth_token,
                interaction=config.interaction,
            )
            self.tilt = nn.Parameter(torch.zeros(rank, self.genes * N_STATISTICS), requires_grad=config.tilt)
            self.pooled = PooledPath(self.genes, config) if config.tilt and config.pooled_width else None
            self.backbone: Backbone | None = None
            self.prefix: ConditionEncoder | None = None
            self.head: nn.Linear | None = None
            if config.backbone is not None:
                self._build_backbone(config.backbone, factor_sizes, perturbations, genes, generator)

    def _build_backbone(
        self,
        shape: BackboneConfig,
        factor_sizes: tuple[int, ...],
        perturbations: int,
        genes: GeneStatistics,
        generator: torch.Generator,
    ) -> None:
        self.backbone = Backbone(shape, self.genes, generator)
        self.prefix = ConditionEncoder(
            shape.width,
            factor_sizes,
            perturbations,
            genes.depth_knots,
            genes.typical_dose,
            scale=0.02,
            use_depth=self.config.depth_token,
            interaction=self.config.interaction,
        )
        self.head = nn.Linear(shape.width, N_TOKENS, bias=False)
        # Zero: the model starts as its direct paths, and the transformer adds to them.
        nn.init.zeros_(self.head.weight)

    def features(self, tokens: Tensor, batch: ConditionBatch) -> Features:
        """Run one forward pass up to the head.

        Parameters
        ----------
        tokens
            Tokens with ``MASK``, (cells, genes), inner order.
        batch
            Conditions of the cells.
        """
        latent = self._latent(tokens, batch) if self.config.tilt else None
        tilt = self.tilt if self.config.tilt else None
        if self.backbone is None or self.prefix is None:
            return Features(latent, tilt)
        with half_precision(tokens):
            stream = self.backbone(tokens, self.prefix.prefix(batch, self._mixture(batch)))
        return Features(latent, tilt, stream, self.backbone)

    def _mixture(self, batch: ConditionBatch) -> Tensor | None:
        """Weights of the seen perturbations for those known by their features; None where all have identities."""
        unnamed = batch.parts == self.conditions.unnamed
        return self.neighbours(batch) if self.neighbours is not None and bool(unnamed.any()) else None

    def fold(self) -> Denoiser:
        """Make a trained model ready to be asked often; returns itself, in evaluation mode. Training forgets it."""
        if self.backbone is not None:
            self.backbone.fold()
        self.first_steps = FirstSteps(uses_depth=self.config.depth_token, size=_size_of)
        return self.eval()

    def train(self, mode: bool = True) -> Denoiser:
        """Switch to training or back; weights that change make the passes that were kept wrong."""
        if mode:
            self.first_steps = None
        return super().train(mode)

    def first_features(self, tokens: Tensor, batch: ConditionBatch) -> Features:
        """Run the pass of a walk's first step, where all tokens are masked; see :mod:`lingshu_core.first_step`."""
        if self.first_steps is None:
            return self.features(tokens, batch)
        # A copy without what is made of it on the way: vectors of all genes are a thousand times as large.
        return replace(self.first_steps.get(batch, lambda: self.features(tokens, batch)))

    def _latent(self, tokens: Tensor, batch: ConditionBatch) -> Tensor:
        latent = self.conditions.latent(batch, self._mixture(batch))
        return latent if self.pooled is None else self.pooled(tokens, latent, self.statistics)

    def group_logits(self, features: Features, group: SupportGroup) -> Tensor:
        """Return the logits of a group or of a piece of one, (cells, its genes, tokens of the group)."""
        genes = slice(group.start, group.stop)
        hidden = None if features.hidden is None else features.hidden[:, genes]
        return self._logits(features.theta_of(genes), hidden, group, self._bias(group))

    def chosen_logits(self, features: Features, group: SupportGroup, cell: Tensor, gene: Tensor) -> Tensor:
        """Return the logits of some (cell, gene) places of a group, (places, tokens); ``gene`` counts in the group."""
        theta = features.theta_at(cell, gene, slice(group.start, group.stop))
        hidden = features.hidden_at(cell, gene + group.start)
        return self._logits(theta, hidden, group, self.bias[group.index][gene])

    def _bias(self, piece: SupportGroup) -> Tensor:
        first = self.groups[piece.index].start
        return self.bias[piece.index][piece.start - first : piece.stop - first]

    def _logits(self, theta: Tensor | None, hidden: Tensor | None, group: SupportGroup, bias: Tensor) -> Tensor:
        """Return logits (…, tokens) from θ (…, 3), hidden (…, width) and a bias that fits."""
        places = bias.shape[:-1] if hidden is None else hidden.shape[:-1]
        logits = bias.expand(*places, -1) if theta is None else theta @ self.statistics[:, : group.tokens] + bias
        if hidden is None or self.head is None:
            return logits
        # Straight-through in the head's own precision: the sum with the direct paths stays in fp32.
        weight = self.head.weight[: group.tokens].to(hidden.dtype)
        return logits + (hidden @ weight.T).float()

    def losses(self, tokens: Tensor, masked_tokens: Tensor, batch: ConditionBatch) -> Iterator[tuple[slice, Tensor]]:
        """Yield the cross-entropy of every place, some genes at a time: (genes, (cells, those genes)).

        Genes come in their groups, and a group in pieces of ``MOST_LOGITS`` logits: of 18,080 genes and 281 tokens
        they take 20 MB a cell, and several copies of them would be needed at once.
        """
        features = self.features(masked_tokens, batch)
        cut = [(group, piece) for group in self.groups for piece in cut_group(group, len(tokens))]
        sizes = [piece.stop - piece.start for _, piece in cut]
        parts = zip(_split(features.theta, sizes), _split(features.hidden, sizes), strict=True)
        for (group, piece), (theta, hidden) in zip(cut, parts, strict=True):
            logits = self._logits(theta, hidden, group, self._bias(piece))
            yield slice(piece.start, piece.stop), self._cross_entropy(logits, piece, tokens)

    def _cross_entropy(self, logits: Tensor, piece: SupportGroup, tokens: Tensor) -> Tensor:
        genes = slice(piece.start, piece.stop)
        # A count beyond the gene's own vocabulary is scored as the last token that it has.
        target = torch.minimum(tokens[:, genes], self.last_token[genes])
        flat = nn.functional.cross_entropy(
            logits.reshape(-1, piece.tokens),  # (cells · genes, tokens)
            target.reshape(-1),
            reduction="none",
        )
        return flat.view(len(tokens), -1)  # back to (cells, genes)


def _split(values: Tensor | None, sizes: list[int]) -> list[Tensor] | list[None]:
    """Cut into runs of genes. (The gradient of a split is one tensor; that of a slice is one for each slice.)"""
    return [None] * len(sizes) if values is None else list(torch.split(values, sizes, dim=1))


class PooledPath(nn.Module):
    """Visible genes, pooled, join the condition's latent: u · (1 + fade(share visible)) + pooled.

    Pooled is a small network on LayerNorm(Σ φ(x_g) · U_g / √visible) and the share visible. The fade lets the
    condition say less the more is visible: visible genes tell of the perturbation too, so its effect on a
    masked gene is largest when nothing is seen, and a tilt of fixed size would shrink it to the average.

    Self-conditioning (arXiv 2208.04202; in RFdiffusion the last x̂₀ is fed to the next step): the small network gets
    its own first answer beside what is pooled, and answers again. Through the tilt the latent says all that this model
    says of x̂₀, so it takes the place of x̂₀. It is fed back within a step, not from the step before: what a step
    predicts depends on what is visible and on nothing else, as the estimator needs. No gradient flows through the
    first answer, and the trainer lets half of the batches go without it (``twice``).
    """

    def __init__(self, genes: int, config: DenoiserConfig) -> None:
        super().__init__()
        width = config.pooled_width
        self.weight = nn.Parameter(torch.randn(genes * N_STATISTICS, width) * 0.05)
        self.norm = nn.LayerNorm(width)
        self.fed_back = config.condition_rank if config.self_conditioning else 0
        self.twice = True
        self.inner = nn.Linear(width + 1 + self.fed_back, 2 * width)
        self.outer = nn.Linear(2 * width, config.condition_rank)
        self.fade = nn.Linear(3, config.condition_rank, bias=False)
        nn.init.zeros_(self.fade.weight)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, condition: Tensor, statistics: Tensor) -> Tensor:
        """Return the latent of the tilt, (cells, rank), from tokens and the condition's latent (cells, rank)."""
        visible = tokens != MASK
        count = visible.sum(dim=1, keepdim=True)
        pool = self._pool if self.training else self._pool_sparsely
        pooled = self.norm(pool(tokens, visible, statistics) / count.clamp_min(1).sqrt())
        share = count / tokens.shape[1]
        # Saturating in the number of visible genes: a handful already tells much of what there is to tell.
        fade = self.fade(torch.cat([count / (count + 8.0), count / (count + 128.0), share], dim=1))
        condition = condition * (1.0 + fade)
        seen = torch.cat([pooled, share], dim=1)
        if not self.fed_back:
            return condition + self._answer(seen)
        first = condition + self._answer(torch.cat([seen, torch.zeros_like(condition)], dim=1))
        if self.training and not self.twice:
            return first
        return condition + self._answer(torch.cat([seen, first.detach()], dim=1))

    def _pool(self, tokens: Tensor, visible: Tensor, statistics: Tensor) -> Tensor:
        # φ of a masked gene is zero, and so is φ of a zero count: only molecules seen speak.
        value = statistics.T[tokens.clamp_max(N_TOKENS - 1)] * visible[..., None]  # (cells, genes, 3)
        return value.reshape(len(tokens), -1) @ self.weight  # (cells, genes · 3) @ (genes · 3, width)

    def _pool_sparsely(self, tokens: Tensor, visible: Tensor, statistics: Tensor) -> Tensor:
        """Pool only where molecules are seen: a tenth of the genes at the end of a walk, next to none at its start."""
        seen = visible & (tokens > 0)
        cell, gene = torch.nonzero(seen, as_tuple=True)
        value = statistics.T[tokens[seen]]  # (places, 3)
        rows = gene[:, None] * N_STATISTICS + torch.arange(N_STATISTICS, device=gene.device)  # (places, 3)
        first = N_STATISTICS * torch.searchsorted(cell, torch.arange(len(tokens), device=cell.device))
        return nn.functional.embedding_bag(
            rows.flatten(),  # (places · 3,), cell by cell
            self.weight,
            first,
            mode="sum",
            per_sample_weights=value.flatten(),  # (places · 3,)
        )

    def _answer(self, seen: Tensor) -> Tensor:
        answer: Tensor = self.dropout(self.outer(nn.functional.silu(self.inner(seen))))
        return answer


def tilt_statistics() -> Tensor:
    """Return φ of every token, (3, 281): presence, ℓ = log(1 + count) and ℓ²/4.

    The first two move a gene's counts; the square lets a condition narrow or widen them, a log-normal in ℓ. The
    quarter keeps it in the range of ℓ itself for the counts that most genes have.
    """
    counts = torch.from_numpy(REPRESENTATIVE_COUNTS)
    logarithm = torch.log1p(counts)
    return torch.stack([(counts > 0).float(), logarithm, logarithm**2 / 4])


def cut_group(group: SupportGroup, cells: int, most: int | None = None) -> tuple[SupportGroup, ...]:
    """Cut a group into pieces of at most so many logits (``MOST_LOGITS``) for so many cells, or of a single gene."""
    genes = max(1, (most or MOST_LOGITS) // (cells * group.tokens))
    starts = range(group.start, group.stop, genes)
    return tuple(replace(group, start=start, stop=min(start + genes, group.stop)) for start in starts)


def support_groups(sorted_support: Tensor) -> tuple[SupportGroup, ...]:
    """Cut genes that are sorted by support into groups of equal support."""
    sizes, lengths = torch.unique_consecutive(sorted_support, return_counts=True)
    groups, start = [], 0
    for index, (tokens, length) in enumerate(zip(sizes.tolist(), lengths.tolist(), strict=True)):
        groups.append(SupportGroup(index, start, start + length, tokens))
        start += length
    return tuple(groups)
