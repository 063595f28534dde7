"""From what a file of cells holds to the decisions of a first campaign: columns, contexts, a null, a question.

Whatever is decided here is only a beginning, and every decision that could have been another leaves a note. What is
certain to be refused by a training is refused at once, in the words of the reader of cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from campaigns.data_spec import ColumnsSpec, DataSpec, is_reserved
from campaigns.grid import MIN_CONTROL_CELLS
from campaigns.nearest import hint
from lingshu_core.cells import Cells, CellSource, checked_obs, read_cells
from lingshu_core.confounding import find_confounding
from lingshu_core.differences import group_difference
from lingshu_core.errors import DataError, UnusableCells
from lingshu_core.pseudo_perturbations import draw_pseudo_perturbations
from screening.confounders import MOST_VALUES
from screening.drafting.cell_file_survey import CellFileSurvey
from screening.drafting.column_roles import (
    ColumnChoice,
    PerturbationChoice,
    control_labels,
    find_method,
    find_perturbation,
    find_role,
    find_types,
    plain,
)
from screening.drafting.screened_contexts import ScreenedContexts, choose_screened
from screening.errors import DraftError

NONE = "none"
"""Written for a column: there is none of this role."""
MOST_VALUES_READ = 50_000_000
"""Larger matrices aren't read as a whole."""
GROUPS = 20
"""Pseudo-perturbations that q-values need."""
LEAST_GENES = 5
"""Genes that have to differ between two groups of cells before their difference is proposed as a question."""
TRIED = 6
_FREE = ("cell_type", "donor", "batch", "guide")


@dataclass(frozen=True)
class Wishes:
    """What the user has said; None and empty for what is to be found."""

    perturbation: str | None = None
    control: str | None = None
    columns: Mapping[str, str] | None = None
    """Role → column, `NONE` for no column: cell_type, donor, dose, guide, batch."""
    context: tuple[str, ...] = ()
    layer: str | None = None
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What the screen asks at first: like the cells of `mimic`, or these genes."""

    mimic: str | None = None
    within: Mapping[str, str] = field(default_factory=dict)
    """Factor → value of the cells that are compared; empty for all."""
    genes: int = 0
    """How many genes tell the cells of `mimic` from controls; 0 where that wasn't measured."""
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()


@dataclass(frozen=True)
class CampaignDraft:
    """The decisions.

    Parameters
    ----------
    survey
        What the file holds.
    columns, why
        Role → column, and role → what speaks for it.
    context
        Roles that make up a context.
    control
        Label of the control cells.
    obs
        A column a role, checked, as a training would read it.
    null
        The ``pseudo_perturbations`` block; empty for none.
    question
        Of the screen.
    screened
        The contexts that the screen goes through.
    notes
        Role or part of the file → what was unsure, and the alternatives.
    """

    survey: CellFileSurvey
    columns: Mapping[str, str]
    why: Mapping[str, str]
    context: tuple[str, ...]
    control: str
    obs: pd.DataFrame
    null: Mapping[str, object]
    question: Question
    screened: ScreenedContexts
    notes: Mapping[str, tuple[str, ...]]

    @property
    def types(self) -> dict[str, int]:
        """Type → number of perturbations, the most frequent first."""
        perturbed = self.obs[self.obs["perturbation"] != self.control]
        return dict(perturbed.groupby("perturbation_type")["perturbation"].nunique().sort_values(ascending=False))

    @property
    def contexts(self) -> pd.DataFrame:
        """Cells and control cells of every context, the largest first; columns `cells` and `controls`."""
        named = self.obs.assign(controls=self.obs["perturbation"] == self.control)
        if not self.context:
            return pd.DataFrame(
                {"cells": [len(named)], "controls": [int(named["controls"].sum())]}, index=["all cells"]
            )
        keys = named[list(self.context)].agg(", ".join, axis=1)
        table = named.groupby(keys)["controls"].agg(["size", "sum"]).set_axis(["cells", "controls"], axis=1)
        return table.sort_values(["cells", "controls"], ascending=False)


