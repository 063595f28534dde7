"""Drugs described by their structures, from a table of names and SMILES."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lingshu_core.chemistry import DEFAULT_BITS, canonical_smiles, fingerprints
from lingshu_core.errors import FeatureError
from lingshu_core.feature_files import NamedVectors


def smiles_vectors(table: pd.DataFrame, path: str, bits: int = DEFAULT_BITS) -> NamedVectors:
    """Compute the fingerprints of the drugs of a table.

    Parameters
    ----------
    table
        ``name`` and ``smiles``, indexed by line. Rows without a SMILES (antibodies, mixtures) are left out: their
        names stay without features.
    path
        The file, for messages.
    bits
        Length of a fingerprint.

    Returns
    -------
    NamedVectors
        Fingerprints of norm 1, not centred. Two names may have one structure.

    Raises
    ------
    FeatureError
        If a SMILES is invalid (told by name and line), a name is missing, one name has two structures, or none is
        left.
    """
    structures: dict[str, str] = {}
    parents: dict[str, str] = {}
    for line, name, smiles in zip(table.index, table["name"], table["smiles"], strict=True):
        if not name:
            raise FeatureError(f"{path}:{line}: the drug has no name")
        if not smiles:
            continue
        try:
            parent = canonical_smiles(smiles)
        except FeatureError as error:
            raise FeatureError(f"{path}:{line}: {name!r}: {error}; correct it or leave the cell empty") from error
        if parents.setdefault(name, parent) != parent:
            raise FeatureError(
                f"{path}:{line}: {name!r} has two structures, {parents[name]} and {parent}; keep the right one"
            )
        structures.setdefault(name, smiles)
    if not structures:
        raise FeatureError(f"{path}: none of the {len(table)} rows has a SMILES")
    values = fingerprints(list(structures.values()), bits)
    return NamedVectors(tuple(structures), np.asarray(values))
