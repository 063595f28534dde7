import json
from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.plan import Block
from screening.errors import BlockError
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.run import worker_spec
from screening.running.ensemble_worker import EnsembleWorker, open_ensemble_worker
from screening.running.worker import open_worker

FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04"]}}


@pytest.fixture
def planned(write_screen: Callable[..., Path], tiny_ensemble: Path) -> PlannedCampaign:
    return plan_campaign(load_campaign(write_screen(**FEW, model=str(tiny_ensemble))))


@pytest.fixture
def places(planned: PlannedCampaign) -> dict[str, str]:
    return {member.header.digest: member.location for member in planned.campaign.members}


def models(planned: PlannedCampaign) -> list[tuple[str, Block]]:
    return [(json.loads(planned.plan.payload(block))["model"], block) for block in planned.plan.blocks]


def test_every_block_goes_to_the_member_that_it_names(planned: PlannedCampaign, places: dict[str, str]) -> None:
    worker = worker_spec(planned.campaign).open()
    alone = {digest: open_worker(place, digest, "cpu") for digest, place in places.items()}
    results = {}
    for model, block in models(planned):
        payload = planned.plan.payload(block)
        results[block.id] = worker.run(payload)
        assert results[block.id] == alone[model].run(payload)
    assert len(set(results.values())) == len(planned.plan.blocks) == 8


def test_small_members_stay_in_memory(planned: PlannedCampaign, places: dict[str, str]) -> None:
    worker = open_ensemble_worker(places, "cpu")
    assert len(worker.loaded) == 1
    first, last = models(planned)[0][1], models(planned)[-1][1]
    kept = worker.member(models(planned)[0][0])
    for block in (first, last, first):
        worker.run(planned.plan.payload(block))
    assert set(worker.loaded) == set(places)
    assert worker.member(models(planned)[0][0]) is kept


def test_of_large_members_the_one_used_last_stays(planned: PlannedCampaign, places: dict[str, str]) -> None:
    worker = EnsembleWorker(places, "cpu", loaded_bytes=1)
    one, other = places
    for digest in (one, other, other, one):
        worker.member(digest)
        assert worker.loaded == (digest,)


def test_a_model_that_is_no_member_is_refused(places: dict[str, str]) -> None:
    with pytest.raises(BlockError, match="is no member here: run the campaign again"):
        open_ensemble_worker(places, "cpu").member("f" * 64)


def test_a_member_that_changed_since_the_plan_is_refused(tiny: Path, places: dict[str, str]) -> None:
    worker = open_ensemble_worker({**places, "e" * 64: str(tiny / "model")}, "cpu")
    with pytest.raises(BlockError, match="it changed since"):
        worker.member("e" * 64)
