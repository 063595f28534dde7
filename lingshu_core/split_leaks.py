"""Does anything of what a split asks stand among what is learnt from?

The rules here are written down a second time, from what a kind of split promises, and not taken from the code that
builds splits: a split that was built wrongly, edited by hand or used with another model is found out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lingshu_core.chemistry import morgan_bits, tanimoto
from lingshu_core.leak_finding import Finding
from lingshu_core.prior_genes import PriorGenes
from lingshu_core.relations import Relations
from lingshu_core.split_table import CellTable, Mask, targets_of
from lingshu_core.splits import Fold, Question, Split
from lingshu_core.vocabulary import Vocabulary, split_label

UNSEEN_TARGETS = ("unseen_perturbation", "double_unseen", "gene_family", "scaffold", "tanimoto")
UNSEEN_CONTEXTS = ("unseen_context", "double_unseen")
VAGUE = re.compile(r"ambiguous|unassigned|unknown|doublet|multiplet|other|nan|none", re.IGNORECASE)
_CURE = "train on what the split leaves, or hold this out too"


@dataclass(frozen=True)
class Trained:
    """A condition that was learnt from: perturbation label (empty: controls), what is known of its cells, how many."""

    label: str
    values: Mapping[str, str]
    cells: int

    def __str__(self) -> str:
        where = f" in {', '.join(self.values.values())}" if self.values else ""
        return f"{self.label or 'controls'}{where}"


def trained_in(table: CellTable, cells: Mask, columns: Sequence[str]) -> list[Trained]:
    """List the conditions of some cells."""
    keys = ["perturbation", *dict.fromkeys([*table.context_roles, *columns])]
    sizes = table.obs.loc[cells, keys].groupby(keys, sort=True).size()
    found = []
    for key, size in sizes.items():
        label, *values = (key,) if isinstance(key, str) else key
        known = dict(zip(keys[1:], map(str, values), strict=True))
        found.append(Trained("" if label == table.control else str(label), known, int(size)))
    return found


def trained_by(vocabulary: Vocabulary) -> list[Trained]:
    """List the conditions that a model was trained on, by what it says of itself."""
    found = []
    for context in vocabulary.contexts:
        seen = {"": context.control_cells, **context.perturbed_cells}
        found += [Trained(label, context.factors, cells) for label, cells in seen.items() if cells]
    return found


def measured_in(priors: PriorGenes) -> list[Trained]:
    """List the conditions that a table of priors was measured in; their cells are counted as one each."""
    return [Trained(label, seen.context, 1) for label, contexts in priors.lowered.items() for seen in contexts]


@dataclass(frozen=True)
class Look:
    """What is looked at: what a fold asks, and what was trained on.

    Parameters
    ----------
    split, fold
        The split and one of its folds.
    trained
        Conditions that were learnt from: those of the fold, or of a model that was trained elsewhere.
    table
        The cells of the split.
    where
        Fold or model, for messages.
    relations
        What counts as related, for splits by families and structures.
    """

    split: Split
    fold: Fold
    trained: Sequence[Trained]
    table: CellTable
    where: str
    relations: Relations | None = None

    @property
    def asked(self) -> tuple[Question, ...]:
        """All questions, those for calibration too."""
        return (*self.fold.questions, *self.fold.calibration)

    @property
    def targets(self) -> frozenset[str]:
        """Everything that is perturbed in what is asked."""
        return frozenset(target for question in self.asked for target in targets_of(question.perturbation))

    def values_asked(self, column: str) -> set[str]:
        """Return the values of a column among the perturbed cells that are asked."""
        values = self.table.column(column, "the split").astype(str)
        return {value for question in self.asked for value in np.unique(values[question.perturbed])}


def fold_leaks(split: Split, fold: Fold, table: CellTable, relations: Relations | None = None) -> list[Finding]:
    """Find what a fold leaves to learn from though it asks for it."""
    look = Look(split, fold, trained_in(table, fold.train, split.columns), table, f"fold {fold.name!r}", relations)
    return _cells_in_training(look) + condition_leaks(look) + _vague_values(look)


def condition_leaks(look: Look) -> list[Finding]:
    """Find trained conditions that a kind of split promises to have kept out."""
    rules = [rule for kinds, rule in _RULES if look.split.kind in kinds]
    return [finding for rule in rules for finding in rule(look)] + _related(look)


def prior_leaks(look: Look, priors: PriorGenes) -> list[Finding]:
    """Find conditions that are asked and that a table of priors was measured in."""
    unseen = look.targets if look.split.kind in UNSEEN_TARGETS else frozenset()
    wrong = [
        str(one)
        for one in measured_in(priors)
        if targets_of(one.label) & unseen or any(_answers(one, question) for question in look.asked)
    ]
    if not wrong:
        return []
    text = "the priors hold what {count} conditions lower that are asked"
    return [Finding.of("priors", look.where, sorted(wrong), text, "measure priors on the training cells of the fold")]


def _answers(trained: Trained, question: Question) -> bool:
    """Whether a condition is the one that is asked, as far as both say where it is."""
    if trained.label != question.perturbation:
        return False
    return all(trained.values.get(factor, value) == value for factor, value in question.context.items())


def _cells_in_training(look: Look) -> list[Finding]:
    fold, names, findings = look.fold, look.table.names, []
    seen = fold.train if fold.adaptation is None else fold.train | fold.adaptation
    perturbed = seen & _any([question.perturbed for question in look.asked], len(seen))
    controls = seen & _any([question.controls for question in look.asked], len(seen))
    if perturbed.any():
        text = "{count} cells that are asked are trained on"
        findings.append(Finding.of("held_out_cells", look.where, names[perturbed].tolist(), text, _CURE))
    if look.split.options.get("controls") == "halved" and controls.any():
        text = "{count} control cells that effects are measured by are trained on"
        cure = f"{_CURE}, or set controls: shared"
        findings.append(Finding.of("measured_controls", look.where, names[controls].tolist(), text, cure))
    return findings


def _any(masks: Sequence[Mask], cells: int) -> Mask:
    found = np.zeros(cells, dtype=bool)
    for mask in masks:
        found |= mask
    return found


def _vague_values(look: Look) -> list[Finding]:
    """Note cells to learn from whose value may be any, the one held out included."""
    role = look.split.options.get("factor") or look.split.options.get("column")
    if role is None or role not in look.table.obs or look.split.kind == "guide":
        return []
    column = look.table.column(role, look.where).astype(str)
    vague = sorted(str(value) for value in np.unique(column) if VAGUE.fullmatch(value.strip()))
    rows = look.fold.train & ~look.table.is_control & np.isin(column, vague)
    if not rows.any():
        return []
    told = " or ".join(map(repr, vague))
    text = f"{{count}} cells to learn from have the {role} {told}, so they may be what is held out"
    return [Finding.of("vague_values", look.where, look.table.names[rows].tolist(), text, "drop these cells", "note")]


Rule = Callable[[Look], list[Finding]]


def _unseen_targets(look: Look) -> list[Finding]:
    seen = [one for one in look.trained if one.label and targets_of(one.label) & look.targets]
    return _conditions("targets", look.where, seen, "conditions with perturbations that are asked as unseen")


def _unseen_contexts(look: Look) -> list[Finding]:
    factor = str(look.split.options["factor"])
    values = {question.context[factor] for question in look.asked}
    seen = [one for one in look.trained if one.values.get(factor) in values]
    findings = _conditions(
        "contexts", look.where, [one for one in seen if one.label], f"conditions of a {factor} left out"
    )
    if look.split.options.get("own_controls", "trained") != "trained":
        controls = [one for one in seen if not one.label]
        findings += _conditions("contexts", look.where, controls, f"groups of control cells of a {factor} left out")
    return findings + _untold(look.where, look.trained, factor)


def _unseen_blocks(look: Look) -> list[Finding]:
    factor = str(look.split.options["factor"])
    blocks: dict[str, frozenset[str]] = {}
    for question in look.asked:
        value = question.context[factor]
        blocks[value] = blocks.get(value, frozenset()) | targets_of(question.perturbation)
    perturbed = [one for one in look.trained if one.label]
    seen = [one for one in perturbed if targets_of(one.label) & blocks.get(one.values.get(factor, ""), frozenset())]
    text = f"combinations of {factor} and perturbation that are asked"
    return _conditions("combinations", look.where, seen, text) + _untold(look.where, look.trained, factor)


def _unseen_values(look: Look) -> list[Finding]:
    """Batches are left out whole, replicates without their controls."""
    column = str(look.split.options["column"])
    values = look.values_asked(column)
    seen = [
        one for one in look.trained if one.values.get(column) in values and (one.label or look.split.kind == "batch")
    ]
    text = f"groups of cells of a {column} left out"
    return _conditions(look.split.kind, look.where, seen, text) + _untold(look.where, look.trained, column)


def _unseen_guides(look: Look) -> list[Finding]:
    column = str(look.split.options["column"])
    values = look.values_asked(column)
    seen = [one for one in look.trained if one.label and one.values.get(column) in values]
    text = f"groups of cells with a {column} left out"
    return _conditions("guide", look.where, seen, text) + _untold(look.where, look.trained, column)


def _unseen_parts(look: Look) -> list[Finding]:
    labels = {one.label for one in look.trained if one.label}
    level = re.match(r"(\d+) parts? seen", look.fold.name)
    wrong = set()
    for question in look.asked:
        parts, targets = split_label(question.perturbation), targets_of(question.perturbation)
        wrong |= {label for label in labels if targets_of(label) >= targets}
        alone = [part for part in parts if part in labels]
        others = targets.difference(*(targets_of(part) for part in alone))
        wrong |= {label for label in labels if targets_of(label) & others}
        if level is not None and len(alone) > int(level[1]):
            wrong |= set(alone)
    text = "{count} perturbations that give combinations away which are asked with fewer parts seen are trained on"
    return [Finding.of("parts", look.where, sorted(wrong), text, _CURE)] if wrong else []


def _conditions(kind: str, where: str, seen: Sequence[Trained], text: str) -> list[Finding]:
    if not seen:
        return []
    cells = sum(one.cells for one in seen)
    told = f"{{count}} {text} are trained on, {cells:,} cells"
    return [Finding.of(kind, where, sorted(map(str, seen)), told, _CURE)]


def _untold(where: str, trained: Sequence[Trained], factor: str) -> list[Finding]:
    """Note that a model doesn't tell of a factor what it saw."""
    if all(factor in one.values for one in trained):
        return []
    text = f"it can't be told which {factor} the cells had that it was trained on"
    return [Finding("unknown", "note", where, 0, (), text, f"name {factor} in data.context when you train")]