class _Notes:
    """What is noted on the way, by the part of the file that it belongs to."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}

    def add(self, part: str, text: str) -> None:
        self.lines.setdefault(part, []).append(text)

    def frozen(self) -> dict[str, tuple[str, ...]]:
        return {part: tuple(lines) for part, lines in self.lines.items()}


def draft(found: CellFileSurvey, wishes: Wishes) -> CampaignDraft:
    """Decide how a first campaign on these cells looks.

    Raises
    ------
    DraftError
        If it can't be told what was done to the cells, or the user named what isn't there.
    DataError
        If a training would refuse the cells.
    """
    notes = _Notes()
    if found.counts.others:
        notes.add("layer", f"counts are in {', '.join(found.counts.others)} too")
    for reason in found.counts.refused:
        notes.add("layer", f"not taken: {reason}")
    chosen = _perturbation(found, wishes, notes)
    choices = {"perturbation": chosen.chosen} | _roles(found, chosen, wishes, notes)
    source = CellSource(
        found.path,
        {role: each.column for role, each in choices.items()},
        (),
        chosen.control,
        found.counts.layer,
    )
    source = _without_unusable(found, source, wishes, notes)
    obs = checked_obs(found.obs, source, experiment=True)
    source = _without_told_batch(source, obs, wishes, notes)
    source = replace(source, context=_context(found, source, obs, wishes, notes))
    obs = checked_obs(found.obs, source, experiment=True)
    cells = _read(found, source)
    null = _null(obs, source, cells, notes)
    kept = _kept(source, null)
    screened = choose_screened(obs, source.context_roles, source.control, null)
    if screened.why:
        notes.add("contexts", f"{screened.decided(source.context_roles)}: {screened.why}")
    return CampaignDraft(
        found,
        kept,
        {role: choices[role].why for role in kept if role in choices},
        source.context_roles,
        chosen.control,
        obs,
        null,
        _question(found, obs, source, cells, wishes, notes),
        screened,
        notes.frozen(),
    )


def _perturbation(found: CellFileSurvey, wishes: Wishes, notes: _Notes) -> PerturbationChoice:
    choice = _named_perturbation(found, wishes) if wishes.perturbation else find_perturbation(found.obs)
    if choice is None:
        raise DraftError(_nothing_was_done(found))
    column, labels = choice.chosen.column, found.obs[choice.chosen.column].astype(str)
    if wishes.control is not None:
        if not (labels == wishes.control).any():
            known = hint(wishes.control, labels.unique())
            raise DraftError(f"{found.path}: no cell has {column!r} {wishes.control!r} (--control); {known}")
        choice = replace(choice, control=wishes.control, other_controls=())
    if labels.nunique() == 1:
        raise DraftError(f"{found.path}: every cell has {column!r} {labels.iloc[0]!r}: {_ATLAS}")
    if choice.other_controls:
        notes.add("control", f"these look like controls too, and count as perturbed: {_some(choice.other_controls)}")
    if choice.chosen.others:
        notes.add("perturbation", f"could be it too (--perturbation): {_some(choice.chosen.others)}")
    return choice


_ATLAS = (
    "an atlas, with nothing to screen; a model of it generates and embeds: write a `kind: train` file with"
    " data.columns.perturbation: null (docs/your-data.md)"
)


def _nothing_was_done(found: CellFileSurvey) -> str:
    labels = {name: values for name, values in found.obs.items() if 1 <= values.nunique() <= MOST_VALUES}
    single = [name for name, values in labels.items() if values.nunique() == 1 and control_labels(values)]
    if single:
        return f"{found.path}: every cell has {single[0]!r} {str(labels[single[0]].iloc[0])!r}: {_ATLAS}"
    told = "; ".join(f"{name} ({_some(map(str, values.unique()))})" for name, values in list(labels.items())[:12])
    return (
        f"{found.path}: no column of obs holds perturbations beside a label that looks like a control; name them with"
        f" --perturbation COLUMN --control LABEL. Columns: {told or _some(map(str, found.obs))}"
    )


def _named_perturbation(found: CellFileSurvey, wishes: Wishes) -> PerturbationChoice:
    column = _existing(found, str(wishes.perturbation), "--perturbation")
    labels = control_labels(found.obs[column])
    if not labels and wishes.control is None:
        values = _some(map(str, found.obs[column].value_counts().index), 12)
        raise DraftError(f"{found.path}: no label of {column!r} looks like a control; name it with --control: {values}")
    first, *others = labels or ("",)
    return PerturbationChoice(ColumnChoice("perturbation", column, "as you said"), first, tuple(others))


def _existing(found: CellFileSurvey, column: str, option: str) -> str:
    if column not in found.obs:
        raise DraftError(f"{found.path}: obs has no column {column!r} ({option}); {hint(column, map(str, found.obs))}")
    return column


def _roles(found: CellFileSurvey, chosen: PerturbationChoice, wishes: Wishes, notes: _Notes) -> dict[str, ColumnChoice]:
    """Choose the columns of all further roles."""
    obs, taken = found.obs, [chosen.chosen.column]
    perturbed = obs[taken[0]].astype(str) != chosen.control
    choices: dict[str, ColumnChoice] = {}
    named = dict(wishes.columns or {})
    for role in ("cell_type", "donor", "dose", "guide", "batch", "perturbation_type", "method", "depth"):
        wish = named.get(role)
        if wish == NONE and NONE not in obs:
            continue
        if wish is not None:
            option = f"--{role.replace('_', '-')}"
            choice: ColumnChoice | None = ColumnChoice(role, _existing(found, wish, option), "as you said")
        elif role == "perturbation_type":
            choice = find_types(obs, perturbed, taken)
        elif role == "method":
            choice = find_method(obs, perturbed, taken)
        else:
            choice = find_role(obs, role, taken)
        if choice is not None and (role != "depth" or _is_total(found, choice.column)):
            choices[role] = choice
            taken.append(choice.column)
            if choice.others:
                notes.add(role, f"could be it too: {_some(choice.others)}")
    for column in wishes.context:
        if column not in choices and column not in [each.column for each in choices.values()]:
            role = _role_name(column)
            choices[role] = ColumnChoice(role, _existing(found, column, "--context"), "as you said")
    return choices


def _role_name(column: str) -> str:
    known = plain(column) in {plain(name) for name in (*ColumnsSpec.model_fields, *_FREE)}
    return f"{column.replace('/', '_')}_group" if is_reserved(column) or known else column


def _is_total(found: CellFileSurvey, column: str) -> bool:
    """Tell whether a column is the total of a cell over more genes than the file has."""
    totals = found.obs[column].to_numpy(dtype=float)
    read = found.totals.to_numpy(dtype=float)
    there = totals[found.totals.index]
    return bool((there >= read).all() and (there > 1.02 * read).mean() > 0.5)


def _without_unusable(found: CellFileSurvey, source: CellSource, wishes: Wishes, notes: _Notes) -> CellSource:
    """Leave out optional columns that a training would refuse; one that the user named is refused here."""
    named = set(wishes.columns or {})
    columns = {"perturbation": source.columns["perturbation"]}
    checked_obs(found.obs, replace(source, columns=columns), experiment=True)
    for role in [role for role in source.columns if role != "perturbation"]:
        trial = replace(source, columns={**columns, role: source.columns[role]})
        try:
            checked_obs(found.obs, trial, experiment=True)
        except DataError as error:
            if role in named:
                raise
            said = str(error).removeprefix(f"{found.path}: ")
            notes.add("columns", f"{source.columns[role]!r} is not taken as {role}: {said}")
        else:
            columns = dict(trial.columns)
    return replace(source, columns=columns)


def _without_told_batch(source: CellSource, obs: pd.DataFrame, wishes: Wishes, notes: _Notes) -> CellSource:
    """Leave out a batch that is the perturbation under another name, so that nobody makes it a part of the context."""
    if (
        "batch" not in source.columns
        or "batch" in (wishes.columns or {})
        or not _gives_away(obs, "batch", source.control)
    ):
        return source
    column = source.columns["batch"]
    notes.add("columns", f"{column!r} is not taken as batch: no value of it has both controls and perturbed cells")
    return replace(source, columns={role: name for role, name in source.columns.items() if role != "batch"})


def _gives_away(obs: pd.DataFrame, role: str, control: str) -> bool:
    controls = obs["perturbation"] == control
    return not set(obs.loc[controls, role]) & set(obs.loc[~controls, role])


def _context(
    found: CellFileSurvey, source: CellSource, obs: pd.DataFrame, wishes: Wishes, notes: _Notes
) -> tuple[str, ...]:
    """Choose the factors of a context: cell type and donor, where cells can be compared within them."""
    if wishes.context:
        by_column = {column: role for role, column in source.columns.items()}
        return tuple(dict.fromkeys(by_column.get(each, each) for each in wishes.context))
    kept: list[str] = []
    for role in ("cell_type", "donor"):
        if role in source.columns:
            reason = _obstacle(role, found, source, obs, kept)
            if reason:
                notes.add("context", f"{role} is left out: {reason}")
            else:
                kept.append(role)
    for role in kept:
        for finding in find_confounding(obs[["perturbation", role]], control=source.control, factors=[role]):
            if finding.harmful:
                notes.add("context", f"look at {role}: {finding.text}")
    return tuple(kept)


def _obstacle(role: str, found: CellFileSurvey, source: CellSource, obs: pd.DataFrame, kept: Sequence[str]) -> str:
    """Say why a column can't or needn't be a part of the context; empty if it can."""
    try:
        checked_obs(found.obs, replace(source, context=(role,)), experiment=True)
    except UnusableCells as error:
        return str(error).removeprefix(f"{found.path}: ")
    values = obs[role]
    if _gives_away(obs, role, source.control):
        return "no value of it has both controls and perturbed cells, so it gives the perturbation away"
    if role == "donor" and values.nunique() == 1:
        return f"all cells are of {values.iloc[0]!r}"
    for other in kept:
        if (
            not (values.groupby(obs[other]).nunique() > 1).any()
            and not (obs[other].groupby(values).nunique() > 1).any()
        ):
            return f"it says the same as {other}"
    if role == "donor":
        groups = obs.groupby([*kept, role])["perturbation"]
        enough = groups.transform(lambda labels: (labels == source.control).sum() >= MIN_CONTROL_CELLS)
        share = float(enough.mean())
        if share < 0.5:
            return (
                f"with it, {1 - share:.0%} of the cells would be in contexts with fewer than {MIN_CONTROL_CELLS}"
                " control cells, which can't be screened"
            )
    return ""


def _read(found: CellFileSurvey, source: CellSource) -> Cells | None:
    """Read all cells, as a training would, where they aren't too many."""
    return read_cells(source) if found.counts.stored_values <= MOST_VALUES_READ else None


