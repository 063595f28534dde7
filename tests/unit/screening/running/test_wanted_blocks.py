from collections.abc import Callable
from pathlib import Path

from actors.ledger import Ledger
from screening.allocating.allocated_blocks import AllocatedBlocks
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.running.wanted_blocks import AllBlocks, missing_tasks, wanted_blocks


def test_only_what_nobody_committed_is_a_task(
    planned: PlannedCampaign, made_up_block: Callable[..., bytes], fresh_ledger: Callable[[], Ledger]
) -> None:
    ledger = fresh_ledger()
    assert [task.id for task in missing_tasks(planned, ledger)] == [block.id for block in planned.plan.blocks]
    first = planned.plan.blocks[0]
    ledger.commit(first.id, made_up_block(first), replica="replica-0")
    missing = missing_tasks(planned, ledger)
    assert [task.id for task in missing] == [block.id for block in planned.plan.blocks[1:]]
    assert missing[0].payload == planned.plan.payload(planned.plan.blocks[1])


def test_without_an_allocation_all_blocks_are_wanted_and_nothing_is_said(
    planned: PlannedCampaign, fresh_ledger: Callable[[], Ledger]
) -> None:
    blocks = wanted_blocks(planned, fresh_ledger())
    assert isinstance(blocks, AllBlocks)
    assert list(blocks.asked) == list(planned.plan.blocks)
    assert len(blocks.first_tasks()) == len(planned.plan.blocks)
    assert blocks.finish(fresh_ledger()) is planned
    assert (blocks.more, blocks.describe(), dict(blocks.facts), dict(blocks.digests)) == (None, "", {}, {})
    assert dict(blocks.columns(planned.plan.conditions[1].key)) == {}


def test_an_allocation_wants_the_first_rung_of_all(
    write_screen: Callable[..., Path], fresh_ledger: Callable[[], Ledger]
) -> None:
    path = write_screen(
        contexts={"cell_type": "type_1"},
        estimator={"shards": 32, "depth_strata": 2, "steps": 2},
        allocation={"kind": "halving", "top": 2, "first": 8, "factor": 2},
    )
    planned = plan_campaign(load_campaign(path))
    blocks = wanted_blocks(planned, fresh_ledger())
    assert isinstance(blocks, AllocatedBlocks)
    assert len(blocks.first_tasks()) == len(planned.plan.conditions)  # a block of eight shards each
    assert blocks.more is not None
