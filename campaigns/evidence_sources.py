"""The files that ``evidence:`` names, read and checked against the model before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping

from campaigns.conditions import split_method
from campaigns.errors import GeneSetError, VocabularyError, Where
from campaigns.evidence_spec import EvidenceSpec, NetworkSpec
from campaigns.findings import Findings
from campaigns.gene_sets import read_gene_sets
from campaigns.listing import read_columns
from campaigns.vocabulary import Vocabulary
from campaigns.yaml_source import NO_SOURCE, FieldPath, Source

SMALLEST_SET, LARGEST_SET = 5, 500
"""Genes of the model that a set has to have to be tested: of fewer nothing follows, of more nothing particular."""
_SETS: FieldPath = ("evidence", "gene_sets")
_NETWORK: FieldPath = ("evidence", "network")

Network = Mapping[str, Mapping[str, float]]
"""Source → target → sign of the link: 1, −1, or 0 where it is not known."""


def collect_evidence(spec: EvidenceSpec, vocabulary: Vocabulary, source: Source, findings: Findings) -> None:
    """Check the files that a screen's ``evidence`` names, adding to the findings of others."""
    if spec.top == 0:
        return
    if spec.gene_sets is not None:
        try:
            _notice_sets(len(panel_sets(spec.gene_sets, vocabulary.genes)), spec.gene_sets, source, findings)
        except GeneSetError as error:
            text, place = error.problems[0].text, error.file if error.line is None else f"{error.file}:{error.line}"
            findings.problem(source.where(_SETS), text if str(error.file) in text else f"{place}: {text}")
    if spec.network is not None:
        try:
            _notice_links(read_network(spec.network, source), spec.network, vocabulary, source, findings)
        except VocabularyError as error:
            findings.problems += error.problems


def panel_sets(path: str, genes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Read a GMT file and keep what the model has of every set that is neither too small nor too large.

    Raises
    ------
    GeneSetError
        As `read_gene_sets`.
    """
    known = frozenset(genes)
    kept = {name: tuple(g for g in found.genes if g in known) for name, found in read_gene_sets(path).items()}
    return {
        name: found for name, found in kept.items() if SMALLEST_SET <= len(found) <= min(LARGEST_SET, len(genes) - 1)
    }


def read_network(spec: NetworkSpec, source: Source = NO_SOURCE) -> Network:
    """Read the links of a network; of a link that is listed twice with opposite signs the sign is not known.

    Raises
    ------
    VocabularyError
        The file can't be read, has no such column, or a sign is no number.
    """
    named_at = source.where((*_NETWORK, "file"))
    wanted = {"source": spec.source, "target": spec.target} | ({} if spec.sign is None else {"sign": spec.sign})
    columns = {role: (name, source.where((*_NETWORK, role))) for role, name in wanted.items()}
    network: dict[str, dict[str, float]] = {}
    for row, where in read_columns(spec.file, columns, named_at):
        if not (row["source"] and row["target"]):
            raise VocabularyError([where.problem("one end of the link is empty")])
        sign = _sign(row["sign"], where) if "sign" in row else 0.0
        targets = network.setdefault(row["source"], {})
        targets[row["target"]] = sign if targets.get(row["target"], sign) == sign else 0.0
    return network


def _sign(text: str, where: Where) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise VocabularyError([where.problem(f"the sign of a link has to be a number, not {text!r}")]) from error
    return float(value > 0) - float(value < 0)


def _notice_sets(testable: int, path: str, source: Source, findings: Findings) -> None:
    said = f"{SMALLEST_SET} to {LARGEST_SET} genes of the model"
    if not testable:
        findings.problem(source.where(_SETS), f"no set of {path} has {said}: is it for other names or another species?")
    else:
        findings.notice(f"evidence: {testable:,} sets of {path} have {said} and are tested")


def _notice_links(
    network: Network, spec: NetworkSpec, vocabulary: Vocabulary, source: Source, findings: Findings
) -> None:
    named = {split_method(part)[0] for part in (*vocabulary.part_types, *vocabulary.described)}
    acting = sum(name in network for name in named)
    known = sum(target in vocabulary.gene_set for targets in network.values() for target in targets)
    links = sum(map(len, network.values()))
    if not (known and (acting or vocabulary.structures)):  # drugs that only the campaign knows may have links
        lacking = "starts at a perturbation of the model" if known else "leads to a gene of the model"
        findings.problem(source.where(_NETWORK), f"no link of {spec.file} {lacking}: are the names of one kind?")
    else:
        findings.notice(
            f"evidence: {links:,} links of {spec.file}; {known:,} lead to genes of the model, and {acting:,} of its"
            " perturbations have some"
        )
