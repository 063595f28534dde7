"""What a run looks like: a live view on a terminal, plain lines without one.

Stages are printed as they begin, and stay. Below them, on a terminal, stands what changes: the stages with their
times, a bar, replicas and speed, what failed last, who leads so far, and where to look further. Without a terminal the
same is a few lines every ten seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from actors.progress import Progress
from screening.run import STAGES
from screening.watching.progress_text import duration, leading_lines, pace_parts, progress_line, setback_line
from screening.watching.run_news import Leading, RunNews

LINE_SECONDS = 10.0
"""Without a terminal, progress is told this often."""
REFRESHES = 4
"""Of the view, a second."""
_BAR_WIDTH = 40


class RunDisplay:
    """Shows the stages of a run, how far its tasks are, and its news.

    Parameters
    ----------
    stages
        Their names in order.
    what
        What the tasks are called.
    clock
        Seconds that never go back.
    """

    def __init__(
        self,
        stages: Sequence[str] = STAGES,
        what: str = "blocks",
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if console is None:
            from screening.console import console as console_of_all

            console = console_of_all
        self._console, self._clock = console, clock
        self._stages, self._what = tuple(stages), what
        self._began: dict[str, float] = {}
        self._latest = ""
        self._working = ""  # the stage that told its progress last
        self._progress: Progress | None = None
        self._progress_at = 0.0
        self._news: RunNews | None = None
        self._told: Leading | None = None
        self._line_due = 0.0
        self._live = Live(
            get_renderable=self._view, console=console, refresh_per_second=REFRESHES, transient=True, screen=False
        )

    def __enter__(self) -> RunDisplay:
        """Start the view, on a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the view."""
        if self._console.is_terminal:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print what else there is to know."""
        self._console.print(text)

    def stage(self, name: str, detail: str) -> None:
        """Show that a stage has begun."""
        self._began.setdefault(name, self._clock())
        self._latest = name
        stage = f"{self._stages.index(name) + 1}/{len(self._stages)} {name:<9}"
        self._console.print(Text.assemble((stage, "bold"), f" {detail}"))

    def news(self, news: RunNews) -> None:
        """Show what the run is, and who leads so far."""
        self._news = news
        if not self._console.is_terminal and news.folded:
            self._print_now_and_then(f"  {news.folded:,}/{news.conditions:,} conditions scored")

    def progress(self, progress: Progress) -> None:
        """Show how far the prediction is."""
        self._progress, self._working = progress, self._latest
        self._progress_at = self._clock()
        if not self._console.is_terminal:
            self._print_now_and_then(*self._plain_lines(progress))

    def _print_now_and_then(self, *lines: str) -> None:
        if self._clock() < self._line_due:
            return
        self._line_due = self._clock() + LINE_SECONDS
        for line in lines:
            self._console.print(line, soft_wrap=True)
        self._told = None if self._news is None else self._news.leading

    def _plain_lines(self, progress: Progress) -> list[str]:
        leading = None if self._news is None else self._news.leading
        new = leading_lines(leading) if leading is not None and leading != self._told else []
        lines = [progress_line(progress, self._news, self._what), setback_line(progress), *new]
        return [f"  {line}" for line in lines if line]

    def _view(self) -> RenderableType:
        return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        if self._began:
            yield Text()
            yield self._stage_line()
        is_working = self._latest == self._working
        if self._progress is not None and is_working:
            yield from _work(self._progress, self._news, self._what, self._clock() - self._progress_at)
        if self._news is not None:
            yield from _news_parts(self._news, is_working=is_working)

    def _stage_line(self) -> Text:
        """Write all stages in a line: how long those took that are over, and for how long the present one goes on."""
        now, line = self._clock(), Text("  ")
        for place, name in enumerate(self._stages):
            behind = [self._began[other] for other in self._stages[place + 1 :] if other in self._began]
            if name == self._latest:
                line.append(f"▶ {name} {duration(now - self._began[name])}  ", "bold")
            elif name in self._began and behind:
                line.append(f"✓ {name} {duration(behind[0] - self._began[name])}  ", "green")
            elif behind:
                line.append(f"✓ {name}  ", "green")
            else:
                line.append(f"· {name}  ", "dim")
        return line


def _work(progress: Progress, news: RunNews | None, what: str, since: float) -> Iterator[RenderableType]:
    bar = Table.grid(padding=(0, 1))
    settled = progress.done + progress.failed
    bar.add_row(
        Text(" "),
        ProgressBar(total=max(progress.total, 1), completed=settled, width=_BAR_WIDTH),
        Text(f"{progress.done:,}/{progress.total:,} {what}"),
    )
    yield bar
    yield Text("  " + "  ".join(pace_parts(progress, news, since)))
    setback = setback_line(progress)
    if setback:
        yield Text(f"  {setback}", "red")


def _news_parts(news: RunNews, *, is_working: bool) -> Iterator[RenderableType]:
    if news.folded:
        yield Text(f"  {news.folded:,}/{news.conditions:,} conditions scored")
    elif news.leading is not None and is_working:
        yield from _leaders(news.leading)
    if news.dashboard:
        yield Text(f"  Ray dashboard  {news.dashboard}", "dim")
    if news.output:
        yield Text(f"  results        {news.output}", "dim")


def _leaders(leading: Leading) -> Iterator[RenderableType]:
    if not leading.leaders:
        yield from (Text(f"  {line}", "dim") for line in leading_lines(leading))
        return
    yield Text(
        f"  leading so far (preliminary: {leading.scored:,} of {leading.conditions:,} conditions scored, no null and"
        f" no decisions yet; {leading.unit})",
        "italic",
    )
    table = Table.grid(padding=(0, 2))
    for rank, leader in enumerate(leading.leaders, 1):
        score = f"{leader.score:+.3f} ± {leader.score_se:.3f}"
        cells = (f"   {rank}", leader.perturbation, leader.context, score)
        table.add_row(*(Text(cell, overflow="ellipsis", no_wrap=True) for cell in cells))
    yield table
