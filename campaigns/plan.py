"""The grid → a run: conditions with their keys, and the fixed blocks of work that are committed one by one.

Names are digests of content. A condition's key holds all that its result depends on, a block's name its condition
and its shards, so that

- the order of the campaign file changes nothing;
- more conditions or more shards leave the blocks that are done as they are;
- another model, seed or sampler never meets their results.

A block is never cut in another way: it is the unit of commit, whoever works on it and after however many attempts.

An ensemble is screened member by member: a condition has a key for each of them, the same as in a screen of that
member alone, so that the two reuse each other's blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from io import BytesIO
from typing import Any

from campaigns.conditions import FEATURES_ONLY, IN_VOCABULARY, Condition, Context, Perturbation, Support
from campaigns.digests import SharedDigest, canonical_json, digest
from campaigns.errors import BudgetError, PlanFileError, Problem, Where
from campaigns.evidence_sources import collect_evidence
from campaigns.findings import Findings, LeftOut
from campaigns.grid import Grid, checked_grid, collect_grid
from campaigns.objective_genes import ObjectiveGenes, collect_objective
from campaigns.pairs import SingleRanking
from campaigns.perturbation_choice import StructureCheck
from campaigns.safety_genes import collect_safety
from campaigns.screen_spec import EstimatorSpec, ScreenSpec
from campaigns.shard_budget import ShardBudget
from campaigns.vocabulary import Vocabulary
from campaigns.yaml_source import NO_SOURCE, Source

FORMAT = 1
SHARDS_PER_BLOCK = 8

ControlSetDigest = Callable[[Context], str] | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlannedMember:
    """A member of an ensemble.

    Parameters
    ----------
    name : str
        For humans; the digest names it.
    digest : str
        Digest of the member's weights.
    """

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class PlannedCondition:
    """A condition and its key.

    Parameters
    ----------
    key : str
        SHA-256 of all that the condition's result depends on, but for the number of shards; in an ensemble, of the
        keys of its members.
    condition : Condition
    member_keys : tuple of str
        Its key with each member of an ensemble, in the order of `Plan.members`; empty for a single model.
    support : str
        ``in_vocabulary``: all its parts were seen in training; ``features_only``: one at least, or the context,
        was not.
    """

    key: str
    condition: Condition
    member_keys: tuple[str, ...] = ()
    support: Support = IN_VOCABULARY

    @property
    def keys(self) -> tuple[str, ...]:
        """What its blocks go by: a key for each model that computes it."""
        return self.member_keys or (self.key,)

    @property
    def role(self) -> str:
        """``control``, ``null`` (a pseudo-perturbation) or ``perturbation``."""
        if self.condition.perturbation.is_null:
            return "null"
        return "control" if self.condition.perturbation.is_control else "perturbation"

    @property
    def label(self) -> str:
        """For humans: ``STAT1 in cell_type=THP-1``."""
        return self.condition.label


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive shards of one condition: what is computed and committed as one.

    Parameters
    ----------
    id : str
        SHA-256 of the condition's key, the shards and their size.
    condition_key : str
    first_shard, n_shards : int
        The shards ``first_shard … first_shard + n_shards - 1``.
    """

    id: str
    condition_key: str
    first_shard: int
    n_shards: int


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What all conditions of a plan share and their keys depend on.

    Parameters
    ----------
    model_digest : str
        Digest of the model's weights, or of an ensemble.
    panel_digest : str
        Digest of the gene panel.
    sampler_version : str
        Version of the code that draws; another version may give other numbers.
    estimator : mapping
        kind, steps, schedule, guidance and depth_strata, and prior where there is one: the settings that change
        numbers.
    store_cells : bool
        Whether the blocks keep their cells.
    seed : int
        Root seed.
    """

    model_digest: str
    panel_digest: str
    sampler_version: str
    estimator: Mapping[str, Any]
    store_cells: bool
    seed: int

    def of_member(self, member: PlannedMember) -> PlanInputs:
        """Give the inputs of a screen of one member of the ensemble alone."""
        return replace(self, model_digest=member.digest)

    def condition_key(self, condition: Condition, control_set: str) -> str:
        """Name a condition by all that its result depends on."""
        return self.keys_in(condition.context, control_set).of(_identity_of(condition.perturbation))

    def keys_in(self, context: Context, control_set: str) -> SharedDigest:
        """Give what the keys of all conditions in a context share."""
        return SharedDigest(
            {
                "context": context.as_dict(),
                "control_set": control_set,
                "gene_panel": self.panel_digest,
                "model": self.model_digest,
                "sampler": {"version": self.sampler_version, **self.estimator},
                "seed": self.seed,
            },
            "perturbation",
        )

    def block(self, condition_key: str, first_shard: int, n_shards: int) -> Block:
        """Name consecutive shards of a condition."""
        shared = _shared_by_blocks(self.estimator["depth_strata"], first_shard, n_shards, self.store_cells)
        return Block(shared.of(canonical_json(condition_key)), condition_key, first_shard, n_shards)

    def blocks(self, condition_key: str, shards: int, per_block: int = SHARDS_PER_BLOCK) -> Iterator[Block]:
        """Cut the shards of a condition into blocks; only the last can be short."""
        for first in range(0, shards, per_block):
            yield self.block(condition_key, first, min(per_block, shards - first))


@dataclass(frozen=True)
class Plan:
    """A run, as planned: nothing in it changes while it runs.

    Parameters
    ----------
    run_id : str
        SHA-256 of the blocks and the objective. Neither the campaign's name nor its output, budget or compute
        block has a part in it.
    name : str
        The campaign's name.
    inputs : PlanInputs
        What all conditions share.
    shards : int
        Shards of each condition.
    control_sets : mapping
        Context → digest of the control cells that its depths come from.
    objective : mapping
        The objective as plain data, with the genes it resolved to under ``resolved`` (None where it is made of
        real cells).
    conditions : tuple of PlannedCondition
        Context by context, the control first, then the null, then all others sorted by label.
    blocks : tuple of Block
        In the order of the conditions; member by member, so that a replica seldom changes its model.
    notices : tuple of str
        What the user ought to read.
    members : tuple of PlannedMember
        Of an ensemble, sorted by digest; empty for a single model.
    allocation : mapping or None
        What decides which of the blocks are computed (`ScreenSpec.choice`, and ``budget_shards``, the limit of
        all ranked conditions together, where there is one); None where all of them are.
    safety : mapping or None
        Genes of the side effects and the contexts to be spared (`campaigns.safety_genes`); None where the screen asks
        for no safety. It is read off the same blocks, so it has no part in the run's id.
    left_out : tuple of LeftOut
        Contexts and perturbations that were asked for with all of their kind and can't be screened, with the reasons.
    """

    run_id: str
    name: str
    inputs: PlanInputs
    shards: int
    control_sets: Mapping[Context, str]
    objective: Mapping[str, Any]
    conditions: tuple[PlannedCondition, ...]
    blocks: tuple[Block, ...]
    notices: tuple[str, ...] = ()
    members: tuple[PlannedMember, ...] = ()
    allocation: Mapping[str, Any] | None = None
    safety: Mapping[str, Any] | None = None
    left_out: tuple[LeftOut, ...] = ()

    @property
    def n_cells(self) -> int:
        """Cells in all: conditions x members x shards x cells a shard; with an allocation that chooses, the most."""
        return len(self.conditions) * self.n_models * self.shards * int(self.inputs.estimator["depth_strata"])

    @property
    def features_only(self) -> int:
        """Conditions whose prediction rests on features alone, for a part at least."""
        return sum(planned.support == FEATURES_ONLY for planned in self.conditions)

    @property
    def n_models(self) -> int:
        """Models that compute every condition: the members of an ensemble, or 1."""
        return len(self.members) or 1

    @cached_property
    def _by_key(self) -> dict[str, Condition]:
        return {key: planned.condition for planned in self.conditions for key in planned.keys}

    @cached_property
    def _model_of_key(self) -> dict[str, str]:
        """Key of a condition with a member → the member's digest; empty for a single model."""
        return {
            key: member.digest
            for planned in self.conditions
            for key, member in zip(planned.member_keys, self.members, strict=True)
        }

    def condition(self, key: str) -> Condition:
        """Find a condition by the key that its blocks go by.

        Raises
        ------
        KeyError
            The plan has no such condition.
        """
        return self._by_key[key]

    def payload(self, block: Block) -> bytes:
        """Give all that a worker needs to compute a block, as canonical JSON.

        Parameters
        ----------
        block : Block
            Of this plan, or a part of one of its blocks.

        Returns
        -------
        bytes
            Keys: ``format``, ``block``, ``condition_key``, ``context`` (factor → value), ``perturbation`` (list of
            name, dose and, where it has one, smiles; empty for the control), ``shards`` (first, number),
            ``cells_per_shard``, ``estimator``, ``sampler_version``, ``store_cells``, ``seed``, ``model``,
            ``gene_panel``, ``control_set``.
        """
        condition = self.condition(block.condition_key)
        return canonical_json(
            {
                "format": FORMAT,
                "block": block.id,
                "condition_key": block.condition_key,
                "context": condition.context.as_dict(),
                "perturbation": condition.perturbation.as_dict()["parts"],
                "shards": [block.first_shard, block.n_shards],
                "cells_per_shard": self.inputs.estimator["depth_strata"],
                "estimator": dict(self.inputs.estimator),
                "sampler_version": self.inputs.sampler_version,
                "store_cells": self.inputs.store_cells,
                "seed": self.inputs.seed,
                "model": self._model_of_key.get(block.condition_key, self.inputs.model_digest),
                "gene_panel": self.inputs.panel_digest,
                "control_set": self.control_sets[condition.context],
            }
        )

    def as_json(self) -> dict[str, Any]:
        """Give the content of ``plan.json``."""
        return {
            **self._head_as_json(),
            "conditions": list(_conditions_as_json(self.conditions)),
            "blocks": list(_blocks_as_json(self.blocks)),
        }

    def to_json(self) -> bytes:
        """Write ``plan.json``, a line for each condition and each block; never all of them as Python objects.

        The million conditions of a large screen are half a gigabyte of text, and several as dictionaries.
        """
        text = BytesIO()
        text.write(canonical_json(self._head_as_json())[:-1])
        for name, entries in (
            ("conditions", _conditions_as_json(self.conditions)),
            ("blocks", _blocks_as_json(self.blocks)),
        ):
            separator = b',\n"' + name.encode() + b'":[\n'
            for entry in entries:
                text.write(separator + canonical_json(entry))
                separator = b",\n"
            text.write(b"]" if separator == b",\n" else separator + b"]")
        text.write(b"}\n")
        return text.getvalue()

    def _head_as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "run_id": self.run_id,
            "name": self.name,
            "model_digest": self.inputs.model_digest,
            "panel_digest": self.inputs.panel_digest,
            "sampler_version": self.inputs.sampler_version,
            "estimator": dict(self.inputs.estimator),
            "store_cells": self.inputs.store_cells,
            "seed": self.inputs.seed,
            "shards": self.shards,
            "objective": dict(self.objective),
            "control_sets": [
                {"context": context.as_dict(), "digest": name} for context, name in self.control_sets.items()
            ],
            "notices": list(self.notices),
            **self._members_as_json(),
            **({} if self.allocation is None else {"allocation": dict(self.allocation)}),
            **({} if self.safety is None else {"safety": dict(self.safety)}),
            **({"left_out": [asdict(each) for each in self.left_out]} if self.left_out else {}),
        }

    def _members_as_json(self) -> dict[str, Any]:
        """Give the entry of the members; a single model has none."""
        members = [{"name": member.name, "digest": member.digest} for member in self.members]
        return {"members": members} if members else {}

    @classmethod
    def from_json(cls, data: Any, file: str = "plan.json") -> Plan:
        """Read the content of ``plan.json``.

        Parameters
        ----------
        data
            What `json.loads` gave.
        file : str
            Name for messages.

        Returns
        -------
        Plan

        Raises
        ------
        PlanFileError
            The content is damaged, was changed by hand, or is of another format.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise PlanFileError([Where(file).problem(f"isn't a plan of format {FORMAT}; plan the campaign again")])
        try:
            plan = _from_json(data)
            intact = plan.run_id == data["run_id"] and _names_fit(plan)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            text = f"is damaged ({type(error).__name__}: {error}); plan the campaign again"
            raise PlanFileError([Where(file).problem(text)]) from error
        if not intact:
            text = "its digests don't fit its content: it was changed after it was planned; plan the campaign again"
            raise PlanFileError([Where(file, None, "run_id").problem(text)])
        return plan


def make_plan(
    spec: ScreenSpec,
    vocabulary: Vocabulary,
    *,
    model_digest: str,
    control_set_digest: ControlSetDigest,
    panel_digest: str,
    sampler_version: str,
    source: Source = NO_SOURCE,
    members: Sequence[PlannedMember] = (),
    structure_problem: StructureCheck | None = None,
    single_ranking: SingleRanking | None = None,
) -> Plan:
    """Plan a screen.

    Parameters
    ----------
    spec : ScreenSpec
    vocabulary : Vocabulary
        Of the model.
    model_digest, panel_digest : str
        Digests of the model's weights (or of the ensemble) and of its gene panel.
    control_set_digest : callable or mapping
        Context → digest of its control cells; a mapping goes by the context's label.
    sampler_version : str
        Version of the code that draws.
    source : Source
        The file of the screen, for messages.
    members : sequence of PlannedMember
        Of an ensemble, at least two in any order; none for a single model.
    structure_problem : callable or None
        SMILES → what is wrong with it, None if nothing is; without it structures stay unchecked.
    single_ranking : callable or None
        Reads published singles for `pairs`; without it a screen of pairs is a problem.

    Returns
    -------
    Plan

    Raises
    ------
    VocabularyError
        With all names that the model doesn't know, in the grid and in the objective.
    EmptyGridError
        Nothing is left to screen.
    BudgetError
        The plan is larger than the campaign's budget.
    """
    findings = Findings()
    grid = collect_grid(spec, vocabulary, source, findings, structure_problem, single_ranking)
    genes = collect_objective(spec.objective, vocabulary, source, findings)
    collect_evidence(spec.evidence, vocabulary, source, findings)
    safety = collect_safety(spec.safety, grid.contexts, vocabulary, source, findings)
    findings.raise_problems()
    _check_budget(spec, checked_grid(grid, source), source, len(members) or 1)

    digest_of = control_set_digest if callable(control_set_digest) else _by_label(control_set_digest)
    inputs = PlanInputs(
        model_digest, panel_digest, sampler_version, _settings(spec.estimator), spec.holds_cells, spec.seed
    )
    control_sets = {context: digest_of(context) for context in grid.contexts}
    ordered = tuple(sorted(members, key=lambda member: member.digest))
    names = _Names(_models(inputs, ordered), control_sets)
    conditions = tuple(names.planned(condition, grid.support(condition)) for condition in grid.conditions())
    blocks = tuple(
        block
        for model in range(len(ordered) or 1)
        for condition in conditions
        for block in inputs.blocks(condition.keys[model], spec.estimator.shards)
    )
    objective, allocation = _objective(spec, genes), _allocation(spec, grid, len(members) or 1)
    return Plan(
        run_id=_run_id(blocks, objective, allocation),
        name=spec.name,
        inputs=inputs,
        shards=spec.estimator.shards,
        control_sets=control_sets,
        objective=objective,
        conditions=conditions,
        blocks=blocks,
        notices=tuple(findings.notices),
        members=ordered,
        allocation=allocation,
        safety=safety,
        left_out=tuple(findings.left_out),
    )


def ensemble_digest(members: Iterable[str]) -> str:
    """Name an ensemble by the digests of its members, in any order."""
    return digest({"members": sorted(members)})


def _models(inputs: PlanInputs, members: Sequence[PlannedMember]) -> tuple[PlanInputs, ...]:
    """Give the inputs of a screen with each model alone."""
    return tuple(inputs.of_member(member) for member in members) or (inputs,)


class _Names:
    """Names conditions; what those of a context or of a perturbation share is encoded once."""

    def __init__(self, models: Sequence[PlanInputs], control_sets: Mapping[Context, str]) -> None:
        self._in_context = {
            context: [inputs.keys_in(context, control_set) for inputs in models]
            for context, control_set in control_sets.items()
        }
        self._encoded: dict[Perturbation, bytes] = {}

    def planned(self, condition: Condition, support: Support) -> PlannedCondition:
        encoded = self._encoded.get(condition.perturbation)
        if encoded is None:
            encoded = self._encoded[condition.perturbation] = _identity_of(condition.perturbation)
        keys = tuple(shared.of(encoded) for shared in self._in_context[condition.context])
        if len(keys) == 1:
            return PlannedCondition(keys[0], condition, support=support)
        return PlannedCondition(digest({"members": keys}), condition, keys, support)


def _identity_of(perturbation: Perturbation) -> bytes:
    # The type is the model's knowledge of a name, and the model is in the key already.
    return canonical_json([part.identity for part in perturbation.parts])


@lru_cache(maxsize=4096, typed=True)  # 1, 1.0 and True are not the same text
def _shared_by_blocks(cells_per_shard: int, first_shard: int, n_shards: int, store_cells: bool) -> SharedDigest:
    """Give what the names of the same shards of all conditions share."""
    shards = {"cells_per_shard": cells_per_shard, "shards": [first_shard, n_shards], "store_cells": store_cells}
    return SharedDigest(shards, "condition")


def _conditions_as_json(conditions: Iterable[PlannedCondition]) -> Iterator[dict[str, Any]]:
    """Give conditions as plain data; those of a context or a perturbation share what says so, for memory's sake."""
    contexts: dict[Context, dict[str, str]] = {}
    perturbations: dict[Perturbation, dict[str, Any]] = {}
    for planned in conditions:
        context, perturbation = planned.condition.context, planned.condition.perturbation
        if context not in contexts:
            contexts[context] = context.as_dict()
        if perturbation not in perturbations:
            perturbations[perturbation] = perturbation.as_dict()
        entry = {
            "key": planned.key,
            "role": planned.role,
            "label": planned.label,
            "support": planned.support,
            "context": contexts[context],
            "perturbation": perturbations[perturbation],
        }
        yield entry | ({"member_keys": list(planned.member_keys)} if planned.member_keys else {})


