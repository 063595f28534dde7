import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ledger import Ledger, commit_key
from campaigns.plan import Block
from screening.planning.block_rates import MARGIN, BlockRates, expect, recorded_rates, spread
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.run import run_campaign

WriteScreen = Callable[..., Path]
FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}
RATES = BlockRates((2.0, 4.0), 10.0, "a test")


def changed(planned: PlannedCampaign, **compute: object) -> PlannedCampaign:
    spec = planned.campaign.spec
    spec = spec.model_copy(update={"compute": spec.compute.model_copy(update=compute)})
    return dataclasses.replace(planned, campaign=dataclasses.replace(planned.campaign, spec=spec))


def test_a_range_has_the_opening_and_all_rounds(planned: PlannedCampaign) -> None:
    found = expect(planned, RATES, (6, 6))
    assert found.block_seconds == (2.0 / MARGIN, 4.0 * MARGIN)
    assert found.seconds == (10 + 6 * 2.0 / MARGIN, 10 + 6 * 4.0 * MARGIN)
    assert found.replica_hours == (found.seconds[0] / 3600, found.seconds[1] / 3600)
    assert (found.money, found.gpu_hours, found.warnings) == (None, None, ())


def test_replicas_divide_the_blocks_and_share_the_cores(
    planned: PlannedCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    four = changed(planned, backend="ray", replicas=4)
    many, few = expect(four, RATES, (6, 6), cores=8), expect(four, RATES, (6, 6), cores=2)
    assert many.seconds == (10 + 2 * 2.0 / MARGIN, 10 + 2 * 4.0 * MARGIN)
    assert few.seconds == (many.seconds[0], 2 * many.seconds[1])
    elsewhere = expect(changed(planned, backend="ray", replicas=4, address="ray:1"), RATES, (6, 6), cores=2)
    assert elsewhere.seconds == many.seconds


def test_a_price_gives_the_cost_and_what_the_budget_will_do(write_screen: WriteScreen) -> None:
    budget = {"money": 0.01, "price_per_hour": 3.6}
    planned = plan_campaign(load_campaign(write_screen(**FEW, budget=budget)))
    found = expect(planned, RATES, (6, 6))
    assert found.money == pytest.approx([each / 1000 for each in found.seconds])
    assert found.warnings == ("budget.money: 0.01 will be spent before all blocks are computed",)
    assert expect(planned, RATES, (0, 6)).warnings == (
        "budget.money: 0.01 may be spent before all blocks are computed",
    )


def test_gpu_hours_are_those_of_all_replicas(planned: PlannedCampaign) -> None:
    found = expect(changed(planned, backend="ray", replicas=2, gpus_per_replica=0.5), RATES, (6, 6), cores=1)
    assert found.gpu_hours == tuple(each / 3600 for each in found.seconds)  # two halves of a GPU


def test_nothing_missing_takes_no_time(planned: PlannedCampaign) -> None:
    assert expect(planned, RATES, (0, 0)).seconds == (0.0, 0.0)


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=30))
def test_a_range_is_never_empty(seconds: list[float]) -> None:
    rates = BlockRates(tuple(seconds), None, "")
    assert 0 < rates.low <= rates.high


@given(st.integers(0, 500), st.integers(1, 50))
def test_places_are_spread_over_all(count: int, most: int) -> None:
    places = spread(count, most)
    assert len(places) == min(count, most)
    assert places == sorted(set(places))
    assert not count or (places[0] == 0 and (most == 1 or places[-1] == count - 1))


def test_nothing_is_known_of_an_empty_place(planned: PlannedCampaign) -> None:
    assert recorded_rates(planned) is None


def test_committed_blocks_tell_their_seconds(
    planned: PlannedCampaign, folder_ledger: Ledger, made_up_block: Callable[[Block], bytes]
) -> None:
    for seconds, block in enumerate(planned.plan.blocks[:4], start=1):
        folder_ledger.commit(block.id, made_up_block(block), replica="replica-0", seconds=float(seconds))
    folder_ledger.blobs.put(commit_key(planned.plan.blocks[3].id), b"{}")  # damaged, as any file may be
    rates = recorded_rates(planned)
    assert rates is not None
    assert rates.seconds == (1.0, 2.0, 3.0)
    assert rates.opening_seconds is None
    assert rates.source.startswith("earlier runs: 3 blocks")


def test_an_earlier_screen_in_the_place_counts_by_its_passes(
    write_screen: WriteScreen, listener: object, tmp_path: Path
) -> None:
    run_campaign(write_screen(**FEW), listener)  # type: ignore[arg-type]
    same = recorded_rates(plan_campaign(load_campaign(write_screen(**FEW))))
    estimator = {"shards": 16, "depth_strata": 8, "steps": 6}  # four times the passes
    larger = recorded_rates(plan_campaign(load_campaign(write_screen(**FEW, estimator=estimator))))
    assert same is not None
    assert larger is not None
    assert larger.seconds == pytest.approx([4 * each for each in same.seconds])
    assert "the earlier screen in this output" in larger.source
    sampled = write_screen(**FEW, estimator=estimator | {"kind": "sampled"})
    assert recorded_rates(plan_campaign(load_campaign(sampled))) is None
