"""Measured effects at the granularity of a question, averaged over contexts.

A question may leave factors of the context out. Contexts that agree in the factors asked count as one: their effects
are averaged by precision, each compared with the controls of its own context. A dose between two that were measured is
interpolated on the logarithm of the dose, one outside takes the nearest. Effects are changes of scaled moments
(:meth:`lingshu_core.baseline_statistics.Population.scaled`), (4, genes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from lingshu_core.baseline_statistics import Array, GroupStatistics, Population, Rows, label_order
from lingshu_core.vocabulary import Vocabulary, split_label

Weighting = Literal["contexts", "cells"]
Part = tuple[str, float | None]
Context = Mapping[str, str]


@dataclass(frozen=True)
class MeasuredIn:
    """Effects of one label in the contexts where it was measured.

    ``contexts`` are numbers of a :class:`Level`, (n,); ``changes`` (n, 4, genes); ``cells`` perturbed cells, (n,);
    ``enough`` whether perturbed and control cells are both as many as a vote needs, (n,).
    """

    contexts: Rows
    changes: Array
    cells: Rows
    enough: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

    def voters(self) -> MeasuredIn:
        """Return the contexts with enough cells; all where none has."""
        return self if not self.enough.any() else self.only(self.enough)

    def only(self, keep: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> MeasuredIn:
        """Return some of the contexts."""
        return MeasuredIn(self.contexts[keep], self.changes[keep], self.cells[keep], self.enough[keep])


class Level:
    """The contexts of the training cells, seen by some of their factors only.

    Parameters
    ----------
    vocabulary
        Of the training cells.
    factors
        Which factors a question names.
    """

    def __init__(self, vocabulary: Vocabulary, factors: frozenset[str]) -> None:
        self._factors = tuple(sorted(factors))
        keys = [tuple(seen.factors[factor] for factor in self._factors) for seen in vocabulary.contexts]
        self._number = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        self.of_context = np.array([self._number[key] for key in keys], dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of contexts at this level."""
        return len(self._number)

    def find(self, context: Context) -> int | None:
        """Return the number of a context; None where its factors were never seen together."""
        return self._number.get(tuple(context[factor] for factor in self._factors))

    def members(self, number: int | None) -> Rows:
        """Return the contexts of the vocabulary that a context of this level is made of; none for None."""
        return np.flatnonzero(self.of_context == (-1 if number is None else number))


