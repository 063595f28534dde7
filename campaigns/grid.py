"""Spec and vocabulary → the conditions to screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from campaigns.conditions import CONTROL, Condition, Context, Perturbation, split_combination
from campaigns.errors import EmptyGridError, VocabularyError, Where
from campaigns.findings import Findings, some
from campaigns.listing import read_names, read_table
from campaigns.screen_spec import DosedSpec, ListingSpec, ScreenSpec
from campaigns.spec import ALL_SEEN
from campaigns.vocabulary import PERTURBATION_TYPES, Vocabulary
from campaigns.yaml_source import NO_SOURCE, FieldPath, Source

MIN_CONTROL_CELLS = 5


@dataclass(frozen=True, slots=True)
class Grid:
    """Every perturbation in every context, and a control in each.

    Parameters
    ----------
    contexts : tuple of Context
        Each once, sorted by label.
    perturbations : tuple of Perturbation
        Each once, sorted by label, without the control.
    notices : tuple of str
        What was left out or added, for the user to read.
    """

    contexts: tuple[Context, ...]
    perturbations: tuple[Perturbation, ...]
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.contexts) * (len(self.perturbations) + 1)

    def conditions(self) -> Iterator[Condition]:
        """Give the conditions, context by context, the control first."""
        for context in self.contexts:
            yield Condition(context, CONTROL)
            for perturbation in self.perturbations:
                yield Condition(context, perturbation)


def build_grid(spec: ScreenSpec, vocabulary: Vocabulary, source: Source = NO_SOURCE) -> Grid:
    """Resolve the contexts and perturbations of a screen against what a model knows.

    Parameters
    ----------
    spec : ScreenSpec
    vocabulary : Vocabulary
        Of the model.
    source : Source
        The file of the screen, for messages.

    Returns
    -------
    Grid
        Doesn't depend on the order in which the file lists things.

    Raises
    ------
    VocabularyError
        With every name that the model doesn't know, every named context without control cells and every
        listing that can't be read.
    EmptyGridError
        Nothing is left to screen.
    """
    findings = Findings()
    grid = collect_grid(spec, vocabulary, source, findings)
    findings.raise_problems()
    return checked_grid(grid, source)


def collect_grid(spec: ScreenSpec, vocabulary: Vocabulary, source: Source, findings: Findings) -> Grid:
    """Do the work of `build_grid`, adding to the findings of others instead of raising; may be empty."""
    contexts = _Contexts(vocabulary, source, findings).resolve(spec)
    perturbations = _Perturbations(vocabulary, source, findings).resolve(spec)
    if spec.objective.exclude_own_targets:
        _notice_strange_targets(perturbations, vocabulary, findings)
    return Grid(
        tuple(sorted(contexts, key=lambda context: context.label)),
        tuple(sorted(perturbations, key=lambda perturbation: perturbation.label)),
        tuple(findings.notices),
    )


def checked_grid(grid: Grid, source: Source) -> Grid:
    """Give the grid back if there is something to screen.

    Raises
    ------
    EmptyGridError
        There is no context or no perturbation; says why.
    """
    for field, found in (("contexts", grid.contexts), ("perturbations", grid.perturbations)):
        if not found:
            why = "; ".join(grid.notices) or "nothing is selected"
            text = f"the grid is empty, no {field} are left: {why}; name others or train on other cells"
            raise EmptyGridError([source.where((field,)).problem(text)])
    return grid


def _notice_strange_targets(perturbations: Iterable[Perturbation], vocabulary: Vocabulary, findings: Findings) -> None:
    """Tell of genetic targets that are no genes of the model: their own genes stay in their scores."""
    genetic = [part.name for each in perturbations if each.type == "genetic" for part in each.parts]
    targets = [name for name in sorted(set(genetic)) if vocabulary.part_types[name] == "genetic"]
    strange = [name for name in targets if name not in vocabulary.gene_set]
    if strange and len(strange) == len(targets):
        findings.notice(
            f"NONE of {len(targets)} genetic targets is a gene of the model, so exclude_own_targets has no effect: "
            f"are the labels gene symbols like var_names? targets: {some(strange)}; genes: {some(vocabulary.genes)}"
        )
    elif strange:
        findings.notice(
            f"of {len(targets)} genetic targets, {len(targets) - len(strange)} are genes of the model; own targets of "
            f"the others can't be left out of their scores: {some(strange)}"
        )


class _Contexts:
    """Resolves the contexts of a screen."""

    def __init__(self, vocabulary: Vocabulary, source: Source, findings: Findings) -> None:
        self.vocabulary = vocabulary
        self.source = source
        self.findings = findings
        self.found: dict[Context, None] = {}
        self.skipped: dict[Context, None] = {}

    def resolve(self, spec: ScreenSpec) -> Iterable[Context]:
        chosen = spec.contexts
        if isinstance(chosen, ListingSpec):
            self.listed(chosen)
        elif isinstance(chosen, tuple):
            for index, factors in enumerate(chosen):
                self.product(factors, ("contexts", index))
        elif isinstance(chosen, str):
            for seen in self.vocabulary.contexts:
                self.add(Context.of(seen.factors), None)
        else:
            self.product(chosen, ("contexts",))
        if self.skipped:
            labels = some(context.label for context in self.skipped)
            self.findings.notice(
                f"{len(self.skipped)} contexts have fewer than {MIN_CONTROL_CELLS} control cells "
                f"and are left out: {labels}"
            )
        return self.found

    def listed(self, listing: ListingSpec) -> None:
        try:
            for factors, where in read_table(listing.file, self.source.where(("contexts", "file"))):
                known = [self.known(factor, value, where, where) for factor, value in factors.items()]
                if all(known):
                    self.add(Context.of(factors), where)
        except VocabularyError as error:
            self.findings.problems.extend(error.problems)

    def product(self, factors: Mapping[str, tuple[str, ...]], path: FieldPath) -> None:
        values = {factor: self.values(factor, chosen, (*path, factor)) for factor, chosen in factors.items()}
        named = all(chosen != (ALL_SEEN,) for chosen in factors.values())
        where = self.source.where(path)
        for combination in product(*values.values()):
            self.add(Context.of(dict(zip(values, combination, strict=True))), where if named else None)

    def values(self, factor: str, chosen: tuple[str, ...], path: FieldPath) -> tuple[str, ...]:
        if chosen == (ALL_SEEN,) and factor in self.vocabulary.factors:
            return self.vocabulary.factors[factor]
        place = self.source.where(path)
        return tuple(
            value
            for index, value in enumerate(chosen)
            if self.known(factor, value, place, self.source.where((*path, index)))
        )

    def known(self, factor: str, value: str, factor_at: Where, value_at: Where) -> bool:
        factors = self.vocabulary.factors
        if factor not in factors:
            self.findings.unknown(factor_at, "factor of a context", factor, factors)
        elif value not in factors[factor]:
            self.findings.unknown(value_at, factor, value, factors[factor])
        else:
            return True
        return False

    def add(self, context: Context, named_at: Where | None) -> None:
        """Take a context that has control cells; without them one that is named is a problem, others are skipped."""
        cells = self.vocabulary.control_cells(context)
        if cells >= MIN_CONTROL_CELLS:
            self.found[context] = None
        elif named_at is None:
            self.skipped[context] = None
        else:
            self.findings.problem(
                named_at,
                f"context {context.label!r} has {cells} control cells in the training data and at least "
                f"{MIN_CONTROL_CELLS} are needed; leave out a factor or name another",
            )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A perturbation as the user named it; no doses: all that were seen."""

    label: str
    where: Where
    doses: tuple[tuple[float, Where], ...] = ()


