"""Which perturbations a model has features of, and their vectors in the order of its bank.

Features are those of a gene; how a gene was perturbed is not among them. A model that was trained on several methods
therefore describes ``GENE (CRISPRi)`` and ``GENE (CRISPRa)`` apart, with the same vector, and each borrows only from
perturbations of its own method (``neighbours``).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lingshu_core.methods import target_of
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
    named = {target: part for part in seen if (target := target_of(part)) == part}
    described: dict[str, str] = {}
    for name, kind in features.types.items():
        if kind == GENETIC and len(set(methods.values())) > 1:
            described |= dict.fromkeys(_by_method(name, named, methods), kind)
        else:
            described[name] = kind
    fitting = {name: kind for name, kind in described.items() if seen.get(name, kind) == kind}
    return dict(sorted(fitting.items(), key=lambda item: (item[1], item[0])))


def _by_method(gene: str, named: Mapping[str, str], methods: Mapping[str, str]) -> list[str]:
    """Name a gene once for each method; a label of the data that has one method already keeps its name."""
    plain = methods.get(named.get(gene, ""))
    return [gene if method == plain else f"{gene} ({method})" for method in sorted(set(methods.values()))]


def build_bank(features: PerturbationFeatures | None, vocabulary: Vocabulary) -> FeatureBank | None:
    """Put the vectors of the described perturbations into the vocabulary's order; None where there are none."""
    if features is None or not vocabulary.described:
        return None
    rows = {name: row for row, name in enumerate(features.types)}
    widths = [origin.dimensions for origin in features.origins]
    kinds = _kinds(vocabulary)
    chosen = [rows[target_of(name)] if name not in rows else rows[name] for name in vocabulary.described]
    return FeatureBank(
        # Columns beyond the sources' say the type, which has a place of its own.
        vectors=torch.from_numpy(features.matrix[chosen, : sum(widths)]),
        sources=torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths)),
        types=torch.tensor(kinds),
        part_rows=torch.tensor([vocabulary.feature_row(part) - 1 for part in vocabulary.parts]),
    )


def kind_numbers(vocabulary: Vocabulary) -> dict[str, int]:
    """Number the kinds that borrow from each other: the types, and within ``genetic`` the methods."""
    return {kind: number for number, kind in enumerate(sorted({_kind(vocabulary, n) for n in vocabulary.described}))}


def _kinds(vocabulary: Vocabulary) -> list[int]:
    numbers = kind_numbers(vocabulary)
    return [numbers[_kind(vocabulary, name)] for name in vocabulary.described]


def _kind(vocabulary: Vocabulary, name: str) -> str:
    kind = vocabulary.described[name]
    if kind != GENETIC or len(set(vocabulary.methods.values())) < 2:
        return kind
    target = target_of(name)
    method = vocabulary.methods.get(name, "") if target == name else name[len(target) :].strip(" ()")
    return f"{kind} {method}"
