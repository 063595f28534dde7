"""Listeners of a run for notebooks: one that says nothing, and one that says it in lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.progress import Progress


class Quiet:
    """Hears a run and says nothing."""

    def stage(self, name: str, detail: str) -> None:
        """Hear that a stage has begun."""

    def progress(self, progress: Progress) -> None:
        """Hear how far the prediction is."""


class ProgressLines:
    """Tells stages and progress of a run in lines: ``screening.screen("campaign.yaml", listener=ProgressLines())``.

    Parameters
    ----------
    say
        What each line goes to.
    seconds
        Progress is told this often; the last block always is.
    """

    def __init__(self, say: Callable[[str], object] = print, seconds: float = 5.0) -> None:
        self._say, self._seconds, self._due = say, seconds, 0.0

    def stage(self, name: str, detail: str) -> None:
        """Tell that a stage has begun."""
        self._say(f"{name}: {detail}" if detail else name)

    def progress(self, progress: Progress) -> None:
        """Tell how far the prediction is."""
        if progress.done < progress.total and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._seconds
        from screening.watching.progress_text import progress_line  # brings the plan's room, which `import` must not

        self._say(f"  {progress_line(progress)}")
