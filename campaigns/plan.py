"""The grid → a run: conditions with their keys, and the fixed blocks of work that are committed one by one.

Names are digests of content. A condition's key holds all that its result depends on, a block's name its condition
and its shards, so that

- the order of the campaign file changes nothing;
- more conditions or more shards leave the blocks that are done as they are;
- another model, seed or sampler never meets their results.

A block is never cut in another way: it is the unit of commit, whoever works on it and after however many attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from campaigns.conditions import Condition, Context
from campaigns.digests import canonical_json, digest
from campaigns.errors import BudgetError, PlanFileError, Problem, Where
from campaigns.findings import Findings
from campaigns.grid import Grid, checked_grid, collect_grid
from campaigns.objective_genes import ObjectiveGenes, collect_objective
from campaigns.screen_spec import EstimatorSpec, ScreenSpec
from campaigns.vocabulary import Vocabulary
from campaigns.yaml_source import NO_SOURCE, Source

FORMAT = 1
SHARDS_PER_BLOCK = 8

ControlSetDigest = Callable[[Context], str] | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlannedCondition:
    """A condition and its key.

    Parameters
    ----------
    key : str
        SHA-256 of all that the condition's result depends on, but for the number of shards.
    condition : Condition
    """

    key: str
    condition: Condition

    @property
    def role(self) -> str:
        """``control`` or ``perturbation``."""
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
        Digest of the model's weights.
    panel_digest : str
        Digest of the gene panel.
    sampler_version : str
        Version of the code that draws; another version may give other numbers.
    estimator : mapping
        kind, steps, schedule, guidance and depth_strata: the settings that change numbers.
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

    def condition_key(self, condition: Condition, control_set: str) -> str:
        """Name a condition by all that its result depends on."""
        return digest(
            {
                "context": condition.context.as_dict(),
                "control_set": control_set,
                "gene_panel": self.panel_digest,
                "model": self.model_digest,
                # The type is the model's knowledge of a name, and the model is in the key already.
                "perturbation": [[part.name, part.dose] for part in condition.perturbation.parts],
                "sampler": {"version": self.sampler_version, **self.estimator},
                "seed": self.seed,
            }
        )

    def block(self, condition_key: str, first_shard: int, n_shards: int) -> Block:
        """Name consecutive shards of a condition."""
        name = digest(
            {
                "cells_per_shard": self.estimator["depth_strata"],
                "condition": condition_key,
                "shards": [first_shard, n_shards],
                "store_cells": self.store_cells,
            }
        )
        return Block(name, condition_key, first_shard, n_shards)

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
        Context by context, the control first, sorted by label.
    blocks : tuple of Block
        In the order of the conditions.
    notices : tuple of str
        What the user ought to read.
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

    @property
    def n_cells(self) -> int:
        """Cells in all: conditions x shards x cells a shard."""
        return len(self.conditions) * self.shards * int(self.inputs.estimator["depth_strata"])

    @cached_property
    def _by_key(self) -> dict[str, Condition]:
        return {planned.key: planned.condition for planned in self.conditions}

    def condition(self, key: str) -> Condition:
        """Find a condition by its key.

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
            name and dose, empty for the control), ``shards`` (first, number), ``cells_per_shard``, ``estimator``,
            ``sampler_version``, ``store_cells``, ``seed``, ``model``, ``gene_panel``, ``control_set``.
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
                "model": self.inputs.model_digest,
                "gene_panel": self.inputs.panel_digest,
                "control_set": self.control_sets[condition.context],
            }
        )

    def as_json(self) -> dict[str, Any]:
        """Give the content of ``plan.json``."""
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
            "conditions": [
                {"key": planned.key, "role": planned.role, "label": planned.label, **planned.condition.as_dict()}
                for planned in self.conditions
            ],
            "blocks": [
                {"id": b.id, "condition_key": b.condition_key, "first_shard": b.first_shard, "n_shards": b.n_shards}
                for b in self.blocks
            ],
            "notices": list(self.notices),
        }

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
) -> Plan:
    """Plan a screen.

    Parameters
    ----------
    spec : ScreenSpec
    vocabulary : Vocabulary
        Of the model.
    model_digest, panel_digest : str
        Digests of the model's weights and of its gene panel.
    control_set_digest : callable or mapping
        Context → digest of its control cells; a mapping goes by the context's label.
    sampler_version : str
        Version of the code that draws.
    source : Source
        The file of the screen, for messages.

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
    grid = collect_grid(spec, vocabulary, source, findings)
    genes = collect_objective(spec.objective, vocabulary, source, findings)
    findings.raise_problems()
    _check_budget(spec, checked_grid(grid, source), source)

    digest_of = control_set_digest if callable(control_set_digest) else _by_label(control_set_digest)
    inputs = PlanInputs(
        model_digest, panel_digest, sampler_version, _settings(spec.estimator), spec.estimator.store_cells, spec.seed
    )
    control_sets = {context: digest_of(context) for context in grid.contexts}
    conditions = tuple(
        PlannedCondition(inputs.condition_key(condition, control_sets[condition.context]), condition)
        for condition in grid.conditions()
    )
    blocks = tuple(block for c in conditions for block in inputs.blocks(c.key, spec.estimator.shards))
    objective = _objective(spec, genes)
    return Plan(
        run_id=_run_id(blocks, objective),
        name=spec.name,
        inputs=inputs,
        shards=spec.estimator.shards,
        control_sets=control_sets,
        objective=objective,
        conditions=conditions,
        blocks=blocks,
        notices=tuple(findings.notices),
    )


def _by_label(digests: Mapping[str, str]) -> Callable[[Context], str]:
    return lambda context: digests[context.label]


def _settings(estimator: EstimatorSpec) -> dict[str, Any]:
    # The number of shards isn't among them: more shards extend a condition, they don't change it.
    return {
        "kind": estimator.kind,
        "steps": estimator.steps,
        "schedule": estimator.schedule,
        "guidance": estimator.guidance,
        "depth_strata": estimator.depth_strata,
    }


def _objective(spec: ScreenSpec, genes: ObjectiveGenes | None) -> dict[str, Any]:
    return {**spec.objective.as_data(), "resolved": None if genes is None else genes.as_dict()}


def _run_id(blocks: Iterable[Block], objective: Mapping[str, Any]) -> str:
    return digest({"blocks": sorted(block.id for block in blocks), "objective": _identity(objective)})


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


def _check_budget(spec: ScreenSpec, grid: Grid, source: Source) -> None:
    cells = len(grid) * spec.estimator.shards * spec.estimator.depth_strata
    sizes = f"{len(grid.contexts):,} contexts x ({len(grid.perturbations):,} perturbations + control)"
    problems = [
        problem
        for problem in (
            _over("conditions", len(grid), spec.budget.conditions, sizes, source),
            _over("cells", cells, spec.budget.cells, f"{len(grid):,} conditions x shards x depth_strata", source),
        )
        if problem is not None
    ]
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
        run_id=_run_id(blocks, data["objective"]),
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
        conditions=tuple(PlannedCondition(str(c["key"]), Condition.from_dict(c)) for c in data["conditions"]),
        blocks=blocks,
        notices=tuple(map(str, data["notices"])),
    )


def _names_fit(plan: Plan) -> bool:
    """Whether every key and every block's name is the digest of what it names."""
    inputs = plan.inputs
    keys = all(
        planned.key == inputs.condition_key(planned.condition, plan.control_sets[planned.condition.context])
        for planned in plan.conditions
    )
    return keys and all(
        block == inputs.block(block.condition_key, block.first_shard, block.n_shards) for block in plan.blocks
    )
