import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from actors.errors import Cancelled, UnknownWorker
from actors.job import LATEST_STAGES, Board, Ending, Job, JobSpec
from actors.progress import Progress


def progress(done: int) -> Progress:
    return Progress(done, 0, 10, 1, 2, 1.0, 0.1)


@pytest.fixture
def job_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """Make a job that runs a function of the test."""

    def make(run: Callable[..., Any], **options: Any) -> Job:
        module = ModuleType("made_up_job")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "made_up_job", module)
        return Job(JobSpec("made_up_job:run", options), {"name": "made up"})

    return make


def ended(job: Job) -> Ending:
    job.start()
    job.dismiss()
    job.wait_until_over(unseen_seconds=5, seen_seconds=0)
    ending = job.look().ending
    assert ending is not None
    return ending


def test_a_job_gets_its_board_and_its_options(job_of: Callable[..., Job]) -> None:
    def run(board: Board, times: int) -> Ending:
        board.stage("work", f"{times} times")
        board.progress(progress(times))
        return Ending(0, "", {"times": times})

    job = job_of(run, times=3)
    assert job.look().ending is None
    assert ended(job) == Ending(0, "", {"times": 3})
    look = job.look()
    assert (look.about, look.stages, look.progress) == ({"name": "made up"}, (("work", "3 times"),), progress(3))


def test_a_board_keeps_the_latest_only() -> None:
    board = Board()
    for number in range(1000):
        board.stage(str(number), "")
        board.progress(progress(number))
    look = board.look({}, None)
    assert len(look.stages) == LATEST_STAGES
    assert (look.stages[-1], look.progress) == (("999", ""), progress(999))


def test_a_cancelled_job_hears_of_it_when_it_tells_how_far_it_is(job_of: Callable[..., Job]) -> None:
    cancelled, heard = threading.Event(), []

    def run(board: Board) -> Ending:
        cancelled.wait()
        board.stage("the next", "is no moment to stop")
        try:
            board.progress(progress(1))
        except Cancelled as error:
            heard.append(str(error))
        return Ending(3, "in order")

    job = job_of(run)
    job.start()
    assert job.cancel("cancelled by her").cancelled == ""
    assert job.cancel("cancelled by him").cancelled == "cancelled by her"
    cancelled.set()
    job.dismiss()
    job.wait_until_over(seen_seconds=0)
    assert heard == ["cancelled by her"]
    assert job.look().ending == Ending(3, "in order")


@pytest.mark.parametrize("error", [ValueError("what broke"), SystemExit("what broke"), Cancelled("what broke")])
def test_whatever_a_job_raises_is_how_it_ended(job_of: Callable[..., Job], error: BaseException) -> None:
    def run(board: Board) -> Ending:
        raise error

    ending = ended(job_of(run))
    assert ending.code == 1
    assert "what broke" in ending.line
    assert "Traceback" in ending.trace


def test_a_job_that_says_not_how_it_ended_is_found_out(job_of: Callable[..., Job]) -> None:
    assert "has to be an Ending" in ended(job_of(lambda board: "done")).line


def test_a_job_that_cannot_be_imported_says_so() -> None:
    assert "no_such_package" in ended(Job(JobSpec("no_such_package:run"), {})).line


def test_options_are_plain_and_the_target_is_named() -> None:
    with pytest.raises(UnknownWorker, match="plain JSON"):
        JobSpec("module:run", {"what": object()})
    with pytest.raises(UnknownWorker, match=r"package\.module:callable"):
        JobSpec("module")


def test_an_end_that_nobody_looks_at_is_kept_only_so_long(job_of: Callable[..., Job]) -> None:
    job = job_of(lambda board: Ending(0))
    job.start()
    job.wait_until_over(unseen_seconds=0.01)
    assert job.look().ending == Ending(0)


def test_news_are_the_latest() -> None:
    board = Board()
    assert board.look({}, None).news == {}
    board.news({"name": "tiny"})
    board.news({"name": "tiny", "folded": 3})
    assert board.look({}, None).news == {"name": "tiny", "folded": 3}