class MeasuredEffects:
    """Effects of labels and of their parts, from summary statistics.

    Parameters
    ----------
    statistics
        Of the training cells.
    vocabulary
        Of the same cells.
    weighting
        ``contexts`` gives each context one vote in an average over contexts, ``cells`` one to each perturbed cell.
    min_cells
        Contexts with fewer perturbed or control cells have no vote, unless none has more.
    """

    def __init__(
        self,
        statistics: GroupStatistics,
        vocabulary: Vocabulary,
        weighting: Weighting = "contexts",
        min_cells: int = 10,
    ) -> None:
        self.statistics, self.vocabulary = statistics, vocabulary
        self.weighting, self.min_cells = weighting, min_cells
        self.labels = label_order(vocabulary)
        self._label_number = {split_label(label): number for number, label in enumerate(self.labels)}
        self._levels: dict[frozenset[str], Level] = {}
        self._means: dict[tuple[frozenset[str], str | None], Array] = {}

    @property
    def genes(self) -> int:
        """How many genes there are."""
        return int(self.statistics.control_moments.shape[2])

    @property
    def none(self) -> Array:
        """No change, (4, genes)."""
        return np.zeros((4, self.genes))

    def level(self, factors: Iterable[str]) -> Level:
        """Return the contexts as seen by some factors."""
        key = frozenset(factors)
        if key not in self._levels:
            self._levels[key] = Level(self.vocabulary, key)
        return self._levels[key]

    def controls(self, context: Context) -> Population:
        """Pool the control cells of a context; of all contexts where it has none."""
        level = self.level(context)
        return self.statistics.controls(level.members(level.find(context)))

    def number(self, names: Sequence[str]) -> int | None:
        """Return the number of the label that is made of these parts; None where it was never seen."""
        return self._label_number.get(tuple(sorted(names)))

    def measured(self, label: int, dose: float | None, factors: Iterable[str]) -> MeasuredIn:
        """Return the effects of a label at a dose, context by context; its mean over doses where the dose is None."""
        level, found = self.level(factors), self.statistics
        rows = self._rows_of_label[label]
        if found.has_own_controls[rows].any():
            rows = rows[found.has_own_controls[rows]]
        of_row = level.of_context[found.contexts[rows]]
        contexts = np.unique(of_row)
        changes = np.empty((len(contexts), 4, self.genes))
        cells, enough = np.zeros(len(contexts), dtype=np.int64), np.zeros(len(contexts), dtype=bool)
        for i, number in enumerate(contexts):
            mine = rows[of_row == number]
            changes[i] = self._at_dose(mine, dose)
            cells[i] = found.cells[mine].sum()
            controls = found.control_cells[np.unique(found.contexts[mine])].sum()
            enough[i] = min(cells[i], controls) >= self.min_cells
        return MeasuredIn(contexts, changes, cells, enough)

    def average(self, measured: MeasuredIn) -> Array:
        """Average over the contexts that vote, (4, genes)."""
        voters = measured.voters()
        weights = voters.cells if self.weighting == "cells" else None
        return np.asarray(np.average(voters.changes, axis=0, weights=weights))

    def of_label(self, label: int, dose: float | None, factors: Iterable[str]) -> Array:
        """Return the mean effect of a label over the contexts it was measured in, (4, genes)."""
        return self.average(self.measured(label, dose, factors))

    def mean(self, factors: Iterable[str], kind: str | None = None) -> Array:
        """Return the mean effect over all labels, or over those of one type, one vote each, (4, genes).

        The mean of all where the training has no label of the type; no change where it has no perturbation at all.
        """
        key = (frozenset(factors), kind)
        if key not in self._means:
            types = [self.vocabulary.perturbations[label].type for label in self.labels]
            chosen = [number for number, type in enumerate(types) if kind in (None, type)]
            chosen = chosen or list(range(len(self.labels)))
            total = sum((self.of_label(label, None, key[0]) for label in chosen), self.none)
            self._means[key] = total / max(len(chosen), 1)
        return self._means[key]

    def mean_in(self, context: Context) -> Array | None:
        """Return the mean effect over the labels measured in one context; None where there is none."""
        number = self.level(context).find(context)
        if number is None:
            return None
        found = []
        for label in self._labels_in(number, context):
            measured = self.measured(label, None, context)
            found.append(measured.only(measured.contexts == number))
        found = [here for here in found if len(here.cells)]
        enough = [here for here in found if here.enough.all()] or found
        return np.mean([here.changes[0] for here in enough], axis=0) if enough else None

    def _labels_in(self, number: int, factors: Iterable[str]) -> list[int]:
        here = self.level(factors).of_context[self.statistics.contexts] == number
        return [int(label) for label in np.unique(self.statistics.labels[here])]

    def _at_dose(self, rows: Rows, dose: float | None) -> Array:
        """Merge groups of one label in one context by precision, dose by dose, and go to the dose asked."""
        doses = self.statistics.doses[rows]
        measured = np.unique(doses[np.isfinite(doses) & (doses > 0)])
        if dose is None or not len(measured):
            every = [rows[doses == each] for each in np.unique(doses[np.isfinite(doses)])]
            every += [rows[~np.isfinite(doses)]] if not np.isfinite(doses).all() else []
            return np.mean([self._merged(each) for each in every], axis=0)
        share = np.interp(np.log(dose), np.log(measured), np.arange(len(measured)))
        low = int(np.floor(share))
        high = min(low + 1, len(measured) - 1)
        lower = self._merged(rows[doses == measured[low]])
        return lower if share == low else lower + (share - low) * (self._merged(rows[doses == measured[high]]) - lower)

    def _merged(self, rows: Rows) -> Array:
        weights = self.statistics.precision[rows]
        return np.tensordot(weights / weights.sum(), self.statistics.changes[rows].astype(np.float64), axes=1)

    @cached_property
    def _rows_of_label(self) -> list[Rows]:
        order = np.argsort(self.statistics.labels, kind="stable")
        starts = np.searchsorted(self.statistics.labels[order], np.arange(len(self.labels) + 1))
        return [order[first:last] for first, last in pairwise(starts)]

    @cached_property
    def combinations_of(self) -> Mapping[str, tuple[str, ...]]:
        """Part → labels of combinations that it is in."""
        found: dict[str, list[str]] = {}
        for label in self.labels:
            names = split_label(label)
            for name in names if len(names) > 1 else ():
                found.setdefault(name, []).append(label)
        return {name: tuple(labels) for name, labels in found.items()}


def common_dose(parts: Sequence[Part]) -> float | None:
    """Return the dose that all parts have; None where they differ."""
    doses = {dose for _, dose in parts}
    return doses.pop() if len(doses) == 1 else None
