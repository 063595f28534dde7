"""Splits that hold contexts out, or perturbations in some contexts only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lingshu_core.errors import SplitError
from lingshu_core.split_by_perturbation import single_targets
from lingshu_core.split_plan import (
    Asker,
    FoldPlan,
    OwnControls,
    Plan,
    Unit,
    askable,
    asked_elsewhere,
    by_value,
    chosen_values,
    deal,
    numbered,
    plan_fold,
    refuse_empty,
    units_within,
)
from lingshu_core.split_table import CellTable, Rows, draw, listed, united


def combination(
    table: CellTable,
    ask: Asker,
    *,
    seed: int,
    factor: str,
    values: Sequence[str] | None,
    perturbations: Sequence[str] | None,
    folds: int | None,
) -> Plan:
    """Hold out blocks of a value and a perturbation, one after the other or dealt to folds."""
    where = f"split (combination, factor: {factor})"
    found, notes = _blocks(table, ask, where, factor, values, perturbations)
    units = [replace(unit, group=unit.name) for unit in found]
    names = {unit.name: 1 for unit in units}
    each = [(name, {name}) for name in names]
    taken = each if folds is None else numbered(deal(names, folds, draw(seed, "folds"), "blocks"))
    return Plan(tuple(plan_fold(name, units, groups) for name, groups in taken), notes=notes)


def donor_perturbation(
    table: CellTable,
    ask: Asker,
    *,
    seed: int,
    factor: str,
    values: Sequence[str] | None,
    perturbations: Sequence[str] | None,
    share: float,
    folds: int | None,
) -> Plan:
    """Hold out a share of the perturbations in some donors."""
    where = f"split (donor_perturbation, factor: {factor})"
    units, notes = _blocks(table, ask, where, factor, values, perturbations)
    plans = []
    for name, donors in by_value({unit.group for unit in units}, folds, seed):
        theirs = [unit for unit in units if unit.group in donors]
        labels = sorted({_label(unit) for unit in theirs})
        size = max(1, round(share * len(labels)))
        drawn = {labels[i] for i in draw(seed, "perturbations", name).permutation(len(labels))[:size]}
        spare = tuple(replace(unit, group=unit.name) for unit in units if unit.group not in donors)
        plans.append(FoldPlan(name, tuple(unit for unit in theirs if _label(unit) in drawn), spare))
    return Plan(tuple(plans), notes=notes)


def unseen_context(
    table: CellTable,
    ask: Asker,
    *,
    seed: int,
    factor: str,
    values: Sequence[str] | None,
    folds: int | None,
    own_controls: OwnControls,
) -> Plan:
    """Leave values of a factor out, with all that was perturbed there."""
    where = f"split (unseen_context, factor: {factor})"
    found: list[Unit] = []
    for value, rows in chosen_values(table, factor, values, where).items():
        found += units_within(table, value, rows, _hidden_of_context(table, rows, own_controls))
    units, notes = asked_elsewhere(table, ask, found, where, named=values is not None)
    taken = by_value({unit.group for unit in units}, folds, seed)
    return Plan(tuple(plan_fold(name, units, groups) for name, groups in taken), own_controls, notes=notes)


def double_unseen(
    table: CellTable,
    ask: Asker,
    *,
    seed: int,
    factor: str,
    values: Sequence[str] | None,
    perturbations: Sequence[str] | None,
    folds: int,
    own_controls: OwnControls,
) -> Plan:
    """Leave a value of a factor out, and a group of perturbations everywhere."""
    where = f"split (double_unseen, factor: {factor})"
    targets = tuple(table.singles) if perturbations is None else single_targets(table, perturbations)
    plans: list[FoldPlan] = []
    notes: tuple[str, ...] = ()
    for value, rows in chosen_values(table, factor, values, where).items():
        units, short = askable(ask, _singles_within(table, value, rows, targets))
        notes += short
        if units:
            hidden = _hidden_of_context(table, rows, own_controls)
            plans += _pairs(table, units, value, hidden, folds, seed)
    if not plans:
        refuse_empty(table, where, notes, named=values is not None or perturbations is not None)
    return Plan(tuple(plans), own_controls, notes=notes)


def _pairs(table: CellTable, units: Sequence[Unit], value: str, hidden: Rows, folds: int, seed: int) -> list[FoldPlan]:
    """Return the folds of one value: groups of perturbations; the other groups are spare."""
    members = {unit.group: 1 for unit in units}
    dealt = deal(members, folds, draw(seed, "folds"), f"perturbations with enough cells in {value}")
    groups = []
    for number, taken in enumerate(dealt, start=1):
        name = value if folds == 1 else f"{value}, perturbations {number} of {folds}"
        unseen = united([hidden, table.having(taken)])
        groups.append([replace(unit, group=name, hidden=unseen) for unit in units if unit.group in taken])
    return [
        FoldPlan(group[0].group, tuple(group), tuple(unit for other in groups if other is not group for unit in other))
        for group in groups
    ]


def _hidden_of_context(table: CellTable, rows: Rows, own_controls: OwnControls) -> Rows:
    """Return the cells of a context left out that stay out of the training, whatever becomes of halves."""
    return rows if own_controls != "trained" else rows[~table.is_control[rows]]


def _blocks(
    table: CellTable,
    ask: Asker,
    where: str,
    factor: str,
    values: Sequence[str] | None,
    perturbations: Sequence[str] | None,
) -> tuple[list[Unit], tuple[str, ...]]:
    """Return a unit for each combination of a value and a perturbation; its group is the value.

    Whatever shares a target is hidden in this value too: A+B would give A away.
    """
    labels = _chosen_labels(table, perturbations)
    found: list[Unit] = []
    for value, rows in chosen_values(table, factor, values, where).items():
        here = table.mask(rows)
        for label in labels:
            asked, related = table.rows_by_label[label], table.having(table.targets[label])
            asked = asked[here[asked]]
            if len(asked):
                hidden = related[here[related]]
                found.append(Unit(f"{label} in {value}", value, asked, hidden, (table.rows_by_label[label],)))
    return asked_elsewhere(table, ask, found, where, named=values is not None or perturbations is not None)


def _label(unit: Unit) -> str:
    """Return the perturbation of a block."""
    return unit.name.removesuffix(f" in {unit.group}")


def _singles_within(table: CellTable, value: str, rows: Rows, targets: Sequence[str]) -> list[Unit]:
    """Return a unit for each single perturbation of a value; its group is the target."""
    here = table.mask(rows)
    labels = [(target, label) for target in targets for label in table.singles[target]]
    asked = {label: table.rows_by_label[label][here[table.rows_by_label[label]]] for _, label in labels}
    return [
        Unit(f"{label} in {value}", target, asked[label], asked[label]) for target, label in labels if len(asked[label])
    ]


def _chosen_labels(table: CellTable, perturbations: Sequence[str] | None) -> tuple[str, ...]:
    for label in perturbations or ():
        if label not in table.rows_by_label:
            there = listed(list(table.rows_by_label))
            raise SplitError(f"split: perturbations: no cell has {label!r}; there are: {there}")
    return tuple(table.rows_by_label) if perturbations is None else tuple(sorted(perturbations))
