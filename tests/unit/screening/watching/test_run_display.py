import io
from collections.abc import Callable

import pytest
from rich.console import Console

from actors.progress import Progress
from screening.run import STAGES
from screening.watching.run_display import LINE_SECONDS, RunDisplay
from screening.watching.run_news import Leader, Leading, RunNews

LEADING = Leading((Leader("STAT1", "cell_type=T", 0.5, 0.01),), 3, 9, "control standard deviations")
NEWS = RunNews("tiny", "ab", "/results [1]", "http://127.0.0.1:8265", 9, 64.0, 6, 0, LEADING)


class Screen:
    """A console of which one reads what was printed, and a clock."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.now = 100.0
        self.console = Console(
            file=io.StringIO(), width=200, force_terminal=is_terminal, color_system=None, markup=False, highlight=False
        )

    def display(self, *arguments: object) -> RunDisplay:
        return RunDisplay(*arguments, console=self.console, clock=lambda: self.now)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        return self.console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def log() -> Screen:
    return Screen(is_terminal=False)


@pytest.fixture
def view() -> Callable[[RunDisplay], str]:
    """What stands below the stages on a terminal."""

    def render(display: RunDisplay) -> str:
        console = Console(file=io.StringIO(), width=160, color_system=None, markup=False, highlight=False)
        console.print(display._view())
        return console.file.getvalue()  # type: ignore[attr-defined]

    return render


def test_stages_are_counted(log: Screen) -> None:
    with log.display() as display:
        for name in STAGES:
            display.stage(name, "detail [with brackets]")
    assert log.text.splitlines()[0].startswith("1/8 load")
    assert log.text.splitlines()[7].startswith("8/8 publish")
    assert len(log.text.splitlines()) == 8


def test_without_a_terminal_progress_is_some_lines_now_and_then(log: Screen) -> None:
    with log.display(("compute",), "units") as display:
        display.news(NEWS)
        for done in range(50):
            display.progress(Progress(done, 1, 50, 2, 3, 9.0, 0.5, 2, "out of memory"))
        assert log.text.splitlines() == [
            "  0/50 units  replicas: 2  leases in flight: 3  1 failed  256 cells/s  1,536 passes/s  12 s left",
            "  2 attempts failed or were lost, the last one: out of memory",
            "  preliminary, 3 of 9 conditions scored (control standard deviations): 1. STAT1 in T +0.500 ± 0.010",
        ]
        log.now += LINE_SECONDS
        display.progress(Progress(50, 0, 50, 2, 3, 9.0, 0.5))
    assert log.text.splitlines()[3:] == [
        "  50/50 units  replicas: 2  leases in flight: 3  256 cells/s  1,536 passes/s  0 s left"
    ]  # who leads is said again only when it has changed


def test_conditions_that_are_scored_are_counted_in_a_log_too(log: Screen) -> None:
    with log.display() as display:
        display.news(RunNews("tiny", conditions=1000, folded=250))
    assert log.text == "  250/1,000 conditions scored\n"


def test_a_terminal_shows_stages_speed_failures_leaders_and_links(view: Callable[[RunDisplay], str]) -> None:
    screen = Screen(is_terminal=True)
    display = screen.display()
    display.stage("load", "screen.yaml")
    screen.now += 3
    display.stage("predict", "50 blocks")
    screen.now += 130
    display.news(NEWS)
    display.progress(Progress(20, 1, 50, 2, 3, 9.0, 0.5, 2, "out of memory"))
    shown = view(display)
    for part in (
        "✓ load 3 s  ✓ plan  ✓ open  ▶ predict 2 min  · commit",
        "20/50 blocks",
        "replicas: 2  leases in flight: 3  1 failed  256 cells/s",
        "the last one: out of memory",
        "leading so far (preliminary: 3 of 9 conditions scored, no null and no decisions yet",
        "1  STAT1  cell_type=T  +0.500 ± 0.010",
        "Ray dashboard  http://127.0.0.1:8265",
        "results        /results [1]",
    ):
        assert part in shown
    display.stage("score", "question")
    display.news(RunNews("tiny", conditions=9, folded=4, leading=LEADING))
    assert "4/9 conditions scored" in view(display)
    for part in ("leading so far", "replicas"):  # the prediction is over
        assert part not in view(display)


def test_a_long_lease_is_timed_while_nothing_else_is_told(view: Callable[[RunDisplay], str]) -> None:
    screen = Screen(is_terminal=True)
    display = screen.display()
    display.progress(Progress(20, 0, 50, 2, 3, 9.0, 0.5, oldest_lease_seconds=0.0))
    assert "oldest" not in view(display)
    screen.now += 90
    assert "leases in flight: 3 (the oldest for 90 s)" in view(display)
    display.progress(Progress(50, 0, 50, 2, 0, 9.0, 0.5))
    screen.now += 90
    assert "oldest" not in view(display)


def test_in_a_log_a_long_lease_is_timed_too(log: Screen) -> None:
    with log.display() as display:
        display.progress(Progress(0, 0, 50, 2, 3, 9.0, 0.0, oldest_lease_seconds=131.0))
    assert log.text == "  0/50 blocks  replicas: 2  leases in flight: 3 (the oldest for 2 min)\n"


def test_the_view_goes_and_stages_stay() -> None:
    screen = Screen(is_terminal=True)
    with screen.display() as display:
        display.stage("load", "screen.yaml")
        display.progress(Progress(20, 1, 50, 2, 3, 9.0, 0.5))
        display.say("a word")
    assert "1/8 load      screen.yaml" in screen.text
    assert "a word" in screen.text
    assert not display._live.is_started


def test_why_nobody_leads_is_said(view: Callable[[RunDisplay], str]) -> None:
    display = Screen(is_terminal=True).display()
    display.news(RunNews("tiny", leading=Leading(why_not="not in a rehearsal")))
    display.progress(Progress(20, 1, 50, 2, 3, 9.0, 0.5))
    assert "preliminary ranking: not in a rehearsal" in view(display)
