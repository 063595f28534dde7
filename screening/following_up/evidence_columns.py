"""The two tables of evidence: one row a condition, and one row for each thing that is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

EVIDENCE, EVIDENCE_ITEMS = "evidence.parquet", "evidence_items.parquet"

CONDITION_COLUMNS: Mapping[str, tuple[Any, str]] = {
    "rank": (pl.Int64, "as in the hit table"),
    "perturbation": (pl.String, "as in the hit table"),
    "context": (pl.String, "as in the hit table"),
    "decision": (pl.String, "as in the hit table"),
    "has_effects": (
        pl.Boolean,
        "whether effects of single genes were kept: of a large screen only those of the best conditions are; without"
        " them genes, sets, links and likeness are empty",
    ),
    "seen": (
        pl.String,
        "where the training saw it: here, elsewhere (other contexts only), parts (of a combination), or features (a"
        " part or the context has no perturbed cell)",
    ),
    "nearest_trained": (
        pl.String,
        "the trained perturbation of its type with the most similar features, for a part that was never seen; of"
        " several parts that whose nearest is farthest; empty for in_vocabulary",
    ),
    "feature_distance": (
        pl.Float64,
        "1 less the cosine of the feature vectors of that part and of nearest_trained: 0 the same, 1 unrelated",
    ),
    "on_target": (
        pl.String,
        "whether the own targets change as they ought to (they fall, after CRISPRa they rise): as expected, against"
        " expectation, unclear (the interval includes 0, or methods are mixed), not in the panel; empty if not genetic",
    ),
    "on_target_low": (
        pl.Float64,
        "lower end of the 90 % Monte Carlo interval of on_target_effect, log1p counts per 10k",
    ),
    "on_target_high": (pl.Float64, "upper end of it, log1p counts per 10k"),
    "on_target_control": (pl.Float64, "mean of the own targets in predicted controls, log1p counts per 10k"),
    "direct_links": (pl.Int64, "genes of the objective that the network links to a target; empty without a network"),
    "indirect_links": (pl.Int64, "further genes of the objective that it links through one gene in between"),
    "claim": (
        pl.Float64,
        "effect behind the score, above the null where there is one, in the unit of `effect` of the hit table",
    ),
    "claim_low": (
        pl.Float64,
        "lower end of its 90 % interval; of the computation alone where there is no null; same unit",
    ),
    "claim_high": (pl.Float64, "upper end of it"),
    "claim_least": (
        pl.Float64,
        "the minimum effect, same unit: the null's or the campaign's, the larger; empty without either",
    ),
    "cells_least": (
        pl.Int64,
        "cells an arm that refute it with power 90 % if nothing happens and genes vary independently; empty where"
        " nothing can refute it",
    ),
    "cells_most": (pl.Int64, "cells an arm if all genes vary together"),
    "to_measure": (pl.String, "genes of the objective that carry most of the effect, separated by a comma"),
    "refutation": (pl.String, "what would refute it, in words"),
}

ITEM_COLUMNS: Mapping[str, tuple[Any, str]] = {
    "perturbation": (pl.String, "as in the hit table"),
    "context": (pl.String, "as in the hit table"),
    "kind": (
        pl.String,
        "gene_up, gene_down, gene_set, link, alike_in_effect, alike_on_objective or alike_by_features",
    ),
    "place": (pl.Int64, "1 is first of its kind"),
    "name": (pl.String, "the gene, the set, the path (A → B → C), or the other perturbation"),
    "value": (
        pl.Float64,
        "effect of a gene; chance that a gene of the set has a larger effect than another one; sign of a path; Pearson"
        " correlation of effects over all genes, or over those of the objective; cosine of features",
    ),
    "unit": (pl.String, "unit of value: log1p counts per 10k, probability, sign, correlation or cosine"),
    "low": (pl.Float64, "lower end of the 90 % Monte Carlo interval of a gene's effect (Student t over shards)"),
    "high": (pl.Float64, "upper end of it"),
    "sd": (pl.Float64, "standard deviation of a gene's effect between members; empty for a single model"),
    "p": (pl.Float64, "p-value of a set: rank-sum test, two-sided, genes taken for independent"),
    "q": (pl.Float64, "p adjusted over the sets of this condition (Benjamini-Hochberg)"),
    "genes": (pl.Int64, "genes of a set that the model has, own targets left out"),
    "note": (
        pl.String,
        "in the objective, own target; whether a path fits the predicted change; what is known of a name",
    ),
}


def meanings(columns: Mapping[str, tuple[Any, str]]) -> dict[str, str]:
    """Return the words of each column, for the Parquet file."""
    return {name: text for name, (_, text) in columns.items()}
