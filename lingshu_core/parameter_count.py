"""How many parameters a denoiser has, by part.

The shape of a named configuration is counted on torch's meta device: nothing is allocated, so the published
shape at 18,080 genes costs no more than a tiny one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from lingshu_core.denoiser import Denoiser, DenoiserConfig, GeneStatistics
from lingshu_core.tokens import N_TOKENS

PUBLISHED_GENES = 18_080
"""Genes of the published model (arXiv 2603.25240)."""

PARTS = (
    "token embedding",
    "condition embeddings",
    "blocks",
    "patch maps",
    "head",
    "direct paths",
    "weights of features",
    "other",
)
"""The parts in the order of the forward pass; ``blocks`` has the norms, ``patch maps`` the way down and up again."""

_PART_OF = {
    "backbone.embed": "token embedding",
    "backbone.down": "patch maps",
    "backbone.up": "patch maps",
    "backbone": "blocks",
    "prefix": "condition embeddings",
    "head": "head",
    "bias": "direct paths",
    "tilt": "direct paths",
    "pooled": "direct paths",
    "conditions": "direct paths",
    "neighbours": "weights of features",
}


@dataclass(frozen=True)
class ParameterCount:
    """Parameters by part.

    Parameters
    ----------
    parts
        Part to number of trained parameters, in the order of ``PARTS``; parts that are not there are left out.
    unused
        Parameters of paths that the configuration switches off: nothing reads them and they are never trained.
    """

    parts: Mapping[str, int]
    unused: int

    @property
    def trained(self) -> int:
        """Trained parameters in all."""
        return sum(self.parts.values())


def count_parameters(denoiser: Denoiser) -> ParameterCount:
    """Count the parameters of a denoiser by part."""
    found = dict.fromkeys(PARTS, 0)
    unused = 0
    for name, parameter in denoiser.named_parameters():
        if _is_used(name, parameter, denoiser.config):
            found[part_of(name)] += parameter.numel()
        else:
            unused += parameter.numel()
    return ParameterCount({part: count for part, count in found.items() if count}, unused)


def part_of(parameter: str) -> str:
    """Return the part that a parameter belongs to, by the longest beginning of its name that is known."""
    return next((_PART_OF[beginning] for beginning in _beginnings(parameter) if beginning in _PART_OF), "other")


def _beginnings(name: str) -> Iterator[str]:
    words = name.split(".")
    yield from (".".join(words[:length]) for length in range(len(words), 0, -1))


def _is_used(name: str, parameter: nn.Parameter, config: DenoiserConfig) -> bool:
    if ".depth." in name and not config.depth_token:
        return False
    # Without the tilt nothing reads the latent that these embeddings make.
    return parameter.requires_grad and (config.tilt or not name.startswith("conditions."))


def build_shape(
    config: DenoiserConfig,
    genes: int = PUBLISHED_GENES,
    factors: tuple[int, ...] = (1,),
    perturbations: int = 1,
) -> Denoiser:
    """Build a denoiser without its numbers, on the meta device: it has shapes and can't be run.

    Parameters
    ----------
    config
        The configuration.
    genes
        Number of genes; each has the whole vocabulary of 281 tokens.
    factors, perturbations
        Values of each context factor, and single perturbations. They have an embedding each.
    """
    statistics = GeneStatistics(
        support=torch.full((genes,), N_TOKENS),
        log_marginals=torch.empty(genes, N_TOKENS, device="meta"),
        depth_knots=torch.empty(config.depth_knots, device="meta"),
        typical_dose=torch.empty(perturbations + 1, device="meta"),
    )
    with torch.device("meta"):
        return Denoiser(config, factors, perturbations, statistics)
