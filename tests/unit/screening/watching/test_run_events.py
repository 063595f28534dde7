import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.progress import Progress
from lingshu_core.training import TrainingProgress
from screening.errors import LeftRunning, PlaceTaken
from screening.run import STAGES
from screening.running.detached_run import RunEnd
from screening.watching.run_events import COMMON, EVENTS, RunEvents
from screening.watching.run_news import Leader, Leading, RunNews

LEADING = Leading((Leader("STAT1", "cell_type=T", 0.5, float("nan")),), 3, 9, "share of cells")
NEWS = RunNews("tiny", "ab", "/results", "", 9, 64.0, 6)
Lingshu = Callable[..., tuple[int, str, str]]


def checked(text: str) -> list[dict[str, Any]]:
    """Read events, each with exactly the fields and types that are told of it."""
    found = [
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON")) for line in text.splitlines()
    ]
    for event in found:
        fields = {**COMMON, **EVENTS[event["event"]]}
        assert list(event) == list(fields)
        for name, (kind, _) in fields.items():
            assert isinstance(event[name], kind), (event["event"], name, event[name])
    return found


class Written:
    """Events that are written into a text, and a clock."""

    def __init__(self, command: str = "run") -> None:
        self.now, self.stream = 100.0, io.StringIO()
        self.events = RunEvents(command, STAGES, self.stream, lambda: self.now)

    @property
    def found(self) -> list[dict[str, Any]]:
        return checked(self.stream.getvalue())

    def names(self) -> list[str]:
        return [event["event"] for event in self.found]


@pytest.fixture
def written() -> Written:
    return Written()


def test_a_run_names_itself_once_it_is_planned(written: Written) -> None:
    written.events.stage("load", "screen.yaml")
    written.events.news(NEWS)
    written.events.stage("open", "/results")
    first, started, third = written.found
    assert (first["campaign"], first["run_id"], first["number"], first["of"]) == (None, None, 1, 8)
    assert (started["event"], started["campaign"], started["run_id"]) == ("run_started", "tiny", "ab")
    assert (started["conditions"], started["cells_per_block"], started["dashboard"]) == (9, 64.0, None)
    assert third["run_id"] == "ab"


def test_news_are_told_as_far_as_they_are_new(written: Written) -> None:
    for news in (
        NEWS,
        NEWS,
        RunNews(**{**NEWS.as_data(), "dashboard": "http://x", "leading": LEADING}),
        RunNews(**{**NEWS.as_data(), "dashboard": "http://x", "leading": LEADING, "folded": 4}),
    ):
        written.events.news(news)
    assert written.names() == ["run_started", "links", "leading", "scored"]
    leading = written.found[2]
    assert leading["leaders"] == [
        {"rank": 1, "perturbation": "STAT1", "context": "cell_type=T", "score": 0.5, "score_se": None}
    ]
    assert leading["why_not"] is None


def test_progress_is_told_once_a_second_and_the_last_before_the_next_stage(written: Written) -> None:
    written.events.news(NEWS)
    for done in range(10):
        written.events.progress(Progress(done, 0, 50, 2, 3, 9.0, 0.5))
    written.now += 1
    written.events.progress(Progress(10, 0, 50, 2, 3, 9.0, 0.5))
    written.events.progress(Progress(11, 0, 50, 2, 3, 9.0, 0.5))
    written.events.progress(Progress(11, 0, 50, 2, 3, 9.0, 0.5))
    written.events.stage("commit", "")
    assert [event["done"] for event in written.found if event["event"] == "progress"] == [0, 10, 11]
    told = written.found[1]
    assert (told["cells_per_second"], told["passes_per_second"], told["seconds_left"]) == (256.0, 1536.0, 12.5)


def test_what_is_not_known_is_null(written: Written) -> None:
    written.events.progress(Progress(0, 0, 50, 2, 3, 9.0, 0.0))
    (told,) = written.found
    assert (told["cells_per_second"], told["passes_per_second"], told["seconds_left"]) == (None, None, None)


def test_failures_are_told_at_once_without_secrets(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted/secret/key")
    for setbacks in (0, 1, 1, 2):
        reason = "denied: planted/secret/key" if setbacks else ""
        written.events.progress(Progress(0, 0, 50, 2, 3, 9.0, 0.0, setbacks, reason))
    failures = [event for event in written.found if event["event"] == "failure"]
    assert [event["setbacks"] for event in failures] == [1, 2]
    assert failures[0]["reason"] == "denied: ***"


def test_a_training_tells_its_loss(written: Written) -> None:
    written.events.member(0, 2, 7)
    for step in range(1, 5):
        written.events.update(TrainingProgress(step, 4, 0, float("nan"), None, 1234.0, 60.0))
    assert [(event["event"], event.get("step")) for event in written.found] == [
        ("member", None),
        ("training", 1),
        ("training", 4),
    ]
    assert written.found[1]["loss"] is None


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PlaceTaken("somebody is there"), 2, "somebody is there"),
        (LeftRunning("the run goes on"), 130, "the run goes on"),
        (KeyboardInterrupt(), 130, "stopped; what was committed or saved stays"),
        (ZeroDivisionError("x"), 1, "ZeroDivisionError: x (a bug"),
    ],
)
def test_an_error_is_an_end_too(written: Written, error: BaseException, code: int, line: str) -> None:
    with pytest.raises(type(error)), written.events:
        raise error
    (told,) = written.found
    assert (told["event"], told["code"], told["output"]) == ("finished", code, None)
    assert told["line"].startswith(line)


def test_a_run_that_goes_on_is_detached(written: Written) -> None:
    with written.events:
        written.events.run_ended(RunEnd(0), 3)
    assert written.names() == ["detached"]


def test_what_others_print_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with RunEvents("run", STAGES) as events:
        print("a library chats")
        events.say("a word")
    seen = capsys.readouterr()
    assert [event["text"] for event in checked(seen.out)] == ["a word"]
    assert seen.err == "a library chats\n"


def test_a_run_goes_on_when_nobody_reads_any_more(capsys: pytest.CaptureFixture[str]) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with RunEvents("run", STAGES, Closed()) as events:
        events.say("one")
        events.say("two")
    assert capsys.readouterr().err == "nobody reads the events any more; the command goes on\n"


def test_the_command_writes_events_and_nothing_else(
    lingshu: Lingshu, write_screen: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_screen(contexts={"cell_type": "type_1"}, perturbations={"genetic": ["REG04", "REG05"]})
    code, out, err = lingshu("run", path, "--json", "--top", 1)
    events = checked(out)
    assert (code, err) == (0, "")
    assert [event["stage"] for event in events if event["event"] == "stage"] == list(STAGES)
    assert {(event["command"], event["campaign"]) for event in events} == {("run", "tiny")}
    end = events[-1]
    assert (end["event"], end["code"], end["computed"], end["failed"]) == ("finished", 0, 6, 0)
    best = pl.read_parquet(tmp_path / "screen" / "hits.parquet").row(0, named=True)
    assert end["hits"] == [{name: best[name] for name in end["hits"][0]}]


@pytest.mark.parametrize("command", ["run", "train", "evaluate"])
def test_a_wrong_file_is_an_event_and_a_line(lingshu: Lingshu, tmp_path: Path, command: str) -> None:
    (tmp_path / "wrong.yaml").write_text("kind: nothing\n")
    code, out, err = lingshu(command, tmp_path / "wrong.yaml", "--json")
    (told,) = checked(out)
    assert (code, told["code"], told["campaign"]) == (2, 2, None)
    assert err == f"error: {told['line']}\n"
