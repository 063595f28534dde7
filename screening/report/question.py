"""The question of a screen in plain sentences, from the resolved campaign file and the head of its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from screening.report.source import ReportSource
from screening.report.wording import cells_matching, context_names, count, listed, sentence, share

Spec = Mapping[str, Any]
_WAYS = {"up": "raise", "down": "lower"}
_KINDS = {"genetic": "genetic perturbation", "environment": "change of the environment"}


@dataclass(frozen=True)
class Question:
    """What was asked.

    Attributes
    ----------
    lead
        The question in a sentence.
    facts
        What belongs to it: a term and sentences.
    """

    lead: str
    facts: tuple[tuple[str, str], ...]


def read_question(source: ReportSource) -> Question:
    """Say what a screen asked."""
    spec, hits = source.campaign.spec, source.hits
    names = list(context_names(hits["context"]).values())
    where = f"in {listed(names)}" if len(names) <= 3 else f"in {len(names):,} contexts"
    goal = objective_words(spec["objective"], source.campaign.plan["objective"])
    facts = [
        ("Objective", _objective(goal, source)),
        ("Contexts", sentence(f"{count(len(names), 'context')}: {listed(names, 12)}")),
        ("Screened", sentence(screened(hits))),
        ("Compared with", _controls(source)),
        ("A hit is", _rule(spec, hits)),
    ]
    if spec.get("safety"):
        facts.append(("Side effects", _safety(spec["safety"])))
    if source.campaign.manifest.get("notices"):
        facts.append(("Notes", " ".join(sentence(str(each)) for each in source.campaign.manifest["notices"])))
    return Question(f"Which perturbations {goal}, {where}?", tuple(facts))


def objective_words(objective: Spec, resolved: Spec) -> str:
    """Say what a perturbation ought to do to the cells, as the end of a sentence that begins with it."""
    kind = objective.get("kind")
    if kind == "signature":
        return _signature(objective, resolved.get("resolved") or {})
    if kind == "markers":
        genes = objective["genes"]
        ways = genes if isinstance(genes, Mapping) else dict.fromkeys(genes, objective.get("direction") or "up")
        return _both_ways([g for g, way in ways.items() if way == "up"], [g for g, way in ways.items() if way != "up"])
    if kind == "target_state":
        return f"bring cells toward the state of real cells ({cells_matching(objective['group'])})"
    if kind == "population":
        return _population(objective)
    up, down = objective.get("up") or (), objective.get("down") or ()
    return f"act like the query ({count(len(up), 'gene')} up, {len(down):,} down)"


def _signature(objective: Spec, resolved: Spec) -> str:
    if gene_set := objective.get("gene_set"):
        genes = resolved.get(gene_set["direction"]) or ()
        return f"{_WAYS[gene_set['direction']]} the {count(len(genes), 'gene')} of {gene_set['name']}"
    if reference := objective.get("reference"):
        way = "reverse" if reference["mode"] == "reverse" else "imitate"
        return f"{way} the change {_change(reference['from'], reference['to'])}"
    return _both_ways(objective.get("up") or (), objective.get("down") or ())


def _change(start: Mapping[str, Any], end: Mapping[str, Any]) -> str:
    """Name both groups of cells, and what they share once."""
    shared = {factor: value for factor, value in start.items() if end.get(factor) == value}
    own = [{factor: value for factor, value in group.items() if factor not in shared} for group in (start, end)]
    if not shared or not all(own):
        return f"from {cells_matching(start)} to {cells_matching(end)}"
    return f"from {cells_matching(own[0])} to {cells_matching(own[1])} (cells of {cells_matching(shared)})"


def _both_ways(up: Sequence[str], down: Sequence[str]) -> str:
    parts = [f"{_WAYS[way]} {listed(list(genes), 4)}" for way, genes in (("up", up), ("down", down)) if genes]
    return " and ".join(parts)


def _population(objective: Spec) -> str:
    group, more = cells_matching(objective["group"]), objective.get("direction", "up") == "up"
    if objective["measure"] == "e_distance":
        return f"bring the population of cells {'nearer to' if more else 'farther from'} real cells ({group})"
    if objective["measure"] == "state_share":
        return f"bring {'more' if more else 'fewer'} cells into the state of real cells ({group})"
    return f"make cells answer {'less' if more else 'more'} evenly on the way to real cells ({group})"


def _objective(goal: str, source: ReportSource) -> str:
    objective, hits = source.campaign.spec["objective"], source.hits
    units = hits["score_unit"].drop_nulls().unique().to_list() if "score_unit" in hits.columns else []
    unit = f" The score counts it in {listed(units)}; higher is further toward the objective." if units else ""
    own = " The genes that a perturbation targets itself are left out of its own score."
    targets = "genetic" in hits["perturbation_type"] if "perturbation_type" in hits.columns else False
    return sentence(goal) + unit + (own if objective.get("exclude_own_targets") and targets else "")


def screened(hits: pl.DataFrame) -> str:
    """Count what was screened, by type of perturbation."""
    if "perturbation_type" not in hits.columns:
        return f"{count(hits.height, 'condition')}: a perturbation in a context"
    parts = []
    for (kind,), rows in hits.group_by(["perturbation_type"], maintain_order=True):
        noun = _KINDS.get(str(kind), str(kind))
        amount = _undosed(rows).n_unique()
        doses = rows["dose"].drop_nulls().n_unique() if "dose" in rows.columns else 0
        plural = "changes of the environment" if kind == "environment" else ""
        parts.append(count(amount, noun, plural) + (f" at {count(doses, 'dose')}" if doses else ""))
    return f"{listed(sorted(parts), 8)}; with their contexts {count(hits.height, 'condition')}"


def _undosed(rows: pl.DataFrame) -> pl.Series:
    return rows["perturbation"].str.replace_all(r"@[^+]*", "")


def _controls(source: ReportSource) -> str:
    estimator = source.campaign.spec["estimator"]
    how = "drawn cells" if estimator["kind"] == "sampled" else "expected counts"
    shards = source.hits["shards"].drop_nulls() if "shards" in source.hits.columns else pl.Series([], dtype=pl.Int64)
    amounts = sorted(shards.unique().to_list()) or [estimator["shards"]]
    replicates = f"{amounts[0]:,}" if len(amounts) == 1 else f"{amounts[0]:,} to {amounts[-1]:,}"
    return (
        "Untouched cells of the same context, predicted by the same model from the same random numbers:"
        f" {replicates} paired replicates of {count(estimator['depth_strata'], 'cell')} ({how})."
    )


def _rule(spec: Spec, hits: pl.DataFrame) -> str:
    if "null_blocks" not in hits.columns or hits["null_blocks"].drop_nulls().is_empty():
        return (
            "Not decided here: the model has no null (no pseudo-perturbations), so nobody can tell an effect from"
            " chance. The ranking stands."
        )
    least = spec["hits"]["minimum_effect"]
    more = f", and never less than {least:g}" if least else ""
    return (
        f"A condition whose FDR under the model (q) is at most {share(spec['hits']['fdr'])}, and whose effect is larger"
        f" than that of 95 % of conditions without one{more}."
    )


def _safety(safety: Spec) -> str:
    names = [str(each["name"]) for each in safety.get("signatures") or ()]
    spared = [cells_matching(match) for match in safety.get("spare") or ()]
    parts = [f"{count(len(names), 'side effect')} ({listed(names)})"] if names else []
    parts += [f"cells to be spared: {listed(spared)}"] if spared else []
    return sentence("; ".join(parts))
