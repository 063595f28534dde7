"""What a trained model knows, as plain names: ``vocabulary.json`` of a checkpoint.

::

    {"format": 1,
     "genes": ["STAT1", …],
     "factors": {"cell_type": ["B cells", …], "donor": […]},
     "contexts": [{"factors": {"cell_type": "B cells", "donor": "D1"}, "control_cells": 12, "cells": 40}, …],
     "perturbations": {"STAT1": {"type": "genetic", "cells": 300, "doses": []}, …},
     "control": "control",
     "methods": {"STAT1": "knockout", …},
     "described": {"genetic": ["STAT1", "STAT3", …], "drug": […]},
     "structures": true}

The last three are there only where the training data named a method and where the model has features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from campaigns.conditions import (
    FEATURES_ONLY,
    IN_VOCABULARY,
    METHODS,
    Context,
    Perturbation,
    Support,
    split_combination,
    split_method,
)
from campaigns.errors import Problem, VocabularyError, Where

FORMAT = 1
PERTURBATION_TYPES = ("genetic", "cytokine", "drug", "environment")


@dataclass(frozen=True, slots=True)
class SeenContext:
    """A context of the training cells.

    Parameters
    ----------
    factors : mapping
        Factor → value, for every factor of the model.
    control_cells, cells : int
        How many control cells, and how many cells in all, were seen in it.
    adapted : bool
        Whether it was learned after the training, from its control cells alone.
    """

    factors: Mapping[str, str]
    control_cells: int
    cells: int
    adapted: bool = False


@dataclass(frozen=True, slots=True)
class SeenPerturbation:
    """A perturbation of the training cells.

    Parameters
    ----------
    type : str
        ``genetic``, ``cytokine``, ``drug`` or ``environment``.
    cells : int
        How many cells were seen.
    doses : tuple of float
        Which doses were seen, ascending; empty where the data have none.
    """

    type: str
    cells: int
    doses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """What a trained model knows.

    Parameters
    ----------
    genes : tuple of str
        The gene panel in the model's order.
    factors : mapping
        Factor of a context → its values.
    contexts : tuple of SeenContext
        The combinations of factor values that were seen.
    perturbations : mapping
        Label as in the data (``A``, or ``A+B`` for a combination) → what was seen of it. The control isn't among them.
    control : str
        Label of the control cells.
    methods : mapping
        Single genetic perturbation → ``knockout``, ``CRISPRi`` or ``CRISPRa``, where the data name it.
    described : mapping
        Single perturbation that the model has features of, seen or not → its type.
    structures : bool
        Whether the model can read the SMILES of a drug.
    pseudo : tuple of str
        Pseudo-perturbations: groups of control cells under labels of their own, the null of a screen. Nobody can ask
        for them by name.
    """

    genes: tuple[str, ...]
    factors: Mapping[str, tuple[str, ...]]
    contexts: tuple[SeenContext, ...]
    perturbations: Mapping[str, SeenPerturbation]
    control: str
    methods: Mapping[str, str] = field(default_factory=dict)
    described: Mapping[str, str] = field(default_factory=dict)
    structures: bool = False
    pseudo: tuple[str, ...] = ()

    @cached_property
    def by_parts(self) -> dict[tuple[str, ...], SeenPerturbation]:
        """Sorted parts of a perturbation → what was seen of it, single ones first."""
        parts = {tuple(sorted(split_combination(label))): seen for label, seen in self.perturbations.items()}
        return dict(sorted(parts.items(), key=lambda item: len(item[0])))

    @cached_property
    def part_types(self) -> dict[str, str]:
        """Single perturbation → its type; parts that were seen in combinations only are among them."""
        types: dict[str, str] = {}
        for names, seen in self.by_parts.items():
            for name in names:
                types.setdefault(name, seen.type)
        return types

    @cached_property
    def part_doses(self) -> dict[str, tuple[float, ...]]:
        """Single perturbation → all doses at which it was seen, alone or in combinations, ascending."""
        doses: dict[str, set[float]] = {}
        for names, seen in self.by_parts.items():
            for name in names:
                doses.setdefault(name, set()).update(seen.doses)
        return {name: tuple(sorted(values)) for name, values in doses.items()}

    @cached_property
    def type_doses(self) -> dict[str, tuple[float, ...]]:
        """Type of perturbation → all doses at which any of it was seen, ascending."""
        doses: dict[str, set[float]] = {}
        for seen in self.perturbations.values():
            doses.setdefault(seen.type, set()).update(seen.doses)
        return {type: tuple(sorted(values)) for type, values in doses.items()}

    def type_of(self, name: str) -> str | None:
        """Tell the type of a single perturbation that was seen, or that the model has features of."""
        return self.part_types.get(name, self.described.get(name))

    def is_adapted(self, context: Context) -> bool:
        """Tell whether all that is known of a context was learned after the training, from control cells alone."""
        wanted = set(context.factors)
        agreeing = [seen.adapted for seen in self.contexts if wanted <= set(seen.factors.items())]
        return bool(agreeing) and all(agreeing)

    def support(self, perturbation: Perturbation) -> Support:
        """Tell whether every part was seen in training, alone or in combinations."""
        seen = all(part.name in self.part_types for part in perturbation.parts)
        return IN_VOCABULARY if seen else FEATURES_ONLY

    @cached_property
    def methods_seen(self) -> tuple[str, ...]:
        """The methods of all genetic perturbations that were seen."""
        return tuple(method for method in METHODS if method in self.methods.values())

    @cached_property
    def _by_target(self) -> dict[str, tuple[str, ...]]:
        """Target → its names with a method, where there are any."""
        names: dict[str, tuple[str, ...]] = {}
        for name in dict.fromkeys((*self.part_types, *self.described)):
            target, method = split_method(name)
            if method is not None:
                names[target] = (*names.get(target, ()), name)
        return names

    def spellings(self, name: str) -> tuple[str, ...]:
        """Give the names under which the model knows what a user wrote; several where the method is missing.

        ``KLF1 (CRISPRa)`` is ``KLF1`` where that is how it was seen, and ``KLF1`` may be ``KLF1 (CRISPRa)``.
        """
        if name in self.part_types:
            return (name,)
        target, method = split_method(name)
        variants = self._by_target.get(target, ())
        if method is None:
            return variants or ((name,) if name in self.described else ())
        if name in variants:
            return (name,)
        # A gene that was never seen has the one method that the model has learned.
        learned = self.methods.get(target) if target in self.part_types else "".join(self.methods_seen)
        return (target,) if self.type_of(target) == "genetic" and learned == method else ()

    @cached_property
    def gene_set(self) -> frozenset[str]:
        """The genes, for membership tests."""
        return frozenset(self.genes)

    @cached_property
    def _control_cells(self) -> dict[Context, int]:
        return {Context.of(seen.factors): seen.control_cells for seen in self.contexts}

    def control_cells(self, context: Context) -> int:
        """Count the control cells of a context, pooled over the factors that it leaves out.

        Contexts that were added later count only where no other agrees.
        """
        if len(context.factors) == len(self.factors):
            return self._control_cells.get(context, 0)
        wanted = set(context.factors)
        agreeing = [seen for seen in self.contexts if wanted <= set(seen.factors.items())]
        trained = [seen for seen in agreeing if not seen.adapted and seen.control_cells]
        return sum(seen.control_cells for seen in trained or agreeing)

    @classmethod
    def from_json(cls, data: Any, file: str = "vocabulary.json") -> Vocabulary:
        """Read the content of ``vocabulary.json``, checking its shape.

        Parameters
        ----------
        data
            What `json.loads` gave.
        file : str
            Name for messages.

        Returns
        -------
        Vocabulary

        Raises
        ------
        VocabularyError
            With all that doesn't have the shape drawn at the top of this module.
        """
        problems = list(_Shape(file).vocabulary(data))
        if problems:
            raise VocabularyError(problems)
        return cls(
            genes=tuple(data["genes"]),
            factors={factor: tuple(values) for factor, values in data["factors"].items()},
            contexts=tuple(
                SeenContext(
                    dict(seen["factors"]), seen["control_cells"], seen["cells"], bool(seen.get("adapted", False))
                )
                for seen in data["contexts"]
            ),
            perturbations={
                name: SeenPerturbation(seen["type"], seen["cells"], tuple(sorted(map(float, seen["doses"]))))
                for name, seen in data["perturbations"].items()
            },
            control=data["control"],
            methods=dict(data.get("methods", {})),
            described={name: type for type, names in data.get("described", {}).items() for name in names},
            structures=data.get("structures", False),
            pseudo=tuple(data.get("pseudo_perturbations", ())),
        )

    def to_json(self) -> dict[str, Any]:
        """Give the content of ``vocabulary.json``."""
        return {
            "format": FORMAT,
            "genes": list(self.genes),
            "factors": {factor: list(values) for factor, values in self.factors.items()},
            "contexts": [
                {
                    "factors": dict(seen.factors),
                    "control_cells": seen.control_cells,
                    "cells": seen.cells,
                    **({"adapted": True} if seen.adapted else {}),
                }
                for seen in self.contexts
            ],
            "perturbations": {
                name: {"type": seen.type, "cells": seen.cells, "doses": list(seen.doses)}
                for name, seen in self.perturbations.items()
            },
            "control": self.control,
            **self._optional_json(),
        }

    def _optional_json(self) -> dict[str, Any]:
        described: dict[str, list[str]] = {}
        for name, type in self.described.items():
            described.setdefault(type, []).append(name)
        parts = {
            "methods": dict(self.methods),
            "described": described,
            "structures": self.structures,
            "pseudo_perturbations": list(self.pseudo),
        }
        return {key: value for key, value in parts.items() if value}


class _Shape:
    """Checks the shape of ``vocabulary.json``, one problem for each thing that is off."""

    def __init__(self, file: str) -> None:
        self.file = file

    def problem(self, field: str, text: str) -> Problem:
        return Where(self.file, None, field).problem(text)

    def vocabulary(self, data: Any) -> Iterator[Problem]:
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            yield self.problem("format", f"isn't a vocabulary of format {FORMAT}; train the model again")
            return
        yield from self.names(data.get("genes"), "genes", at_least=1)
        yield from self.factors(data.get("factors"))
        yield from self.contexts(data.get("contexts"), data.get("factors"))
        yield from self.perturbations(data.get("perturbations"))
        control = data.get("control")
        if not _is_name(control):
            yield self.problem("control", "must be the label of the control cells")
        elif isinstance(data.get("perturbations"), dict) and control in data["perturbations"]:
            yield self.problem(f'perturbations["{control}"]', "the control isn't listed among the perturbations")
        yield from self.methods(data.get("methods", {}))
        yield from self.described(data.get("described", {}))
        yield from self.names(data.get("pseudo_perturbations", []), "pseudo_perturbations")
        if not isinstance(data.get("structures", False), bool):
            yield self.problem("structures", "must be true or false")

    def methods(self, methods: Any) -> Iterator[Problem]:
        if not isinstance(methods, dict):
            yield self.problem("methods", "must be a mapping of perturbation to method")
            return
        for name, method in methods.items():
            if method not in METHODS:
                yield self.problem(f'methods["{name}"]', f"must be one of {', '.join(METHODS)}")

    def described(self, described: Any) -> Iterator[Problem]:
        if not isinstance(described, dict):
            yield self.problem("described", "must be a mapping of type to names")
            return
        for type, names in described.items():
            if type not in PERTURBATION_TYPES:
                yield self.problem(f"described.{type}", f"must be one of {', '.join(PERTURBATION_TYPES)}")
            yield from self.names(names, f"described.{type}")

    def names(self, names: Any, field: str, at_least: int = 0) -> Iterator[Problem]:
        if not isinstance(names, list) or not all(map(_is_name, names)):
            yield self.problem(field, "must be a list of names")
        elif len(names) < at_least:
            yield self.problem(field, "is empty")
        elif len(set(names)) < len(names):
            yield self.problem(field, "lists a name twice")

    def factors(self, factors: Any) -> Iterator[Problem]:
        if not isinstance(factors, dict):
            yield self.problem("factors", "must be a mapping of factor to values")
            return
        for factor, values in factors.items():
            yield from self.names(values, f"factors.{factor}", at_least=1)

    def contexts(self, contexts: Any, factors: Any) -> Iterator[Problem]:
        if not isinstance(contexts, list) or not isinstance(factors, dict):
            yield self.problem("contexts", "must be a list of contexts")
            return
        known = {factor: set(map(str, values)) for factor, values in factors.items() if isinstance(values, list)}
        for index, seen in enumerate(contexts):
            yield from self.context(seen, known, f"contexts[{index}]")

    def context(self, seen: Any, known: Mapping[str, set[str]], field: str) -> Iterator[Problem]:
        if not isinstance(seen, dict) or not isinstance(seen.get("factors"), dict):
            yield self.problem(field, "must have factors, control_cells and cells")
            return
        if set(seen["factors"]) != set(known):
            yield self.problem(f"{field}.factors", f"must give a value for each of {', '.join(known) or 'no factor'}")
        for factor, value in seen["factors"].items():
            if factor in known and not (_is_name(value) and value in known[factor]):
                yield self.problem(f"{field}.factors.{factor}", f"{value!r} isn't among factors.{factor}")
        for count in ("control_cells", "cells"):
            if not _is_count(seen.get(count)):
                yield self.problem(f"{field}.{count}", "must be a number of cells")

    def perturbations(self, perturbations: Any) -> Iterator[Problem]:
        if not isinstance(perturbations, dict):
            yield self.problem("perturbations", "must be a mapping of name to type, cells and doses")
            return
        for name, seen in perturbations.items():
            yield from self.perturbation(name, seen, f'perturbations["{name}"]')

    def perturbation(self, name: str, seen: Any, field: str) -> Iterator[Problem]:
        if not isinstance(seen, dict):
            yield self.problem(field, "must have type, cells and doses")
            return
        try:
            split_combination(name)
        except ValueError as error:
            yield self.problem(field, str(error))
        if seen.get("type") not in PERTURBATION_TYPES:
            yield self.problem(f"{field}.type", f"must be one of {', '.join(PERTURBATION_TYPES)}")
        if not _is_count(seen.get("cells")):
            yield self.problem(f"{field}.cells", "must be a number of cells")
        if not isinstance(seen.get("doses"), list) or not all(map(_is_dose, seen["doses"])):
            yield self.problem(f"{field}.doses", "must be a list of positive numbers")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_dose(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
