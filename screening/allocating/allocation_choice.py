"""The allocation that a plan asks for, made ready."""

from __future__ import annotations

from typing import Any

from campaigns.errors import PlanError
from campaigns.plan import SHARDS_PER_BLOCK, Plan
from campaigns.screen_spec import PRECISION
from campaigns.yaml_source import NO_SOURCE, Source
from screening.allocating.allocation import Allocation
from screening.allocating.certified import Certified, least_shards
from screening.allocating.halving import Halving, build_ladder
from screening.allocating.precision import Precision


def open_allocation(plan: Plan, conditions: int) -> Allocation:
    """Make the allocation of a plan that has one, for so many conditions that it decides on."""
    asked: dict[str, Any] = dict(plan.allocation or {})
    first, most, budget = asked["first"], plan.shards, asked.get("budget_shards")
    if asked["kind"] == PRECISION:
        return Precision(
            conditions, precision=asked["precision"], first=first, most=most, unit=SHARDS_PER_BLOCK, budget=budget
        )
    top = asked["top"]
    if asked["kind"] == "halving":
        ladder = build_ladder(conditions, top, first, most, asked["factor"], budget)
        return Halving(conditions, ladder, plan.inputs.seed)
    return Certified(
        conditions,
        top=top,
        epsilon=asked["epsilon"],
        delta=asked["delta"],
        first=first,
        most=most,
        unit=SHARDS_PER_BLOCK,
        budget=budget,
    )


def chooses_by_score(plan: Plan) -> bool:
    """Tell whether a plan gives more shards to some conditions because of their scores.

    A precision does not: it goes by the scatter of shards.
    """
    return plan.allocation is not None and plan.allocation["kind"] != PRECISION


def check_allocation(plan: Plan, source: Source = NO_SOURCE) -> None:
    """Refuse a certificate that takes more shards than a condition or the budget may have.

    Raises
    ------
    PlanError
        With the numbers.
    """
    asked: dict[str, Any] = dict(plan.allocation or {"kind": "uniform"})
    if asked["kind"] != "certified":
        return
    conditions = sum(planned.role == "perturbation" for planned in plan.conditions)
    least = least_shards(
        conditions, first=asked["first"], most=plan.shards, delta=asked["delta"], unit=SHARDS_PER_BLOCK
    )
    budget = asked.get("budget_shards")
    over_budget = budget is not None and conditions * least > budget
    if least <= plan.shards and not over_budget:
        return
    why = f"the budget leaves {budget:,} for all" if over_budget else f"estimator.shards is {plan.shards}"
    text = (
        f"a certificate over {conditions:,} conditions with delta {asked['delta']:g} takes at least {least} shards of"
        f" each, and {why}: raise it, screen less, or take kind: halving"
    )
    raise PlanError([source.where(("allocation", "kind")).problem(text)])
