import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.errors import StoreUnavailable
from actors.ledger import Ledger
from campaigns.plan import Block
from screening.deciding.scoring import score
from screening.folding.aggregation import fold
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.running.wanted_blocks import AllBlocks, wanted_blocks
from screening.watching import preliminary_ranking
from screening.watching.preliminary_ranking import (
    AllocatedRanking,
    NoRanking,
    PreliminaryRanking,
    open_ranking,
)
from screening.watching.run_news import Leading

MakeBlock = Callable[[Block], bytes]
Commit = Callable[..., None]


@pytest.fixture
def ledger(fresh_ledger: Callable[[], Ledger]) -> Ledger:
    return fresh_ledger()


@pytest.fixture
def commit(planned: PlannedCampaign, ledger: Ledger, made_up_block: MakeBlock) -> Commit:
    """Commit the blocks of the first conditions of the plan: `commit(2)`; the control is the first."""

    def put(conditions: int, but: int = 0) -> None:
        keys = [key for each in planned.plan.conditions[:conditions] for key in each.keys]
        blocks = [block for block in planned.plan.blocks if block.condition_key in keys]
        for block in blocks[: len(blocks) - but]:
            ledger.commit(block.id, made_up_block(block), replica="r")

    return put


def seen(ranking: PreliminaryRanking | AllocatedRanking) -> Leading:
    assert ranking.latest is not None
    return ranking.latest


def test_a_condition_counts_once_it_and_its_control_are_complete(
    planned: PlannedCampaign, ledger: Ledger, commit: Commit
) -> None:
    ranking = PreliminaryRanking(planned, ledger)
    commit(2, but=1)
    ranking.look()
    assert (seen(ranking).scored, seen(ranking).leaders, seen(ranking).conditions) == (0, (), 2)
    commit(2)
    ranking.look()
    assert [leader.perturbation for leader in seen(ranking).leaders] == ["REG04"]
    commit(3)
    ranking.look()
    assert {leader.perturbation for leader in seen(ranking).leaders} == {"REG04", "REG05"}


def test_scores_are_those_that_the_table_will_have(planned: PlannedCampaign, ledger: Ledger, commit: Commit) -> None:
    commit(3)
    ranking = PreliminaryRanking(planned, ledger)
    ranking.look()
    hits = score(planned, fold(planned.plan, ledger, {})).hits
    told = [(leader.perturbation, leader.score, leader.score_se) for leader in seen(ranking).leaders]
    assert told == list(hits.select("perturbation", "score", "score_se").iter_rows())
    assert seen(ranking).unit == "control standard deviations"


def test_a_block_is_read_once_and_a_control_once_a_look(
    planned: PlannedCampaign, ledger: Ledger, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = Ledger.record
    monkeypatch.setattr(Ledger, "record", lambda self, task: (read.append(task), real(self, task))[1])
    ranking = PreliminaryRanking(planned, ledger)
    commit(2)
    ranking.look()
    commit(3)
    ranking.look()
    blocks = len(planned.plan.blocks) // 3
    assert len(read) == 4 * blocks
    ranking.look()
    assert len(read) == 4 * blocks


def test_a_look_ends_in_time_and_the_next_one_goes_on(planned: PlannedCampaign, ledger: Ledger, commit: Commit) -> None:
    commit(3)
    ticks = iter(range(0, 10_000, 100))
    ranking = PreliminaryRanking(planned, ledger, lambda: float(next(ticks)))
    ranking.look()
    assert seen(ranking).scored == 1
    ranking.look()
    assert seen(ranking).scored == 2


def test_a_store_that_does_not_answer_is_told_and_tried_again(
    planned: PlannedCampaign, ledger: Ledger, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(3)
    ranking = PreliminaryRanking(planned, ledger)
    with monkeypatch.context() as patched:

        def silent(self: Ledger) -> frozenset[str]:
            raise StoreUnavailable("no answer")

        patched.setattr(Ledger, "committed", silent)
        ranking.look()
        assert seen(ranking).why_not == "no answer"
    ranking.look()
    assert (seen(ranking).why_not, seen(ranking).scored) == ("", 2)


def test_it_looks_in_a_thread_that_ends_with_its_context(
    planned: PlannedCampaign, ledger: Ledger, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(3)
    looked = threading.Event()
    monkeypatch.setattr(preliminary_ranking, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(PreliminaryRanking, "look", lambda self: looked.set())
    with PreliminaryRanking(planned, ledger) as ranking:
        assert looked.wait(30)
    assert not ranking._thread.is_alive()


def test_it_rests_fifty_times_as_long_as_it_worked(
    planned: PlannedCampaign, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks, rests = iter([0.0, 4.0, 300.0, 300.1]), []
    ranking = PreliminaryRanking(planned, ledger, lambda: next(ticks))
    monkeypatch.setattr(ranking, "look", lambda: None)
    monkeypatch.setattr(ranking._stopped, "wait", lambda rest: (rests.append(rest), len(rests) > 2)[1])
    ranking._go_on()
    assert rests == [10.0, pytest.approx(200.0), 30.0]


def test_where_an_allocation_chooses_its_own_scores_are_ranked(
    write_screen: Callable[..., Path], ledger: Ledger, made_up_block: MakeBlock
) -> None:
    planned = plan_campaign(
        load_campaign(
            write_screen(
                contexts={"cell_type": "type_1"},
                estimator={"shards": 32, "depth_strata": 2, "steps": 2},
                allocation={"kind": "halving", "top": 2, "first": 8, "factor": 2},
            )
        )
    )
    for block in planned.plan.blocks:
        ledger.commit(block.id, made_up_block(block), replica="r")
    blocks = wanted_blocks(planned, ledger)
    blocks.first_tasks()
    now = [0.0]
    ranking = open_ranking(planned, ledger, blocks, is_rehearsal=False)
    assert isinstance(ranking, AllocatedRanking)
    ranking._clock, ranking._due = (lambda: now[0]), 10.0
    assert ranking.latest is None
    now[0] = 11.0
    ranked = sum(each.role == "perturbation" for each in planned.plan.conditions)
    assert (seen(ranking).scored, seen(ranking).conditions, len(seen(ranking).leaders)) == (ranked, ranked, 5)
    scores = [leader.score for leader in seen(ranking).leaders]
    assert scores == sorted(scores, reverse=True)


def test_where_there_is_no_ranking_it_is_said_why(
    planned: PlannedCampaign, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: Any = AllBlocks(planned, ledger)
    assert isinstance(open_ranking(planned, ledger, blocks, is_rehearsal=False), PreliminaryRanking)
    with open_ranking(planned, ledger, blocks, is_rehearsal=True) as ranking:
        assert ranking.latest == Leading(why_not="not in a rehearsal")
    monkeypatch.setattr(preliminary_ranking, "MOST_CONDITIONS", 1)
    large = open_ranking(planned, ledger, blocks, is_rehearsal=False)
    assert isinstance(large, NoRanking)
    assert large.latest == Leading(why_not="not for more than 1 conditions")
