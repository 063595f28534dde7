"""From a plan of what is held out to folds of cells: questions, control halves, calibration.

Everything that is drawn depends on the seed and on the names of cells, conditions and folds, never on the order of
rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lingshu_core.errors import SplitError
from lingshu_core.relations import Relations
from lingshu_core.split_by_column import batch, guide, replicate
from lingshu_core.split_by_context import combination, donor_perturbation, double_unseen, unseen_context
from lingshu_core.split_by_parts import parts
from lingshu_core.split_by_perturbation import gene_family, scaffold, tanimoto, unseen_perturbation
from lingshu_core.split_plan import FoldPlan, OwnControls, Plan, Unit
from lingshu_core.split_table import CellTable, Mask, Rows, draw, listed, united
from lingshu_core.splits import Fold, Question, Split
from lingshu_core.vocabulary import split_label

_KINDS = {
    function.__name__: function
    for function in (unseen_perturbation, combination, unseen_context, double_unseen, donor_perturbation, parts)
} | {function.__name__: function for function in (batch, replicate, guide)}
_RELATED_KINDS = {function.__name__: function for function in (scaffold, tanimoto, gene_family)}
KINDS = (*_KINDS, *_RELATED_KINDS)


@dataclass(frozen=True)
class SplitRules:
    """What every split has, as in ``campaigns.split_spec``."""

    seed: int = 0
    minimum_cells: int = 60
    controls: Literal["halved", "shared"] = "halved"
    calibration: float = 0.0
    pool: tuple[str, ...] = ()


def build_split(
    table: CellTable,
    kind: str,
    rules: SplitRules,
    options: Mapping[str, Any],
    relations: Relations | None = None,
    *,
    name: str = "",
    counts: str = "",
    recorded: Mapping[str, Any] | None = None,
) -> Split:
    """Build a split.

    Parameters
    ----------
    table
        Names and labels of the cells.
    kind
        One of `KINDS`.
    rules
        What all kinds have.
    options
        What this kind has: ``factor``, ``values``, ``folds`` and so on.
    relations
        What counts as related, for kinds that hold related things out together.
    name
        Of the split; by default its kind.
    counts
        Digest of the counts, see ``splits.counts_digest``.
    recorded
        What else is to be written down with the options, such as where the relations come from.

    Raises
    ------
    SplitError
        If nothing can be asked, or a fold would leave nothing to learn from.
    """
    conditions = _conditions_of(table, kind, rules, options)
    given = {"seed": rules.seed, **options}
    if kind in _RELATED_KINDS:
        plan: Plan = _RELATED_KINDS[kind](table, conditions, relations or Relations(), **given)
    else:
        plan = _KINDS[kind](table, conditions, **given)
    builder = _Builder(table, conditions, rules, plan.own_controls, _halves(table, kind, options, rules))
    folds = tuple(builder.fold(fold) for fold in plan.folds)
    used = [options[key] for key in ("factor", "column") if key in options]
    split = Split(
        name=name or kind,
        kind=kind,
        seed=rules.seed,
        folds=folds,
        options={key: _plain(value) for key, value in {**vars(rules), **options, **(recorded or {})}.items()},
        notes=(*plan.notes, *builder.notes),
        columns=tuple(dict.fromkeys([*table.context_roles, *used])),
        counts=counts,
    )
    return split.with_digest(table)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class AskedCells:
    """The cells of one condition of a unit: number of the context, dose, perturbed cells and possible controls."""

    context: int
    dose: float | None
    perturbed: Rows
    controls: Rows


class Conditions:
    """Divides units into conditions, and knows which of them have enough cells."""

    def __init__(self, table: CellTable, roles: Sequence[str], minimum: int) -> None:
        self._table = table
        self._minimum = minimum
        self._numbers, self.contexts = table.contexts(roles)
        self._controls = _by_number(self._numbers, np.flatnonzero(table.is_control))

    def shortage(self, unit: Unit) -> str:
        """Say why no condition of a unit can be asked; empty where one can."""
        found = self._all(unit)
        if any(self._enough(one) for one in found):
            return ""
        best = max(found, key=lambda one: min(len(one.perturbed), len(one.controls)))
        return f"{len(best.perturbed)} perturbed and {len(best.controls)} control cells of {self._minimum}"

    def of(self, unit: Unit) -> list[AskedCells]:
        """Return the conditions of a unit that have enough cells."""
        return [one for one in self._all(unit) if self._enough(one)]

    def _enough(self, one: AskedCells) -> bool:
        return min(len(one.perturbed), len(one.controls)) >= self._minimum

    def _all(self, unit: Unit) -> list[AskedCells]:
        found = []
        for context, rows in sorted(_by_number(self._numbers, unit.asked).items()):
            controls = self._controls.get(context, np.empty(0, dtype=np.int64))
            if unit.reference is not None:
                controls = np.intersect1d(controls, unit.reference, assume_unique=True)
            doses = self._table.doses[rows]
            if np.isnan(doses).any():
                found.append(AskedCells(context, None, rows[np.isnan(doses)], controls))
            for dose in np.unique(doses[~np.isnan(doses)]):
                found.append(AskedCells(context, float(dose), rows[doses == dose], controls))
        return found


def _by_number(numbers: Rows, rows: Rows) -> dict[int, Rows]:
    """Group cells by the number of their context."""
    if not len(rows):
        return {}
    order = rows[np.argsort(numbers[rows], kind="stable")]
    found, starts = np.unique(numbers[order], return_index=True)
    return {int(number): part for number, part in zip(found, np.split(order, starts[1:]), strict=True)}


def _conditions_of(table: CellTable, kind: str, rules: SplitRules, options: Mapping[str, Any]) -> Conditions:
    for role in rules.pool:
        if role not in table.context_roles:
            raise SplitError(
                f"split: pool: {role!r} is no factor of the context; factors are: {listed(table.context_roles)}"
            )
        if role == options.get("factor"):
            raise SplitError(f"split: pool: {role!r} is the factor that is held out, so questions have to name it")
    # A batch that was never seen has no name that a model knows.
    open_roles = {*rules.pool, *([options["column"]] if kind == "batch" else [])}
    return Conditions(table, [role for role in table.context_roles if role not in open_roles], rules.minimum_cells)


def _halves(table: CellTable, kind: str, options: Mapping[str, Any], rules: SplitRules) -> Mask:
    """Return the half of the controls that effects may be measured by, (cells,).

    Every second control is taken, in the order of contexts and, within one, in an order that is drawn: each context,
    and each replicate where that is what is held out, is halved to a cell.
    """
    column = options.get("column")
    roles = [*table.context_roles, *([column] if column is not None and kind in ("batch", "replicate") else [])]
    numbers, _ = table.contexts(list(dict.fromkeys(roles)))
    controls = table.by_name[table.is_control[table.by_name]]
    shuffled = controls[draw(rules.seed, "controls").permutation(len(controls))]
    ordered = shuffled[np.argsort(numbers[shuffled], kind="stable")]
    return table.mask(ordered[::2])


def _told_apart(calibration: Sequence[Question], questions: Sequence[Question]) -> tuple[Question, ...]:
    """Name a condition that is asked with other cells, of other guides or replicates, for calibration as well."""
    taken = {question.label for question in questions}
    return tuple(
        replace(question, label=f"{question.label} (calibration)") if question.label in taken else question
        for question in calibration
    )


class _Builder:
    """Builds the folds of one split."""

    def __init__(
        self, table: CellTable, conditions: Conditions, rules: SplitRules, own_controls: OwnControls, half: Mask
    ) -> None:
        self._table, self._conditions, self._rules = table, conditions, rules
        self._own_controls, self._half = own_controls, half
        self._shared: dict[bytes, Mask] = {}
        self.notes: list[str] = []

    def fold(self, plan: FoldPlan) -> Fold:
        """Build one fold.

        Raises
        ------
        SplitError
            If nothing is asked, or nothing is left to learn from.
        """
        hidden = self._table.mask(united([unit.hidden for unit in plan.units]))
        asked = [unit for unit in plan.units if unit.answerable(hidden)]
        if len(asked) < len(plan.units):
            gone = sorted({unit.name for unit in plan.units}.difference(unit.name for unit in asked))
            self.notes.append(
                f"in the fold {plan.name!r}: not asked, because nothing like it is left to learn from: {listed(gone)}"
            )
        calibrated, hidden = self._calibration(plan, asked, hidden)
        questions = self._questions(asked)
        calibration = _told_apart(self._questions(calibrated), questions)
        train = ~hidden
        if self._rules.controls == "halved":
            for question in (*questions, *calibration):
                train &= ~question.controls
        fold = Fold(plan.name, train, questions, calibration, self._adaptation(hidden, (*questions, *calibration)))
        self._check(fold)
        return fold

    def _calibration(self, plan: FoldPlan, asked: Sequence[Unit], hidden: Mask) -> tuple[list[Unit], Mask]:
        """Hold a share of the spare groups out too, as long as all questions stay what they are."""
        if not self._rules.calibration:
            return [], hidden
        groups: dict[str, list[Unit]] = {}
        for unit in plan.spare:
            groups.setdefault(unit.group, []).append(unit)
        names = sorted(groups)
        wanted = max(1, round(self._rules.calibration * len(names)))
        taken: list[Unit] = []
        held = 0
        for index in draw(self._rules.seed, "calibration", plan.name).permutation(len(names)):
            group = groups[names[index]]
            more = hidden | self._table.mask(united([unit.hidden for unit in group]))
            if held < wanted and self._learnable([*asked, *taken, *group], more):
                taken, hidden, held = [*taken, *group], more, held + 1
        if held < wanted:
            self._short_of_calibration(plan.name, held, wanted)
        return taken, hidden

    def _learnable(self, units: Sequence[Unit], hidden: Mask) -> bool:
        return bool((~hidden & ~self._table.is_control).any()) and all(unit.answerable(hidden) for unit in units)

    def _short_of_calibration(self, fold: str, held: int, wanted: int) -> None:
        if not held:
            raise SplitError(
                f"split: in the fold {fold!r}: nothing more can be held out for calibration: the rest is needed to"
                " learn from; set calibration to 0, or lower minimum_cells so that more can be asked"
            )
        self.notes.append(
            f"in the fold {fold!r}: {held} of {wanted} parts are held out for calibration; the rest is needed"
        )

    def _questions(self, units: Sequence[Unit]) -> tuple[Question, ...]:
        """Return what is asked, sorted by label; cells of two units that are one condition are asked together."""
        found: dict[tuple[str, int, float | None], list[AskedCells]] = {}
        for unit in units:
            label = str(self._table.labels[unit.asked[0]])
            for one in self._conditions.of(unit):
                found.setdefault((label, one.context, one.dose), []).append(one)
        questions = [self._question(label, cells) for (label, _, _), cells in found.items()]
        return tuple(sorted(questions, key=lambda question: question.label))

    def _question(self, label: str, cells: Sequence[AskedCells]) -> Question:
        first = cells[0]
        context = self._conditions.contexts[first.context]
        controls = self._controls(united([one.controls for one in cells]), label)
        where = f" in {', '.join(context.values())}" if context else ""
        dose = "" if first.dose is None else f" at {first.dose:g}"
        return Question(
            label=f"{label}{dose}{where}",
            perturbation=label,
            context=dict(context),
            parts=tuple((part, first.dose) for part in split_label(label)),
            perturbed=self._table.mask(united([one.perturbed for one in cells])),
            controls=controls,
        )

    def _controls(self, rows: Rows, label: str) -> Mask:
        """Return the controls that effects are measured against; questions with the same ones share the mask."""
        key = rows.tobytes()
        if key not in self._shared:
            controls = self._table.mask(rows)
            measured = controls & self._half
            if self._rules.controls == "shared" or self._own_controls == "none":
                measured = controls
            elif not measured.any() or measured.sum() == controls.sum():
                raise SplitError(
                    f"split: {label}: {int(controls.sum())} control cells are too few to be halved; raise"
                    " minimum_cells, or set controls: shared"
                )
            self._shared[key] = measured
        return self._shared[key]

    def _adaptation(self, hidden: Mask, questions: Sequence[Question]) -> Mask | None:
        """Return the controls of unseen contexts that models may be adapted to."""
        if self._own_controls != "adapted":
            return None
        found = hidden & self._table.is_control
        if self._rules.controls == "halved":
            for question in questions:
                found &= ~question.controls
        return found

    def _check(self, fold: Fold) -> None:
        """Refuse a fold that asks nothing, or leaves nothing to learn from."""
        controls = self._table.is_control
        if not fold.questions:
            raise SplitError(
                f"split: in the fold {fold.name!r}: no question is left whose perturbation is also learnt from; take"
                " more folds, or fewer values"
            )
        for what, cells in (("control", controls), ("perturbed", ~controls)):
            if not (fold.train & cells).any():
                raise SplitError(
                    f"split: in the fold {fold.name!r}: no {what} cells are left to learn from; hold less out (more"
                    " folds, or fewer values), or take another kind of split"
                )
