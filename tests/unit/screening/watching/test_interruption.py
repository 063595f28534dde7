import queue
import signal
from collections.abc import Iterator

import pytest

from screening.watching.interruption import NOTICED, noticing_interruption


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Ctrl-C does what it does in a command, whatever the tests were started by."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_it_is_said_once_and_interrupts() -> None:
    said: queue.Queue[str] = queue.Queue()
    with noticing_interruption(said.put):
        for _ in ("noticed", "who can't wait"):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    assert said.get(timeout=30) == NOTICED
    assert said.empty()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with noticing_interruption(pytest.fail):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