_RULES: tuple[tuple[tuple[str, ...], Rule], ...] = (
    (UNSEEN_TARGETS, _unseen_targets),
    (UNSEEN_CONTEXTS, _unseen_contexts),
    (("combination", "donor_perturbation"), _unseen_blocks),
    (("batch", "replicate"), _unseen_values),
    (("guide",), _unseen_guides),
    (("parts",), _unseen_parts),
)


def _related(look: Look) -> list[Finding]:
    """Find perturbations that are alike on both sides; those that are the same are found as targets."""
    relations, where = look.relations, look.where
    if relations is None:
        return []
    mine = sorted(look.targets)
    seen = sorted({target for one in look.trained if one.label for target in targets_of(one.label)}.difference(mine))
    if look.split.kind == "gene_family":
        family = relations.gene_families([*mine, *seen])
        pairs = [(one, other) for one in mine for other in seen if family[one] == family[other]]
        return _pairs("paralogues", where, pairs, "pairs of genes of one family are asked and trained on")
    if look.split.kind == "scaffold":
        scaffold = relations.scaffolds([*mine, *seen])
        pairs = [
            (one, other) for one in mine for other in seen if one in scaffold and scaffold[one] == scaffold.get(other)
        ]
        text = "pairs of drugs of one scaffold are asked and trained on"
        return _pairs("scaffolds", where, pairs, text) + _unread(mine, seen, relations, where)
    if look.split.kind == "tanimoto":
        limit = float(look.split.options["threshold"])
        text = f"pairs of drugs with a Tanimoto similarity of {limit:g} or more are asked and trained on"
        pairs = alike_pairs(relations, mine, seen, limit)
        return _pairs("alike_drugs", where, pairs, text) + _unread(mine, seen, relations, where)
    return []


def alike_pairs(relations: Relations, mine: Sequence[str], seen: Sequence[str], limit: float) -> list[tuple[str, str]]:
    """Return the pairs of drugs, one of each side, that are alike by their structures."""
    first, second = ([name for name in names if name in relations.structures] for names in (mine, seen))
    if not first or not second:
        return []
    fingerprints = [morgan_bits([relations.structures[name] for name in names]) for names in (first, second)]
    return [(first[i], second[j]) for i, j in np.argwhere(tanimoto(*fingerprints) >= limit)]


def _pairs(kind: str, where: str, pairs: Sequence[tuple[str, str]], text: str) -> list[Finding]:
    if not pairs:
        return []
    names = [f"{one} and {other}" for one, other in pairs]
    return [Finding.of(kind, where, names, f"{{count}} {text}", _CURE)]


def _unread(mine: Sequence[str], seen: Sequence[str], relations: Relations, where: str) -> list[Finding]:
    unknown = [name for name in (*mine, *seen) if name not in relations.structures]
    if not unknown:
        return []
    text = f"{{count}} perturbations have no structure in {relations.file}, so it can't be told whether they are alike"
    return [Finding.of("unknown", where, unknown, text, "add their SMILES to the table", "note")]
