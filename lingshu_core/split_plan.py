"""What a split holds out, and in which folds, before it is known which cells that leaves.

A *unit* is one condition or a few that are asked together, with all cells that would give them away. Kinds of splits
differ in their units and in how these are put into folds (``split_by_perturbation``, ``split_by_context``,
``split_by_column``); the rest is the same for all (``split_builder``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

import numpy as np

from lingshu_core.errors import SplitError
from lingshu_core.split_table import NO_CONTEXT, CellTable, Mask, Rows, draw, listed

OwnControls = Literal["trained", "adapted", "none"]


@dataclass(frozen=True, eq=False)
class Unit:
    """Something that is held out as a whole.

    Parameters
    ----------
    name
        What is asked, such as ``IFNB1 in B cells``.
    group
        Units of one group are held out together.
    asked
        Perturbed cells whose conditions are asked.
    hidden
        All cells that may not be learnt from, those asked included.
    requires
        Groups of cells of each of which some have to be left to learn from: else the question is another one.
    reference
        Cells among which controls are looked for; None: the whole data set.
    """

    name: str
    group: str
    asked: Rows
    hidden: Rows
    requires: tuple[Rows, ...] = ()
    reference: Rows | None = None

    def answerable(self, hidden: Mask) -> bool:
        """Tell whether what the question needs is left, where some cells are hidden."""
        return all((~hidden[rows]).any() for rows in self.requires)


@dataclass(frozen=True)
class FoldPlan:
    """One fold: what is asked, and what else could be held out for calibration."""

    name: str
    units: tuple[Unit, ...]
    spare: tuple[Unit, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All folds of a split.

    ``own_controls`` tells what becomes of controls of a context that was never seen, ``notes`` say what isn't asked.
    """

    folds: tuple[FoldPlan, ...]
    own_controls: OwnControls = "trained"
    notes: tuple[str, ...] = ()


class Asker(Protocol):
    """Knows which conditions have enough cells."""

    def shortage(self, unit: Unit) -> str:
        """Say why no condition of a unit can be asked; empty where one can."""
        ...


def deal(sizes: Mapping[str, int], folds: int, random: np.random.Generator, things: str) -> list[set[str]]:
    """Deal things to folds of about one size: largest first into the emptiest, ties in random order.

    Parameters
    ----------
    sizes
        Thing → how much it weighs.
    folds
        How many folds.
    random
        Decides among things of one size.
    things
        Their name, for messages.

    Raises
    ------
    SplitError
        If there are fewer things than folds.
    """
    if len(sizes) < folds:
        fewer = f"set folds to at most {len(sizes)}" if len(sizes) > 1 else "take another kind of split"
        raise SplitError(
            f"split: {things} with enough cells are {listed(sorted(sizes))}: {len(sizes)} can't be dealt to {folds} "
            f"folds; {fewer}, or lower minimum_cells so that more can be asked"
        )
    names = sorted(sizes)
    shuffled = [names[i] for i in random.permutation(len(names))]
    taken: list[set[str]] = [set() for _ in range(folds)]
    weight = [0] * folds
    for name in sorted(shuffled, key=lambda one: -sizes[one]):
        emptiest = min(range(folds), key=weight.__getitem__)
        taken[emptiest].add(name)
        weight[emptiest] += sizes[name]
    return taken


def numbered(dealt: Iterable[set[str]]) -> list[tuple[str, set[str]]]:
    """Name the folds that groups were dealt to."""
    return [(f"fold {number}", taken) for number, taken in enumerate(dealt, start=1)]


def by_value(values: set[str], folds: int | None, seed: int) -> list[tuple[str, set[str]]]:
    """Return name and values of each fold: a fold for each value, or values dealt to so many folds."""
    if folds is None:
        return [(value, {value}) for value in sorted(values)]
    return numbered(deal(dict.fromkeys(values, 1), folds, draw(seed, "folds"), "values"))


def plan_fold(name: str, units: Sequence[Unit], groups: set[str]) -> FoldPlan:
    """Return the fold that asks some groups of units; all others are spare."""
    asked = tuple(unit for unit in units if unit.group in groups)
    return FoldPlan(name, asked, tuple(unit for unit in units if unit.group not in groups))


def chosen_values(table: CellTable, role: str, values: Sequence[str] | None, where: str) -> Mapping[str, Rows]:
    """Return the cells of some values of a role, all of them where none are named.

    Raises
    ------
    SplitError
        If the data don't name the role, or no cell has a value.
    """
    found = table.values(role, where)
    for value in values or ():
        if value not in found:
            raise SplitError(f"{where}: no cell has the value {value!r}; there are: {listed(list(found))}")
    return found if values is None else {value: found[value] for value in sorted(values)}


def units_within(table: CellTable, value: str, rows: Rows, hidden: Rows) -> list[Unit]:
    """Return a unit for each perturbation of a value of a factor; the same cells are hidden for all of them."""
    here = table.mask(rows)
    asked = {label: everywhere[here[everywhere]] for label, everywhere in table.rows_by_label.items()}
    return [
        Unit(f"{label} in {value}", value, found, hidden, requires=(table.rows_by_label[label],))
        for label, found in asked.items()
        if len(found)
    ]


def asked_elsewhere(
    table: CellTable, ask: Asker, units: Sequence[Unit], where: str, *, named: bool
) -> tuple[list[Unit], tuple[str, ...]]:
    """Keep the units that have enough cells and whose perturbation is seen elsewhere too.

    Parameters
    ----------
    named
        Whether the user asked for their values by name.

    Returns
    -------
    The units, and what isn't asked.

    Raises
    ------
    SplitError
        If none is left.
    """
    alone = [unit.name for unit in units if not unit.answerable(table.mask(unit.hidden))]
    kept, notes = askable(ask, [unit for unit in units if unit.name not in set(alone)])
    if alone:
        notes += (f"not asked, because nowhere else is anything perturbed in this way: {listed(alone)}",)
    if not kept:
        refuse_empty(table, where, notes, named=named)
    return kept, notes


def askable(ask: Asker, units: Sequence[Unit]) -> tuple[list[Unit], tuple[str, ...]]:
    """Keep the units that have enough cells, and say which have not."""
    short = {id(unit): f"{unit.name}: {reason}" for unit in units if (reason := ask.shortage(unit))}
    notes = (f"not asked for lack of cells: {listed(list(short.values()))}",) if short else ()
    return [unit for unit in units if id(unit) not in short], notes


def refuse_empty(table: CellTable, where: str, notes: Sequence[str], *, named: bool = False) -> NoReturn:
    """Refuse a split in which nothing can be asked, and say what could.

    Raises
    ------
    SplitError
        Always.
    """
    roles = [role for role in table.obs if role not in NO_CONTEXT]
    shown = "; ".join(f"{role}: {listed(sorted(set(map(str, table.obs[role]))), 6)}" for role in roles)
    cure = "name others, or lower minimum_cells" if named else "take another kind or factor, or lower minimum_cells"
    raise SplitError(
        f"{where}: nothing can be asked here: {'; '.join(notes) or 'no perturbation fits'}; {cure}. Columns of the data"
        f" and their values: {shown or 'none'}"
    )
