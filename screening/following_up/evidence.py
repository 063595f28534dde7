"""Evidence for the hits of a screen: what supports or contradicts each, and what would refute it.

A fold over the ranked table and the effects that are in memory when it is made, for the best conditions only: what it
costs doesn't grow with the screen.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from campaigns.conditions import FEATURES_ONLY, Perturbation
from campaigns.evidence_sources import Network, panel_sets, read_network
from campaigns.plan import PlannedCondition
from lingshu_core.stored_features import stored_features
from lingshu_core.vocabulary import Vocabulary
from screening.deciding.decisions import HIT
from screening.deciding.hits import own_targets
from screening.folding.effect_matrix import EffectMatrix, Layers
from screening.following_up.evidence_columns import CONDITION_COLUMNS, ITEM_COLUMNS
from screening.following_up.gene_set_ranks import GeneSetTest
from screening.following_up.likeness import FeatureLikeness, correlations, largest
from screening.following_up.network_paths import NetworkPath, paths
from screening.following_up.own_targets import check_own_targets, expected_way, monte_carlo_interval
from screening.following_up.refutation import Standing, genes_to_measure, make_claim, refutation
from screening.objective.objectives import Readout
from screening.planning.campaign import PlannedCampaign

Array = npt.NDArray[np.float64]
Row = dict[str, Any]
_Label = tuple[str, str]
"""Perturbation and context, as the tables name them."""

GENES, SETS, LINKS, ALIKE = 10, 10, 20, 5
"""Items of each kind that are kept for a condition: genes up and down each, and so on."""
LEAST_GENES = 5
"""Genes of an objective over which a correlation says anything."""
_LOG = "log1p counts per 10k"


@dataclass(frozen=True)
class Evidence:
    """The two tables of :mod:`screening.following_up.evidence_columns`."""

    conditions: pl.DataFrame
    items: pl.DataFrame


def gather(planned: PlannedCampaign, hits: pl.DataFrame, effects: EffectMatrix) -> Evidence | None:
    """Gather the evidence for the best conditions of a ranked and decided table; None where none is asked for.

    Raises
    ------
    CampaignError
        If a file that the campaign names has changed since it was planned, and can't be read any more.
    """
    asked = planned.campaign.spec.evidence
    rows = chosen(hits, asked.top)
    if not rows.height:
        return None
    sources = _Sources.of(planned, effects, rows)
    summaries: list[Row] = []
    items: list[Row] = []
    for row in rows.iter_rows(named=True):
        condition = _Condition(row, sources)
        summaries.append(condition.summary())
        items += condition.items()
    return Evidence(_table(summaries, CONDITION_COLUMNS), _table(items, ITEM_COLUMNS))


def _table(rows: Sequence[Row], columns: Mapping[str, tuple[Any, str]]) -> pl.DataFrame:
    return pl.DataFrame(
        [{name: row.get(name) for name in columns} for row in rows],
        schema={name: kind for name, (kind, _) in columns.items()},
    )


def chosen(hits: pl.DataFrame, top: int) -> pl.DataFrame:
    """Pick conditions: hits first, then by rank; ``top`` in all."""
    done = hits.filter(pl.col("status") == "done").with_columns(_hit=(pl.col("decision") == HIT).fill_null(False))
    return done.sort("_hit", "rank", descending=[True, False]).head(top).drop("_hit")


@dataclass(frozen=True)
class _Sources:
    """What all conditions share."""

    planned: PlannedCampaign
    layers: Mapping[str, Layers]
    """Effects of the conditions that were kept, by key."""
    chosen: Mapping[_Label, PlannedCondition]
    """Conditions that evidence is gathered for."""
    sets: GeneSetTest | None
    network: Network | None
    likeness: FeatureLikeness | None
    alike: Mapping[str, Mapping[_Label, list[Row]]]

    @classmethod
    def of(cls, planned: PlannedCampaign, effects: EffectMatrix, rows: pl.DataFrame) -> _Sources:
        asked, genes = planned.campaign.spec.evidence, effects.genes
        layers, labels = effects.by_key, set(rows.select("perturbation", "context").iter_rows())
        kept, picked = {}, {}
        for each in planned.plan.conditions:
            label = (each.condition.perturbation.label, each.condition.context.label)
            if each.key in layers:
                kept[label] = each
            if label in labels and each.role == "perturbation":
                picked[label] = each
        return cls(
            planned=planned,
            layers=layers,
            chosen=picked,
            sets=None if asked.gene_sets is None else GeneSetTest(panel_sets(asked.gene_sets, genes), genes),
            network=None if asked.network is None else read_network(asked.network, planned.campaign.source),
            likeness=_likeness(planned),
            alike=_alike(planned, layers, kept, labels),
        )


def _likeness(planned: PlannedCampaign) -> FeatureLikeness | None:
    first = planned.campaign.members[0]  # all members are trained with the same features
    features = stored_features(first.location, first.header)
    return None if features is None else FeatureLikeness(features, first.header.vocabulary.part_types)


def _alike(
    planned: PlannedCampaign,
    layers: Mapping[str, Layers],
    kept: Mapping[_Label, PlannedCondition],
    asked: Container[_Label],
) -> dict[str, dict[_Label, list[Row]]]:
    """Find the perturbations of the same context whose effects are most like those of the asked ones."""
    found: dict[str, dict[_Label, list[Row]]] = {"alike_in_effect": {}, "alike_on_objective": {}}
    by_context: dict[str, list[_Label]] = {}
    for label in kept:
        by_context.setdefault(label[1], []).append(label)
    for labels in by_context.values():
        places = [place for place, label in enumerate(labels) if label in asked]
        if not places:
            continue
        matrix = np.stack([layers[kept[each].key]["effect"] for each in labels])  # (conditions, genes)
        used = planned.readouts[kept[labels[0]].condition.context].used
        names = [label[0] for label in labels]
        parts = [_names(kept[label].condition.perturbation) for label in labels]
        for kind, columns in (("alike_in_effect", slice(None)), ("alike_on_objective", used)):
            if kind == "alike_on_objective" and int(used.sum()) < LEAST_GENES:
                continue
            for place, values in zip(places, correlations(matrix[:, columns], places), strict=True):
                others = np.array([own != parts[place] for own in parts])  # other doses of a drug are like it anyway
                near = largest(np.where(others, values, np.nan), names, ALIKE)
                found[kind][labels[place]] = [{"name": each.name, "value": each.value} for each in near]
    return found


def _names(perturbation: Perturbation) -> tuple[str, ...]:
    return tuple(part.name for part in perturbation.parts)


class _Condition:
    """One condition of the table with everything that is said of it."""

    def __init__(self, row: Row, sources: _Sources) -> None:
        self.row, self.sources = row, sources
        self.label = (row["perturbation"], row["context"])
        planned = sources.chosen[self.label]
        self.perturbation = planned.condition.perturbation
        self.vocabulary: Vocabulary = sources.planned.campaign.model.vocabulary
        self.genes = self.vocabulary.genes
        self.readout: Readout = sources.planned.readouts[planned.condition.context]
        self.targets = own_targets(self.perturbation, self.vocabulary)
        self.weights = self.readout.weights.copy()
        if sources.planned.campaign.spec.objective.exclude_own_targets:
            self.weights[self.targets] = 0.0
        self.layers = sources.layers.get(planned.key, {})
        self.effect = self._layer("effect")
        self.own = check_own_targets(
            self.perturbation, self.targets, self.layers, self.row["shards"], self.vocabulary.methods
        )
        self.ends = {self.genes[i]: int(i) for i in np.flatnonzero(self.weights)}
        starts = [part.target for part in self.perturbation.parts]
        self.ways = list(paths(sources.network or {}, starts, self.ends))

    def _layer(self, name: str) -> Array | None:
        return self.layers[name].astype(np.float64) if name in self.layers else None

    def summary(self) -> Row:
        """Return its row of ``evidence.parquet``."""
        standing = self._standing()
        found = {name: self.row[name] for name in ("rank", "perturbation", "context", "decision")}
        found |= {"has_effects": self.effect is not None, "seen": standing.seen, "on_target": self.own.verdict}
        found |= {f"on_target_{end}": getattr(self.own, end) for end in ("low", "high", "control")}
        found |= {"nearest_trained": standing.nearest or None, "feature_distance": standing.distance}
        return found | self._link_numbers() | self._refutation(standing)

    def items(self) -> Iterator[Row]:
        """Yield its rows of ``evidence_items.parquet``."""
        for kind, rows in self._kinds():
            for place, row in enumerate(rows, start=1):
                yield {"perturbation": self.label[0], "context": self.label[1], "kind": kind, "place": place, **row}

    def _kinds(self) -> Iterator[tuple[str, list[Row]]]:
        if self.effect is not None:
            yield "gene_up", self._extreme_genes(self.effect, 1)
            yield "gene_down", self._extreme_genes(self.effect, -1)
            yield "gene_set", self._sets(self.effect)
        yield "link", self._links()
        for kind, found in self.sources.alike.items():
            yield kind, [{"unit": "correlation", **row} for row in found.get(self.label, ())]
        yield "alike_by_features", self._alike_by_features()

    def _extreme_genes(self, effect: Array, sign: int) -> list[Row]:
        error, spread = self._layer("effect_se"), self._layer("effect_sd")
        low, high = monte_carlo_interval(effect, np.zeros_like(effect) if error is None else error, self.row["shards"])
        order = [i for i in np.argsort(-sign * effect, kind="stable")[:GENES] if sign * effect[i] > 0]
        return [
            {"name": self.genes[i], "value": effect[i], "unit": _LOG, "low": low[i], "high": high[i]}
            | {"sd": None if spread is None else spread[i], "note": self._gene_note(i)}
            for i in order
        ]

    def _gene_note(self, gene: int) -> str | None:
        own = ["own target"] if gene in self.targets else []
        return ", ".join([*own, *(["in the objective"] if self.readout.used[gene] else [])]) or None

    def _sets(self, effect: Array) -> list[Row]:
        test = self.sources.sets
        if test is None:
            return []
        found = test.test(effect, self.targets)
        order = [i for i in np.lexsort((-np.abs(found.chance - 0.5), found.p))[:SETS] if np.isfinite(found.p[i])]
        return [
            {"name": test.names[i], "value": found.chance[i], "unit": "probability", "p": found.p[i], "q": found.q[i]}
            | {"genes": int(found.genes[i]), "note": "rises" if found.chance[i] > 0.5 else "falls"}
            for i in order
        ]

    def _links(self) -> list[Row]:
        """Return ways through the network to the genes of the objective, direct ones and large effects first."""
        size = np.zeros(len(self.genes)) if self.effect is None else np.abs(self.effect)
        found = sorted(self.ways, key=lambda way: (len(way.genes), -size[self._end(way)], way.genes))
        return [
            {"name": " → ".join(way.genes), "value": way.sign, "unit": "sign", "note": self._fits(way)}
            for way in found[:LINKS]
        ]

    def _fits(self, way: NetworkPath) -> str | None:
        """Say whether what a way would do is what is predicted; of drugs nobody knows whether they act or inhibit."""
        expected = expected_way(self.perturbation, self.vocabulary.methods)
        change = 0.0 if self.effect is None or expected is None else expected * way.sign * self.effect[self._end(way)]
        if not change:
            return None
        return "fits the predicted change" if change > 0 else "against the predicted change"

    def _end(self, way: NetworkPath) -> int:
        return self.ends[way.genes[-1]]

    def _link_numbers(self) -> Row:
        if self.sources.network is None:
            return {}
        direct = {way.genes[-1] for way in self.ways if len(way.genes) == 2}
        indirect = {way.genes[-1] for way in self.ways} - direct
        return {"direct_links": len(direct), "indirect_links": len(indirect)}

    def _alike_by_features(self) -> list[Row]:
        if self.sources.likeness is None:
            return []
        rows = []
        for part in self.perturbation.parts:
            near = self.sources.likeness.nearest(part.name, self.perturbation.type, part.smiles, ALIKE)
            to = f"to {part.label}" if len(self.perturbation.parts) > 1 else None
            rows += [{"name": each.name, "value": each.value, "unit": "cosine", "note": to} for each in near]
        return rows

    def _standing(self) -> Standing:
        unseen = tuple(part for part in self.perturbation.parts if part.name not in self.vocabulary.parts)
        far = None
        if self.sources.likeness is not None:
            kind = self.perturbation.type
            near = [self.sources.likeness.nearest(part.name, kind, part.smiles, 1) for part in unseen]
            far = min((each[0] for each in near if each), key=lambda each: each.value, default=None)
        return Standing(
            seen=self._seen(),
            unseen=tuple(part.name for part in unseen),
            nearest="" if far is None else far.name,
            distance=None if far is None else 1.0 - far.value,
            on_target=self.own.verdict,
        )

    def _seen(self) -> str:
        if self.row["support"] == FEATURES_ONLY:
            return "features"
        if self.row["training_cells"]:
            return "here"
        return "elsewhere" if self.row["training_cells_all"] else "parts"

    def _refutation(self, standing: Standing) -> Row:
        variance = self._layer("variance")
        if self.effect is None or variance is None:
            return {"refutation": "The effects of its single genes were not kept: the screen has better conditions."}
        way = self.readout.normalisation
        claim = make_claim(
            self.row, self.sources.planned.campaign.spec.hits.minimum_effect, self.weights, variance, way
        )
        measured = genes_to_measure(self.effect, self.weights, self.genes)
        return {
            "claim": claim.predicted,
            "claim_low": claim.low,
            "claim_high": claim.high,
            "claim_least": claim.least,
            "cells_least": claim.cells_least,
            "cells_most": claim.cells_most,
            "to_measure": ", ".join(measured),
            "refutation": refutation(self.row, claim, standing, self.weights, way, measured),
        }
