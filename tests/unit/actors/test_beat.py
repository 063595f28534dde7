import dataclasses
import json
import uuid

import pytest

from actors.beat import Beat, beat_key, read_beat
from actors.blobs import Blobs, open_blobs
from actors.errors import BlobTooLarge, CorruptBlob
from actors.job import Ending
from actors.process_mark import ProcessMark
from actors.progress import Progress
from actors.size_limits import LARGEST_RECORD

OWNER = "0123456789abcdef" * 2
ABOUT = dict.fromkeys(("name", "run_id", "asked", "file", "user", "since"), "x")
BEAT = Beat(OWNER, 3, ProcessMark("host", 7, "boot", 11), ABOUT, "predict", "10 blocks", Progress(1, 0, 10, 1, 2, 3, 4))
NEWS = dataclasses.replace(BEAT, news={"name": "tiny", "leading": {"leaders": []}})
ENDED = dataclasses.replace(BEAT, ending=Ending(3, "some failed", {"failed": 1}))


@pytest.fixture
def blobs() -> Blobs:
    return open_blobs(f"memory://{uuid.uuid4().hex}")


@pytest.mark.parametrize("beat", [BEAT, ENDED, NEWS, Beat(OWNER, 1, BEAT.mark, ABOUT)])
def test_a_beat_is_read_as_it_was_written(blobs: Blobs, beat: Beat) -> None:
    blobs.put(beat_key(OWNER), beat.to_json())
    assert read_beat(blobs, OWNER) == beat


def test_the_trace_of_an_error_is_not_for_everybody(blobs: Blobs) -> None:
    told = dataclasses.replace(BEAT, ending=Ending(1, "broken", trace="line 1 of a file of hers"))
    assert b"of hers" not in told.to_json()


def test_where_there_is_no_beat_there_is_none(blobs: Blobs) -> None:
    assert read_beat(blobs, OWNER) is None


@pytest.mark.parametrize("owner", ["", "../../HEAD", OWNER.upper(), OWNER + "0", "a/b"])
def test_an_owner_that_no_run_has_leads_nowhere(blobs: Blobs, owner: str) -> None:
    assert read_beat(blobs, owner) is None


def spoilt(**changes: object) -> bytes:
    return json.dumps({**json.loads(ENDED.to_json()), **changes}).encode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is not JSON"),
        (b"\xff", "is not JSON"),
        (BEAT.to_json()[:-9], "is not JSON"),
        (b"[]", "has to have the fields"),
        (spoilt(more=1), "has to have the fields"),
        (spoilt(format=1), "another format"),
        (spoilt(count="3"), "count is"),
        (spoilt(news=[]), "news is"),
        (spoilt(mark={"host": "h"}), "has to have the fields"),
        (spoilt(about={**ABOUT, "name": 1}), "name is"),
        (spoilt(progress={"done": 1}), "has to have the fields"),
        (spoilt(ending={"code": "0", "line": "", "facts": {}}), "code is"),
        (spoilt(owner="f" * 32), "is of another run"),
    ],
)
def test_what_is_no_beat_is_told_with_its_place(blobs: Blobs, text: bytes, told: str) -> None:
    blobs.put(beat_key(OWNER), text)
    with pytest.raises(CorruptBlob, match=told) as raised:
        read_beat(blobs, OWNER)
    assert beat_key(OWNER) in str(raised.value)


def test_of_what_is_larger_than_a_beat_nothing_is_read(blobs: Blobs) -> None:
    blobs.put(beat_key(OWNER), b" " * (LARGEST_RECORD + 1))
    with pytest.raises(BlobTooLarge):
        read_beat(blobs, OWNER)