def _blocks_as_json(blocks: Iterable[Block]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        yield {
            "id": block.id,
            "condition_key": block.condition_key,
            "first_shard": block.first_shard,
            "n_shards": block.n_shards,
        }


def _conditions_from_json(entries: Iterable[Mapping[str, Any]]) -> Iterator[PlannedCondition]:
    """Read what `_conditions_as_json` gave; equal contexts and perturbations become one object."""
    contexts: dict[Context, Context] = {}
    perturbations: dict[Perturbation, Perturbation] = {}
    for entry in entries:
        context, perturbation = Context.from_dict(entry["context"]), Perturbation.from_dict(entry["perturbation"])
        yield PlannedCondition(
            str(entry["key"]),
            Condition(contexts.setdefault(context, context), perturbations.setdefault(perturbation, perturbation)),
            tuple(map(str, entry.get("member_keys", ()))),
            FEATURES_ONLY if entry.get("support") == FEATURES_ONLY else IN_VOCABULARY,
        )


def _by_label(digests: Mapping[str, str]) -> Callable[[Context], str]:
    return lambda context: digests[context.label]


def _settings(estimator: EstimatorSpec) -> dict[str, Any]:
    # The number of shards isn't among them: more shards extend a condition, they don't change it.
    # A sampler's name isn't either: it stands for values that are here, and the same values are the same screen.
    settings: dict[str, Any] = {
        "kind": estimator.kind,
        "steps": estimator.steps,
        "schedule": estimator.schedule,
        "guidance": estimator.guidance,
        "depth_strata": estimator.depth_strata,
    }
    # Only where there is one: keys of conditions without a prior are those of before there were priors.
    return settings if estimator.prior == "none" else {**settings, "prior": estimator.prior}


def _objective(spec: ScreenSpec, genes: ObjectiveGenes | None) -> dict[str, Any]:
    return {**spec.objective.as_data(), "resolved": None if genes is None else genes.as_dict()}


def _allocation(spec: ScreenSpec, grid: Grid, models: int) -> dict[str, Any] | None:
    data, limit = spec.choice, _shard_budget(spec, grid, models).limit
    return data if data is None or limit is None else {**data, "budget_shards": limit}


def _shard_budget(spec: ScreenSpec, grid: Grid, models: int) -> ShardBudget:
    # A precision is promised to the null too.
    always_whole = len(grid.contexts) * (1 + (len(grid.null) if spec.estimator.precision is None else 0))
    return ShardBudget(spec, len(grid) - always_whole, always_whole, models)


def _run_id(blocks: Iterable[Block], objective: Mapping[str, Any], allocation: Mapping[str, Any] | None) -> str:
    shared = {"objective": _identity(objective)}
    # Only where there is one: screens that compute all of their blocks keep their names.
    shared |= {} if allocation is None else {"allocation": dict(allocation)}
    return SharedDigest(shared, "blocks").of_names(sorted(block.id for block in blocks))


def _identity(objective: Mapping[str, Any]) -> dict[str, Any]:
    """Say what is asked for; where a gene-set file lies and how genes are ordered is no part of it."""
    resolved = objective["resolved"]
    if resolved is None:
        return dict(objective)
    return {
        "kind": objective["kind"],
        "exclude_own_targets": objective["exclude_own_targets"],
        "up": sorted(resolved["up"]),
        "down": sorted(resolved["down"]),
    }


def _check_budget(spec: ScreenSpec, grid: Grid, source: Source, models: int) -> None:
    cells = len(grid) * models * spec.estimator.shards * spec.estimator.depth_strata
    times = f" x {models} members" if models > 1 else ""
    null = f" + {len(grid.null):,} pseudo-perturbations" if grid.null else ""
    sizes = f"{len(grid.contexts):,} contexts x ({len(grid.perturbations):,} perturbations{null} + control)"
    chooses, what = spec.choice is not None, f"{len(grid):,} conditions x shards x depth_strata{times}"
    passes = cells * spec.estimator.passes_per_cell
    problems = [
        problem
        for problem in (
            _over("conditions", len(grid), spec.budget.conditions, sizes, source),
            None if chooses else _over("cells", cells, spec.budget.cells, what, source),
            None if chooses else _over("passes", passes, spec.budget.passes, f"{what} x passes a cell", source),
        )
        if problem is not None
    ]
    problems += _shard_budget(spec, grid, models).problems(source) if chooses else []
    if problems:
        raise BudgetError(problems)


def _over(field: str, needed: int, limit: int | None, how: str, source: Source) -> Problem | None:
    if limit is None or needed <= limit:
        return None
    text = f"the plan has {needed:,} {field} ({how}), {needed - limit:,} more than the budget of {limit:,}"
    return source.where(("budget", field)).problem(f"{text}; screen less or raise the budget")


def _from_json(data: Mapping[str, Any]) -> Plan:
    blocks = tuple(
        Block(str(b["id"]), str(b["condition_key"]), int(b["first_shard"]), int(b["n_shards"])) for b in data["blocks"]
    )
    return Plan(
        run_id=_run_id(blocks, data["objective"], data.get("allocation")),
        name=str(data["name"]),
        inputs=PlanInputs(
            str(data["model_digest"]),
            str(data["panel_digest"]),
            str(data["sampler_version"]),
            dict(data["estimator"]),
            bool(data["store_cells"]),
            int(data["seed"]),
        ),
        shards=int(data["shards"]),
        control_sets={Context.from_dict(entry["context"]): str(entry["digest"]) for entry in data["control_sets"]},
        objective=dict(data["objective"]),
        conditions=tuple(_conditions_from_json(data["conditions"])),
        blocks=blocks,
        notices=tuple(map(str, data["notices"])),
        members=tuple(PlannedMember(str(m["name"]), str(m["digest"])) for m in data.get("members", ())),
        allocation=data.get("allocation"),
        safety=data.get("safety"),
        left_out=tuple(LeftOut(**each) for each in data.get("left_out", ())),
    )


def _names_fit(plan: Plan) -> bool:
    """Whether every key and every block's name is the digest of what it names."""
    inputs, names = plan.inputs, _Names(_models(plan.inputs, plan.members), plan.control_sets)
    model = not plan.members or inputs.model_digest == ensemble_digest(member.digest for member in plan.members)
    keys = all(planned == names.planned(planned.condition, planned.support) for planned in plan.conditions)
    blocks = all(block == inputs.block(block.condition_key, block.first_shard, block.n_shards) for block in plan.blocks)
    return model and keys and blocks
