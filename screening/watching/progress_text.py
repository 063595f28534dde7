"""How far a run is, in words: the same on a terminal, in a log, and in `lingshu status`."""

from __future__ import annotations

from actors.progress import Progress
from screening.watching.run_news import Leading, RunNews

LONGEST_SETBACK = 160


def progress_line(progress: Progress, news: RunNews | None = None, what: str = "blocks") -> str:
    """Say how much is done, by whom, how fast, and how long the rest takes."""
    counted = f"{progress.done:,}/{progress.total:,} {what}"
    return "  ".join((counted, *pace_parts(progress, news)))


def pace_parts(progress: Progress, news: RunNews | None = None, since: float = 0.0) -> list[str]:
    """Say by whom, how fast, and how long the rest takes; ``since`` are seconds that have passed since it was told."""
    failed = [f"{progress.failed:,} failed"] if progress.failed else []
    parts = [f"replicas: {progress.replicas}", _leases(progress, since), *failed, *_speed(progress, news)]
    left = [f"{duration(progress.seconds_left)} left"] if progress.seconds_per_task else []
    return parts + left


def _leases(progress: Progress, since: float) -> str:
    """Say how many leases are out, and for how long the oldest is: what moves while a long one runs."""
    told = f"leases in flight: {progress.leases}"
    oldest = progress.oldest_lease_seconds + since
    return f"{told} (the oldest for {duration(oldest)})" if progress.leases and oldest >= 1 else told


def cells_per_second(progress: Progress, news: RunNews | None) -> float:
    """Return the cells a second that all replicas together draw, as it went lately; 0 where that isn't known."""
    return progress.tasks_per_second * news.cells_per_block if news is not None else 0.0


def _speed(progress: Progress, news: RunNews | None) -> list[str]:
    cells = cells_per_second(progress, news)
    if news is None or not cells:
        return []
    passes = cells * news.passes_per_cell
    return [f"{cells:,.4g} cells/s" if cells < 100 else f"{cells:,.0f} cells/s"] + (
        [f"{passes:,.0f} passes/s"] if passes else []
    )


def setback_line(progress: Progress) -> str:
    """Say how many attempts failed, and why the last one did; empty where none has."""
    if not progress.setbacks:
        return ""
    reason = progress.last_setback
    shown = reason if len(reason) <= LONGEST_SETBACK else reason[: LONGEST_SETBACK - 1] + "…"
    return f"{progress.setbacks:,} attempts failed or were lost, the last one: {shown}"


def leading_lines(leading: Leading, most: int = 5) -> list[str]:
    """Name who leads so far, or say why nobody is named."""
    if leading.why_not and not leading.leaders:
        return [f"preliminary ranking: {leading.why_not}"]
    counted = f"preliminary, {leading.scored:,} of {leading.conditions:,} conditions scored ({leading.unit})"
    if not leading.leaders:
        return [counted]
    rows = (
        f"{rank}. {leader.perturbation} in {_context(leader.context)} {leader.score:+.3f} ± {leader.score_se:.3f}"
        for rank, leader in enumerate(leading.leaders[:most], 1)
    )
    return [f"{counted}: {'; '.join(rows)}"]


def duration(seconds: float) -> str:
    """Write a time as people say it: 40 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _context(label: str) -> str:
    """Write the values of a context without the names of its factors."""
    return ", ".join(part.split("=", 1)[-1] for part in label.split(", "))
