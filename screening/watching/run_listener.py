"""Who is told how a run is getting on."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from actors.progress import Progress
from screening.watching.run_news import RunNews


class RunListener(Protocol):
    """Who wants to know how a run is getting on."""

    def stage(self, name: str, detail: str) -> None:
        """Hear that a stage has begun."""
        ...

    def progress(self, progress: Progress) -> None:
        """Hear how far the prediction is."""
        ...


@runtime_checkable
class NewsListener(Protocol):
    """A `RunListener` that wants to know what a run is, too, and who leads so far."""

    def news(self, news: RunNews) -> None:
        """Hear the latest news; each replaces the one before."""
        ...


def tell_news(listener: RunListener, news: RunNews) -> None:
    """Tell the news to a listener that wants to know; most need no more than stages and progress."""
    if isinstance(listener, NewsListener):
        listener.news(news)
