"""What a network says of a hit: links from its targets to the genes of the objective, direct or through one gene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from campaigns.evidence_sources import Network

MOST_WAYS = 3
"""Ways through one gene that are kept to each end."""


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
        Genes of the objective. To each at most `MOST_WAYS` lead through another gene, the first by name: in a dense
        network there are thousands, and more of them say nothing more.
    """
    for start in starts:
        links = network.get(start, {})
        direct = {target: sign for target, sign in links.items() if target in ends and target != start}
        yield from (NetworkPath((start, target), sign) for target, sign in direct.items())
        found = Counter[str]()
        for between in sorted(set(links) - {start}):
            onward = network.get(between, {})
            for target in [each for each in _shorter(ends, onward) if each in ends and each in onward]:
                if target not in direct and target not in (start, between) and found[target] < MOST_WAYS:
                    found[target] += 1
                    yield NetworkPath((start, between, target), links[between] * onward[target])


def _shorter(a: Mapping[str, object], b: Mapping[str, object]) -> Mapping[str, object]:
    return a if len(a) < len(b) else b
