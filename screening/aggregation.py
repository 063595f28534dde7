"""The fold: committed blocks → moments of every condition, beside the control of its context.

The ledger is the only source. The order of the plan decides the order of the fold, and shards are merged by
number, so any order of commits, any number of replicas and any interruption give the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from campaigns.conditions import Context
from campaigns.plan import Block, Plan, PlannedCondition
from screening.effects import Moments, merge_blocks
from screening.store import BlockResult, decode_block


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
    """One condition after the fold: its moments and its control's, or the reason why there are none."""

    planned: PlannedCondition
    moments: Moments | None
    control: Moments | None
    reason: str = ""


def fold(plan: Plan, ledger: CommittedBlocks, failures: Mapping[str, str]) -> Iterator[Folded]:
    """Yield every condition of the plan but the controls, context by context.

    Parameters
    ----------
    plan
        What was to be computed.
    ledger
        What is committed.
    failures
        Reasons of blocks that were set aside.

    Yields
    ------
    One :class:`Folded` for each perturbation; only one condition and one control are in memory at a time.
    """
    committed = ledger.committed()
    blocks = blocks_by_condition(plan)
    controls: dict[Context, tuple[Moments | None, str]] = {}
    for planned in plan.conditions:
        context = planned.condition.context
        if planned.role == "control":
            controls = {context: _moments(blocks[planned.key], ledger, committed, failures)}
            continue
        control, control_reason = controls[context]
        moments, reason = _moments(blocks[planned.key], ledger, committed, failures)
        if moments is not None and control is None:
            reason = f"control of the context: {control_reason}"
        complete = moments is not None and control is not None
        yield Folded(planned, moments if complete else None, control if complete else None, reason)


def blocks_by_condition(plan: Plan) -> dict[str, list[Block]]:
    """Group the blocks of a plan by the key of their condition."""
    grouped: dict[str, list[Block]] = {}
    for block in plan.blocks:
        grouped.setdefault(block.condition_key, []).append(block)
    return grouped


def read_blocks(blocks: list[Block], ledger: CommittedBlocks) -> list[BlockResult]:
    """Read and decode committed blocks."""
    return [decode_block(ledger.read(block.id)) for block in blocks]


def _moments(
    blocks: list[Block], ledger: CommittedBlocks, committed: frozenset[str], failures: Mapping[str, str]
) -> tuple[Moments | None, str]:
    missing = [block for block in blocks if block.id not in committed]
    if missing:
        reasons = [failures[block.id] for block in missing if block.id in failures]
        return None, reasons[0] if reasons else "not computed yet"
    return merge_blocks(read_blocks(blocks, ledger)), ""
