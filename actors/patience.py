"""Waiting for a store that does not answer: the same step again, after growing pauses."""

import contextlib
import random
import time
from collections.abc import Callable
from typing import TypeVar

from actors.errors import CorruptBlob, StoreRefused, StoreUnavailable
from actors.meter import Meter, NoMeter

T = TypeVar("T")
READINGS = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0


class Patience:
    """How long a step that may be repeated is repeated while the store gives no usable answer.

    The store's client has tried for some seconds by itself before (429, 500, 503, a connection that broke). A refusal
    (403, no such bucket) is never waited out.

    Parameters
    ----------
    seconds
        0: the first failure stands.
    sleep
        Waits for so many seconds.
    meter
        Counts the repetitions.
    """

    def __init__(
        self, seconds: float = 60.0, sleep: Callable[[float], None] = time.sleep, meter: Meter | None = None
    ) -> None:
        self._seconds = seconds
        self._sleep = sleep
        self._meter = meter or NoMeter()

    def wait_for(self, step: Callable[[], T]) -> T:
        """Return what the step gives in the end.

        Raises
        ------
        StoreUnavailable
            What the step raised last, when the time is up.
        """
        started, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                return step()
            except StoreRefused:
                raise
            except StoreUnavailable:
                if time.monotonic() - started >= self._seconds:
                    raise
            self._meter.count("lingshu_store_retries_total")
            # Hundreds of replicas that lost the store at the same moment must not all come back at the same moment.
            self._sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)


def until_readable(read: Callable[[], T]) -> T:
    """Read again, a few times, what seems damaged, before believing it: bodies arrive cut.

    Raises
    ------
    CorruptBlob
        It is damaged.
    """
    for _ in range(READINGS - 1):
        with contextlib.suppress(CorruptBlob):
            return read()
    return read()
