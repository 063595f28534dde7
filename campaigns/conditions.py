"""What a screen asks about: a perturbation in a context.

All three are immutable, hashable and small: a screen can hold a million of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

CONTROL_LABEL = "control"
CONTROL_TYPE = "none"
NULL_TYPE = "pseudo"
"""Type of a pseudo-perturbation, a group of control cells under a label of its own."""
METHODS = ("knockout", "CRISPRi", "CRISPRa")

Support = Literal["in_vocabulary", "features_only"]
IN_VOCABULARY: Support = "in_vocabulary"
FEATURES_ONLY: Support = "features_only"
"""What a prediction rests on: every part was seen in training, or one at least is known by its features alone."""

# Drug names have plus signs of their own, as in (+)-JQ1: only one outside brackets joins.
_JOIN = re.compile(r"\+(?![^()]*\))")
_METHOD = re.compile(rf"(.+) \(({'|'.join(METHODS)})\)", re.DOTALL)


def split_combination(label: str) -> tuple[str, ...]:
    """Split ``A+B`` into its names; a plus sign in round brackets belongs to a name.

    Parameters
    ----------
    label : str
        One name, or several joined by ``+``.

    Returns
    -------
    tuple of str
        The names without the white space around them, in the order written.

    Raises
    ------
    ValueError
        A name is empty, or appears twice.
    """
    names = tuple(name.strip() for name in _JOIN.split(label))
    if not all(names):
        raise ValueError(f"{label!r} has an empty part; a combination is written A+B")
    if len(set(names)) < len(names):
        raise ValueError(f"{label!r} has a part twice; a combination joins different perturbations")
    return names


def split_method(name: str) -> tuple[str, str | None]:
    """Split ``KLF1 (CRISPRa)`` into target and method; None where the name says no method.

    A target that the data have by two methods is two perturbations, told apart by this suffix.
    """
    found = _METHOD.fullmatch(name)
    return (found[1], found[2]) if found else (name, None)


@dataclass(frozen=True, slots=True, order=True)
class PerturbationPart:
    """One perturbation, alone or within a combination.

    Parameters
    ----------
    name : str
        Target gene, cytokine, drug or change of the environment.
    dose : float or None
        Dose in the units of the training data; None where there is none.
    smiles : str or None
        Structure of a drug that the model knows by nothing else; None for all others.
    """

    name: str
    dose: float | None = None
    smiles: str | None = None

    @property
    def target(self) -> str:
        """The name without a method: the gene of a genetic perturbation."""
        return split_method(self.name)[0]

    @property
    def identity(self) -> list[str | float | None]:
        """What a result depends on; without a structure as it was before there were any."""
        return [self.name, self.dose, *([] if self.smiles is None else [self.smiles])]

    def as_dict(self) -> dict[str, Any]:
        """Give the part as plain data; ``smiles`` only where there is one."""
        return {"name": self.name, "dose": self.dose, **({} if self.smiles is None else {"smiles": self.smiles})}

    @property
    def label(self) -> str:
        """``name``, or ``name@dose``."""
        return self.name if self.dose is None else f"{self.name}@{_number(self.dose)}"


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What is done to the cells.

    Parameters
    ----------
    parts : tuple of PerturbationPart
        Sorted by name, each name once; empty for the control.
    type : str
        ``genetic``, ``cytokine``, ``drug`` or ``environment``; ``none`` for the control, ``pseudo`` for a
        pseudo-perturbation.
    """

    parts: tuple[PerturbationPart, ...]
    type: str

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if names != sorted(set(names)):
            raise ValueError(f"parts have to be sorted and different: {names}")

    @classmethod
    def of(
        cls, names: Iterable[str], type: str, dose: float | None = None, structures: Mapping[str, str] | None = None
    ) -> Perturbation:
        """Combine names into a perturbation whose parts all have the same dose; the order doesn't matter.

        ``structures`` are the SMILES of those names that have one.
        """
        known = structures or {}
        return cls(tuple(PerturbationPart(name, dose, known.get(name)) for name in sorted(names)), type)

    @classmethod
    def parse(cls, label: str, type: str, dose: float | None = None) -> Perturbation:
        """Read ``A`` or ``A+B``; errors as in `split_combination`."""
        return cls.of(split_combination(label), type, dose)

    @property
    def is_control(self) -> bool:
        """Whether nothing is done to the cells."""
        return not self.parts

    @property
    def is_null(self) -> bool:
        """Whether nothing was done to the cells that it was learned from, though they have a label."""
        return self.type == NULL_TYPE

    @property
    def label(self) -> str:
        """``A+B``, with doses ``A@0.1+B@0.1``; ``control`` for the control."""
        return "+".join(part.label for part in self.parts) or CONTROL_LABEL

    def as_dict(self) -> dict[str, Any]:
        """Give the perturbation as plain data."""
        return {"parts": [part.as_dict() for part in self.parts], "type": self.type}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Perturbation:
        """Read what `as_dict` gave."""
        parts = (PerturbationPart(part["name"], part["dose"], part.get("smiles")) for part in data["parts"])
        return cls(tuple(parts), data["type"])


CONTROL = Perturbation((), CONTROL_TYPE)


@dataclass(frozen=True, slots=True)
class Context:
    """The cells before anything is done to them.

    Parameters
    ----------
    factors : tuple of (str, str)
        Factor and value, such as ``("cell_type", "B cells")``, sorted by factor. A factor left out isn't specified.
    """

    factors: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, factors: Mapping[str, str]) -> Context:
        """Make a context from a mapping in any order."""
        return cls(tuple(sorted(factors.items())))

    @property
    def label(self) -> str:
        """``cell_type=B cells, donor=D1``; ``all cells`` where nothing is specified."""
        return ", ".join(f"{factor}={value}" for factor, value in self.factors) or "all cells"

    def as_dict(self) -> dict[str, str]:
        """Give the context as plain data: factor → value."""
        return dict(self.factors)

    @classmethod
    def from_dict(cls, data: Mapping[str, str]) -> Context:
        """Read what `as_dict` gave."""
        return cls.of(data)


@dataclass(frozen=True, slots=True)
class Condition:
    """A perturbation in a context: one row of the result.

    Parameters
    ----------
    context : Context
    perturbation : Perturbation
    """

    context: Context
    perturbation: Perturbation

    @property
    def label(self) -> str:
        """``STAT1 in cell_type=THP-1``."""
        return f"{self.perturbation.label} in {self.context.label}"

    def as_dict(self) -> dict[str, Any]:
        """Give the condition as plain data."""
        return {"context": self.context.as_dict(), "perturbation": self.perturbation.as_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Condition:
        """Read what `as_dict` gave."""
        return cls(Context.from_dict(data["context"]), Perturbation.from_dict(data["perturbation"]))
