"""The score stage over committed blocks that are made up: which rows there are, and what is kept for analyses."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from actors.ledger import Ledger
from campaigns.plan import Block
from screening.deciding.scoring import score
from screening.folding.aggregation import fold
from screening.planning.campaign import PlannedCampaign
from screening.running.wanted_blocks import AllBlocks


class Rung(AllBlocks):
    """Says of every condition that it came to the second rung."""

    def columns(self, key: str) -> Mapping[str, Any]:
        return {"allocation": "stopped at rung 2", "shards_drawn": 16}


@pytest.fixture
def ledger(
    planned: PlannedCampaign, made_up_block: Callable[[Block], bytes], fresh_ledger: Callable[[], Ledger]
) -> Ledger:
    filled = fresh_ledger()
    for block in planned.plan.blocks:
        filled.commit(block.id, made_up_block(block), replica="replica-0")
    return filled


def test_every_condition_is_a_row_and_its_effects_are_kept(planned: PlannedCampaign, ledger: Ledger) -> None:
    screen = score(planned, fold(planned.plan, ledger, {}))
    assert set(screen.hits["perturbation"]) == {"REG04", "REG05"}
    assert sorted(screen.effects.keys) == sorted(
        each.key for each in planned.plan.conditions if each.role == "perturbation"
    )
    assert (screen.null, screen.penalties) == (None, None)
    assert screen.combinations is not None
    assert screen.combinations.found() == []


def test_whoever_chose_the_blocks_has_a_say_in_the_rows(planned: PlannedCampaign, ledger: Ledger) -> None:
    plain = score(planned, fold(planned.plan, ledger, {})).hits
    chosen = score(planned, fold(planned.plan, ledger, {}), Rung(planned, ledger)).hits
    assert set(plain["allocation"]) == {None}
    assert set(chosen["allocation"]) == {"stopped at rung 2"}
    assert set(chosen["shards_drawn"]) == {16}
    assert chosen.drop("allocation", "shards_drawn").equals(plain.drop("allocation", "shards_drawn"), null_equal=True)
