import math
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ledger import Ledger
from campaigns.plan import Block
from screening.deciding.scoring import score
from screening.errors import BlockError
from screening.folding.aggregation import Folded, blocks_by_condition, fold, read_blocks
from screening.planning.campaign import PlannedCampaign
from screening.running.store import BlockResult, encode_block

MakeBlock = Callable[[Block], bytes]
MakeLedger = Callable[[], Ledger]


def folded(planned: PlannedCampaign, ledger: Ledger, failures: dict[str, str] | None = None) -> dict[str, Folded]:
    return {each.planned.condition.perturbation.label: each for each in fold(planned.plan, ledger, failures or {})}


def block_of(planned: PlannedCampaign, label: str, number: int = 0) -> Block:
    keys = {each.condition.perturbation.label: each.key for each in planned.plan.conditions}
    return blocks_by_condition(planned.plan)[keys[label]][number]


@pytest.fixture
def full(planned: PlannedCampaign, made_up_block: MakeBlock, fresh_ledger: MakeLedger) -> Ledger:
    ledger = fresh_ledger()
    for block in planned.plan.blocks:
        ledger.commit(block.id, made_up_block(block), replica="replica-0")
    return ledger


def without(planned: PlannedCampaign, make: MakeBlock, ledger: Ledger, missing: Block) -> Ledger:
    for block in planned.plan.blocks:
        if block != missing:
            ledger.commit(block.id, make(block), replica="replica-0")
    return ledger


def test_every_perturbation_comes_with_the_control_of_its_context(
    planned: PlannedCampaign, full: Ledger, made_up_block: MakeBlock
) -> None:
    found = folded(planned, full)
    assert list(found) == ["REG04", "REG05"]
    controls = read_blocks([block_of(planned, "control", 0), block_of(planned, "control", 1)], full)
    expected = np.concatenate([each.log1p_mean for each in controls])
    for each in found.values():
        assert each.moments is not None
        assert each.control is not None
        assert each.reason == ""
        np.testing.assert_array_equal(each.control.log1p, expected)
        assert each.moments.log1p.shape == (16, 40)
        assert each.moments.cells == 64


def test_blocks_are_grouped_whole(planned: PlannedCampaign) -> None:
    grouped = blocks_by_condition(planned.plan)
    assert [len(blocks) for blocks in grouped.values()] == [2, 2, 2]
    assert set(grouped) == {each.key for each in planned.plan.conditions}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), repeated=st.lists(st.integers(0, 5), max_size=8))
def test_any_order_of_commits_with_repetitions_gives_the_same_hit_table(
    planned: PlannedCampaign,
    full: Ledger,
    made_up_block: MakeBlock,
    fresh_ledger: MakeLedger,
    order: list[int],
    repeated: list[int],
) -> None:
    ledger = fresh_ledger()
    for place, number in enumerate([*repeated[:4], *order, *repeated[4:]]):
        block = planned.plan.blocks[number]
        ledger.commit(block.id, made_up_block(block), replica=f"replica-{place}")
    calm = score(planned, fold(planned.plan, full, {}))
    found = score(planned, fold(planned.plan, ledger, {}))
    assert found.hits.equals(calm.hits, null_equal=True)
    assert found.effects.keys == calm.effects.keys
    assert math.isfinite(found.hits["score"].sum())


def test_blocks_of_other_runs_in_the_same_ledger_change_nothing(
    planned: PlannedCampaign, full: Ledger, made_up_block: MakeBlock
) -> None:
    before = score(planned, fold(planned.plan, full, {})).hits
    full.commit("ab" * 32, made_up_block(planned.plan.blocks[0]), replica="replica-9")
    after = score(planned, fold(planned.plan, full, {})).hits
    assert after.equals(before, null_equal=True)


def test_a_condition_with_a_missing_block_failed_alone(
    planned: PlannedCampaign, made_up_block: MakeBlock, fresh_ledger: MakeLedger
) -> None:
    missing = block_of(planned, "REG05", 1)
    found = folded(planned, without(planned, made_up_block, fresh_ledger(), missing), {missing.id: "it broke"})
    assert (found["REG05"].moments, found["REG05"].control, found["REG05"].reason) == (None, None, "it broke")
    assert found["REG04"].moments is not None


def test_a_block_that_nobody_tried_is_not_computed_yet(
    planned: PlannedCampaign, made_up_block: MakeBlock, fresh_ledger: MakeLedger
) -> None:
    missing = block_of(planned, "REG04")
    found = folded(planned, without(planned, made_up_block, fresh_ledger(), missing))
    assert found["REG04"].reason == "not computed yet"


def test_without_its_control_a_context_has_no_results(
    planned: PlannedCampaign, made_up_block: MakeBlock, fresh_ledger: MakeLedger
) -> None:
    missing = block_of(planned, "control")
    ledger = without(planned, made_up_block, fresh_ledger(), missing)
    found = folded(planned, ledger, {missing.id: "the model gave NaN"})
    assert {each.reason for each in found.values()} == {"control of the context: the model gave NaN"}
    screen = score(planned, fold(planned.plan, ledger, {missing.id: "the model gave NaN"}))
    table = screen.hits
    assert table["status"].to_list() == ["failed", "failed"]
    assert screen.effects.keys == []
    assert table.filter(pl.col("rank").is_not_null()).is_empty()


def test_a_committed_block_of_other_shards_is_refused(
    planned: PlannedCampaign, made_up_block: MakeBlock, fresh_ledger: MakeLedger
) -> None:
    wrong = block_of(planned, "REG04", 1)
    ledger = without(planned, made_up_block, fresh_ledger(), wrong)
    zeros = np.zeros((8, 40), dtype=np.float32)
    ledger.commit(wrong.id, encode_block(BlockResult(0, 4, zeros, zeros, zeros[0], zeros[0])), replica="replica-0")
    with pytest.raises(BlockError, match="missing or doubled"):
        folded(planned, ledger)
