"""Perturbations that are like another one: by what they are predicted to do, and by the features they are known by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingshu_core.perturbation_features import PerturbationFeatures

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Likeness:
    """A perturbation and how much it is like the one that was asked about, from −1 to 1."""

    name: str
    value: float


def correlations(effects: Array, asked: Sequence[int]) -> Array:
    """Return the Pearson correlation of some rows with all rows, (asked, rows); NaN where a row doesn't vary.

    Parameters
    ----------
    effects
        Effects, (rows, genes).
    asked
        Positions of rows.
    """
    centred = effects - effects.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = np.where(norm[:, None] > 0, centred / norm[:, None], np.nan)
    return np.asarray(centred[list(asked)] @ centred.T)


def largest(values: Array, names: Sequence[str], most: int) -> Iterator[Likeness]:
    """Yield the names with the largest values, best first, ties in the order of the names' positions."""
    order = np.argsort(-values, kind="stable")[:most]  # NaN comes last
    yield from (Likeness(names[i], float(values[i])) for i in order if np.isfinite(values[i]))


class FeatureLikeness:
    """Cosines of feature vectors, to the perturbations that were seen in training.

    Parameters
    ----------
    features
        Of all described perturbations.
    trained
        Single perturbations that were seen in training → type.
    """

    def __init__(self, features: PerturbationFeatures, trained: Mapping[str, str]) -> None:
        self._features = features
        self._row = {name: i for i, name in enumerate(features.types)}
        self._trained = {name: kind for name, kind in trained.items() if name in self._row}
        self._unit = _unit(features.matrix)

    def nearest(self, name: str, kind: str, smiles: str | None, most: int) -> list[Likeness]:
        """Return the trained perturbations of its type that are most like it, itself left out.

        A drug that is known by its structure alone is described by that. Empty where there are no features of it.
        """
        vector = self._vector(name, smiles)
        others = [other for other, its in self._trained.items() if its == kind and other != name]
        if vector is None or not others or not vector.any():
            return []
        cosines = self._unit[[self._row[other] for other in others]] @ vector
        return list(largest(cosines, others, most))

    def _vector(self, name: str, smiles: str | None) -> Array | None:
        if name in self._row:
            return np.asarray(self._unit[self._row[name]])
        return None if smiles is None else _unit(self._features.drug_vector(smiles)[None])[0]


def _unit(vectors: Array) -> Array:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norm > 0, norm, 1.0))