class _Perturbations:
    """Resolves the perturbations of a screen, one type after the other."""

    def __init__(self, vocabulary: Vocabulary, source: Source, findings: Findings) -> None:
        self.vocabulary = vocabulary
        self.source = source
        self.findings = findings
        self.found: dict[Perturbation, None] = {}
        self.twice: list[str] = []
        self.new_doses: list[str] = []

    def resolve(self, spec: ScreenSpec) -> Iterable[Perturbation]:
        for type in PERTURBATION_TYPES:
            chosen = getattr(spec.perturbations, type)
            if chosen == ALL_SEEN:
                self.all_seen(type)
                continue
            for entry in self.entries(chosen, ("perturbations", type)):
                self.entry(entry, type)
        if self.twice:
            self.findings.notice(f"{len(self.twice)} perturbations are named twice and count once: {some(self.twice)}")
        if self.new_doses:
            self.findings.notice(
                f"{len(self.new_doses)} doses weren't seen in training, the model has to guess: {some(self.new_doses)}"
            )
        return self.found

    def all_seen(self, type: str) -> None:
        seen = {label: seen for label, seen in self.vocabulary.perturbations.items() if seen.type == type}
        if not seen:
            self.findings.notice(f"perturbations.{type}: the model has seen no {type} perturbation")
        for label, perturbation in seen.items():
            for dose in perturbation.doses or (None,):
                self.found[Perturbation.parse(label, type, dose)] = None

    def entries(self, chosen: ListingSpec | tuple[str | DosedSpec, ...], path: FieldPath) -> Iterator[_Entry]:
        if isinstance(chosen, ListingSpec):
            try:
                for name, where in read_names(chosen.file, self.source.where((*path, "file"))):
                    yield _Entry(name, where)
            except VocabularyError as error:
                self.findings.problems.extend(error.problems)
            return
        for index, item in enumerate(chosen):
            where = self.source.where((*path, index))
            if isinstance(item, str):
                yield _Entry(item, where)
            else:
                yield _Entry(item.name, where, self.doses_of(item, (*path, index, "doses")))

    def doses_of(self, item: DosedSpec, path: FieldPath) -> tuple[tuple[float, Where], ...]:
        if isinstance(item.doses, str):
            return ()
        return tuple((dose, self.source.where((*path, index))) for index, dose in enumerate(item.doses))

    def entry(self, entry: _Entry, type: str) -> None:
        names = self.names(entry, type)
        if names is None or not self.of_type(entry, names, type):
            return
        doses = self.named_doses(entry, names) if entry.doses else self.seen_doses(entry, names)
        for dose in doses:
            perturbation = Perturbation.of(names, type, dose)
            if perturbation in self.found:
                self.twice.append(perturbation.label)
            self.found[perturbation] = None

    def names(self, entry: _Entry, type: str) -> tuple[str, ...] | None:
        """Split a label into known names, or note what is wrong with it."""
        try:
            names = split_combination(entry.label)
        except ValueError as error:
            self.findings.problem(entry.where, str(error))
            return None
        if tuple(sorted(names)) in self.vocabulary.by_parts:
            return names
        known = [self.known(name, type, entry.where) for name in names]
        return names if all(known) else None

    def known(self, name: str, type: str, where: Where) -> bool:
        types = self.vocabulary.part_types
        if name == self.vocabulary.control:
            self.findings.problem(where, f"{name!r} is the control, which is added by itself; leave it out")
        elif name not in types:
            alike = [known for known, known_type in types.items() if known_type == type]
            self.findings.unknown(where, "perturbation", name, alike or types)
        else:
            return True
        return False

    def of_type(self, entry: _Entry, names: tuple[str, ...], type: str) -> bool:
        """Whether known names are of a type; what was seen together has a type of its own, whatever its parts are."""
        types = {name: self.vocabulary.part_types[name] for name in names}
        exact = self.vocabulary.by_parts.get(tuple(sorted(names)))
        right = {exact.type} if exact is not None else set(types.values())
        if len(right) > 1:
            parts = ", ".join(f"{name} ({part_type})" for name, part_type in types.items())
            text = (
                f"{entry.label!r} mixes types: {parts}; combinations of different types are supported only where "
                "the model has seen them together; leave it out, or train on cells that had both"
            )
        elif right != {type}:
            (own,) = right
            text = f"{entry.label!r} is a {own} perturbation in this model; list it under perturbations.{own}"
        else:
            return True
        self.findings.problem(entry.where, text)
        return False

    def seen_doses(self, entry: _Entry, names: tuple[str, ...]) -> tuple[float | None, ...]:
        """Give the doses of a label that was seen as it is, else those that all its parts have in common."""
        doses = self.vocabulary.part_doses
        exact = self.vocabulary.by_parts.get(tuple(sorted(names)))
        if exact is not None:
            return exact.doses or (None,)
        common = set.intersection(*(set(doses[name]) for name in names))
        if common or not any(doses[name] for name in names):
            return tuple(sorted(common)) or (None,)
        if all(doses[name] for name in names):
            text = f"the parts of {entry.label!r} have no seen dose in common; name `doses`"
            self.findings.problem(entry.where, text)
        else:
            self.half_dosed(entry, names)
        return ()

    def named_doses(self, entry: _Entry, names: tuple[str, ...]) -> Iterator[float]:
        doses = self.vocabulary.part_doses
        exact = self.vocabulary.by_parts.get(tuple(sorted(names)))
        undosed = [name for name in names if not doses[name]]
        if undosed and (exact is not None or len(undosed) == len(names)):
            text = f"the model was trained on {entry.label} without doses; leave `doses` out"
            self.findings.problem(entry.where, text)
            return
        if undosed:
            self.half_dosed(entry, names)
            return
        for dose, _ in entry.doses:
            if any(dose not in doses[name] for name in names):
                self.new_doses.append(Perturbation.of(names, "", dose).label)
            yield dose

    def half_dosed(self, entry: _Entry, names: tuple[str, ...]) -> None:
        doses = self.vocabulary.part_doses
        self.findings.problem(
            entry.where,
            f"{entry.label!r} can't be combined: the model was trained on {some(n for n in names if doses[n])} with "
            f"doses and on {some(n for n in names if not doses[n])} without, and all parts of a combination have one "
            "dose; leave it out",
        )
