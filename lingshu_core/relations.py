"""What counts as related and may not stand on both sides of a split: genes of a family, drugs that are alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lingshu_core.chemistry import canonical_smiles, morgan_bits, murcko_scaffold, tanimoto
from lingshu_core.errors import FeatureError, SplitError
from lingshu_core.gene_families import components, families_by_stem, families_of, joined_families

GENE_TYPES = ("genetic", "cytokine")
_AT_ONCE = 1_024


@dataclass(frozen=True)
class Relations:
    """What a split knows about its perturbations.

    Parameters
    ----------
    families
        Gene → family; None where symbols' stems stand in.
    groups
        Sets of genes that are alike, such as pairs of paralogues; None where `families` or stems are used.
    structures
        Drug → SMILES.
    file
        Where that is from, for messages.
    """

    families: Mapping[str, str] | None = None
    groups: tuple[Sequence[str], ...] | None = None
    structures: Mapping[str, str] = field(default_factory=dict)
    file: str = ""

    def gene_families(self, genes: Iterable[str]) -> dict[str, str]:
        """Return gene → family, of these genes."""
        if self.groups is not None:
            return joined_families(genes, self.groups)
        return families_by_stem(genes) if self.families is None else families_of(self.families, genes)

    def scaffolds(self, drugs: Iterable[str]) -> dict[str, str]:
        """Return drug → Murcko scaffold, of those whose structure is known; without a ring, the structure itself.

        Raises
        ------
        SplitError
            If a structure can't be read.
        """
        known = self._known(drugs)
        return {drug: murcko_scaffold(smiles) or canonical_smiles(smiles) for drug, smiles in known.items()}

    def clusters(self, drugs: Iterable[str], threshold: float) -> dict[str, str]:
        """Return drug → the first drug of its cluster; drugs of two clusters are less alike than `threshold`.

        Clusters are joined by their nearest drugs (single linkage), so that no two clusters share a pair of likes.
        Errors as in :meth:`scaffolds`.
        """
        known = self._known(drugs)
        names = list(known)
        bits = morgan_bits(list(known.values()))
        edges = []
        for start in range(0, len(names), _AT_ONCE):
            alike = np.argwhere(tanimoto(bits[start : start + _AT_ONCE], bits) >= threshold)
            edges.append(alike + np.array([start, 0]))
        component = components(len(names), np.concatenate(edges) if edges else np.empty((0, 2), dtype=np.int64))
        first: dict[int, str] = {}
        for name, found in zip(names, component, strict=True):
            first.setdefault(int(found), name)
        return {name: first[int(found)] for name, found in zip(names, component, strict=True)}

    def _known(self, drugs: Iterable[str]) -> dict[str, str]:
        """Return the drugs whose structure is known, in alphabetical order, each readable."""
        known = {drug: self.structures[drug] for drug in sorted(set(drugs)) if drug in self.structures}
        for drug, smiles in known.items():
            try:
                canonical_smiles(smiles)
            except FeatureError as error:
                raise SplitError(f"{self.file}: {drug!r}: {error}") from error
        return known
