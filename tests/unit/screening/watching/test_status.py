import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.beat import Beat, beat_key
from actors.blobs import open_blobs
from actors.epoch import Epoch
from actors.history import History
from actors.job import Ending
from actors.ledger import Ledger
from actors.process_mark import ProcessMark
from actors.progress import Progress
from campaigns.plan import Block
from screening.console import describe_planner
from screening.planning.campaign import PlannedCampaign
from screening.watching.following import about_run
from screening.watching.status import campaign_status, run_in


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


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


def beat_in(planned: PlannedCampaign, mark: ProcessMark) -> Beat:
    epoch = Epoch.begin(History(open_blobs(planned.campaign.spec.output)))
    about = about_run(planned) | {"user": "her", "since": "noon"}
    return Beat(epoch.owner, 3, mark, about, "predict", "6 blocks", Progress(2, 0, 6, 1, 2, 3.0, 0.5))


def tell(planned: PlannedCampaign, beat: Beat) -> str:
    open_blobs(planned.campaign.spec.output).put(beat_key(beat.owner), beat.to_json())
    return describe_planner(planned)


def test_where_nobody_runs_nothing_is_said(planned: PlannedCampaign) -> None:
    output = planned.campaign.spec.output
    assert run_in(output) is None
    assert describe_planner(planned) == ""
    assert not Path(output).exists()  # asking makes nothing
    Epoch.begin(History(open_blobs(output)))
    assert describe_planner(planned) == ""


def test_a_run_elsewhere_is_told_with_what_is_not_known_of_it(planned: PlannedCampaign) -> None:
    beat = beat_in(planned, ProcessMark("far away", 7, "another boot", 11))
    told = tell(planned, beat)
    assert told.startswith(
        "run: since noon, started by her (process 7 on far away); its sign of life number 3, dead if"
    )
    assert "4/8 predict: 6 blocks\n" in told
    assert "2/6 blocks  replicas: 1  leases in flight: 2  2 s left\n" in told
    other = dataclasses.replace(beat, about={**beat.about, "run_id": "cd" * 32, "name": "other"})
    assert "it runs another campaign: other of" in tell(planned, other)
    assert tell(planned, dataclasses.replace(beat, ending=Ending(0))) == ""


def test_a_run_on_this_machine_is_looked_up(planned: PlannedCampaign) -> None:
    here = ProcessMark.here()
    if not here.machine:
        pytest.skip("only Linux tells of processes in /proc")
    beat = beat_in(planned, here)
    assert "sign of life" not in tell(planned, beat)
    gone = dataclasses.replace(beat, mark=dataclasses.replace(here, started=here.started + 1))
    assert tell(planned, gone).endswith(": its process is gone; run the campaign to go on\n")


def test_a_damaged_sign_of_life_is_told(planned: PlannedCampaign) -> None:
    beat = beat_in(planned, ProcessMark.here())
    open_blobs(planned.campaign.spec.output).put(beat_key(beat.owner), b"{")
    assert describe_planner(planned).endswith("it is taken for none\n")
