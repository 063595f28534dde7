from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lingshu_core.feature_bank import build_bank, described_names, kind_numbers
from lingshu_core.perturbation_features import FeatureOrigin, PerturbationFeatures
from lingshu_core.vocabulary import Vocabulary

ORIGINS = (
    FeatureOrigin("gene_sets", "genetic", "sets.gmt", "", "", dimensions=2, names=3),
    FeatureOrigin("smiles", "drug", "drugs.tsv", "", "", dimensions=1, names=2),
)
FEATURES = PerturbationFeatures(
    {"IFNB1": "genetic", "JAK2": "genetic", "KLF1": "genetic", "aspirin": "drug", "ruxolitinib": "drug"},
    np.array(
        [[1, 2, 0], [3, 4, 0], [5, 6, 0], [0, 0, 7], [0, 0, 8]],
        dtype=np.float32,
    ),
    ORIGINS,
)


def _words(vocabulary: Vocabulary, seen: dict[str, str], methods: dict[str, str]) -> Vocabulary:
    described = described_names(FEATURES, seen, methods)
    return replace(vocabulary, parts=tuple(sorted(seen)), described=described, methods=methods)


def test_names_are_described_by_type_and_not_where_the_cells_mean_something_else_by_them() -> None:
    described = described_names(FEATURES, {"IFNB1": "cytokine", "JAK2": "genetic"}, {})
    assert list(described.items()) == [("JAK2", "genetic"), ("KLF1", "genetic")]


def test_a_kind_of_which_no_seen_perturbation_is_described_is_left_out() -> None:
    # Nobody to borrow from: a prediction of them would silently be "no effect".
    assert set(described_names(FEATURES, {"STAT1": "genetic", "aspirin": "drug"}, {}).values()) == {"drug"}
    methods = {"JAK2": "CRISPRi", "STAT1 (CRISPRa)": "CRISPRa"}
    described = described_names(FEATURES, {"JAK2": "genetic", "STAT1 (CRISPRa)": "genetic"}, methods)
    assert list(described) == ["IFNB1 (CRISPRi)", "JAK2", "KLF1 (CRISPRi)"]


def test_a_method_that_stands_in_every_label_is_no_obstacle() -> None:
    described = described_names(FEATURES, {"JAK2 (CRISPRi)": "genetic"}, {"JAK2 (CRISPRi)": "CRISPRi"})
    assert list(described) == ["IFNB1", "JAK2 (CRISPRi)", "KLF1"]


def test_with_several_methods_every_gene_is_described_once_for_each() -> None:
    seen = {"JAK2": "genetic", "KLF1 (CRISPRa)": "genetic", "KLF1 (CRISPRi)": "genetic"}
    methods = {"JAK2": "CRISPRi", "KLF1 (CRISPRa)": "CRISPRa", "KLF1 (CRISPRi)": "CRISPRi"}
    genetic = [name for name, kind in described_names(FEATURES, seen, methods).items() if kind == "genetic"]
    assert genetic == sorted(
        ["JAK2", "JAK2 (CRISPRa)", "KLF1 (CRISPRa)", "KLF1 (CRISPRi)", "IFNB1 (CRISPRa)", "IFNB1 (CRISPRi)"]
    )


def test_the_bank_has_the_sources_columns_in_the_vocabularys_order(vocabulary: Vocabulary) -> None:
    words = _words(vocabulary, {"JAK2": "genetic", "ruxolitinib": "drug", "STAT1": "genetic"}, {})
    bank = build_bank(FEATURES, words)
    assert bank is not None
    assert list(words.described) == ["aspirin", "ruxolitinib", "IFNB1", "JAK2", "KLF1"]
    assert bank.vectors.tolist() == [[0, 0, 7], [0, 0, 8], [1, 2, 0], [3, 4, 0], [5, 6, 0]]
    assert bank.sources.tolist() == [0, 0, 1]
    assert bank.types.tolist() == [0, 0, 1, 1, 1]
    assert words.parts == ("JAK2", "STAT1", "ruxolitinib")
    assert bank.part_rows.tolist() == [3, -1, 1]


def test_each_method_borrows_from_its_own(vocabulary: Vocabulary) -> None:
    seen = {"JAK2": "genetic", "KLF1 (CRISPRa)": "genetic", "KLF1 (CRISPRi)": "genetic", "aspirin": "drug"}
    methods = {"JAK2": "CRISPRi", "KLF1 (CRISPRa)": "CRISPRa", "KLF1 (CRISPRi)": "CRISPRi"}
    words = _words(vocabulary, seen, methods)
    bank = build_bank(FEATURES, words)
    assert bank is not None
    assert kind_numbers(words) == {"drug": 0, "genetic CRISPRa": 1, "genetic CRISPRi": 2}
    kinds = dict(zip(words.described, bank.types.tolist(), strict=True))
    assert kinds["JAK2"] == kinds["IFNB1 (CRISPRi)"] == 2
    assert kinds["JAK2 (CRISPRa)"] == kinds["KLF1 (CRISPRa)"] == 1
    vectors = dict(zip(words.described, bank.vectors.tolist(), strict=True))
    assert vectors["KLF1 (CRISPRa)"] == vectors["KLF1 (CRISPRi)"] == [5, 6, 0]


@pytest.mark.parametrize("features", [None, FEATURES])
def test_without_descriptions_there_is_no_bank(vocabulary: Vocabulary, features: PerturbationFeatures | None) -> None:
    assert build_bank(features, vocabulary) is None


def test_the_vocabulary_keeps_the_order_of_the_bank(vocabulary: Vocabulary) -> None:
    words = _words(vocabulary, {"JAK2": "genetic", "aspirin": "drug"}, {})
    again = Vocabulary.from_json(words.to_json())
    assert list(again.described) == list(words.described)
    assert [again.feature_row(name) for name in words.described] == [1, 2, 3, 4, 5]
