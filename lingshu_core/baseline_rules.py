"""How each kind of baseline turns measured effects into the effect of a condition.

A rule returns the change of the scaled moments, (4, genes), that a perturbation makes in a context. A combination that
was seen has its own effect, and else the sum of its parts. A part that was never seen, but is described by features,
is a weighted mean of the seen ones (ridge, kNN, low rank), or the mean of all of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from lingshu_core.baseline_effects import Context, MeasuredEffects, Part, common_dose
from lingshu_core.baseline_low_rank import LowRank
from lingshu_core.baseline_neighbours import (
    Choice,
    DescribedParts,
    choose_neighbours,
    choose_ridge,
    nearest_weights,
    ridge_weights,
)
from lingshu_core.baseline_statistics import Array, Rows
from lingshu_core.vocabulary import Vocabulary, split_label


class Rule(Protocol):
    """What a kind of baseline predicts."""

    def change(self, parts: Sequence[Part], context: Context) -> Array:
        """Return the change that a perturbation makes in a context, (4, genes); ``parts`` is not empty."""
        ...


Unseen = Callable[[Part, Context], Array]
"""The effect of a part that no training cell had."""


@dataclass(frozen=True)
class NoChange:
    """Every perturbation is the control."""

    effects: MeasuredEffects

    def change(self, parts: Sequence[Part], context: Context) -> Array:
        """Return zeros."""
        return self.effects.none


@dataclass(frozen=True)
class PerturbationMean:
    """Every perturbation does what the perturbations of the training do on average."""

    effects: MeasuredEffects

    def change(self, parts: Sequence[Part], context: Context) -> Array:
        """Return the mean effect over all labels of the training, one vote each."""
        return self.effects.mean(context)


@dataclass(frozen=True)
class ContextMean:
    """Every perturbation does what the perturbations do on average in this context."""

    effects: MeasuredEffects

    def change(self, parts: Sequence[Part], context: Context) -> Array:
        """Return the mean effect of the labels measured in the context; where there is none, over all contexts."""
        here = self.effects.mean_in(context)
        return self.effects.mean(context) if here is None else here


@dataclass(frozen=True)
class Additive:
    """Context plus perturbation: the mean effect over the contexts where the perturbation was measured."""

    effects: MeasuredEffects
    unseen: Unseen | None = None

    def change(self, parts: Sequence[Part], context: Context) -> Array:
        """Return the effect of a label that was seen, or the sum of the effects of its parts."""
        label = self.effects.number([name for name, _ in parts])
        if label is not None:
            return self.of_label(label, common_dose(parts), context)
        return sum((self.of_part(part, context) for part in parts), self.effects.none)

    def of_label(self, label: int, dose: float | None, context: Context) -> Array:
        """Return the effect of a seen label."""
        return self.effects.of_label(label, dose, context)

    def of_part(self, part: Part, context: Context) -> Array:
        """Return the effect of a single perturbation: its own, what it adds to combinations, or that of others."""
        name, dose = part
        label = self.effects.number([name])
        if label is not None:
            return self.of_label(label, dose, context)
        if name in self.effects.combinations_of:
            return self._from_combinations(name, dose, context)
        if self.unseen is not None:
            return self.unseen(part, context)
        return self.effects.mean(context, self.effects.vocabulary.described.get(name))

    def _from_combinations(self, name: str, dose: float | None, context: Context) -> Array:
        """Return what a part adds to its combinations: all of it beside known singles, and an equal share else."""
        known, shared = [], []
        for label in self.effects.combinations_of[name]:
            parts = split_label(label)
            whole = self.of_label(self._number(parts), dose, context)
            others = [self.effects.number([other]) for other in parts if other != name]
            seen = [other for other in others if other is not None]
            if len(seen) == len(others):
                known.append(whole - sum(self.of_label(other, dose, context) for other in seen))
            else:
                shared.append(whole / len(parts))
        return np.asarray(np.mean(known or shared, axis=0))

    def _number(self, names: Sequence[str]) -> int:
        number = self.effects.number(names)
        if number is None:
            raise KeyError(f"{names} was never seen together")
        return number


@dataclass(frozen=True)
class NearestContext(Additive):
    """Copy the effect from the seen context whose control cells are most like those of this one."""

    def of_label(self, label: int, dose: float | None, context: Context) -> Array:
        """Return the effect in the context with the best correlation of control means (log1p counts per 10k)."""
        effects = self.effects
        seen = effects.measured(label, dose, context).voters()
        if len(seen.contexts) == 1:
            return np.asarray(seen.changes[0])
        level, here = effects.level(context), effects.controls(context).moments[0]
        there = [effects.statistics.controls(level.members(int(number))).moments[0] for number in seen.contexts]
        return np.asarray(seen.changes[int(np.argmax([_correlation(here, other) for other in there]))])


def _correlation(first: Array, second: Array) -> float:
    """Return Pearson's correlation; 0 where one of them is constant."""
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm > 0 else 0.0


