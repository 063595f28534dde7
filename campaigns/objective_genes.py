"""The genes of an objective, checked against the model's panel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from campaigns.cell_objectives import ConnectivitySpec
from campaigns.errors import GeneSetError
from campaigns.findings import Findings
from campaigns.gene_sets import find_gene_set, read_gene_sets, restrict_to_panel
from campaigns.safety_spec import PenaltySetSpec
from campaigns.screen_spec import GeneSetSpec, MarkersSpec, ObjectiveSpec, SignatureSpec
from campaigns.vocabulary import Vocabulary
from campaigns.yaml_source import NO_SOURCE, FieldPath, Source


@dataclass(frozen=True, slots=True)
class ObjectiveGenes:
    """Which genes an objective raises and lowers.

    Parameters
    ----------
    up, down : tuple of str
        Genes of the panel.
    n_outside : int
        Genes of a gene set that the panel doesn't have.
    """

    up: tuple[str, ...]
    down: tuple[str, ...]
    n_outside: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Give the genes as plain data."""
        return {"up": list(self.up), "down": list(self.down), "n_outside": self.n_outside}


def resolve_objective(
    objective: ObjectiveSpec, vocabulary: Vocabulary, source: Source = NO_SOURCE
) -> tuple[ObjectiveGenes | None, tuple[str, ...]]:
    """Find the genes of an objective in the model's panel.

    Parameters
    ----------
    objective : ObjectiveSpec
        Of a screen.
    vocabulary : Vocabulary
        Of the model.
    source : Source
        The file of the screen, for messages.

    Returns
    -------
    genes : ObjectiveGenes or None
        None where the objective is made of real cells, which aren't read here.
    notices : tuple of str
        What the user ought to know, such as how many genes of a set the panel has.

    Raises
    ------
    VocabularyError
        Genes that the panel doesn't have, a gene set that can't be read or has no gene in the panel.
    """
    findings = Findings()
    genes = collect_objective(objective, vocabulary, source, findings)
    findings.raise_problems()
    return genes, tuple(findings.notices)


def collect_objective(
    objective: ObjectiveSpec, vocabulary: Vocabulary, source: Source, findings: Findings
) -> ObjectiveGenes | None:
    """Do the work of `resolve_objective`, adding to the findings of others instead of raising."""
    if isinstance(objective, MarkersSpec):
        return _markers(objective, vocabulary, source, findings)
    if not isinstance(objective, SignatureSpec | ConnectivitySpec):
        return None
    if isinstance(objective, SignatureSpec) and objective.reference is not None:
        return None
    if isinstance(objective, SignatureSpec) and objective.gene_set is not None:
        return genes_of_set(objective.gene_set, vocabulary, source, findings, ("objective", "gene_set"))
    up = known_genes(objective.up, ("objective", "up"), vocabulary, source, findings)
    down = known_genes(objective.down, ("objective", "down"), vocabulary, source, findings)
    return ObjectiveGenes(up, down)


def _markers(spec: MarkersSpec, vocabulary: Vocabulary, source: Source, findings: Findings) -> ObjectiveGenes:
    path: FieldPath = ("objective", "genes")
    listed = isinstance(spec.genes, tuple)
    for index, gene in enumerate(spec.directions):
        if gene not in vocabulary.gene_set:
            where = source.where((*path, index if listed else gene))
            findings.unknown(where, "gene", gene, vocabulary.genes)
    known = {gene: way for gene, way in spec.directions.items() if gene in vocabulary.gene_set}
    return ObjectiveGenes(_going(known, "up"), _going(known, "down"))


def _going(directions: dict[str, Any], way: str) -> tuple[str, ...]:
    return tuple(gene for gene, direction in directions.items() if direction == way)


def known_genes(
    genes: Iterable[str], path: FieldPath, vocabulary: Vocabulary, source: Source, findings: Findings
) -> tuple[str, ...]:
    """Return the genes of a list, each once; those that the model doesn't have become findings."""
    known: dict[str, None] = {}
    for index, gene in enumerate(genes):
        where = source.where((*path, index))
        if gene not in vocabulary.gene_set:
            findings.unknown(where, "gene", gene, vocabulary.genes)
        elif gene in known:
            findings.notice(f"{where.field}: gene {gene!r} is listed twice and counts once")
        known[gene] = None
    return tuple(known)


def genes_of_set(
    spec: GeneSetSpec | PenaltySetSpec, vocabulary: Vocabulary, source: Source, findings: Findings, path: FieldPath
) -> ObjectiveGenes | None:
    """Return the genes of a named set that the model has; None where it can't be had, which becomes a finding."""
    field = "file"
    try:
        sets = read_gene_sets(spec.file)
        field = "name"
        panel = restrict_to_panel(find_gene_set(sets, spec.name, spec.file), vocabulary.genes)
    except GeneSetError as error:
        # The line of the campaign is what the user can change; the place in the gene-set file goes into the text.
        text = error.problems[0].text
        place = error.file if error.line is None else f"{error.file}:{error.line}"
        findings.problem(source.where((*path, field)), text if error.file in text else f"{place}: {text}")
        return None
    found, total = len(panel.genes), panel.n_in_set
    findings.notice(f"gene set {spec.name}: {found} of its {total} genes are among the model's {len(vocabulary.genes)}")
    if spec.direction == "up":
        return ObjectiveGenes(panel.genes, (), total - found)
    return ObjectiveGenes((), panel.genes, total - found)
