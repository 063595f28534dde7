"""``scaffolds.parquet``: the drugs of a screen by their Murcko scaffolds, and whether one of them has the hits.

Where many drugs of one scaffold are hits and few others are, the scaffold and not the single drug is the finding. The
unit is the drug, not the condition: the doses and contexts of a drug are no independent draws. Enrichment is Fisher's
exact test of one side, adjusted over the scaffolds with at least two drugs (Benjamini and Hochberg 1995); like all
q-values here it is FDR under the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from campaigns.listing import read_columns
from campaigns.plan import Plan
from campaigns.screen_spec import DrugSpec, LibrarySpec, ScreenSpec
from campaigns.yaml_source import Source
from screening.deciding.decisions import HIT

SCAFFOLDS = "scaffolds.parquet"
NO_RING = "no ring"
"""Stands in for a scaffold where there is none; such drugs have nothing in common that could be tested."""
LEAST_DRUGS = 2
"""Drugs of a scaffold that is tested: of one drug the test would be of the drug."""
NAMED = 10

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "scaffold": (
        pl.String,
        "Bemis-Murcko scaffold as SMILES, without stereochemistry; or the words: no ring",
    ),
    "drugs": (pl.Int64, "drugs of this scaffold with a score"),
    "hits": (pl.Int64, "those that are a hit in one condition at least; empty without a null"),
    "hit_share": (pl.Float64, "hits over drugs; empty without a null"),
    "odds_ratio": (pl.Float64, "odds of a hit here over those of all other drugs (sample odds ratio)"),
    "p_fisher": (
        pl.Float64,
        "chance of so many hits or more, were they spread over drugs at random (Fisher's exact test, one side); only of"
        " scaffolds with at least 2 drugs",
    ),
    "q_value": (pl.Float64, "FDR under the model: Benjamini-Hochberg over the scaffolds with a p_fisher"),
    "mean_score": (
        pl.Float64,
        "mean over its drugs, in `score_unit`; a drug counts with the mean over contexts of its best dose",
    ),
    "best_score": (pl.Float64, "highest score of any of its conditions, in `score_unit`"),
    "best_drug": (pl.String, "drug, with its dose, that has it"),
    "best_context": (pl.String, "context in which it has it"),
    "names": (pl.String, "its drugs, the best first, at most ten of them"),
    "score_unit": (pl.String, "unit of score"),
    "run_id": (pl.String, "digest of plan and objective"),
}


def drug_structures(spec: ScreenSpec, plan: Plan) -> dict[str, str]:
    """Return the SMILES of every drug that the campaign gives one of, also of those that the model knows by name.

    Raises
    ------
    VocabularyError
        If the library can't be read any more.
    """
    parts = {part for planned in plan.conditions for part in planned.condition.perturbation.parts}
    found = {part.name: part.smiles for part in parts if part.smiles is not None}
    return dict(_listed(spec)) | found


def _listed(spec: ScreenSpec) -> Iterator[tuple[str, str]]:
    drugs = spec.perturbations.drug
    if isinstance(drugs, LibrarySpec) and drugs.smiles is not None and drugs.name is not None:
        # The plan was made of this file: what is wrong with it was told with its place.
        where = Source("campaign", {}).where(("perturbations", "drug", "file"))
        columns = {"name": (drugs.name, where), "smiles": (drugs.smiles, where)}
        for row, _ in read_columns(drugs.file, columns, where):
            if row["smiles"]:
                yield row["name"], row["smiles"]
    elif isinstance(drugs, tuple):
        yield from ((drug.name, drug.smiles) for drug in drugs if isinstance(drug, DrugSpec) and drug.smiles)


def scaffolds_of(structures: Mapping[str, str]) -> dict[str, str]:
    """Return the scaffold of every drug, in words where it has no ring; the plan has read all structures before."""
    from lingshu_core.chemistry import murcko_scaffold

    return {name: murcko_scaffold(smiles) or NO_RING for name, smiles in structures.items()}


def scaffold_table(hits: pl.DataFrame, names: Mapping[str, str], scaffolds: Mapping[str, str]) -> pl.DataFrame | None:
    """Group the drugs of a ranked table by scaffold; None where none of them has one.

    Parameters
    ----------
    hits
        The ranked and decided table.
    names
        Label of a single drug (``A@0.1``) → its name (``A``).
    scaffolds
        Name of a drug → its scaffold.
    """
    known = {label: name for label, name in names.items() if name in scaffolds}
    done = hits.filter((pl.col("status") == "done") & pl.col("perturbation").is_in(list(known)))
    if done.is_empty():
        return None
    done = done.with_columns(name=pl.col("perturbation").replace_strict(known, return_dtype=pl.String))
    decided = bool(done["null_blocks"].is_not_null().any())
    drugs = _drugs(done).with_columns(
        scaffold=pl.col("name").replace_strict({name: scaffolds[name] for name in done["name"].unique()})
    )
    rows = [_row(scaffold, group, decided) for (scaffold,), group in drugs.group_by("scaffold", maintain_order=True)]
    unit, run = done["score_unit"][0], done["run_id"][0]
    table = pl.DataFrame(
        [row | {"score_unit": unit, "run_id": run} for row in rows],
        schema={name: kind for name, (kind, _) in COLUMNS.items()},
    )
    table = _tested(table) if decided else table
    return table.sort("p_fisher", "mean_score", "scaffold", descending=[False, True, False], nulls_last=True)


def _drugs(done: pl.DataFrame) -> pl.DataFrame:
    """Make one row of each drug, the best first."""
    done = done.sort("score", "perturbation", "context", descending=[True, False, False])
    by_context = done.group_by("name", "context", maintain_order=True).agg(pl.col("score").first())
    means = by_context.sort("name", "context").group_by("name", maintain_order=True).agg(mean=pl.col("score").mean())
    best = done.group_by("name", maintain_order=True).agg(
        best=pl.col("score").first(),
        best_drug=pl.col("perturbation").first(),
        best_context=pl.col("context").first(),
        hit=(pl.col("decision") == HIT).any(),
    )
    return best.join(means, on="name").sort("mean", "name", descending=[True, False])


def _row(scaffold: Any, drugs: pl.DataFrame, decided: bool) -> dict[str, Any]:
    best = drugs.sort("best", "name", descending=[True, False]).row(0, named=True)
    more = drugs.height - NAMED
    names = ", ".join(drugs["name"][:NAMED])
    hits = int(drugs["hit"].sum()) if decided else None
    return {
        "scaffold": scaffold,
        "drugs": drugs.height,
        "hits": hits,
        "hit_share": None if hits is None else hits / drugs.height,
        "mean_score": drugs["mean"].mean(),
        "best_score": best["best"],
        "best_drug": best["best_drug"],
        "best_context": best["best_context"],
        "names": f"{names} and {more} more" if more > 0 else names,
    }


def _tested(table: pl.DataFrame) -> pl.DataFrame:
    """Compare the share of hits of every scaffold with that of all other drugs."""
    all_drugs, all_hits = int(table["drugs"].sum()), int(table["hits"].sum())
    odds, p_values = np.full((2, table.height), np.nan)
    for place, (scaffold, drugs, hits) in enumerate(table.select("scaffold", "drugs", "hits").iter_rows()):
        if drugs >= LEAST_DRUGS and scaffold != NO_RING:
            others = (all_hits - hits, all_drugs - drugs - (all_hits - hits))
            found = stats.fisher_exact([[hits, drugs - hits], others], alternative="greater")
            odds[place], p_values[place] = found.statistic, found.pvalue
    q_values, tested = np.full(table.height, np.nan), ~np.isnan(p_values)
    if tested.any():
        q_values[tested] = stats.false_discovery_control(p_values[tested], method="bh")
    columns = {"odds_ratio": odds, "p_fisher": p_values, "q_value": q_values}
    return table.with_columns(**{name: pl.Series(values).fill_nan(None) for name, values in columns.items()})
