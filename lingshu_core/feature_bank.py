"""Which perturbations a model has features of, and their vectors in the order of its bank.

Features are those of a gene; how a gene was perturbed is not among them. A model that was trained on several methods
therefore describes ``GENE (CRISPRi)`` and ``GENE (CRISPRa)`` apart, with the same vector, and each borrows only from
perturbations of its own method (``neighbours``).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lingshu_core.methods import split_method, target_of
from lingshu_core.neighbours import FeatureBank
from lingshu_core.perturbation_features import PerturbationFeatures
from lingshu_core.vocabulary import Vocabulary

GENETIC = "genetic"


def described_names(
    features: PerturbationFeatures, seen: Mapping[str, str], methods: Mapping[str, str]
) -> dict[str, str]:
    """List the perturbations that features describe, name → type, sorted by type and name.

    Parameters
    ----------
    features
        Of genes, drugs, …
    seen
        Single perturbations of the training → type. Features of a name that has another type there are left out:
        IFNB1 given to the cells is not IFNB1 knocked out.
    methods
        Single genetic perturbations of the training → method, where the data tell it.
    """
    described: dict[str, str] = {}
    for name, kind in features.types.items():
        described |= dict.fromkeys(_spellings(name, seen, methods) if kind == GENETIC else [name], kind)
    fitting = {name: kind for name, kind in described.items() if seen.get(name, kind) == kind}
    # Where no seen perturbation of a kind is described, there is nobody to borrow from.
    taught = {_kind(name, fitting, methods) for name in seen if name in fitting}
    kept = {name: kind for name, kind in fitting.items() if _kind(name, fitting, methods) in taught}
    return dict(sorted(kept.items(), key=lambda item: (item[1], item[0])))


def _spellings(gene: str, seen: Mapping[str, str], methods: Mapping[str, str]) -> list[str]:
    """Name a gene as the training does, and once for each method; a label without a method keeps its name."""
    known = [part for part, kind in seen.items() if kind == GENETIC and target_of(part) == gene]
    if len(set(methods.values())) < 2:
        return known or [gene]
    by_method = {methods[part]: part for part in known if part in methods}
    return [by_method.get(method, f"{gene} ({method})") for method in sorted(set(methods.values()))]


def build_bank(features: PerturbationFeatures | None, vocabulary: Vocabulary) -> FeatureBank | None:
    """Put the vectors of the described perturbations into the vocabulary's order; None where there are none."""
    if features is None or not vocabulary.described:
        return None
    rows = {name: row for row, name in enumerate(features.types)}
    widths = [origin.dimensions for origin in features.origins]
    kinds = _kinds(vocabulary)
    chosen = [rows[target_of(name)] if name not in rows else rows[name] for name in vocabulary.described]
    return FeatureBank(
        vectors=torch.from_numpy(features.matrix[chosen]),
        sources=torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths)),
        types=torch.tensor(kinds),
        part_rows=torch.tensor([vocabulary.feature_row(part) - 1 for part in vocabulary.identities]),
    )


def kind_numbers(vocabulary: Vocabulary) -> dict[str, int]:
    """Number the kinds that borrow from each other: the types, and within ``genetic`` the methods."""
    return {kind: number for number, kind in enumerate(sorted(set(_all_kinds(vocabulary))))}


def _kinds(vocabulary: Vocabulary) -> list[int]:
    numbers = kind_numbers(vocabulary)
    return [numbers[kind] for kind in _all_kinds(vocabulary)]


def _all_kinds(vocabulary: Vocabulary) -> list[str]:
    return [_kind(name, vocabulary.described, vocabulary.methods) for name in vocabulary.described]


def _kind(name: str, described: Mapping[str, str], methods: Mapping[str, str]) -> str:
    kind = described[name]
    if kind != GENETIC or len(set(methods.values())) < 2:
        return kind
    return f"{kind} {split_method(name)[1] or methods.get(name, '')}"
