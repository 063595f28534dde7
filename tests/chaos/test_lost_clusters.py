"""Everything killed at once, again and again: driver, raylets, GCS and replicas, by SIGKILL and without a word.

Each time the same campaign is started on a new cluster. How often a block is begun is counted by a rehearsal whose only
fault is a moment's delay before every block.
"""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.blobs import open_blobs
from actors.ledger import Ledger
from screening.publishing.publication import ledger_url

pytestmark = [pytest.mark.ray, pytest.mark.timeout(3000)]
MARK = "LINGSHU_CHAOS_TEST"
# No dashboard: most of a cluster's start is its start, and there are twenty.
LINGSHU = """
import functools, screening.run
from screening.cli import main
screening.run.ray_session = functools.partial(screening.run.ray_session, dashboard=False)
main()
"""
RUN = [sys.executable, "-c", LINGSHU, "run"]
COUNTING = {"kind": "chaos", "name": "count", "workers": {"slow": 1.0}, "always": True, "slow_seconds": 0.1}
ESTIMATOR = {"depth_strata": 8, "steps": 3}
GIVE_UP_SECONDS = 300.0


def family(mark: str) -> list[int]:
    """Find the processes that have inherited the mark of a driver's environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has ended, or it is somebody else's
            continue
    return found


def kill_all(mark: str) -> int:
    """Kill a driver and all that it has started, until nothing of it is left; returns how many there were."""
    killed: set[int] = set()
    while living := family(mark):
        for process in living:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.add(process)
        time.sleep(0.01)
    return len(killed)


class Campaign:
    """A screen that is started again and again."""

    def __init__(self, path: Path, chaos: Path, output: Path) -> None:
        self._command = [*RUN, str(path), "--chaos", str(chaos)]
        self.ledger = Ledger(open_blobs(ledger_url(str(output))))

    def start(self) -> tuple["subprocess.Popen[str]", str]:
        mark = uuid.uuid4().hex
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        process = subprocess.Popen(
            self._command,
            env=environment | {MARK: mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return process, mark

    def lose(self, commits: int, seconds: float) -> int:
        """Start it, kill everything so many seconds after so many commits, and return how many there are then."""
        process, mark = self.start()
        try:
            wanted, moved, count = len(self.ledger.committed()) + commits, time.monotonic(), -1
            while (now := len(self.ledger.committed())) < wanted:
                moved, count = (time.monotonic(), now) if now > count else (moved, count)
                assert time.monotonic() - moved < GIVE_UP_SECONDS, "nothing is committed any more"
                if process.poll() is not None:
                    raise AssertionError(process.communicate()[0])
                time.sleep(0.02)
            time.sleep(seconds)
        finally:
            killed = kill_all(mark)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert killed > 1 or not commits
        return len(self.ledger.committed())

    def end(self) -> str:
        process, mark = self.start()
        with process:
            try:
                out, _ = process.communicate()
            finally:
                kill_all(mark)
        assert process.returncode == 0, out
        return out


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of a cluster in /proc")
def test_a_lost_cluster_costs_the_blocks_in_flight(
    write_screen: Callable[..., Path],
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    full: bool,
    struck: Any,
) -> None:
    losses, replicas = (20, 2) if full else (1, 1)
    chaos = tmp_path / "count.yaml"
    chaos.write_text(yaml.safe_dump(COUNTING))
    path = write_screen(
        estimator=ESTIMATOR | {"shards": 64 if full else 16},
        compute={"backend": "ray", "replicas": replicas, "lease_seconds": 2},
    )
    campaign = Campaign(path, chaos, tmp_path / "screen")
    chance = random.Random(17)
    began, committed = time.monotonic(), 0
    for number in range(losses):
        # Every fifth time before anything is committed: while the cluster starts, or the replicas load.
        early = number % 5 == 3
        after = (0, chance.uniform(0, 12)) if early else (chance.randint(1, 8), chance.uniform(0, 0.3))
        before, committed = committed, campaign.lose(*after)
        assert committed >= before + after[0]
    records = {block: campaign.ledger.record(block) for block in campaign.ledger.committed()}
    told = " ".join(campaign.end().split())
    begun = int(told.partition("faults have struck (slow ")[2].partition(")")[0])

    blocks = campaign.ledger.committed()
    assert len(records) < len(blocks)
    assert {block: campaign.ledger.record(block) for block in records} == records  # what is committed stays
    repeated = begun - len(blocks)
    assert 0 <= repeated <= losses * replicas  # one in flight on each replica
    written = [key for key, _ in campaign.ledger.blobs.list("data")]
    assert len(written) - len(blocks) <= repeated
    struck.add("process", {"whole cluster killed": losses})
    struck.note(
        f"{losses} clusters lost in a campaign of {len(blocks)} blocks on {replicas} replicas, in "
        f"{time.monotonic() - began:.0f} s: {repeated} blocks were begun twice, the data of "
        f"{len(written) - len(blocks)} written twice"
    )

    assert lingshu("run", path, "--output", tmp_path / "calm", "--backend", "in_process", "--replicas", 1)[0] == 0
    for name in ("hits.parquet", "hits.csv"):
        assert (tmp_path / "screen" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
