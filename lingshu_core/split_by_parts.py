"""Splits that hold combinations of perturbations out, by how many of their parts were seen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from lingshu_core.errors import SplitError
from lingshu_core.methods import target_of
from lingshu_core.split_plan import Asker, FoldPlan, Plan, Unit, askable, refuse_empty
from lingshu_core.split_table import CellTable, draw, united
from lingshu_core.vocabulary import split_label

LARGEST_SHARE = 0.25
"""A fold keeps at most this share of the perturbed cells out, unless one combination alone needs more."""


def parts(table: CellTable, ask: Asker, *, seed: int, seen: Sequence[int], hide_singles: bool) -> Plan:
    """Hold out combinations, and what they are made of as far as it shall not have been seen."""
    labels = [label for label, targets in table.targets.items() if len(targets) > 1]
    if not labels:
        raise SplitError(f"split (parts): no cell of {table.source} has a combination of perturbations, such as A+B")
    folds: list[FoldPlan] = []
    notes: tuple[str, ...] = ()
    for level in sorted(seen):
        found, more = _level(table, ask, labels, level, seed, hide_singles)
        folds += found
        notes += more
    if not folds:
        refuse_empty(table, "split (parts)", notes)
    return Plan(tuple(folds), notes=notes)


def _level(
    table: CellTable, ask: Asker, labels: Sequence[str], level: int, seed: int, hide_singles: bool
) -> tuple[list[FoldPlan], tuple[str, ...]]:
    """Return the folds that ask with so many parts seen."""
    ways = {label: _ways(table, label, level, hide_singles) for label in labels}
    candidates, notes = askable(ask, [units[0] for units in ways.values() if units])
    order = draw(seed, "parts", str(level)).permutation(len(candidates))
    packed = _packed(table, [ways[candidates[i].name] for i in order])
    if not packed:
        return [], (*notes, f"no combination can be asked with {_title(level)}: {_reason(table, level, hide_singles)}")
    folds = []
    for number, units in enumerate(packed, start=1):
        name = _title(level) if len(packed) == 1 else f"{_title(level)}, {number} of {len(packed)}"
        spare = tuple(unit for other in packed if other is not units for unit in other)
        folds.append(FoldPlan(name, tuple(sorted(units, key=lambda unit: unit.name)), spare))
    return folds, notes


def _title(level: int) -> str:
    return f"{level} {'part' if level == 1 else 'parts'} seen"


def _reason(table: CellTable, level: int, hide_singles: bool) -> str:
    several = [split_label(label) for label, targets in table.targets.items() if len(targets) > 1]
    counts = sorted({sum(part in table.rows_by_label for part in parts) for parts in several})
    cure = "; hide_singles: true hides parts that are there" if not hide_singles and level < counts[-1] else ""
    return f"{' or '.join(map(str, counts))} parts of the combinations are there by themselves{cure}"


def _ways(table: CellTable, label: str, level: int, hide_singles: bool) -> list[Unit]:
    """Return the ways to ask a combination with so many of its parts seen; they differ in which are hidden.

    A part counts as seen if it is there by itself, and as not seen if no cell to learn from has its target, neither in
    another combination nor by another method.
    """
    targets = table.targets[label]
    known = [part for part in split_label(label) if part in table.rows_by_label]
    if level > len(known) or (level < len(known) and not hide_singles):
        return []
    containing = united([rows for other, rows in table.rows_by_label.items() if table.targets[other] >= targets])
    units = []
    for kept in combinations(known, level):
        hidden = united([containing, table.having(targets.difference(map(target_of, kept)))])
        requires = tuple(table.rows_by_label[part] for part in kept)
        units.append(Unit(label, label, table.rows_by_label[label], hidden, requires))
    return units


def _packed(table: CellTable, ways: Sequence[Sequence[Unit]]) -> list[list[Unit]]:
    """Put combinations into as few folds as they fit in, first come, first served.

    They fit where every part that is to have been seen still is, and not too much is hidden.
    """
    most = LARGEST_SHARE * int((~table.is_control).sum())
    folds: list[list[Unit]] = []
    for choices in ways:
        fitting = ((fold, unit) for fold in folds for unit in choices if _fits(table, [*fold, unit], most))
        found = next(fitting, None)
        if found is None:
            folds.append([choices[0]])
        else:
            found[0].append(found[1])
    return folds


def _fits(table: CellTable, units: Sequence[Unit], most: float) -> bool:
    hidden = table.mask(united([unit.hidden for unit in units]))
    return bool(hidden.sum() <= most) and all(unit.answerable(hidden) for unit in units)
