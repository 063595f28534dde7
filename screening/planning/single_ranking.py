"""Which single perturbations of a published screen are best: what a screen of pairs starts from."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from campaigns.conditions import split_combination
from campaigns.pairs import RankedSingles

if TYPE_CHECKING:
    import polars as pl

_NEEDED = ("perturbation_type", "dose", "model_digest")


def rank_singles(url: str, type: str, contexts: Collection[str]) -> RankedSingles | str:
    """Rank the singles of a type by their mean score over contexts, each at its best dose in every context.

    Parameters
    ----------
    url
        Place of results.
    type
        ``genetic``, ``cytokine``, ``drug`` or ``environment``.
    contexts
        Labels; those that the results don't have say nothing.

    Returns
    -------
    The ranking, or what is wrong with the place. A single that failed or was refused in a context has no rank; equal
    ones are in the order of their names. Polars is loaded at the first call.
    """
    from screening.errors import ResultsError
    from screening.publishing.publication import open_results, read_hits_with_digest

    try:
        hits, digest = read_hits_with_digest(open_results(url))
    except ResultsError as error:
        return f"{error}; the singles are screened first, by a campaign of their own"
    missing = [name for name in _NEEDED if name not in hits.columns]
    if missing:
        return f"{url}: its table has no column {missing[0]}; run that campaign again"
    shared = tuple(sorted(set(hits["context"].unique()) & set(contexts)))
    if not shared:
        known = ", ".join(hits["context"].unique().sort().to_list()[:5])
        return f"{url} has none of the contexts of this screen; its are {known}; screen the singles in the same ones"
    names, left_out = _ranked(hits, type, shared)
    return RankedSingles(names, left_out, shared, digest, str(hits["model_digest"][0]))


def _ranked(hits: pl.DataFrame, type: str, contexts: Collection[str]) -> tuple[tuple[str, ...], int]:
    import polars as pl

    rows = hits.filter((pl.col("perturbation_type") == type) & pl.col("context").is_in(list(contexts)))
    labels = rows.select("perturbation", "dose").unique()
    single = labels.filter([len(split_combination(label)) == 1 for label in labels["perturbation"]])
    names = [_name(label, dose) for label, dose in single.iter_rows()]
    rows = rows.join(
        single.with_columns(name=pl.Series(names, dtype=pl.String)), on=["perturbation", "dose"], nulls_equal=True
    )
    refused = pl.col("decision") == "refused" if "decision" in hits.columns else pl.lit(value=False)
    usable = (pl.col("status") == "done") & ~refused.fill_null(value=False)
    best = rows.group_by("name", "context").agg(score=pl.col("score").filter(usable).max())
    # Sorted: a sum in another order has another last bit, and that may decide who is in.
    ranked = (
        best.sort("name", "context")
        .group_by("name", maintain_order=True)
        .agg(score=pl.col("score").mean(), complete=pl.col("score").is_not_null().sum() == len(contexts))
    )
    kept = ranked.filter("complete").sort("score", "name", descending=[True, False])
    return tuple(kept["name"]), ranked.height - kept.height


def _name(label: str, dose: float | None) -> str:
    """Take the dose off a label, as `PerturbationPart.label` puts it on."""
    return label if dose is None else label.removesuffix("@" + repr(dose).removesuffix(".0"))
