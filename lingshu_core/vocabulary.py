"""What a model has words for: genes, context factors, perturbations.

The vocabulary is plain strings and numbers. It is written beside the weights as ``vocabulary.json``,
so that a campaign can be checked against it without loading a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lingshu_core.errors import CheckpointError

VOCABULARY_FORMAT = 1
_ROWS = " rows of the feature bank"  # the blank keeps it apart from every factor's name
_JOIN = re.compile(r"\+(?![^()]*\))")  # drugs have plus signs of their own, as in (+)-JQ1


@dataclass(frozen=True)
class SeenContext:
    """A combination of context factors that occurs in the training data."""

    factors: Mapping[str, str]
    cells: int
    control_cells: int
    perturbed_cells: Mapping[str, int] = field(default_factory=dict)
    """Cells of each perturbation label in this context."""
    pseudo_cells: Mapping[str, int] = field(default_factory=dict)
    """Control cells of each pseudo-perturbation in this context; they count among ``control_cells`` too."""
    adapted: bool = False
    """Whether the context was learned later, from control cells alone (``adaptation``)."""


@dataclass(frozen=True)
class SeenPerturbation:
    """A perturbation label as it stands in the training data, combinations included."""

    type: str
    cells: int
    doses: tuple[float, ...] = ()
    depth_log_ratio: float = 0.0
    """Natural logarithm of the total UMIs over those of controls of the same context."""


@dataclass(frozen=True)
class Vocabulary:
    """Genes, context factors and perturbations, in the order of the model's indices.

    ``perturbations`` are the labels of the data; the model has an embedding for each of their single ``parts``.
    Index 0 of every factor and of the parts means *unspecified* and *control*; the first named value has index 1.
    ``methods`` tells how single genetic perturbations were done, where the data do (see `lingshu_core.methods`);
    ``described`` are the perturbations of which the model has features, seen or not, name → type, in the order of
    its feature bank; ``structures`` tells whether drugs can be described by their SMILES.
    ``pseudo`` are the pseudo-perturbations, groups of control cells under labels of their own: they have embeddings
    after those of the parts, and are no perturbations to anybody who asks for some (see
    `lingshu_core.pseudo_perturbations`).
    """

    genes: tuple[str, ...]
    factors: Mapping[str, tuple[str, ...]]
    contexts: tuple[SeenContext, ...]
    perturbations: Mapping[str, SeenPerturbation]
    parts: tuple[str, ...]
    control: str
    described: Mapping[str, str] = field(default_factory=dict)
    structures: bool = False
    methods: Mapping[str, str] = field(default_factory=dict)
    pseudo: tuple[str, ...] = ()
    _index: dict[str, dict[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the look-up tables once."""
        tables = {name: {value: i + 1 for i, value in enumerate(values)} for name, values in self.factors.items()}
        tables["perturbation"] = {name: i + 1 for i, name in enumerate(self.identities)}
        tables[_ROWS] = {name: i + 1 for i, name in enumerate(self.described)}
        object.__setattr__(self, "_index", tables)

    def index(self, factor: str, value: str) -> int | None:
        """Return the index of a factor's value (or of a ``perturbation``); None when it was never seen."""
        return self._index[factor].get(value)

    def feature_row(self, name: str) -> int:
        """Return the row of a perturbation in the feature bank; 0 where there are no features of it."""
        return self._index[_ROWS].get(name, 0)

    @property
    def part_types(self) -> dict[str, str]:
        """Single perturbations that were seen → type."""
        return part_types({label: seen.type for label, seen in self.perturbations.items()})

    @property
    def identities(self) -> tuple[str, ...]:
        """All that has an embedding of its own: the parts, then the pseudo-perturbations."""
        return (*self.parts, *self.pseudo)

    @property
    def unnamed(self) -> int:
        """The index of a part that was never seen and is known by its features alone."""
        return len(self.identities) + 1

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``vocabulary.json``."""
        return {
            "format": VOCABULARY_FORMAT,
            "genes": list(self.genes),
            "factors": {name: list(values) for name, values in self.factors.items()},
            "contexts": [
                {
                    "factors": dict(c.factors),
                    "cells": c.cells,
                    "control_cells": c.control_cells,
                    "perturbed_cells": dict(c.perturbed_cells),
                    **({"pseudo_cells": dict(c.pseudo_cells)} if c.pseudo_cells else {}),
                    **({"adapted": True} if c.adapted else {}),
                }
                for c in self.contexts
            ],
            "perturbations": {
                name: {
                    "type": p.type,
                    "cells": p.cells,
                    "doses": list(p.doses),
                    "depth_log_ratio": p.depth_log_ratio,
                }
                for name, p in self.perturbations.items()
            },
            "parts": list(self.parts),
            "control": self.control,
            **({"methods": dict(self.methods)} if self.methods else {}),
            **({"pseudo_perturbations": list(self.pseudo)} if self.pseudo else {}),
            **self._described_json(),
        }

    def _described_json(self) -> dict[str, Any]:
        """Return names by type, types and names in the order of the bank's rows; nothing where there is no bank."""
        names: dict[str, list[str]] = {}
        for name, kind in self.described.items():
            names.setdefault(kind, []).append(name)
        return {"described": names, "structures": self.structures} if names else {}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Vocabulary:
        """Read the content of ``vocabulary.json``.

        Raises
        ------
        CheckpointError
            If the format is newer than this version reads or a part is missing.
        """
        if content.get("format") != VOCABULARY_FORMAT:
            raise CheckpointError(
                f"vocabulary.json has format {content.get('format')!r}; this version reads format {VOCABULARY_FORMAT}:"
                " train again or use the version that wrote it"
            )
        try:
            _check_distinct(content["genes"])
            return cls(
                genes=tuple(content["genes"]),
                factors={name: tuple(values) for name, values in content["factors"].items()},
                contexts=tuple(SeenContext(**context) for context in content["contexts"]),
                perturbations={
                    name: SeenPerturbation(p["type"], p["cells"], tuple(p["doses"]), p["depth_log_ratio"])
                    for name, p in content["perturbations"].items()
                },
                parts=tuple(content["parts"]),
                control=content["control"],
                described=_described(content.get("described", {})),
                structures=bool(content.get("structures", False)),
                methods=dict(content.get("methods", {})),
                pseudo=tuple(content.get("pseudo_perturbations", ())),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"vocabulary.json is damaged: {error!r}; fetch the checkpoint again") from error


def _check_distinct(genes: Sequence[str]) -> None:
    if len(set(genes)) < len(genes):
        raise CheckpointError("vocabulary.json is damaged: it lists a gene twice; fetch the checkpoint again")


def _described(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Read names by type; types are sorted as in the file that was written with sorted keys."""
    return {name: kind for kind in sorted(names) for name in names[kind]}


def part_types(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the type of each single perturbation; its own label counts before those of its combinations."""
    types: dict[str, str] = {}
    for label in sorted(labels, key=lambda label: (len(split_label(label)), label)):
        for part in split_label(label):
            types.setdefault(part, labels[label])
    return types


def split_label(label: str) -> tuple[str, ...]:
    """Split a combination label ``A+B`` into its sorted parts; a plus sign in round brackets joins nothing."""
    return tuple(sorted(part.strip() for part in _JOIN.split(label)))


def join_parts(parts: Sequence[str]) -> str:
    """Join the parts of a combination into its label, independent of their order."""
    return "+".join(sorted(parts))
