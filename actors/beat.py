"""What a run tells of itself while it runs: `ledger/beats/<owner>.json`, written over every few seconds.

`HEAD` says who publishes, and by this file others see whether that run still lives, how far it is, and how it ended.
The name is the owner's in `HEAD`, so that a run that was taken over and doesn't know it yet writes over nobody's.

It decides nothing about results. One that is missing, damaged or forged makes a run wait in vain, or begin beside
another one, and then the epoch decides (`actors.epoch`).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from actors.blobs import Blobs
from actors.errors import BlobNotFound, CorruptBlob
from actors.job import Ending
from actors.patience import until_readable
from actors.process_mark import ProcessMark
from actors.progress import Progress
from actors.size_limits import LARGEST_RECORD
from actors.strict_json import Fields, check_object, read_object

FORMAT = 3
BEATS = "ledger/beats"
_OWNER = re.compile(r"[0-9a-f]{32}")
_FIELDS: Fields = {
    "format": int,
    "owner": str,
    "count": int,
    "mark": dict,
    "about": dict,
    "stage": str,
    "detail": str,
    "progress": (dict, type(None)),
    "news": dict,
    "ending": (dict, type(None)),
}
_MARK: Fields = {"host": str, "process": int, "machine": str, "started": int}
_ABOUT: Fields = {"name": str, "run_id": str, "asked": str, "file": str, "user": str, "since": str}
_PROGRESS: Fields = {
    **dict.fromkeys(("done", "failed", "total", "replicas", "leases", "setbacks"), int),
    "last_setback": str,
    **dict.fromkeys(("elapsed_seconds", "seconds_per_task", "oldest_lease_seconds"), float),
}
_ENDING: Fields = {"code": int, "line": str, "facts": dict}


@dataclass(frozen=True, slots=True)
class Beat:
    """What a run tells of itself at one moment.

    Attributes
    ----------
    owner
        The run, as in `HEAD`.
    count
        Rises with every beat: that it moves is what tells that the run lives. Clocks of two machines differ.
    mark
        Its process.
    about
        `name`, `run_id` and `file` of the campaign, `asked` (digest of what it asks for), `user`, `since` (UTC,
        ISO 8601).
    stage, detail
        Where it is.
    progress
        The latest, None before the first.
    news
        Plain data that the run wants others to show; what it means is theirs to know.
    ending
        How it ended, without trace; None while it runs.
    """

    owner: str
    count: int
    mark: ProcessMark
    about: Mapping[str, str]
    stage: str = ""
    detail: str = ""
    progress: Progress | None = None
    ending: Ending | None = None
    news: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Write the beat as canonical JSON."""
        content = {"format": FORMAT, **asdict(self)}
        if self.ending is not None:
            del content["ending"]["trace"]
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes, key: str) -> "Beat":
        """Read a beat.

        Raises
        ------
        CorruptBlob
            It is none, or one of another format.
        """
        content = read_object(text, _FIELDS, key)
        if content.pop("format") != FORMAT:
            raise CorruptBlob(f"{key} is of another format than {FORMAT}: another version of the engine wrote it")
        content["mark"] = ProcessMark(**check_object(content["mark"], _MARK, key))
        content["about"] = check_object(content["about"], _ABOUT, key)
        if content["progress"] is not None:
            content["progress"] = Progress(**check_object(content["progress"], _PROGRESS, key))
        if content["ending"] is not None:
            content["ending"] = Ending(**check_object(content["ending"], _ENDING, key))
        return cls(**content)


def beat_key(owner: str) -> str:
    """Return the key of a run's beats."""
    return f"{BEATS}/{owner}.json"


def read_beat(blobs: Blobs, owner: str) -> Beat | None:
    """Return the latest beat of a run; None if there is none.

    Raises
    ------
    CorruptBlob
        What is there is something else, or larger than a beat is.
    """
    if not _OWNER.fullmatch(owner):  # it comes from a store, and becomes a part of a key
        return None
    key = beat_key(owner)
    try:
        beat = until_readable(lambda: Beat.from_json(blobs.get(key, LARGEST_RECORD), key))
    except BlobNotFound:
        return None
    if beat.owner != owner:
        raise CorruptBlob(f"{key} is of another run, {beat.owner!r:.80}")
    return beat
