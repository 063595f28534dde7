import gzip
from pathlib import Path

import pytest

from campaigns.errors import VocabularyError
from campaigns.evidence_sources import collect_evidence, panel_sets, read_network
from campaigns.evidence_spec import EvidenceSpec, NetworkSpec
from campaigns.findings import Findings
from campaigns.vocabulary import SeenPerturbation, Vocabulary
from campaigns.yaml_source import NO_SOURCE

GENES = tuple(f"G{i}" for i in range(12))


@pytest.fixture
def vocabulary() -> Vocabulary:
    seen = {"G1": SeenPerturbation("genetic", 9), "G2 (CRISPRa)": SeenPerturbation("genetic", 9)}
    return Vocabulary(GENES, {"cell_type": ("T",)}, (), seen, "control")


@pytest.fixture
def links(tmp_path: Path) -> Path:
    path = tmp_path / "links.tsv"
    path.write_text("source\ttarget\tmor\nG1\tG3\t1\nG1\tG4\t-0.5\nG2\tG3\t1\nG2\tG3\t-1\nX\tG5\t0\n")
    return path


def found(spec: EvidenceSpec, vocabulary: Vocabulary) -> Findings:
    findings = Findings()
    collect_evidence(spec, vocabulary, NO_SOURCE, findings)
    return findings


def test_sets_that_are_too_small_or_the_whole_panel_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    lines = {"small": GENES[:4], "good": (*GENES[:5], "OTHER"), "whole": GENES, "large": GENES[:11]}
    path.write_text("".join("\t".join((name, "", *genes)) + "\n" for name, genes in lines.items()))
    assert panel_sets(str(path), GENES) == {"good": GENES[:5], "large": GENES[:11]}


def test_links_have_signs_where_a_column_is_named(links: Path) -> None:
    unsigned = read_network(NetworkSpec(file=str(links)))
    assert unsigned["G1"] == {"G3": 0.0, "G4": 0.0}
    signed = read_network(NetworkSpec(file=str(links), sign="mor"))
    assert signed == {"G1": {"G3": 1.0, "G4": -1.0}, "G2": {"G3": 0.0}, "X": {"G5": 0.0}}  # G2 → G3 goes both ways


def test_a_compressed_network_is_read(links: Path, tmp_path: Path) -> None:
    packed = tmp_path / "links.tsv.gz"
    packed.write_bytes(gzip.compress(links.read_bytes()))
    assert read_network(NetworkSpec(file=str(packed))) == read_network(NetworkSpec(file=str(links)))


def test_what_fits_the_model_is_said(links: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    sets = tmp_path / "sets.gmt"
    sets.write_text("good\t\t" + "\t".join(GENES[:6]) + "\n")
    network = NetworkSpec(file=str(links), sign="mor")
    notices = found(EvidenceSpec(gene_sets=str(sets), network=network), vocabulary).notices
    assert notices[0] == f"evidence: 1 sets of {sets} have 5 to 500 genes of the model and are tested"
    assert "4 links" in notices[1]
    assert "2 of its perturbations have some" in notices[1]


def test_nothing_is_read_where_none_is_asked_for(vocabulary: Vocabulary) -> None:
    assert not found(EvidenceSpec(top=0, gene_sets="none.gmt"), vocabulary).problems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "can't be read: No such file or directory"),
        ("from\tto\nG1\tG2\n", "has no column 'source'; known: from, to"),
        ("source\ttarget\tmor\nG1\tG2\thigh\n", "has to be a number, not 'high'"),
        ("source\ttarget\tmor\n\tG2\t1\n", "one end of the link is empty"),
        ("source\ttarget\tmor\nX\tG2\t1\n", "starts at a perturbation of the model"),
        ("source\ttarget\tmor\nG1\tX\t1\n", "leads to a gene of the model"),
    ],
)
def test_a_network_that_is_of_no_use_is_refused(
    text: str | None, words: str, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    path = tmp_path / "links.tsv"
    if text is not None:
        path.write_text(text)
    problems = found(EvidenceSpec(network=NetworkSpec(file=str(path), sign="mor")), vocabulary).problems
    assert words in "\n".join(problem.text for problem in problems)


@pytest.mark.parametrize(
    ("text", "words"), [(None, "can't be read"), ("a\tb\n", "isn't a GMT line"), ("a\t\tX\tY\n", "no set of")]
)
def test_sets_that_are_of_no_use_are_refused(
    text: str | None, words: str, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    path = tmp_path / "sets.gmt"
    if text is not None:
        path.write_text(text)
    problems = found(EvidenceSpec(gene_sets=str(path)), vocabulary).problems
    assert len(problems) == 1
    assert words in problems[0].text
    assert str(path) in problems[0].text


def test_a_missing_column_is_an_error(links: Path) -> None:
    with pytest.raises(VocabularyError, match="has no column 'tf'"):
        read_network(NetworkSpec(file=str(links), source="tf"))
