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
_JOIN = re.compile(r"\+(?![^()]*\))")  # drugs have plus signs of their own, as in (+)-JQ1


@dataclass(frozen=True)
class SeenContext:
    """A combination of context factors that occurs in the training data."""

    factors: Mapping[str, str]
    cells: int
    control_cells: int
    perturbed_cells: Mapping[str, int] = field(default_factory=dict)
    """Cells of each perturbation label in this context."""


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
    """

    genes: tuple[str, ...]
    factors: Mapping[str, tuple[str, ...]]
    contexts: tuple[SeenContext, ...]
    perturbations: Mapping[str, SeenPerturbation]
    parts: tuple[str, ...]
    control: str
    _index: dict[str, dict[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the look-up tables once."""
        tables = {name: {value: i + 1 for i, value in enumerate(values)} for name, values in self.factors.items()}
        tables["perturbation"] = {name: i + 1 for i, name in enumerate(self.parts)}
        object.__setattr__(self, "_index", tables)

    def index(self, factor: str, value: str) -> int | None:
        """Return the index of a factor's value (or of a ``perturbation``); None when it was never seen."""
        return self._index[factor].get(value)

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
        }

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
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"vocabulary.json is damaged: {error!r}; fetch the checkpoint again") from error


def split_label(label: str) -> tuple[str, ...]:
    """Split a combination label ``A+B`` into its sorted parts; a plus sign in round brackets joins nothing."""
    return tuple(sorted(part.strip() for part in _JOIN.split(label)))


def join_parts(parts: Sequence[str]) -> str:
    """Join the parts of a combination into its label, independent of their order."""
    return "+".join(sorted(parts))
