import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors import process_mark
from actors.process_mark import ProcessMark, user_name

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes in /proc")


@linux
def test_this_process_is_alive() -> None:
    mark = ProcessMark.here()
    assert (mark.process, mark.state()) == (os.getpid(), "alive")
    assert mark.machine
    assert mark.started > 0


@linux
def test_a_process_that_was_killed_is_gone_even_before_anybody_reaps_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        stat = process_mark._stat(process.pid)
        assert stat is not None
        mark = dataclasses.replace(ProcessMark.here(), process=process.pid, started=int(stat[1]))
        assert mark.state() == "alive"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
        assert mark.state() == "gone"
        process.wait()
        assert mark.state() == "gone"


@linux
def test_a_number_that_was_given_anew_is_another_process() -> None:
    here = ProcessMark.here()
    assert dataclasses.replace(here, started=here.started + 1).state() == "gone"


@linux
@pytest.mark.parametrize(
    "changes", [{"machine": ""}, {"machine": "another"}, {"host": "a copy"}, {"process": 0}, {"process": -1}]
)
def test_of_another_machine_nothing_is_told(changes: dict[str, object]) -> None:
    assert dataclasses.replace(ProcessMark.here(), **changes).state() == "unknown"  # type: ignore[arg-type]


@linux
def test_a_number_that_no_process_can_have_is_gone() -> None:
    assert dataclasses.replace(ProcessMark.here(), process=1 << 70).state() == "gone"


def test_where_the_system_does_not_tell_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process_mark, "PROC", tmp_path)
    mark = ProcessMark.here()
    assert (mark.process, mark.machine, mark.started, mark.state()) == (os.getpid(), "", 0, "unknown")


def test_whoever_has_no_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("no such uid")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert user_name() == str(os.getuid())
