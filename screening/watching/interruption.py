"""What Ctrl-C is answered with at once: ending a cluster in good order takes some seconds, in which nothing moves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NOTICED = "interrupted; ending in good order, which takes some seconds"


@contextmanager
def noticing_interruption(say: Callable[[str], None]) -> Iterator[None]:
    """Say so as soon as Ctrl-C is pressed, once, and then interrupt as ever.

    Whoever handles the signal in another way, or ignores it, goes on doing so. Outside the main thread no signal
    arrives, and nothing is done.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # In a thread of its own: the signal may have come in the middle of a line that is being written.
        threading.Thread(target=say, args=(NOTICED,), daemon=True).start()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
