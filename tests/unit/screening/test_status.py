from collections.abc import Callable

from actors.ledger import Ledger
from campaigns.plan import Block
from screening.campaign import PlannedCampaign
from screening.status import campaign_status


def test_nothing_is_committed_at_first(planned: PlannedCampaign) -> None:
    status = campaign_status(planned)
    assert (status.blocks, status.committed, status.conditions, status.complete_conditions) == (6, 0, 3, 0)
    assert not status.done
    assert status.output == planned.campaign.spec.output


def test_a_condition_is_complete_with_its_last_block(
    planned: PlannedCampaign, folder_ledger: Ledger, made_up_block: Callable[[Block], bytes]
) -> None:
    seen = []
    for block in planned.plan.blocks:
        folder_ledger.commit(block.id, made_up_block(block), replica="replica-0")
        status = campaign_status(planned)
        seen.append((status.committed, status.complete_conditions, status.done))
    assert seen == [(1, 0, False), (2, 1, False), (3, 1, False), (4, 2, False), (5, 2, False), (6, 3, True)]


def test_blocks_of_other_runs_do_not_count(planned: PlannedCampaign, folder_ledger: Ledger) -> None:
    folder_ledger.commit("ab" * 32, b"of another run", replica="replica-0")
    assert campaign_status(planned).committed == 0