@dataclass(frozen=True)
class Borrowed:
    """Effects of described parts as weighted means of the seen ones of their kind.

    Parameters
    ----------
    own
        Gives the effects of the seen parts.
    vocabulary, described
        Names and vectors of what is described; those of drugs given by their structure among them.
    method
        ``ridge`` or ``knn``.
    choices
        Kind → ridge strength or number of neighbours.
    """

    own: Additive
    vocabulary: Vocabulary
    described: DescribedParts
    method: str
    choices: Mapping[int, Choice]
    _tables: dict[tuple[frozenset[str], float | None, int], Array] = field(default_factory=dict, repr=False)

    def __call__(self, part: Part, context: Context) -> Array:
        """Return the effect of a part without cells of its own, (4, genes)."""
        name, dose = part
        row = self.vocabulary.feature_row(name) - 1
        kind = int(self.described.kinds[row])
        weights = self.weights(row)
        table = self._table(kind, dose, context)
        return np.asarray(
            np.tensordot(
                weights,
                table,
                axes=1,
            )
        )

    def weights(self, row: int) -> Array:
        """Return the weights of the seen parts of the same kind for a row of the bank, (seen parts,)."""
        kind = int(self.described.kinds[row])
        known = self.described.vectors_of(self.described.seen(kind))
        asked, choice = self.described.vectors[row : row + 1], self.choices[kind].value
        found = (
            ridge_weights(known, asked, choice)
            if self.method == "ridge"
            else nearest_weights(known, asked, int(choice))
        )
        return np.asarray(found[0])

    def _table(self, kind: int, dose: float | None, context: Context) -> Array:
        """Return the effects of the seen parts of a kind, (seen parts, 4, genes); the last one is kept."""
        key = (frozenset(context), dose, kind)
        if key not in self._tables:
            self._tables.clear()
            self._tables[key] = part_effects(self.own, self.described.seen(kind), dose, context)
        return self._tables[key]


def part_effects(own: Additive, parts: Rows, dose: float | None, context: Context) -> Array:
    """Return the effects of seen parts over all contexts, (parts, 4, genes); only the context's factors matter."""
    names = own.effects.vocabulary.parts
    return np.stack([own.of_part((names[part], dose), context) for part in parts]).astype(np.float32)


def choose(method: str, own: Additive, described: DescribedParts) -> dict[int, Choice]:
    """Choose ridge strength or number of neighbours for every kind that has seen parts with features.

    Effects are those within contexts of all factors, where perturbations of different contexts can't be mixed up.
    """
    every = dict.fromkeys(own.effects.vocabulary.factors, "")
    choices = {}
    for kind in np.unique(described.kinds):
        seen = described.seen(int(kind))
        if len(seen):
            effects = part_effects(own, seen, None, every)[:, 0].astype(np.float64)
            choosing = choose_ridge if method == "ridge" else choose_neighbours
            choices[int(kind)] = choosing(described.vectors_of(seen), effects)
    return choices


