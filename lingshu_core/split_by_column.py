"""Splits that hold values of a column out: batches, replicates, guides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lingshu_core.errors import SplitError
from lingshu_core.split_plan import (
    Asker,
    FoldPlan,
    Plan,
    Unit,
    askable,
    asked_elsewhere,
    by_value,
    chosen_values,
    plan_fold,
    refuse_empty,
    units_within,
)
from lingshu_core.split_table import CellTable, draw, listed

_BLANK = ("", "nan", "None", "<NA>")


def batch(
    table: CellTable, ask: Asker, *, seed: int, column: str, values: Sequence[str] | None, folds: int | None
) -> Plan:
    """Leave values of a column out, controls and all."""
    plans, notes = _by_column(table, ask, "batch", column, values, folds, seed)
    return Plan(plans, "none", notes)


def replicate(
    table: CellTable, ask: Asker, *, seed: int, column: str, values: Sequence[str] | None, folds: int | None
) -> Plan:
    """Leave the perturbed cells of values of a column out; their controls are seen."""
    plans, notes = _by_column(table, ask, "replicate", column, values, folds, seed)
    return Plan(plans, notes=notes)


def guide(table: CellTable, ask: Asker, *, seed: int, column: str, folds: int) -> Plan:
    """Hold out some of the guides of every target that has several."""
    where = f"split (guide, column: {column})"
    guides = table.column(column, where)
    found: list[Unit] = []
    for label in table.rows_by_label:
        found += _guide_units(table, label, guides, folds, seed, where)
    units, notes = askable(ask, found)
    alone = sorted(set(table.rows_by_label).difference(table.labels[unit.asked[0]] for unit in found))
    if alone:
        notes += (f"not asked, because they have one guide only: {listed(alone)}",)
    if not units:
        refuse_empty(table, where, notes)
    names = sorted({unit.group for unit in units})
    return Plan(tuple(_guide_fold(name, units) for name in names), notes=notes)


def _guide_fold(name: str, units: Sequence[Unit]) -> FoldPlan:
    """Return a fold; the guides of the other folds are spare, target by target."""
    spare = tuple(replace(unit, group=unit.name) for unit in units if unit.group != name)
    return FoldPlan(name, tuple(unit for unit in units if unit.group == name), spare)


def _guide_units(
    table: CellTable, label: str, guides: npt.NDArray[np.object_], folds: int, seed: int, where: str
) -> list[Unit]:
    """Deal the guides of a target to folds; none where it has one only."""
    rows = table.rows_by_label[label]
    mine = guides[rows].astype(str)
    names = sorted(set(mine))
    blank = np.isin(mine, _BLANK)
    if blank.any():
        raise SplitError(f"{where}: {int(blank.sum())} cells with {label!r} have no guide; fill it in, or drop them")
    if len(names) < 2:
        return []
    order = draw(seed, "guides", label).permutation(len(names))
    units = []
    for fold in range(min(folds, len(names))):
        taken = sorted(names[i] for i in order[fold::folds])
        asked = rows[np.isin(mine, taken)]
        units.append(Unit(f"{label} by {listed(taken, 4)}", f"fold {fold + 1}", asked, asked, requires=(rows,)))
    return units


def _by_column(
    table: CellTable,
    ask: Asker,
    kind: str,
    column: str,
    values: Sequence[str] | None,
    folds: int | None,
    seed: int,
) -> tuple[tuple[FoldPlan, ...], tuple[str, ...]]:
    """Hold values of a column out, measured against the controls that have them; of a batch these are hidden too."""
    where = f"split ({kind}, column: {column})"
    found: list[Unit] = []
    for value, rows in chosen_values(table, column, values, where).items():
        hidden = rows if kind == "batch" else rows[~table.is_control[rows]]
        found += [replace(unit, reference=rows) for unit in units_within(table, value, rows, hidden)]
    units, notes = asked_elsewhere(table, ask, found, where, named=values is not None)
    taken = by_value({unit.group for unit in units}, folds, seed)
    return tuple(plan_fold(name, units, groups) for name, groups in taken), notes
