"""The side effects and the contexts to be spared of a screen, checked against the model and the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from campaigns.conditions import Context
from campaigns.findings import Findings, some
from campaigns.objective_genes import ObjectiveGenes, genes_of_set, known_genes
from campaigns.safety_spec import PenaltySpec, SafetySpec
from campaigns.vocabulary import Vocabulary
from campaigns.yaml_source import FieldPath, Source


def collect_safety(
    safety: SafetySpec | None,
    contexts: Sequence[Context],
    vocabulary: Vocabulary,
    source: Source,
    findings: Findings,
) -> dict[str, Any] | None:
    """Find the genes of every side effect and the contexts to be spared.

    Parameters
    ----------
    safety : SafetySpec or None
        Of a screen.
    contexts : sequence of Context
        Contexts of the screen.
    vocabulary : Vocabulary
        Of the model.
    source : Source
        The file of the screen, for messages.
    findings : Findings
        Takes what is wrong: genes that the model doesn't have, gene sets that aren't there, contexts that aren't
        screened.

    Returns
    -------
    dict or None
        Plain data for the plan: ``signatures``, a list of name, up, down and n_outside, and ``spare``, the labels of
        contexts; None where a screen asks for no safety.
    """
    if safety is None:
        return None
    signatures = [
        {"name": penalty.name, **genes.as_dict()}
        for index, penalty in enumerate(safety.signatures)
        if (genes := _genes(penalty, ("safety", "signatures", index), vocabulary, source, findings)) is not None
    ]
    spared = _spared(safety, contexts, source, findings)
    return {"signatures": signatures, "spare": [context.label for context in contexts if context in spared]}


def _genes(
    penalty: PenaltySpec, path: FieldPath, vocabulary: Vocabulary, source: Source, findings: Findings
) -> ObjectiveGenes | None:
    if penalty.gene_set is not None:
        return genes_of_set(penalty.gene_set, vocabulary, source, findings, (*path, "gene_set"))
    up = known_genes(penalty.up, (*path, "up"), vocabulary, source, findings)
    down = known_genes(penalty.down, (*path, "down"), vocabulary, source, findings)
    return ObjectiveGenes(up, down)


def _spared(safety: SafetySpec, contexts: Sequence[Context], source: Source, findings: Findings) -> set[Context]:
    spared: set[Context] = set()
    for index, match in enumerate(safety.spare):
        fitting = {context for context in contexts if _fits(context, match)}
        if not fitting and contexts:  # of an empty grid others tell
            where = source.where(("safety", "spare", index))
            findings.problem(where, f"{_words(match)} isn't screened; {_advice(contexts)}")
        spared |= fitting
    if contexts and spared == set(contexts):
        text = "spares every context of the screen, so nothing is left in which a hit could be"
        findings.problem(source.where(("safety", "spare")), f"{text}; {_advice(contexts)}")
    return spared


def _fits(context: Context, match: Mapping[str, tuple[str, ...]]) -> bool:
    factors = context.as_dict()
    return all(factors.get(factor) in values for factor, values in match.items())


def _words(match: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{factor}={'/'.join(values)}" for factor, values in match.items())


def _advice(contexts: Sequence[Context]) -> str:
    return f"the screen has {some(context.label for context in contexts)}; add it to `contexts`, or spare another"
