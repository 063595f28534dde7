"""The heart of a run: a thread that writes a beat every few seconds for as long as the process lives.

A thread of its own, because a run is silent for minutes while it plans, or while leases are long. It neither stops nor
delays a run: a store that doesn't answer costs a beat.
"""

import logging
import threading
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from actors.beat import Beat, beat_key
from actors.blobs import Blobs
from actors.errors import StoreUnavailable
from actors.job import Ending
from actors.process_mark import ProcessMark, user_name
from actors.progress import Progress

BEAT_SECONDS = 10.0
LONGEST_TEXT = 1000
"""Characters of a text in a beat, so that it stays below what is read of one."""
_JOIN_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Heartbeat:
    """Tells others how a run is getting on.

    Parameters
    ----------
    blobs
        The place of its results.
    about
        `name`, `run_id`, `asked` and `file`, see `Beat`.
    beat_seconds
        How often it tells that it lives; a change of stage is told at once.

    Attributes
    ----------
    owner
        Unique to the run, to stand in `HEAD`.
    """

    def __init__(self, blobs: Blobs, about: Mapping[str, str], beat_seconds: float = BEAT_SECONDS) -> None:
        self.owner = uuid.uuid4().hex
        told = {name: text[:LONGEST_TEXT] for name, text in about.items()}
        told |= {"user": user_name(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        self._blobs, self._seconds = blobs, beat_seconds
        self._beat = Beat(self.owner, 0, ProcessMark.here(), told)
        self._changing = threading.Lock()
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="heartbeat", daemon=True)
        self._answers = True

    def start(self) -> None:
        """Write the first beat, so that there is one before `HEAD` names this run; go on in a thread."""
        self._write()
        self._thread.start()

    def stage(self, name: str, detail: str) -> None:
        """Tell that a stage has begun."""
        self._change(stage=name, detail=detail[:LONGEST_TEXT])
        self._wake.set()

    def progress(self, progress: Progress) -> None:
        """Keep how far it is, for the next beat."""
        self._change(progress=replace(progress, last_setback=progress.last_setback[:LONGEST_TEXT]))

    def news(self, news: Mapping[str, Any]) -> None:
        """Keep what others may want to show, for the next beat: plain data, a few kilobytes, no secrets."""
        self._change(news=dict(news))

    def end(self, ending: Ending) -> None:
        """Stop, and leave how the run ended."""
        self._stop()
        self._change(ending=replace(ending, line=ending.line[:LONGEST_TEXT]))
        if self._answers:  # nobody waits for a store that has just been silent
            self._write()

    def withdraw(self) -> None:
        """Stop, and leave nothing."""
        self._stop()
        if self._answers:
            remove_beats(self._blobs, self.owner)

    def _change(self, **changes: Any) -> Beat:
        with self._changing:
            self._beat = replace(self._beat, **changes)
            return self._beat

    def _go_on(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(self._seconds)
            self._wake.clear()
            if not self._stopped.is_set():
                self._write()

    def _write(self) -> None:
        with self._changing:
            self._beat = replace(self._beat, count=self._beat.count + 1)
            beat = self._beat
        try:
            self._blobs.put(beat_key(self.owner), beat.to_json())
        except StoreUnavailable as error:
            if self._answers:
                _log.warning("%s; the run goes on, and others can't see that it does", error)
            self._answers = False
        else:
            self._answers = True

    def _stop(self) -> None:
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)


def remove_beats(blobs: Blobs, owner: str) -> None:
    """Remove what a run has told of itself; if the store doesn't answer, `lingshu gc` will."""
    try:
        blobs.delete(beat_key(owner))
    except StoreUnavailable as error:
        _log.warning("%s; what a run told of itself stays", error)
