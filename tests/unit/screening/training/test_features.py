from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from campaigns.errors import GeneSetError
from campaigns.feature_spec import FeaturesSpec
from campaigns.training_spec import TrainSpec
from lingshu_core.cells import Cells
from lingshu_core.errors import FeatureError
from lingshu_core.perturbation_features import PerturbationFeatures
from screening.training.features import build_features, feature_notices, training_types

GMT = "INTERFERON\t\tSTAT1\tSTAT2\tIFNB1\tISG15\nHYPOXIA\t\tVEGFA\tCA9\tHIF1A\n"
LABELS = [("control", "none"), ("STAT1", "genetic"), ("JAK2", "genetic"), ("STAT1+VEGFA", "genetic")]
LABELS += [("IFNB1", "cytokine"), ("aspirin", "drug"), ("(+)-JQ1", "drug")]
DRUGS = "product\tsmiles\naspirin\tCC(=O)Oc1ccccc1C(=O)O\ncaffeine\tCn1cnc2c1c(=O)n(C)c(=O)n2C\n"

Build = Callable[..., PerturbationFeatures]


@pytest.fixture
def cells() -> Cells:
    rng = np.random.default_rng(0)
    labels = [label for label in LABELS for _ in range(20)]
    obs = pd.DataFrame(labels, columns=["perturbation", "perturbation_type"])
    counts = rng.poisson(3.0 * np.exp(rng.normal(size=(len(obs), 1))), size=(len(obs), 4))
    genes = ("STAT1", "STAT2", "VEGFA", "CD14")
    return Cells(sp.csr_matrix(counts), genes, obs, np.full(len(obs), 200.0), (), "control", "cells.h5ad")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "sets.gmt").write_text(GMT)
    (tmp_path / "drugs.tsv").write_text(DRUGS)
    (tmp_path / "links.tsv").write_text("tf\ttarget\tmor\nSTAT1\tISG15\t1\nSTAT1\tJAK2\t-1\nHIF1A\tVEGFA\t1\n")
    np.savez(tmp_path / "table.npz", names=np.array(["JAK2", "STAT1", "XYZ"]), features=np.eye(3))
    return tmp_path


@pytest.fixture
def spec_of(files: Path) -> Callable[..., TrainSpec]:
    def make(**sources: list[dict[str, object]]) -> TrainSpec:
        placed = {
            kind: [
                {key: str(files / str(value)) if key == "file" else value for key, value in one.items()} for one in many
            ]
            for kind, many in sources.items()
        }
        data = {"path": "cells.h5ad", "columns": {"perturbation": "p"}}
        features = FeaturesSpec.model_validate(placed) if placed else None
        spec = TrainSpec.model_validate({"kind": "train", "name": "x", "data": data, "output": "o"})
        return spec.model_copy(update={"features": features})

    return make


@pytest.fixture
def build(spec_of: Callable[..., TrainSpec], cells: Cells) -> Build:
    def run(**sources: list[dict[str, object]]) -> PerturbationFeatures:
        found = build_features(spec_of(**sources), cells)
        assert found is not None
        return found

    return run


SETS = {"kind": "gene_sets", "file": "sets.gmt", "smallest": 2}
STRUCTURES = {"kind": "smiles", "file": "drugs.tsv", "name": "product", "bits": 64, "licence": "MIT"}
LINKS = {"kind": "links", "file": "links.tsv", "source": "tf", "sign": "mor"}


def test_a_training_without_features_has_none(spec_of: Callable[..., TrainSpec], cells: Cells) -> None:
    assert build_features(spec_of(), cells) is None


def test_combinations_are_taken_apart(cells: Cells) -> None:
    assert training_types(cells) == {
        "(+)-JQ1": "drug",
        "IFNB1": "cytokine",
        "JAK2": "genetic",
        "STAT1": "genetic",
        "VEGFA": "genetic",
        "aspirin": "drug",
    }


