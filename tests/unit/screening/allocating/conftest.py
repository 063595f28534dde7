"""A listener that ends a run midway."""

from collections.abc import Callable

import pytest

from actors.errors import Cancelled
from actors.progress import Progress


class Listener:
    """Hears a run; after some blocks it ends it, as a kill would between two commits."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.said: dict[str, str] = {}
        self.stop_at = stop_at

    def stage(self, name: str, detail: str) -> None:
        self.said[name] = detail

    def progress(self, progress: Progress) -> None:
        if self.stop_at is not None and progress.done >= self.stop_at:
            raise Cancelled("the test")


@pytest.fixture
def stopping_listener() -> Callable[..., Listener]:
    """`stopping_listener(stop_at=5)` hears a run and ends it after five blocks; without a number it only hears."""
    return Listener
