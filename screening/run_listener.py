"""Who is told how a run is getting on."""

from __future__ import annotations

from typing import Protocol

from actors.progress import Progress


class RunListener(Protocol):
    """Who wants to know how a run is getting on."""

    def stage(self, name: str, detail: str) -> None:
        """Hear that a stage has begun."""
        ...

    def progress(self, progress: Progress) -> None:
        """Hear how far the prediction is."""
        ...
