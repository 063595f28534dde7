"""Whether a place of results is free, as seen from outside: by `HEAD` and the beats of the run that it names.

A run is dead when its beat has not changed for as long as the watcher is patient, by the watcher's own clock. So clocks
of two machines may differ by hours. On the machine where the run was, its process is looked up, which takes no time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from actors.beat import Beat, read_beat
from actors.errors import CorruptBlob, StoreUnavailable
from actors.head import Head
from actors.history import History

PATIENCE_SECONDS = 45.0
"""Four beats may be lost; a machine that is busier than that looks dead."""
Verdict = Literal["free", "alive", "unsure"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """What stands in a place at one moment.

    Attributes
    ----------
    head, version
        As `History.load` gives them, for `Epoch.succeed`.
    beat
        The latest of the run that `head` names, None if there is none to be read.
    verdict
        `alive`: that run is at work. `free`: it is not. `unsure`: it has told of itself, and whether it still lives
        is not known yet.
    why
        Why it is free; empty where nobody would ask.
    """

    head: Head | None
    version: str | None
    beat: Beat | None
    verdict: Verdict
    why: str = ""


class Watch:
    """Looks at a place again and again.

    Parameters
    ----------
    history
        Of the place; one without patience, so that each look takes moments.
    clock
        Seconds that never go back.
    """

    def __init__(
        self,
        history: History,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.patience_seconds = patience_seconds
        self._history, self._clock = history, clock
        self._last: tuple[str, int] | None = None
        self._since = 0.0
        self._moved = False

    def look(self) -> Sighting:
        """Tell what stands in the place.

        Raises
        ------
        StoreUnavailable
            The store doesn't answer. Such a time doesn't count as silence of the run, which can't tell of itself
            either.
        CorruptBlob
            `HEAD` can't be read.
        """
        try:
            head, version = self._history.load()
            beat, damage = (None, "") if head is None else self._read(head)
        except StoreUnavailable:
            self._since = self._clock()
            raise
        return Sighting(head, version, beat, *self._judge(beat, damage))

    def _read(self, head: Head) -> tuple[Beat | None, str]:
        """Return the latest beat, or what is wrong with it."""
        try:
            return read_beat(self._history.blobs, head.owner), ""
        except CorruptBlob as error:
            return None, f"{error}; it is taken for none"

    def _judge(self, beat: Beat | None, damage: str) -> tuple[Verdict, str]:
        if beat is None:
            return "free", damage
        if beat.ending is not None:
            return "free", f"it has ended{': ' if beat.ending.line else ''}{beat.ending.line}"
        state = beat.mark.state()
        if state == "gone":
            return "free", "its process is gone"
        if self._is_still(beat):
            return "free", f"it has given no sign of life for {self.patience_seconds:.0f} s"
        return ("alive" if self._moved or state == "alive" else "unsure"), ""

    def _is_still(self, beat: Beat) -> bool:
        """Note whether the beat has changed, and tell whether it is for too long that it has not."""
        seen, now = (beat.owner, beat.count), self._clock()
        if seen != self._last:
            self._moved = self._last is not None and self._last[0] == beat.owner
            self._last, self._since = seen, now
        return now - self._since >= self.patience_seconds
