"""What a network says of a hit: links from its targets to the genes of the objective, direct or through one gene."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from campaigns.evidence_sources import Network


@dataclass(frozen=True)
class NetworkPath:
    """A way from a perturbation to a gene: two names for a link, three for a path through one gene between.

    ``sign`` is the product of the links' signs: 1 activates, −1 represses, 0 is not known.
    """

    genes: tuple[str, ...]
    sign: float


def paths(network: Network, starts: Iterable[str], ends: Mapping[str, object]) -> Iterator[NetworkPath]:
    """Yield the shortest ways of one or two steps, direct links first; a gene that is linked directly has no others.

    Parameters
    ----------
    network
        Source → target → sign.
    starts
        Names of what is perturbed.
    ends
        Genes of the objective.
    """
    for start in starts:
        direct = {target: sign for target, sign in network.get(start, {}).items() if target in ends and target != start}
        yield from (NetworkPath((start, target), sign) for target, sign in direct.items())
        for between, first in network.get(start, {}).items():
            if between == start:
                continue
            for target, second in network.get(between, {}).items():
                if target in ends and target not in direct and target not in (start, between):
                    yield NetworkPath((start, between, target), first * second)
