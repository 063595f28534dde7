"""Splits that hold perturbations out everywhere: single ones, families of genes, drugs that are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lingshu_core.errors import SplitError
from lingshu_core.relations import GENE_TYPES, Relations
from lingshu_core.split_plan import Asker, Plan, Unit, askable, deal, numbered, plan_fold, refuse_empty
from lingshu_core.split_table import CellTable, draw, listed

_NAMED = 3
"""A fold of at most so many perturbations has their names."""


def unseen_perturbation(
    table: CellTable, ask: Asker, *, seed: int, folds: int, perturbations: Sequence[str] | None
) -> Plan:
    """Hold out targets, alone and in every combination."""
    if perturbations is None:
        targets = {target: target for target in table.singles}
        return _dealt(table, ask, targets, "unseen_perturbation", seed=seed, folds=folds)
    chosen = single_targets(table, perturbations)
    units, notes = askable(ask, _group_units(table, {target: target for target in table.singles}))
    name = ", ".join(chosen) if len(chosen) <= _NAMED else f"{len(chosen)} perturbations"
    plan = plan_fold(name, units, set(chosen))
    if not plan.units:
        refuse_empty(table, "split (unseen_perturbation)", notes, named=True)
    return Plan((plan,), notes=notes)


def gene_family(table: CellTable, ask: Asker, relations: Relations, *, seed: int, folds: int) -> Plan:
    """Hold out families of genes; what is no gene stays."""
    kinds = {target: table.types[labels[0]] for target, labels in table.singles.items()}
    genes = [target for target in table.all_targets if kinds.get(target, "genetic") in GENE_TYPES]
    return _dealt(table, ask, relations.gene_families(genes), "gene_family", seed=seed, folds=folds)


def scaffold(table: CellTable, ask: Asker, relations: Relations, *, seed: int, folds: int) -> Plan:
    """Hold out drugs by their Murcko scaffolds."""
    groups = relations.scaffolds(table.all_targets)
    return _of_drugs(table, ask, relations, groups, "scaffold", seed=seed, folds=folds)


def tanimoto(table: CellTable, ask: Asker, relations: Relations, *, seed: int, folds: int, threshold: float) -> Plan:
    """Hold out clusters of drugs that are alike."""
    groups = relations.clusters(table.all_targets, threshold)
    return _of_drugs(table, ask, relations, groups, "tanimoto", seed=seed, folds=folds)


def single_targets(table: CellTable, names: Sequence[str]) -> tuple[str, ...]:
    """Return the targets of perturbations that are listed by target or by label.

    Raises
    ------
    SplitError
        If one is not in the data, or only in combinations.
    """
    target_of_label = {label: target for target, labels in table.singles.items() for label in labels}
    for name in names:
        if name not in target_of_label and name not in table.singles:
            only = "only in combinations (for these there is `kind: parts`)"
            why = only if name in table.all_targets or name in table.rows_by_label else "not in the data"
            raise SplitError(f"split: perturbations: {name!r} is {why}; there are: {listed(list(target_of_label))}")
    return tuple(dict.fromkeys(name if name in table.singles else target_of_label[name] for name in names))


def _dealt(table: CellTable, ask: Asker, groups: Mapping[str, str], kind: str, *, seed: int, folds: int) -> Plan:
    """Deal groups of targets to folds, weighed by what they ask."""
    units, notes = askable(ask, _group_units(table, groups))
    if not units:
        refuse_empty(table, f"split ({kind})", notes)
    sizes: dict[str, int] = {}
    for unit in units:
        sizes[unit.group] = sizes.get(unit.group, 0) + 1
    things = {"gene_family": "families", "scaffold": "scaffolds", "tanimoto": "clusters"}.get(kind, "perturbations")
    dealt = numbered(deal(sizes, folds, draw(seed, "folds"), things))
    return Plan(tuple(plan_fold(name, units, taken) for name, taken in dealt), notes=notes)


def _of_drugs(
    table: CellTable, ask: Asker, relations: Relations, groups: Mapping[str, str], kind: str, *, seed: int, folds: int
) -> Plan:
    if not groups:
        raise SplitError(
            f"{relations.file}: has the structure of none of the perturbations ({listed(list(table.singles), 5)}); use "
            "the same names in the table and in the data"
        )
    plan = _dealt(table, ask, groups, kind, seed=seed, folds=folds)
    unknown = [target for target, labels in table.singles.items() if target not in groups and _is_drug(table, labels)]
    note = f"drugs without a structure in {relations.file}, which are never held out: {listed(unknown)}"
    return replace(plan, notes=plan.notes + ((note,) if unknown else ()))


def _is_drug(table: CellTable, labels: Sequence[str]) -> bool:
    return any(table.types[label] == "drug" for label in labels)


def _group_units(table: CellTable, groups: Mapping[str, str]) -> list[Unit]:
    """Return a unit for each label of one target; all targets of its group are hidden with it."""
    members: dict[str, set[str]] = {}
    for target, group in groups.items():
        members.setdefault(group, set()).add(target)
    return [
        Unit(label, groups[target], table.rows_by_label[label], table.having(members[groups[target]]))
        for target, labels in table.singles.items()
        if target in groups
        for label in labels
    ]
