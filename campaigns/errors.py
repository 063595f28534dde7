"""What can be wrong with a campaign.

::

    CampaignError             anything wrong with a campaign; holds one or more problems
    ├── YamlError             the file can't be read as strict YAML: bytes, syntax, duplicate key, tag, size, variable
    ├── SpecError             the YAML is no campaign: unknown key, missing field, wrong type, value out of bounds
    ├── VocabularyError       the model or a listing doesn't know a name: gene, gene set, perturbation, context, factor
    │   └── GeneSetError      a gene-set file can't be read, doesn't hold the set, or the set misses the panel
    └── PlanError             the campaign can't be planned as asked
        ├── EmptyGridError    no condition is left to screen
        ├── BudgetError       more conditions or cells than the campaign's budget allows
        ├── EnsembleError     the models of an ensemble can't be screened together
        └── PlanFileError     a stored plan is damaged or was written by another version

A problem is one line, ``file:line: field path: what is wrong, what is allowed, what to do``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN_PROBLEMS = 20


def printable(text: str) -> str:
    r"""Write line ends, control characters and what else can't be seen as escapes, such as ``\n``.

    What is quoted from a file can neither break the line of a message nor steer the terminal that shows it.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file.

    Parameters
    ----------
    file : str
        Name of the file as the user gave it.
    line : int or None
        Line, counted from 1; None where it isn't known.
    field : str
        Field path such as ``perturbations.genetic[3]``; empty for the file as a whole.
    """

    file: str
    line: int | None = None
    field: str = ""

    def problem(self, text: str) -> Problem:
        """Say what is wrong at this place."""
        return Problem(self.file, self.line, self.field, text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where.

    Parameters
    ----------
    file, line, field
        As in `Where`.
    text : str
        What is wrong, what is allowed and what to do.
    """

    file: str
    line: int | None
    field: str
    text: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return printable(": ".join(part for part in (place, self.field, self.text) if part))


class CampaignError(Exception):
    """Anything wrong with a campaign.

    Parameters
    ----------
    problems : iterable of Problem
        All independent problems that were found, at least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    @property
    def file(self) -> str:
        """File of the first problem."""
        return self.problems[0].file

    @property
    def line(self) -> int | None:
        """Line of the first problem, counted from 1."""
        return self.problems[0].line

    @property
    def field(self) -> str:
        """Field path of the first problem."""
        return self.problems[0].field

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:SHOWN_PROBLEMS]]
        if len(self.problems) > SHOWN_PROBLEMS:
            lines.append(f"… and {len(self.problems) - SHOWN_PROBLEMS} problems more")
        return "\n".join(lines)


class YamlError(CampaignError):
    """The file can't be read as strict YAML."""


class SpecError(CampaignError):
    """The YAML is well formed and no campaign."""


class VocabularyError(CampaignError):
    """The model, or a file of names, doesn't know a name."""


class GeneSetError(VocabularyError):
    """A gene-set file can't be read, doesn't hold the set, or the set misses the panel."""


class PlanError(CampaignError):
    """The campaign can't be planned as asked."""


class EmptyGridError(PlanError):
    """No condition is left to screen."""


class BudgetError(PlanError):
    """The plan needs more conditions or cells than the budget allows."""


class EnsembleError(PlanError):
    """The models of an ensemble can't be screened together."""


class PlanFileError(PlanError):
    """A stored plan is damaged or was written by another version."""
