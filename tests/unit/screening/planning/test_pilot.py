import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.in_process_pool import InProcessPool
from actors.tasks import Lease, LeaseReport, Outcome
from screening.errors import PilotFailed
from screening.planning.campaign import load_campaign, plan_campaign
from screening.planning.pilot import run_pilot
from screening.run import run_campaign
from screening.watching.status import campaign_status

WriteScreen = Callable[..., Path]
FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}


def test_a_pilot_measures_blocks_that_the_run_then_finds(write_screen: WriteScreen, listener: object) -> None:
    planned = plan_campaign(load_campaign(write_screen(**FEW)))
    rates = run_pilot(planned)
    assert rates is not None
    assert len(rates.seconds) == 3  # of four, the first one warms up
    assert rates.opening_seconds is not None
    assert rates.opening_seconds > 0
    assert rates.source == "a pilot of 3 blocks on one replica (CPU, in_process)"
    assert campaign_status(planned).committed == 4
    result = run_campaign(write_screen(**FEW), listener)  # type: ignore[arg-type]
    assert (result.computed, result.reused) == (2, 4)
    assert run_pilot(planned) is None


def test_the_command_tells_the_range_and_json_has_the_same(
    write_screen: WriteScreen, lingshu: Callable[..., tuple[int, str, str]]
) -> None:
    path = write_screen(**FEW, budget={"money": 100, "price_per_hour": 2})
    code, out, _ = lingshu("plan", path)
    assert code == 0
    assert "--pilot` computes a few blocks" in " ".join(out.split())
    assert json.loads(lingshu("plan", path, "--json")[1])["expected"] is None
    code, out, err = lingshu("plan", path, "--pilot", "--json")
    assert (code, err) == (0, "")
    expected = json.loads(out)["expected"]
    assert expected["blocks"] == [2, 2]
    assert 0 < expected["seconds"][0] < expected["seconds"][1]
    assert expected["money"] == pytest.approx([2 * hours for hours in expected["replica_hours"]])
    out = " ".join(lingshu("plan", path)[1].split())
    assert "for 2 blocks on 1 replica, cost" in out
    assert "earlier runs: 4 blocks" in out


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (lambda lease: (lease, "r", "lost", (), "out of memory"), "the pilot's replica was lost: out of memory"),
        (
            lambda lease: (lease, "r", "finished", (Outcome(lease.tasks[0].id, "failed", 1.0, "no words"),)),
            "the pilot's block failed: no words",
        ),
    ],
)
def test_a_pilot_that_fails_says_why(
    write_screen: WriteScreen, monkeypatch: pytest.MonkeyPatch, report: Callable[[Lease], tuple[object, ...]], says: str
) -> None:
    handed: list[Lease] = []
    monkeypatch.setattr(InProcessPool, "submit", lambda self, lease: handed.append(lease))
    monkeypatch.setattr(InProcessPool, "poll", lambda self, timeout_seconds: [LeaseReport(*report(handed.pop()))])  # type: ignore[arg-type]
    with pytest.raises(PilotFailed, match=says):
        run_pilot(plan_campaign(load_campaign(write_screen(**FEW))))


def test_a_replica_that_does_not_open_says_why(write_screen: WriteScreen, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny / "model", folder)
    planned = plan_campaign(load_campaign(write_screen(**FEW, model=str(folder))))
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(PilotFailed, match=r"the pilot's replica doesn't open: worker .* does not open"):
        run_pilot(planned)
