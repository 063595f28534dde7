"""Work that is done ahead, in a thread beside."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def prefetched(make: Callable[[Item], Made], items: Iterable[Item], ahead: int = 2) -> Generator[Made, None, None]:
    """Yield ``make(item)`` in order, made by one thread while the caller is busy with those before.

    Parameters
    ----------
    make
        Reading or encoding: work that lets go of the interpreter.
    items
        What to make it of.
    ahead
        How many are made or waiting at most.

    Raises
    ------
    Exception
        What ``make`` raised, in the place of its result.
    """
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # A training that stops early leaves nothing running behind.
        pool.shutdown(cancel_futures=True)
