"""A plan as a grid: contexts × perturbations × doses, what each rests on, what is refused, what is there already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from campaigns.conditions import FEATURES_ONLY, Context
from campaigns.findings import LeftOut
from campaigns.plan import PlannedCondition
from screening.planning.block_rates import BlockRates, Expectation, expect
from screening.planning.campaign import PlannedCampaign
from screening.planning.gates import NOT_MEASURED
from screening.watching.status import CampaignStatus, campaign_status, committed_blocks

SUPPORTS = ("seen", "elsewhere", "parts", "features_only")


@dataclass(frozen=True)
class ContextRow:
    """A context of the grid.

    Parameters
    ----------
    context, gate
        Its label, and what the model card says of it.
    control_cells
        Of the training data.
    conditions
        Controls and pseudo-perturbations included.
    seen, elsewhere, parts, features_only
        Perturbations (at each dose) with training cells here; in other contexts only; of which only the parts were
        seen; of which a part, or the context, was never seen.
    blocks, there
        Blocks at most, and those that the store has.
    cells, passes
        Cells to be drawn at most, and passes of the model for them (0 for a baseline).
    """

    context: str
    gate: str
    control_cells: int
    conditions: int
    seen: int
    elsewhere: int
    parts: int
    features_only: int
    blocks: int
    there: int
    cells: int
    passes: int


@dataclass(frozen=True)
class TypeRow:
    """Perturbations of a type: names, doses (0 where there are none), both together, and how many by features only."""

    type: str
    names: int
    doses: int
    perturbations: int
    features_only: int


@dataclass(frozen=True)
class PlanView:
    """The grid of a plan, and what it is expected to take; `expectation` is None where nothing was measured."""

    contexts: tuple[ContextRow, ...]
    types: tuple[TypeRow, ...]
    left_out: tuple[LeftOut, ...]
    status: CampaignStatus
    expectation: Expectation | None
    null: int
    """Pseudo-perturbations in each context."""

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the contexts."""
        names = ("conditions", *SUPPORTS, "blocks", "there", "cells", "passes")
        return {name: sum(getattr(row, name) for row in self.contexts) for name in names}

    def as_json(self) -> dict[str, Any]:
        """Give plain data: what `lingshu plan --json` adds to the plan."""
        return {
            "grid": {
                "contexts": [asdict(row) for row in self.contexts],
                "types": [asdict(row) for row in self.types],
                "pseudo_perturbations": self.null,
                "totals": self.totals,
            },
            "refused": [asdict(each) for each in self.left_out],
            "status": {"blocks": self.status.blocks, "committed": self.status.committed},
            "expected": None if self.expectation is None else self.expectation.as_json(),
        }


def view_plan(planned: PlannedCampaign, rates: BlockRates | None) -> PlanView:
    """Sum up a plan.

    Parameters
    ----------
    planned
        The campaign.
    rates
        How long blocks take, if anything is known of it.

    Raises
    ------
    StoreError
        If the store can't be reached.
    """
    status, committed = campaign_status(planned), committed_blocks(planned)
    missing = (status.blocks - status.committed, len(planned.plan.blocks) - len(committed))
    return PlanView(
        contexts=tuple(_contexts(planned, committed)),
        types=tuple(_types(planned)),
        left_out=planned.plan.left_out,
        status=status,
        expectation=None if rates is None else expect(planned, rates, missing),
        null=len({each.condition.perturbation for each in planned.plan.conditions if each.role == "null"}),
    )


def _contexts(planned: PlannedCampaign, committed: frozenset[str]) -> Iterable[ContextRow]:
    plan, estimator = planned.plan, planned.campaign.spec.estimator
    there = Counter(block.condition_key for block in plan.blocks if block.id in committed)
    blocks = Counter(block.condition_key for block in plan.blocks)
    by_context: dict[Context, list[PlannedCondition]] = {}
    for each in plan.conditions:
        by_context.setdefault(each.condition.context, []).append(each)
    passes = planned.campaign.passes_per_cell
    for context, conditions in by_context.items():
        cells = len(conditions) * plan.n_models * plan.shards * estimator.depth_strata
        keys = [key for each in conditions for key in each.keys]
        supports = _supports(planned, context, conditions)
        yield ContextRow(
            context=context.label,
            gate=planned.gates.of_context(context),
            control_cells=_control_cells(planned, context),
            conditions=len(conditions),
            **{name: supports[name] for name in SUPPORTS},
            blocks=sum(blocks[key] for key in keys),
            there=sum(there[key] for key in keys),
            cells=cells,
            passes=cells * passes,
        )


def _control_cells(planned: PlannedCampaign, context: Context) -> int:
    seen = planned.campaign.model.vocabulary.contexts
    return sum(each.control_cells for each in seen if set(context.factors) <= set(each.factors.items()))


def _supports(planned: PlannedCampaign, context: Context, conditions: Sequence[PlannedCondition]) -> Counter[str]:
    """Count the perturbations of a context by what their predictions rest on."""
    vocabulary = planned.campaign.model.vocabulary
    here: Counter[str] = Counter()
    for seen in vocabulary.contexts:
        if set(context.factors) <= set(seen.factors.items()):
            here.update(seen.perturbed_cells)
    return Counter(_support(each, here, vocabulary.perturbations) for each in conditions if each.role == "perturbation")


def _support(planned: PlannedCondition, here: Mapping[str, int], seen: Mapping[str, object]) -> str:
    if planned.support == FEATURES_ONLY:
        return "features_only"
    label = "+".join(part.name for part in planned.condition.perturbation.parts)
    if here.get(label, 0):
        return "seen"
    return "elsewhere" if label in seen else "parts"


def _types(planned: PlannedCampaign) -> Iterable[TypeRow]:
    conditions = planned.plan.conditions
    first = conditions[0].condition.context  # every context has the same perturbations
    chosen = [each for each in conditions if each.role == "perturbation" and each.condition.context == first]
    known = set(planned.campaign.model.vocabulary.parts)
    for kind in dict.fromkeys(each.condition.perturbation.type for each in chosen):
        own = [each.condition.perturbation for each in chosen if each.condition.perturbation.type == kind]
        names = {tuple(part.name for part in each.parts) for each in own}
        doses = {part.dose for each in own for part in each.parts if part.dose is not None}
        described = sum(not {part.name for part in each.parts} <= known for each in own)
        yield TypeRow(kind, len(names), len(doses), len(own), described)


def gates_measured(rows: Iterable[ContextRow]) -> bool:
    """Tell whether the model card says anything of the contexts."""
    return any(row.gate != NOT_MEASURED for row in rows)
