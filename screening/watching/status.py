"""How far a campaign is, told from the store alone."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from actors.blobs import open_blobs
from actors.history import History
from actors.ledger import Ledger
from actors.snapshot import Snapshot
from actors.watch import Sighting, Watch
from screening.allocating.allocated_blocks import AllocatedBlocks
from screening.planning.campaign import PlannedCampaign
from screening.publishing.publication import ledger_url, local_path


@dataclass(frozen=True)
class CampaignStatus:
    """Blocks of a plan and how many of them the store has."""

    blocks: int
    committed: int
    conditions: int
    complete_conditions: int
    output: str

    @property
    def done(self) -> bool:
        """Whether nothing is left to compute."""
        return self.committed == self.blocks


def campaign_status(planned: PlannedCampaign) -> CampaignStatus:
    """Count committed blocks and complete conditions.

    Raises
    ------
    StoreError
        If the output can't be reached.
    """
    output = planned.campaign.spec.output
    url = ledger_url(output, planned.campaign.spec.cache)
    if planned.plan.allocation is not None:
        return _of_allocated(planned, url)
    committed = _committed(url)
    missing = {block.condition_key for block in planned.plan.blocks if block.id not in committed}
    incomplete = sum(not missing.isdisjoint(condition.keys) for condition in planned.plan.conditions)
    done = sum(block.id in committed for block in planned.plan.blocks)
    conditions = len(planned.plan.conditions)
    return CampaignStatus(len(planned.plan.blocks), done, conditions, conditions - incomplete, output)


def committed_blocks(planned: PlannedCampaign) -> frozenset[str]:
    """Return the blocks of a plan that the store has, whoever computed them; errors as above."""
    committed = _committed(ledger_url(planned.campaign.spec.output, planned.campaign.spec.cache))
    return frozenset(block.id for block in planned.plan.blocks if block.id in committed)


def run_in(output: str) -> Sighting | None:
    """Look once who holds a place of results; asking does not make a folder that isn't there.

    Raises
    ------
    StoreError
        If it can't be reached, or its `HEAD` can't be read.
    """
    path = local_path(output)
    if path is not None and not path.is_dir():
        return None
    return Watch(History(open_blobs(output), patience_seconds=0)).look()


def _of_allocated(planned: PlannedCampaign, url: str) -> CampaignStatus:
    """Replay the decisions that what is committed allows: blocks are those that are wanted by now."""
    there = bool(_committed(url))
    ledger = Snapshot(Ledger(open_blobs(url if there else f"memory://{uuid.uuid4().hex}"), patience_seconds=0))
    allocated = AllocatedBlocks(planned, ledger)
    missing = {block.condition_key for block in allocated.next()}
    asked, committed = allocated.asked, ledger.committed()
    incomplete = sum(not missing.isdisjoint(condition.keys) for condition in planned.plan.conditions)
    done, conditions = sum(block.id in committed for block in asked), len(planned.plan.conditions)
    return CampaignStatus(len(asked), done, conditions, conditions - incomplete, planned.campaign.spec.output)


def _committed(url: str) -> frozenset[str]:
    """Return what is committed in a ledger; asking does not make a folder that isn't there."""
    path = local_path(url)
    if path is not None and not path.is_dir():
        return frozenset()
    return Ledger(open_blobs(url), patience_seconds=0).committed()
