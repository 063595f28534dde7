"""Vectors that describe perturbations, so that ones without a cell of their own can be asked for.

A source of features (gene sets, regulatory links, co-expression, fingerprints of molecules, a table of the user's) is a
block of columns, and the blocks stand side by side. A name that a source does not describe has zeros in its block, so
that the source says nothing about it. A block is centred over the names that it describes and scaled until its rows
have a mean square norm of 1, so that no source drowns another. Fingerprints are an exception: each has the norm 1 by
itself and is not centred, because the row of a new drug has to follow from its SMILES alone
(:meth:`PerturbationFeatures.drug_vector`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lingshu_core.chemistry import fingerprints
from lingshu_core.errors import FeatureError
from lingshu_core.low_rank import principal_scores

Array = npt.NDArray[np.float64]

DEFAULT_DIMENSIONS = 64
FINGERPRINTS = "smiles"
"""The kind of block whose rows are final as they are."""


@dataclass(frozen=True)
class FeatureOrigin:
    """Where a block of columns came from; written to ``model.json``.

    Attributes
    ----------
    kind
        table, gene_sets, links, co_expression, smiles or graph; of a plugin `plugin NAME (PACKAGE VERSION)`.
    perturbation_type
        genetic, cytokine, drug or environment.
    file
        As written in the YAML; empty for co_expression.
    sha256
        Of the file's bytes; empty for co_expression, whose cells have a digest in the checkpoint.
    licence
        Of the file.
    dimensions
        Columns of the block.
    names
        How many names it describes.
    """

    kind: str
    perturbation_type: str
    file: str
    sha256: str
    licence: str
    dimensions: int
    names: int


@dataclass(frozen=True)
class FeatureBlock:
    """What one source says about perturbations.

    Attributes
    ----------
    names
        What is described, each once.
    values
        (names, columns).
    kind, perturbation_type, file, sha256, licence
        As in :class:`FeatureOrigin`.
    dimensions
        Columns to keep at most; fingerprints stay whole.
    """

    names: tuple[str, ...]
    values: Array
    kind: str
    perturbation_type: str
    file: str = ""
    sha256: str = ""
    licence: str = "not stated"
    dimensions: int = DEFAULT_DIMENSIONS

    @property
    def origin(self) -> FeatureOrigin:
        """Where the columns came from."""
        return FeatureOrigin(
            self.kind,
            self.perturbation_type,
            self.file,
            self.sha256,
            self.licence,
            dimensions=self.values.shape[1],
            names=len(self.names),
        )

    def without(self, names: frozenset[str]) -> FeatureBlock:
        """Leave names out."""
        keep = np.array([name not in names for name in self.names], dtype=bool)
        kept = tuple(name for name in self.names if name not in names)
        return replace(self, names=kept, values=self.values[keep])


@dataclass(frozen=True)
class PerturbationFeatures:
    """Vectors that describe perturbations, seen or not.

    Attributes
    ----------
    types
        Name of a perturbation → its type, in the order of the rows of `matrix`.
    matrix
        (names, dimensions); a name without a source's features has zeros there.
    origins
        Where each block of columns came from, in the order of the columns.
    """

    types: Mapping[str, str]
    matrix: npt.NDArray[np.float32]
    origins: tuple[FeatureOrigin, ...]

    def digest(self) -> str:
        """Return the sha256 of names, types, numbers and blocks; not of where the files lie."""
        blocks = [[origin.kind, origin.perturbation_type, origin.dimensions] for origin in self.origins]
        state = hashlib.sha256(json.dumps([list(self.types.items()), blocks]).encode())
        state.update(np.ascontiguousarray(self.matrix).tobytes())
        return state.hexdigest()

    def drug_vector(self, smiles: str) -> npt.NDArray[np.float32]:
        """Describe a drug that is in no table, by its structure alone.

        Parameters
        ----------
        smiles
            Structure of the drug.

        Returns
        -------
        numpy.ndarray
            (dimensions,); the very row that the drug would have if the table of SMILES listed it, and no other source.

        Raises
        ------
        FeatureError
            If the SMILES is invalid, or these features have no fingerprints.
        """
        vector = np.zeros(self.matrix.shape[1], dtype=np.float32)
        column = 0
        for origin in self.origins:
            if origin.kind == FINGERPRINTS:
                vector[column : column + origin.dimensions] = fingerprints([smiles], origin.dimensions)[0]
                return vector
            column += origin.dimensions
        raise FeatureError(
            "these features don't know structures: a drug can be given by its SMILES only to a model that was trained"
            " with `features: {drug: [{kind: smiles, …}]}`"
        )


def combine(blocks: Sequence[FeatureBlock]) -> PerturbationFeatures:
    """Join what several sources say into one matrix, as the head of this module describes.

    Parameters
    ----------
    blocks
        At least one.

    Returns
    -------
    PerturbationFeatures
        Names in alphabetical order.

    Raises
    ------
    FeatureError
        If a name has two types, or a source describes fewer than two names or says the same about all.
    """
    types = _types(blocks)
    names = sorted(types)
    row = {name: i for i, name in enumerate(names)}
    finished = [standardise(block) for block in blocks]
    columns = []
    for block in finished:
        filled = np.zeros((len(names), block.values.shape[1]))
        filled[[row[name] for name in block.names]] = block.values
        columns.append(filled)
    return PerturbationFeatures(
        types={name: types[name] for name in names},
        matrix=np.concatenate(columns, axis=1).astype(np.float32),
        origins=tuple(block.origin for block in finished),
    )


def standardise(block: FeatureBlock) -> FeatureBlock:
    """Reduce a block to its `dimensions`, centre it, and scale it to a mean square norm of 1.

    Raises
    ------
    FeatureError
        If it describes fewer than two names or says the same about all.
    """
    if block.kind == FINGERPRINTS:
        return block
    if len(block.names) < 2:
        raise FeatureError(f"{_title(block)} describes {len(block.names)} names; at least two are needed to compare")
    wide = block.values.shape[1] > block.dimensions
    values = principal_scores(block.values, block.dimensions) if wide else block.values - block.values.mean(axis=0)
    norm = float(np.sqrt(np.square(values).sum(axis=1).mean())) if values.size else 0.0
    # What centring leaves of equal numbers is rounding, not zero.
    if norm <= 1e-9 * float(np.abs(block.values).max(initial=0.0)):
        raise FeatureError(f"{_title(block)} says the same about all of its {len(block.names)} names; leave it out")
    return replace(block, values=values / norm)


def _types(blocks: Sequence[FeatureBlock]) -> dict[str, str]:
    types: dict[str, str] = {}
    for block in blocks:
        for name in block.names:
            if types.setdefault(name, block.perturbation_type) != block.perturbation_type:
                raise FeatureError(
                    f"{_title(block)}: {name!r} is described as {types[name]} and as {block.perturbation_type}; "
                    "a name has one type: list the names that a source may describe with `names`"
                )
    return types


def _title(block: FeatureBlock) -> str:
    return f"{block.file or 'the training cells'} ({block.kind}, {block.perturbation_type})"
