"""Which blocks of a plan a run computes: all of them, or those that an allocation chooses on the way."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from actors.lazy_tasks import LazyTasks
from actors.ledger import Ledger
from actors.planner import More
from actors.snapshot import Snapshot
from actors.tasks import Task
from campaigns.plan import Block
from screening.allocating.allocated_blocks import AllocatedBlocks
from screening.folding.aggregation import CommittedBlocks
from screening.planning.campaign import PlannedCampaign


class WantedBlocks(Protocol):
    """The blocks of a screen, as a run needs to know them."""

    @property
    def asked(self) -> Sequence[Block]:
        """All blocks that are wanted so far."""
        ...

    def first_tasks(self) -> Sequence[Task]:
        """Return the tasks that a run begins with: what is wanted and not committed."""
        ...

    @property
    def more(self) -> More | None:
        """What says which tasks follow from results; None where none do."""
        ...

    def finish(self, ledger: CommittedBlocks) -> PlannedCampaign:
        """Return the campaign with the blocks that its table is made of, by what is committed in the end."""
        ...

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each block that decisions were made by, beside those of the table."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the manifest says of the choice; empty without one."""
        ...

    def describe(self) -> str:
        """Say in a line what has come of the choice; empty without one."""
        ...

    def columns(self, key: str) -> Mapping[str, Any]:
        """Return what the row of a condition says of the choice."""
        ...


class AllBlocks:
    """Every block of a plan that nobody has committed."""

    more = None
    digests: Mapping[str, str] = {}
    facts: Mapping[str, Any] = {}

    def __init__(self, planned: PlannedCampaign, ledger: Ledger) -> None:
        self._planned, self._ledger = planned, ledger

    @property
    def asked(self) -> Sequence[Block]:
        """All blocks of the plan."""
        return self._planned.plan.blocks

    def first_tasks(self) -> Sequence[Task]:
        """Return all tasks; payloads are made one by one."""
        return missing_tasks(self._planned, self._ledger)

    def finish(self, ledger: CommittedBlocks) -> PlannedCampaign:
        """Return the campaign as it is."""
        return self._planned

    def describe(self) -> str:
        """Nothing was chosen."""
        return ""

    def columns(self, key: str) -> Mapping[str, Any]:
        """Nothing was chosen."""
        return {}


def wanted_blocks(planned: PlannedCampaign, ledger: Ledger) -> WantedBlocks:
    """Return the blocks that a campaign wants, by its plan."""
    if planned.plan.allocation is None:
        return AllBlocks(planned, ledger)
    return AllocatedBlocks(planned, Snapshot(ledger))


def missing_tasks(planned: PlannedCampaign, ledger: Ledger) -> Sequence[Task]:
    """Return the blocks of the plan that nobody has committed yet, as tasks; payloads are made one by one."""
    plan, committed = planned.plan, ledger.committed()
    places = array("L", (place for place, block in enumerate(plan.blocks) if block.id not in committed))
    return LazyTasks(
        len(places),
        lambda number: plan.blocks[places[number]].id,
        lambda number: plan.payload(plan.blocks[places[number]]),
    )
