"""All pairs of the best singles of a screen that was published: a first pass over combinations that can be afforded.

Of n singles there are n (n − 1) / 2 pairs, two million of two thousand. The singles are screened first, by a campaign
of their own, and this one asks for the pairs of the best of them. What is skipped is counted: a pair of weaker singles
is never looked at.

The choice is made when the campaign is planned, from the published table, whose digest is in the plan's notices: the
same table gives the same pairs, so a run that is interrupted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import combinations
from math import comb

from campaigns.screen_spec import PairsSpec


@dataclass(frozen=True, slots=True)
class RankedSingles:
    """Single perturbations of one type, the best first.

    Parameters
    ----------
    names : tuple of str
        Without doses; each once.
    left_out : int
        Singles without a place: they failed or were refused in one of the contexts.
    contexts : tuple of str
        Labels of the contexts that they were ranked over.
    digest : str
        SHA-256 of the table.
    model_digest : str
        Of the model that ranked them.
    """

    names: tuple[str, ...]
    left_out: int
    contexts: tuple[str, ...]
    digest: str
    model_digest: str


SingleRanking = Callable[[str, str, Collection[str]], RankedSingles | str]
"""URL of results, type of perturbation, labels of contexts → the ranking over those contexts that it has; or what is
wrong with it."""


def top_pairs(spec: PairsSpec, ranked: RankedSingles) -> list[str]:
    """Give the labels of the best singles, then of all their pairs, ``A+B``."""
    best = ranked.names[: spec.top]
    return [*best, *("+".join(sorted(pair)) for pair in combinations(best, 2))]


def describe_pairs(spec: PairsSpec, ranked: RankedSingles, asked_contexts: int) -> str:
    """Say what was chosen, from what, and how much was not."""
    best, among = min(spec.top, len(ranked.names)), len(ranked.names) + ranked.left_out
    chosen, skipped = comb(best, 2), comb(among, 2) - comb(best, 2)
    over = f"{len(ranked.contexts):,} of {asked_contexts:,} contexts" if asked_contexts > 1 else ranked.contexts[0]
    text = (
        f"{chosen:,} pairs of the top {best:,} of {among:,} {spec.of} singles in {spec.start} by mean score over {over}"
        f" (hits.parquet {ranked.digest[:12]}, model {ranked.model_digest[:12]}); {skipped:,} pairs were skipped; the"
        f" {best:,} singles are screened too"
    )
    if ranked.left_out:
        text += f"; {ranked.left_out:,} singles have no rank, because they failed or were refused in a context"
    return text
