"""From features to weights of the perturbations that were seen: ridge regression and nearest neighbours.

Both are linear in what they predict: a perturbation known by its features alone is a weighted sum of the seen ones of
its kind (its type and, of genetic ones, method). So the same weights serve every gene, moment and dose. How much to
trust the features is chosen by leaving out one seen perturbation at a time, on the mean log1p counts per 10k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lingshu_core.drug_baselines import neighbour_weights
from lingshu_core.feature_bank import kind_numbers
from lingshu_core.neighbours import FeatureBank
from lingshu_core.structures import DRUG
from lingshu_core.vocabulary import Vocabulary

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

STRENGTHS = (*np.logspace(-3, 3, 13), np.inf)
"""Ridge strengths that are tried, in units of the mean squared distance from the centre; ∞ is the mean of all."""
NEIGHBOURS = (1, 2, 3, 5, 8, 12, 20, 35, 60, 100)
"""Numbers of neighbours that are tried."""


@dataclass(frozen=True)
class DescribedParts:
    """Feature vectors of perturbations.

    ``vectors`` (described, dims); ``kinds`` (described,) number of the kind that borrows among itself; ``part_rows``
    (parts of the vocabulary,) row of each seen part, −1 where it has no features.
    """

    vectors: Array
    kinds: Rows
    part_rows: Rows

    @classmethod
    def of_bank(cls, bank: FeatureBank) -> DescribedParts:
        """Take the vectors that the cell model would be given."""
        return cls(bank.vectors.numpy().astype(np.float64), bank.types.numpy(), bank.part_rows.numpy())

    def seen(self, kind: int) -> Rows:
        """Return the seen parts of a kind that have features, as positions in the vocabulary's parts."""
        rows = self.part_rows
        return np.flatnonzero((rows >= 0) & (self.kinds[rows] == kind))

    def vectors_of(self, parts: Rows) -> Array:
        """Return the vectors of seen parts, (parts, dims)."""
        return self.vectors[self.part_rows[parts]]

    def with_drugs(self, vectors: npt.NDArray[np.float32], vocabulary: Vocabulary) -> DescribedParts:
        """Add drugs that are known by their structure, (drugs, dims)."""
        kinds = np.full(len(vectors), kind_numbers(vocabulary)[DRUG])
        return replace(self, vectors=np.concatenate([self.vectors, vectors]), kinds=np.concatenate([self.kinds, kinds]))


@dataclass(frozen=True)
class Choice:
    """What leaving one out chose: the ridge strength or the number of neighbours, and how well it predicted.

    ``error`` is the mean squared error over that of the mean of the others.
    """

    value: float
    error: float


def ridge_weights(known: Array, asked: Array, strength: float) -> Array:
    """Return the weights of known perturbations in the ridge prediction of asked ones, (asked, known).

    The intercept is not penalised, so that weights sum to one.

    Parameters
    ----------
    known, asked
        Feature vectors, (known, dims) and (asked, dims).
    strength
        One of :data:`STRENGTHS`.
    """
    count = len(known)
    mean = np.full((len(asked), count), 1.0 / count)
    if np.isinf(strength):
        return mean
    centre = known.mean(axis=0)
    kernel = (known - centre) @ (known - centre).T
    return np.asarray(mean + np.linalg.solve(_penalised(kernel, strength), (known - centre) @ (asked - centre).T).T)


def choose_ridge(known: Array, effects: Array) -> Choice:
    """Choose the ridge strength by leaving out one perturbation at a time, in closed form.

    Parameters
    ----------
    known
        Feature vectors, (known, dims).
    effects
        What is to be predicted, (known, values).
    """
    count = len(known)
    if count < 3 or not effects.size:
        return Choice(np.inf, 1.0)
    centred = known - known.mean(axis=0)
    kernel = centred @ centred.T
    if not np.trace(kernel) > 0:
        return Choice(np.inf, 1.0)
    errors = []
    for strength in STRENGTHS:
        hat = np.full((count, count), 1.0 / count)
        if not np.isinf(strength):
            hat += np.linalg.solve(_penalised(kernel, strength), kernel).T
        left_out = (effects - hat @ effects) / (1.0 - np.diag(hat))[:, None]
        errors.append(float(np.square(left_out).mean()))
    return _best(STRENGTHS, errors, errors[-1])


def nearest_weights(known: Array, asked: Array, neighbours: int) -> Array:
    """Return the weights of the nearest known perturbations of asked ones, by cosine, (asked, known)."""
    return neighbour_weights(_cosine(asked, known), neighbours)


def choose_neighbours(known: Array, effects: Array) -> Choice:
    """Choose the number of neighbours by leaving out one perturbation at a time; parameters as in `choose_ridge`."""
    count = len(known)
    if count < 3:
        return Choice(1, 1.0)
    similarity = _cosine(known, known)
    np.fill_diagonal(similarity, -np.inf)  # the last of all, and at most count − 1 are asked for
    tried = [k for k in NEIGHBOURS if k < count - 1] + [count - 1]
    errors = [float(np.square(effects - _without_self(similarity, k) @ effects).mean()) for k in tried]
    mean = (effects.sum(axis=0) - effects) / (count - 1)
    return _best(tried, errors, float(np.square(effects - mean).mean()))


def _without_self(similarity: Array, neighbours: int) -> Array:
    """Return weights of the others; who is like none of them takes the mean of all of them."""
    weights = neighbour_weights(similarity, neighbours)
    np.fill_diagonal(weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _penalised(kernel: Array, strength: float) -> Array:
    return kernel + strength * np.trace(kernel) / len(kernel) * np.eye(len(kernel))


def _cosine(first: Array, second: Array) -> Array:
    """Return the cosines of rows, none below 0, (first, second): who is unlike has no say."""
    norms = [np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (first, second)]
    return np.maximum((first / norms[0]) @ (second / norms[1]).T, 0.0)


def _best(tried: tuple[float, ...] | list[int], errors: list[float], mean: float) -> Choice:
    """Choose the smallest error; of equal ones the last, which trusts the features least."""
    best = len(errors) - 1 - int(np.argmin(errors[::-1]))
    return Choice(float(tried[best]), errors[best] / mean if mean > 0 else 1.0)


def choices_to_json(choices: Mapping[int, Choice]) -> dict[str, list[float]]:
    """Return choices of each kind as plain numbers; ∞ as −1, which JSON has."""
    return {str(kind): [-1.0 if np.isinf(c.value) else c.value, c.error] for kind, c in choices.items()}


def choices_from_json(content: Mapping[str, list[float]]) -> dict[int, Choice]:
    """Read what :func:`choices_to_json` wrote."""
    return {int(kind): Choice(np.inf if value < 0 else value, error) for kind, (value, error) in content.items()}