def test_every_kind_of_source_is_built(build: Build, files: Path) -> None:
    found = build(
        genetic=[SETS, LINKS, {"kind": "co_expression"}, {"kind": "table", "file": "table.npz"}], drug=[STRUCTURES]
    )
    kinds = [(origin.kind, origin.perturbation_type, Path(origin.file).name) for origin in found.origins]
    assert kinds == [
        ("gene_sets", "genetic", "sets.gmt"),
        ("links", "genetic", "links.tsv"),
        ("co_expression", "genetic", ""),
        ("table", "genetic", "table.npz"),
        ("smiles", "drug", "drugs.tsv"),
    ]
    assert found.origins[0].sha256 == hashlib.sha256(GMT.encode()).hexdigest()
    assert found.origins[-1].licence == "MIT"
    assert found.matrix.shape == (len(found.types), sum(origin.dimensions for origin in found.origins))
    row = found.matrix[list(found.types).index("caffeine")]
    np.testing.assert_array_equal(found.drug_vector("Cn1cnc2c1c(=O)n(C)c(=O)n2C"), row)


def test_a_name_has_the_type_it_has_in_the_cells(build: Build) -> None:
    assert "IFNB1" not in build(genetic=[SETS]).types
    found = build(cytokine=[SETS | {"names": ["IFNB1", "ISG15", "CA9"]}], genetic=[LINKS])
    assert found.types["IFNB1"] == found.types["ISG15"] == "cytokine"
    assert found.types["JAK2"] == "genetic"


def test_a_name_of_two_types_and_none_in_the_cells_is_refused(build: Build) -> None:
    with pytest.raises(FeatureError, match="'CA9' is described as genetic and as cytokine"):
        build(cytokine=[SETS], genetic=[SETS])


def test_a_target_with_a_method_is_described_as_its_gene(spec_of: Callable[..., TrainSpec], cells: Cells) -> None:
    cells.obs["perturbation"] = cells.obs["perturbation"].replace({"STAT1": "STAT1 (CRISPRi)"})
    found = build_features(spec_of(genetic=[SETS]), cells)
    assert found is not None
    assert "STAT1" in found.types  # the bank gives it to every method: `lingshu_core.feature_bank`
    assert not any("(" in name for name in found.types)
    assert not any("STAT1" in notice for notice in feature_notices(found, cells) if notice.startswith("without"))


def test_a_network_adds_a_block(build: Build, files: Path) -> None:
    graph = {"file": str(files / "links.tsv"), "source": "tf", "licence": "GPL-3"}
    found = build(genetic=[SETS | {"graph": graph}])
    assert [origin.kind for origin in found.origins] == ["gene_sets", "graph"]
    assert found.origins[1].licence == "GPL-3"
    assert "JAK2" in found.types  # in the network only


def test_notices_count_what_is_described(build: Build, cells: Cells, files: Path) -> None:
    found = build(genetic=[SETS], drug=[STRUCTURES])
    assert feature_notices(found, cells) == [
        f"gene_sets {files / 'sets.gmt'}: describes 2 of the 3 genetic perturbations of the training, and 4 others",
        f"smiles {files / 'drugs.tsv'}: describes 1 of the 2 drug perturbations of the training, and 1 others",
        "without features: (+)-JQ1, JAK2; they are known by their names only",
    ]


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            {"environment": [{"kind": "table", "file": "table.npz"}]},
            "no perturbation of the training is of the type 'env",
        ),
        ({"drug": [STRUCTURES | {"name": "smiles"}]}, r"none of the 2 drug perturbations.*such as '\(\+\)-JQ1'"),
        (
            {"genetic": [SETS | {"names": ["STAT1", "STATS2"]}]},
            r"`names` lists 'STATS2', which it doesn't know; nearest",
        ),
        ({"genetic": [SETS | {"smallest": 100}]}, r"sets\.gmt: none of the 2 gene sets has 100 to 500 genes"),
        ({"genetic": [LINKS | {"sign": "sign"}]}, r"links\.tsv: there is no column 'sign' \(weight\)"),
        ({"genetic": [{"kind": "table", "file": "nothing.npz"}]}, r"nothing\.npz: no such file"),
    ],
)
def test_what_cannot_be_used_is_refused(build: Build, sources: dict[str, list[dict[str, object]]], said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        build(**sources)


def test_a_damaged_gene_set_file_is_refused(build: Build, files: Path) -> None:
    (files / "sets.gmt").write_text("no tabs\n")
    with pytest.raises(GeneSetError, match=r"sets\.gmt:1: isn't a GMT line"):
        build(genetic=[SETS])