@dataclass(frozen=True)
class LowRankRule:
    """What the additive low-rank model says; loadings of described parts by ridge on their features.

    Parameters
    ----------
    effects
        For contexts and names only.
    model
        The fitted model.
    described, choices
        Of the described parts, and the ridge strength of each kind; none without features.
    vocabulary
        With the drugs given by their structure.
    """

    effects: MeasuredEffects
    model: LowRank
    vocabulary: Vocabulary
    described: DescribedParts | None = None
    choices: Mapping[int, Choice] = field(default_factory=dict)

    def change(self, parts: Sequence[Part], context: Context) -> Array:
        """Return the effect of a label that was seen, or the sum of the effects of its parts."""
        level = self.effects.level(context)
        contexts = level.members(level.find(context))
        weights = self.effects.statistics.control_cells[contexts].astype(float)
        contexts, weights = contexts[weights > 0], weights[weights > 0]
        label = self.effects.number([name for name, _ in parts])
        every = [self._shares(label, common_dose(parts))] if label is not None else [self.shares(p) for p in parts]
        found = self.effects.none
        for part, shares in zip(parts, every, strict=False):
            found = found + self.model.change(shares @ self.model.loadings, contexts, weights)
            if label is not None or self._is_seen(part[0]):
                found = found + np.tensordot(shares, self.model.own, axes=1)
        return found

    def shares(self, part: Part) -> Array:
        """Return the share that each measured perturbation has in a single one, (perturbations of the model,).

        A seen one is itself, between its doses where it has several; one known by features alone is a mixture.
        """
        name, dose = part
        label = self.effects.number([name])
        if label is not None:
            return self._shares(label, dose)
        if self._is_seen(name):
            return self._of_combinations(name, dose)
        row = self.vocabulary.feature_row(name) - 1
        if self.described is None or row < 0:
            return np.zeros(len(self.model.labels))  # the mean effect
        kind = int(self.described.kinds[row])
        seen = self.described.seen(kind)
        asked = self.described.vectors[row : row + 1]
        weights = ridge_weights(self.described.vectors_of(seen), asked, self.choices[kind].value)[0]
        return np.asarray(weights @ self.of_parts(seen, dose))

    def of_parts(self, parts: Rows, dose: float | None) -> Array:
        """Return the shares of seen parts, (parts, perturbations of the model)."""
        names = self.effects.vocabulary.parts
        return np.stack([self.shares((names[part], dose)) for part in parts])

    def _is_seen(self, name: str) -> bool:
        return self.effects.number([name]) is not None or name in self.effects.combinations_of

    def _shares(self, label: int, dose: float | None) -> Array:
        """Go to a dose as the measured effects do: linear in its logarithm, and no further than what was measured."""
        rows = np.flatnonzero(self.model.labels == label)
        doses = self.model.doses[rows]
        positive = np.isfinite(doses) & (doses > 0)
        shares = np.zeros(len(self.model.labels))
        if dose is None or not positive.any():
            shares[rows] = 1.0 / len(rows)
            return shares
        rows, doses = rows[positive], doses[positive]
        order = np.argsort(doses)
        at = float(np.interp(np.log(dose), np.log(doses[order]), np.arange(len(rows))))
        low = min(int(at), len(rows) - 1)
        shares[rows[order[low]]] = 1.0 - (at - low)
        if at > low:
            shares[rows[order[low + 1]]] = at - low
        return shares

    def _of_combinations(self, name: str, dose: float | None) -> Array:
        """Give a part that was seen in combinations only an equal share of them."""
        found = []
        for label in self.effects.combinations_of[name]:
            parts = split_label(label)
            number = self.effects.number(parts)
            if number is not None:
                found.append(self._shares(number, dose) / len(parts))
        return np.asarray(np.mean(found, axis=0))


def choose_loadings(rule: LowRankRule, described: DescribedParts) -> dict[int, Choice]:
    """Choose the ridge strength of the loadings for every kind that has seen parts with features."""
    choices = {}
    for kind in np.unique(described.kinds):
        seen = described.seen(int(kind))
        if len(seen):
            loadings = rule.of_parts(seen, None) @ rule.model.loadings
            choices[int(kind)] = choose_ridge(described.vectors_of(seen), loadings)
    return choices
