"""Spec and vocabulary → the conditions to screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from campaigns.across import check_across
from campaigns.conditions import (
    CONTROL,
    FEATURES_ONLY,
    IN_VOCABULARY,
    NULL_TYPE,
    Condition,
    Context,
    Perturbation,
    Support,
)
from campaigns.errors import EmptyGridError, VocabularyError, Where
from campaigns.findings import Findings, LeftOut, some
from campaigns.listing import read_table
from campaigns.pairs import SingleRanking
from campaigns.perturbation_choice import PerturbationChoice, StructureCheck
from campaigns.screen_spec import ListingSpec, ScreenSpec
from campaigns.spec import ALL_SEEN
from campaigns.vocabulary import Vocabulary
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
    features_only : frozenset of Perturbation
        Those of which a part was never seen in training and is known by its features alone.
    adapted : frozenset of Context
        Those that were learned after the training, from their control cells alone.
    null : tuple of Perturbation
        The model's pseudo-perturbations; in every context, too.
    """

    contexts: tuple[Context, ...]
    perturbations: tuple[Perturbation, ...]
    notices: tuple[str, ...] = ()
    features_only: frozenset[Perturbation] = frozenset()
    adapted: frozenset[Context] = frozenset()
    null: tuple[Perturbation, ...] = ()

    def support(self, condition: Condition) -> Support:
        """Tell what the prediction of a condition rests on."""
        unseen = condition.perturbation in self.features_only or condition.context in self.adapted
        return FEATURES_ONLY if unseen else IN_VOCABULARY

    def __len__(self) -> int:
        return len(self.contexts) * (len(self.perturbations) + len(self.null) + 1)

    def conditions(self) -> Iterator[Condition]:
        """Give the conditions, context by context: the control, then the null, which the others need."""
        for context in self.contexts:
            yield Condition(context, CONTROL)
            for perturbation in (*self.null, *self.perturbations):
                yield Condition(context, perturbation)


def build_grid(
    spec: ScreenSpec,
    vocabulary: Vocabulary,
    source: Source = NO_SOURCE,
    structure_problem: StructureCheck | None = None,
    single_ranking: SingleRanking | None = None,
) -> Grid:
    """Resolve the contexts and perturbations of a screen against what a model knows.

    Parameters
    ----------
    spec : ScreenSpec
    vocabulary : Vocabulary
        Of the model.
    source : Source
        The file of the screen, for messages.
    structure_problem : callable or None
        SMILES → what is wrong with it, None if nothing is; without it structures stay unchecked.
    single_ranking : callable or None
        Reads published singles for `pairs`; without it a screen of pairs is a problem.

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
    grid = collect_grid(spec, vocabulary, source, findings, structure_problem, single_ranking)
    findings.raise_problems()
    return checked_grid(grid, source)


def collect_grid(
    spec: ScreenSpec,
    vocabulary: Vocabulary,
    source: Source,
    findings: Findings,
    structure_problem: StructureCheck | None = None,
    single_ranking: SingleRanking | None = None,
) -> Grid:
    """Do the work of `build_grid`, adding to the findings of others instead of raising; may be empty."""
    contexts = _Contexts(vocabulary, source, findings).resolve(spec)
    check_across(spec, tuple(contexts), vocabulary.factors, source, findings)
    if not vocabulary.perturbations:
        text = "the model was trained on cells without perturbations: it can generate and embed, and knows nothing to"
        findings.problem(source.where(("model",)), f"{text} screen; train on a perturbation experiment")
        return Grid((), ())
    choice = PerturbationChoice(vocabulary, source, findings, structure_problem)
    choice.resolve(spec)
    _add_pairs(choice, spec, list(contexts), single_ranking)
    perturbations = tuple(choice.found)
    if spec.objective.exclude_own_targets:
        _notice_strange_targets(perturbations, vocabulary, findings)
    return Grid(
        tuple(sorted(contexts, key=lambda context: context.label)),
        tuple(sorted(perturbations, key=lambda perturbation: perturbation.label)),
        tuple(findings.notices),
        frozenset(each for each in perturbations if vocabulary.support(each) == FEATURES_ONLY),
        frozenset(each for each in contexts if vocabulary.is_adapted(each)),
        tuple(Perturbation.of((name,), NULL_TYPE) for name in vocabulary.pseudo),
    )


def _add_pairs(
    choice: PerturbationChoice, spec: ScreenSpec, contexts: list[Context], single_ranking: SingleRanking | None
) -> None:
    """Add pairs of the best singles, where they are asked for."""
    pairs = spec.perturbations.pairs
    if pairs is None or not contexts:  # without contexts there is a problem that says so
        return
    labels = [context.label for context in contexts]
    ranked = "can't be read here" if single_ranking is None else single_ranking(pairs.start, pairs.of, labels)
    if isinstance(ranked, str):
        choice.findings.problem(choice.source.where(("perturbations", "pairs", "from")), ranked)
    elif len(ranked.names) < 2:
        text = f"{pairs.start} ranks {len(ranked.names)} {pairs.of} singles in these contexts, and a pair has two"
        choice.findings.problem(choice.source.where(("perturbations", "pairs", "of")), f"{text}; screen more of them")
    else:
        choice.add_pairs(pairs, ranked, len(labels))


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
    parts = {part for each in perturbations if each.type == "genetic" for part in each.parts}
    targets = sorted({part.target for part in parts if vocabulary.type_of(part.name) == "genetic"})
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
            for context in self.skipped:
                cells = self.vocabulary.control_cells(context)
                reason = (
                    f"{cells} control cell{'s' * (cells != 1)} in the training data, {MIN_CONTROL_CELLS} are needed"
                )
                self.findings.left_out.append(LeftOut("context", context.label, reason))
            labels = some(context.label for context in self.skipped)
            counted = f"{len(self.skipped)} contexts have" if len(self.skipped) > 1 else "1 context has"
            those = "are" if len(self.skipped) > 1 else "is"
            self.findings.notice(
                f"{counted} fewer than {MIN_CONTROL_CELLS} control cells and {those} left out: {labels}"
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
