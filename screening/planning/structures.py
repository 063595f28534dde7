"""Structures of drugs that a screen brings along, checked before anything runs."""

from __future__ import annotations


def structure_problem(smiles: str) -> str | None:
    """Say what is wrong with a SMILES; None if nothing is. RDKit is loaded at the first call."""
    from lingshu_core.chemistry import read_molecule
    from lingshu_core.errors import FeatureError

    try:
        read_molecule(smiles)
    except FeatureError as error:
        return str(error)
    return None
