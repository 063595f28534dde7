"""A notebook for what is found while a campaign is resolved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from campaigns.errors import SHOWN_PROBLEMS, Problem, VocabularyError, Where
from campaigns.nearest import hint


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was asked for with all of its kind, and can't be screened.

    Parameters
    ----------
    kind : str
        ``context``, or a type of perturbations.
    name : str
        Label of the context or the perturbation.
    reason : str
        Why not.
    """

    kind: str
    name: str
    reason: str


class Findings:
    """Problems, which end the work once all are known, and notices, which the user ought to read.

    Attributes
    ----------
    problems : list of Problem
    notices : list of str
    left_out : list of LeftOut
        What the notices sum up, one by one.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notices: list[str] = []
        self.left_out: list[LeftOut] = []

    def problem(self, where: Where, text: str) -> None:
        """Note something that is wrong."""
        self.problems.append(where.problem(text))

    def unknown(self, where: Where, noun: str, name: str, names: Iterable[str], more: str = "") -> None:
        """Note a name that isn't known, with the nearest ones that are, and more advice after it."""
        # Searching alike names costs milliseconds, and nobody reads the thousandth suggestion.
        advice = f"; {hint(name, names)}" if len(self.problems) < SHOWN_PROBLEMS else ""
        self.problem(where, f"unknown {noun} {name!r}{advice}{more}")

    def notice(self, text: str) -> None:
        """Note something that is right and may surprise."""
        self.notices.append(text)

    def raise_problems(self) -> None:
        """End the work if anything is wrong.

        Raises
        ------
        VocabularyError
            With all problems noted so far.
        """
        if self.problems:
            raise VocabularyError(self.problems)


def some(names: Iterable[str], count: int = 3) -> str:
    """List the first few names, and how many more there are; with semicolons where names have commas in them."""
    known = list(names)
    more = f" and {len(known) - count} more" if len(known) > count else ""
    return between(known).join(known[:count]) + more


def between(names: Iterable[str]) -> str:
    """Say what to put between names, so that it is seen where each of them ends."""
    return "; " if any("," in name for name in names) else ", "
