"""Two commands for one campaign, in processes that share nothing but the store."""

import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

pytestmark = pytest.mark.timeout(600)

# Everything that takes time to load is loaded before the word to begin.
CODE = """
import sys, time
from pathlib import Path
import actors.heartbeat, actors.watch, screening.console
import screening.watching.following, screening.run, screening.running.worker
from screening.cli import main
screening.watching.following.LOOK_SECONDS = screening.run.FENCE_SECONDS = actors.heartbeat.BEAT_SECONDS = 0.2
if sys.argv.pop(1) == "strangers":  # no process of another machine can be looked up
    actors.process_mark._machine = lambda: ""
    actors.watch.Watch.__init__.__defaults__ = (5.0, *actors.watch.Watch.__init__.__defaults__[1:])
    actors.heartbeat.Heartbeat.__init__.__defaults__ = (0.2,)
word = Path(sys.argv.pop(1))
print("ready", flush=True)
while not word.exists():
    time.sleep(0.02)
main()
"""
FEW: dict[str, Any] = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": "all_seen"}}
SLOW = {"kind": "chaos", "name": "slow", "workers": {"slow": 1.0}, "always": True}
FOLLOWS = "this campaign is running already"


class Command:
    """A command that is ready to begin."""

    def __init__(self, process: "subprocess.Popen[str]", word: Path) -> None:
        self.process, self.begin, self.said, self.errors = process, word.touch, "", ""

    def wait_for(self, words: str) -> None:
        """Wait until it has said something."""
        assert self.process.stdout is not None
        while words not in " ".join(self.said.split()):
            line = self.process.stdout.readline()
            assert line, (self.said, self.process.communicate()[1])
            self.said += line

    def end(self) -> tuple[int, str]:
        rest, self.errors = self.process.communicate(timeout=300)
        self.said += rest
        return self.process.returncode, self.said

    @property
    def table(self) -> str:
        """The hits that it has shown."""
        return self.said[self.said.index("rank") :]


@pytest.fixture
def command(start_python: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> Callable[..., Command]:
    def start(*arguments: object, strangers: bool = False) -> Command:
        word = tmp_path / uuid.uuid4().hex
        process = start_python(CODE, "strangers" if strangers else "neighbours", str(word), *map(str, arguments))
        return Command(process, word)

    return start


@pytest.fixture
def slow(tmp_path: Path) -> Callable[[float], Path]:
    """A rehearsal whose only fault is a moment's delay before every block: 16 blocks."""

    def write(seconds: float) -> Path:
        path = tmp_path / "slow.yaml"
        path.write_text(yaml.safe_dump({**SLOW, "slow_seconds": seconds}))
        return path

    return write


def begin_both(first: Command, second: Command) -> None:
    for each in (first, second):
        each.wait_for("ready")
    first.begin()
    first.wait_for("predict")
    second.begin()


def hits(folder: Path) -> bytes:
    return (folder / "hits.parquet").read_bytes()


def test_the_second_follows_the_first_and_ends_alike(
    write_screen: Callable[..., Path], command: Callable[..., Command], slow: Callable[[float], Path], tmp_path: Path
) -> None:
    path = write_screen(**FEW)
    first, second = command("run", path, "--chaos", slow(1.0)), command("run", path)
    begin_both(first, second)
    second.wait_for(FOLLOWS)
    assert f"process {first.process.pid} on" in " ".join(second.said.split())
    (code, _), (same, said) = first.end(), second.end()
    assert (code, same) == (0, 0)
    assert "16 blocks computed, 0 reused" in " ".join(said.split())  # what the first did
    assert "8/8 publish" in said
    rehearsed = first.table.partition("a rehearsal")[0]
    assert second.table.startswith(rehearsed)
    assert len(list((tmp_path / "screen" / "ledger" / "manifests").iterdir())) == 1


@pytest.mark.parametrize("strangers", [False, True])
def test_when_the_first_is_killed_the_second_goes_on(
    write_screen: Callable[..., Path],
    command: Callable[..., Command],
    slow: Callable[[float], Path],
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    strangers: bool,
) -> None:
    path = write_screen(**FEW)
    first = command("run", path, "--chaos", slow(3.0), strangers=strangers)
    second = command("run", path, strangers=strangers)
    begin_both(first, second)
    second.wait_for(FOLLOWS)
    assert lingshu("status", path)[1].count("run: since") == 1
    first.process.kill()
    first.process.wait()
    killed = time.monotonic()
    second.wait_for("goes on from what is committed")
    reason = "no sign of life for 5 s" if strangers else "its process is gone"
    assert reason in " ".join(second.said.split())
    assert time.monotonic() - killed >= (4 if strangers else 0)
    code, said = second.end()
    assert code == 0
    assert "0 conditions failed" in said
    assert "run: since" not in lingshu("status", path)[1]
    assert lingshu("run", path, "--output", tmp_path / "calm")[0] == 0
    assert hits(tmp_path / "screen") == hits(tmp_path / "calm")


def test_a_run_that_is_taken_over_stops(
    write_screen: Callable[..., Path], command: Callable[..., Command], slow: Callable[[float], Path], tmp_path: Path
) -> None:
    path = write_screen(**FEW)
    first, second = command("run", path, "--chaos", slow(0.5)), command("run", path, "--take-over")
    begin_both(first, second)
    code, said = second.end()
    assert code == 0
    assert FOLLOWS not in said
    assert first.end()[0] == 2
    assert "has taken over (epoch 2" in first.errors
    assert pl.read_parquet(tmp_path / "screen" / "hits.parquet").height == 7
    assert len(list((tmp_path / "screen" / "ledger" / "beats").iterdir())) == 1  # of the second, which has ended


def test_another_campaign_in_the_same_place_is_refused_as_long_as_the_first_lives(
    write_screen: Callable[..., Path],
    command: Callable[..., Command],
    slow: Callable[[float], Path],
    lingshu: Callable[..., tuple[int, str, str]],
) -> None:
    path, other = write_screen(**FEW), write_screen("other.yaml", seed=1, **FEW)
    first = command("run", path, "--chaos", slow(3.0))
    first.wait_for("ready")
    first.begin()
    first.wait_for("predict")
    code, _, told = lingshu("run", other)
    assert code == 2
    assert "another campaign, 'tiny' of" in told
    assert "it runs another campaign: tiny of" in lingshu("status", other)[1]
    first.process.kill()
    first.process.wait()
    assert lingshu("run", other)[0] == 0