def _null(obs: pd.DataFrame, source: CellSource, cells: Cells | None, notes: _Notes) -> dict[str, object]:
    """Choose groups of control cells for a measured null: by guide where there are enough, else at random."""
    controls = obs[obs["perturbation"] == source.control]
    for roles in (["guide"], ["guide", "batch"]):
        if set(roles) <= set(source.columns):
            # Half of a group's cells are taught under its label, and ten are wanted at least.
            groups = controls.groupby([*source.context_roles, *roles]).size()
            large = groups[groups >= 20].reset_index()[roles].drop_duplicates()
            if len(large) >= GROUPS:
                return {"by": roles}
    if cells is None:
        enough = len(controls) >= 10 * GROUPS
    else:
        try:
            drawn = draw_pseudo_perturbations(cells, GROUPS, 0)
            for notice in drawn.notices[1:]:  # the first says how many cells there are
                notes.add("null", notice)
            enough = True
        except UnusableCells:  # too few controls, which is the question
            enough = False
    if enough:
        return {"groups": GROUPS}
    notes.add(
        "null",
        f"{len(controls):,} control cells are too few for {GROUPS} groups of them, so hits will have no q-values",
    )
    return {}


def _kept(source: CellSource, null: Mapping[str, object]) -> dict[str, str]:
    """Return the columns that are named: freely named ones only where something uses them."""
    by = null.get("by")
    used = {*source.context_roles, *(by if isinstance(by, list) else ()), *ColumnsSpec.model_fields}
    return {role: column for role, column in source.columns.items() if role in used}


