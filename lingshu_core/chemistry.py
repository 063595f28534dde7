"""Structures of drugs: SMILES to fingerprints, scaffolds and similarity, by RDKit.

A structure is reduced to what acts: of a salt or a mixture the largest organic fragment is kept, and charges are
neutralised, so that a drug and its hydrochloride or sodium salt are one structure. RDKit is loaded at the first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lingshu_core.errors import FeatureError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

Array = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint8]

RADIUS = 2
DEFAULT_BITS = 1_024
MAX_SMILES = 1_000
"""Characters. RDKit takes a second for a chain of so many atoms, minutes for ten times as many, and then it crashes."""


def read_molecule(smiles: str) -> Mol:
    """Read a SMILES and keep its parent: the largest organic fragment, without charges.

    Raises
    ------
    FeatureError
        If it is empty or RDKit can't make a molecule of it; with RDKit's own reason.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem.MolStandardize import rdMolStandardize

    if not smiles.strip():
        raise FeatureError("the SMILES is empty")
    structure = smiles.split()[0]  # what may follow are a name and coordinates
    if len(structure) > MAX_SMILES:
        raise FeatureError(
            f"{_shown(structure)} has {len(structure):,} characters, and at most {MAX_SMILES:,} are read: it is no"
            " small molecule"
        )
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles.strip())
        if molecule is None:
            raise FeatureError(f"{_shown(smiles)} is no valid SMILES: {_problems(smiles.strip())}")
        largest = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(molecule)
        parent: Mol = rdMolStandardize.Uncharger().uncharge(largest)
    if not parent.GetNumAtoms():
        raise FeatureError(f"{_shown(smiles)} has no atom")
    return parent


def canonical_smiles(smiles: str) -> str:
    """Write the parent structure in RDKit's canonical form; errors as in :func:`read_molecule`."""
    from rdkit import Chem

    return str(Chem.MolToSmiles(read_molecule(smiles)))


def morgan_bits(smiles: Sequence[str], bits: int = DEFAULT_BITS) -> Bits:
    """Compute Morgan fingerprints of radius 2 (Rogers and Hahn 2010, doi 10.1021/ci100050t; ECFP4).

    Parameters
    ----------
    smiles
        Structures, (drugs,).
    bits
        Length of a fingerprint.

    Returns
    -------
    numpy.ndarray
        (drugs, bits), zeros and ones. Stereochemistry does not count.

    Raises
    ------
    FeatureError
        As in :func:`read_molecule`.
    """
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=bits)
    found = np.zeros((len(smiles), bits), dtype=np.uint8)
    for row, one in enumerate(smiles):
        found[row] = generator.GetFingerprintAsNumPy(read_molecule(one))
    return found


def fingerprints(smiles: Sequence[str], bits: int = DEFAULT_BITS) -> Array:
    """Compute Morgan fingerprints of norm 1, (drugs, bits); their inner products are cosine similarities."""
    found = morgan_bits(smiles, bits).astype(float)
    return found / np.sqrt(found.sum(axis=1, keepdims=True))


def tanimoto(first: Bits, second: Bits) -> Array:
    """Return the Tanimoto similarity of fingerprints, (first, second), in [0, 1]: bits in both over bits in either."""
    both = first.astype(float) @ second.T.astype(float)
    # (first, 1) + (1, second) - (first, second)
    either = first.sum(axis=1, dtype=float)[:, None] + second.sum(axis=1, dtype=float)[None, :] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


@lru_cache(maxsize=4_096)
def murcko_scaffold(smiles: str) -> str:
    """Return the ring systems and linkers of a structure (Bemis and Murcko 1996, doi 10.1021/jm9602928).

    Returns
    -------
    str
        Canonical SMILES without stereochemistry; empty for a structure without a ring.

    Raises
    ------
    FeatureError
        As in :func:`read_molecule`.
    """
    from rdkit import Chem
    from rdkit.Chem.Scaffolds import MurckoScaffold

    molecule = read_molecule(smiles)
    Chem.RemoveStereochemistry(molecule)
    scaffold = MurckoScaffold.GetScaffoldForMol(molecule)  # type: ignore[no-untyped-call]
    return str(Chem.MolToSmiles(scaffold))


def scaffold_folds(smiles: Sequence[str], folds: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Split drugs so that no scaffold is in two folds.

    Scaffolds are dealt to the emptiest fold, largest first, ties in random order. Structures without a ring share no
    scaffold: each is on its own, salts of one structure together.

    Parameters
    ----------
    smiles
        Structures, (drugs,).
    folds
        How many parts.
    seed
        Of the order among scaffolds of one size.

    Returns
    -------
    numpy.ndarray
        Fold of each drug, (drugs,).

    Raises
    ------
    FeatureError
        If there are fewer scaffolds than folds, or as in :func:`read_molecule`.
    """
    members: dict[str, list[int]] = {}
    for drug, one in enumerate(smiles):
        members.setdefault(murcko_scaffold(one) or canonical_smiles(one), []).append(drug)
    if len(members) < folds:
        raise FeatureError(f"{len(members)} scaffolds can't be split into {folds} folds; take fewer folds")
    keys = [sorted(members)[i] for i in np.random.default_rng(seed).permutation(len(members))]
    fold_of, sizes = np.empty(len(smiles), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for key in sorted(keys, key=lambda one: -len(members[one])):
        fold = int(sizes.argmin())
        fold_of[members[key]] = fold
        sizes[fold] += len(members[key])
    return fold_of


def _problems(smiles: str) -> str:
    """Say why RDKit refuses a SMILES."""
    from rdkit import Chem

    unchecked: Mol | None = Chem.MolFromSmiles(smiles, sanitize=False)
    if unchecked is None:
        return "it can't be parsed"
    return (
        "; ".join(problem.Message() for problem in Chem.DetectChemistryProblems(unchecked)) or "it can't be sanitised"
    )


def _shown(smiles: str) -> str:
    return repr(smiles) if len(smiles) <= 120 else f"{smiles[:120]!r}…"
