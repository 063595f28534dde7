from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import SpecError, dump_spec, load_training
from campaigns.feature_spec import CoExpressionSource, FeaturesSpec, SmilesSource

FEATURES = """\
features:
  genetic:
    - {kind: gene_sets, file: sets.gmt.gz, licence: CC BY 4.0, smallest: 10}
    - {kind: links, file: links.tsv, source: tf, sign: mor, graph: {file: net.tsv, weight: w}}
    - {kind: co_expression, dimensions: 32}
    - {kind: table, file: esm2.parquet, name: gene, names: [STAT1, 7]}
  drug:
    - {kind: smiles, file: drugs.tsv.gz, name: product}
"""


@pytest.fixture
def load(write: Callable[..., Path], train_text: str) -> Callable[[str], FeaturesSpec | None]:
    return lambda features: load_training(write(train_text + features, "train.yaml"), {}).spec.features


def test_sources_are_read_in_their_order(load: Callable[[str], FeaturesSpec]) -> None:
    spec = load(FEATURES)
    assert [source.kind for source in spec.genetic] == ["gene_sets", "links", "co_expression", "table"]
    assert spec.genetic[2] == CoExpressionSource(kind="co_expression", dimensions=32)
    assert spec.genetic[3].names == ("STAT1", "7")
    assert spec.genetic[1].graph is not None
    assert (spec.genetic[1].graph.source, spec.genetic[1].graph.weight, spec.genetic[1].graph.hops) == (
        "source",
        "w",
        2,
    )
    assert spec.drug == (SmilesSource(kind="smiles", file="drugs.tsv.gz", name="product"),)
    assert list(spec.by_type) == ["genetic", "drug"]


def test_features_survive_being_written(write: Callable[..., Path], train_text: str) -> None:
    spec = load_training(write(train_text + FEATURES), {}).spec
    assert load_training(write(dump_spec(spec)), {}).spec == spec


def test_a_training_needs_no_features(load: Callable[[str], FeaturesSpec | None]) -> None:
    assert load("") is None


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        (
            "kind: gene_sets",
            "kind: gene_set",
            18,
            "genetic[0].kind: unknown kind 'gene_set'; nearest: gene_sets",
        ),
        ("kind: gene_sets", "kind: smiles", 18, "unknown kind 'smiles'; known: table, gene_sets, links, co_expression"),
        ("file: sets.gmt.gz, ", "", 18, "features.genetic[0]: missing field 'file': A .gmt file"),
        ("smallest: 10", "smallest: 600", 18, "features.genetic[0].smallest: 600 is more than `largest`, 500"),
        ("smallest: 10", "smalest: 10", 18, "unknown key 'smalest'; nearest: smallest"),
        ("sign: mor", "sign: [mor]", 19, "features.genetic[1].sign: must be text, not a list"),
        ("weight: w", "weight: w, hops: 9", 19, "features.genetic[1].graph.hops: must be less than or equal to 4"),
        ("weight: w", "wight: w", 19, "features.genetic[1].graph.wight: unknown key 'wight'; nearest: weight"),
        ("dimensions: 32", "dimensions: 0", 20, "features.genetic[2].dimensions: must be greater than or equal to 1"),
        ("dimensions: 32", "file: x", 20, "features.genetic[2].file: unknown key 'file'"),
        ("[STAT1, 7]", "[STAT1, STAT1]", 21, "features.genetic[3].names[1]: 'STAT1' is listed twice"),
        ("file: drugs.tsv.gz, ", "", 23, "features.drug[0]: missing field 'file': Drugs as"),
        ("name: product", "smiles: a, bit: 512", 23, "features.drug[0].bit: unknown key 'bit'; nearest: bits"),
        ("name: product", "smiles: a, bits: 8", 23, "features.drug[0].bits: must be greater than or equal to 64"),
        ("  drug:", "  drugs:", 22, "features.drugs: unknown key 'drugs'; nearest: drug"),
        ("drugs.tsv.gz", "'https://me:secret@host/drugs.tsv'", 23, "a user or a password can't stand in a URL"),
        ("  drug:", "  environment:", 23, "features.environment[0].kind: unknown kind 'smiles'; known: table, plugin"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_field(
    load: Callable[[str], FeaturesSpec], old: str, new: str, line: int, said: str
) -> None:
    assert old in FEATURES
    with pytest.raises(SpecError) as caught:
        load(FEATURES.replace(old, new, 1))
    assert any(said in str(problem) and problem.line == line for problem in caught.value.problems), caught.value


def test_two_sources_of_structures_are_refused(load: Callable[[str], FeaturesSpec]) -> None:
    with pytest.raises(SpecError, match=r"features\.drug\[1\]: is a second source of structures"):
        load(FEATURES + "    - {kind: smiles, file: more.tsv}\n")


def test_a_block_without_a_source_is_refused(load: Callable[[str], FeaturesSpec]) -> None:
    with pytest.raises(SpecError, match="features: lists no source"):
        load("features: {}\n")