def _question(
    found: CellFileSurvey, obs: pd.DataFrame, source: CellSource, cells: Cells | None, wishes: Wishes, notes: _Notes
) -> Question:
    """Choose what to ask: the genes that the user named, or for effects like those of the clearest perturbation."""
    if wishes.up or wishes.down:
        known = set(found.genes)
        for gene in (*wishes.up, *wishes.down):
            if gene not in known:
                raise DraftError(f"{found.path}: there is no gene {gene!r}; {hint(gene, found.genes)}")
        return Question(up=wishes.up, down=wishes.down)
    within = source.context_roles[:1]
    perturbed = obs[obs["perturbation"] != source.control]
    sizes = perturbed.groupby(["perturbation", *within]).size().sort_values(ascending=False, kind="stable")
    # Each perturbation where it has the most cells: elsewhere the cells differ in more than what was done to them.
    groups = pd.DataFrame(sizes.index.to_list(), columns=["perturbation", *within]).drop_duplicates("perturbation")
    questions = [
        Question(mimic=str(row["perturbation"]), within={role: str(row[role]) for role in within})
        for row in groups.head(TRIED).to_dict("records")
    ]
    if cells is None:
        return questions[0]
    measured = [replace(each, genes=_differing(cells, each)) for each in questions]
    best = max(measured, key=lambda each: each.genes)
    if best.genes >= LEAST_GENES:
        return best
    totals = np.asarray(cells.counts.sum(axis=0)).ravel()
    notes.add("objective", "no large perturbation differs clearly from controls, so there is no effect to look for")
    return Question(up=(cells.genes[int(totals.argmax())],))


def _differing(cells: Cells, question: Question) -> int:
    """Count the genes that tell the cells of a perturbation from controls, within a part of the cells."""
    here = cells.matching(question.within)
    perturbed = np.asarray(cells.obs["perturbation"] == question.mimic)
    try:
        found = group_difference(cells, cells.is_control & here, perturbed & here)
    except UnusableCells:  # too few cells, or of other depths: nothing to ask for
        return 0
    return int(found.certain().sum())


def data_spec(draft: CampaignDraft) -> DataSpec:
    """Return the ``data`` block as a spec, to look at it with what `lingshu doctor` has."""
    return DataSpec.model_validate(
        {
            "path": draft.survey.path,
            "layer": draft.survey.counts.layer,
            "control": draft.control,
            "columns": dict(draft.columns),
            "context": list(draft.context),
        }
    )


def _some(names: Iterable[str], most: int = 6) -> str:
    known = list(names)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")
