"""The fold: committed blocks → moments of every condition, beside the control of its context.

The ledger is the only source. The order of the plan decides the order of the fold, and shards are merged by
number, so any order of commits, any number of replicas and any interruption give the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from campaigns.conditions import Context
from campaigns.plan import Block, Plan, PlannedCondition
from lingshu_core.state_space import StateSpace
from screening.folding.drawn_cells import placed_cells
from screening.folding.effects import Moments, merge_blocks, pool_members
from screening.running.store import BlockResult, decode_block


class CommittedBlocks(Protocol):
    """What the fold needs of a ledger."""

    def committed(self) -> frozenset[str]:
        """Return the ids of all committed blocks."""
        ...

    def read(self, task_id: str) -> bytes:
        """Return the bytes of a committed block, checked against its record."""
        ...


@dataclass(frozen=True)
class Folded:
    """One condition after the fold: its moments and its control's, or the reason why there are none.

    In an ensemble ``moments`` and ``control`` are means over its members
    (:func:`screening.folding.effects.pool_members`), and ``members`` has the condition and the control of each; for a
    single model it is empty.
    """

    planned: PlannedCondition
    moments: Moments | None
    control: Moments | None
    reason: str = ""
    members: tuple[tuple[Moments, Moments], ...] = ()


NOT_COMPUTED = "not computed yet"
NO_SPACES: Mapping[Context, StateSpace] = MappingProxyType({})


def fold(
    plan: Plan,
    ledger: CommittedBlocks,
    failures: Mapping[str, str],
    missing: str = NOT_COMPUTED,
    spaces: Mapping[Context, StateSpace] = NO_SPACES,
) -> Iterator[Folded]:
    """Yield every condition of the plan but the controls, context by context.

    Parameters
    ----------
    plan
        What was to be computed.
    ledger
        What is committed.
    failures
        Reasons of blocks that were set aside.
    missing
        Why all others are not committed that are not.
    spaces
        Where drawn cells are placed, by context, for an objective that asks for them.

    Yields
    ------
    One :class:`Folded` for each perturbation; only one condition and one control are in memory at a time. A condition
    that one member of an ensemble lacks has failed: a mean over fewer members would be another ensemble's.
    """
    committed = ledger.committed()
    blocks = blocks_by_condition(plan)
    controls: dict[Context, dict[_Span, _Models]] = {}
    own: list[list[Block]] = []  # of the control of the context
    for planned in plan.conditions:
        context = planned.condition.context
        mine = [blocks[key] for key in planned.keys]
        space = spaces.get(context)
        if planned.role == "control":
            controls, own = {context: {}}, mine
            continue
        found, span = _models(plan, mine, ledger, committed, failures, missing, space), _span(mine[0])
        there = controls[context]
        if span not in there:
            if len(there) == CONTROLS_KEPT:
                del there[next(iter(there))]
            within = [[block for block in each if _lies_in(block, span)] for each in own]
            there[span] = _models(plan, within, ledger, committed, failures, missing, space)
        yield _folded(planned, found, there[span])


CONTROLS_KEPT = 8
"""Stretches of a context's control in memory: conditions differ in their shards where an allocation chooses."""

_Span = tuple[int, int]


def _span(blocks: list[Block]) -> _Span:
    """Return the first shard of some blocks, and the one behind the last."""
    last = blocks[-1]
    return blocks[0].first_shard, last.first_shard + last.n_shards


def _lies_in(block: Block, span: _Span) -> bool:
    return span[0] <= block.first_shard < span[1]


@dataclass(frozen=True)
class _Models:
    """Moments of one condition with every model, and their mean; or the reason why there are none."""

    each: tuple[Moments, ...] = ()
    pooled: Moments | None = None
    reason: str = ""


def _folded(planned: PlannedCondition, found: _Models, control: _Models) -> Folded:
    if found.pooled is None:
        return Folded(planned, None, None, found.reason)
    if control.pooled is None:
        return Folded(planned, None, None, f"control of the context: {control.reason}")
    pairs = tuple(zip(found.each, control.each, strict=True))
    return Folded(planned, found.pooled, control.pooled, "", pairs if len(pairs) > 1 else ())


def blocks_by_condition(plan: Plan) -> dict[str, list[Block]]:
    """Group the blocks of a plan by the key of their condition."""
    grouped: dict[str, list[Block]] = {}
    for block in plan.blocks:
        grouped.setdefault(block.condition_key, []).append(block)
    return grouped


def read_blocks(blocks: list[Block], ledger: CommittedBlocks) -> list[BlockResult]:
    """Read and decode committed blocks."""
    return [decode_block(ledger.read(block.id)) for block in blocks]


def _models(
    plan: Plan,
    blocks: list[list[Block]],
    ledger: CommittedBlocks,
    committed: frozenset[str],
    failures: Mapping[str, str],
    why: str,
    space: StateSpace | None,
) -> _Models:
    """Read one condition with every model; ``blocks`` has a list for each."""
    names = [f"member {member.name}: " for member in plan.members] or [""]
    missing = [(name, block.id) for name, own in zip(names, blocks, strict=True) for block in own]
    missing = [(name, block) for name, block in missing if block not in committed]
    if missing:
        reasons = [f"{name}{failures[block]}" for name, block in missing if block in failures]
        return _Models(reason=reasons[0] if reasons else f"{missing[0][0]}{why}")
    each = tuple(merged_moments(read_blocks(own, ledger), space, own[0].first_shard) for own in blocks)
    return _Models(each, pool_members(each))


def merged_moments(blocks: list[BlockResult], space: StateSpace | None, first_shard: int = 0) -> Moments:
    """Join the blocks of a condition, with their drawn cells where these are compared with real ones.

    ``first_shard`` as in :func:`screening.folding.effects.merge_blocks`.
    """
    moments = merge_blocks(blocks, first_shard)
    return moments if space is None else replace(moments, placed=placed_cells(blocks, space))
