import uuid
from collections import Counter

import pytest

from actors.blobs import Blobs, open_blobs
from actors.errors import BlobChanged, BlobExists, StoreRefused, StoreUnavailable
from actors.faulty_blobs import FAULTS, Fault, FaultyBlobs, SeededFaults, strikes

OPERATIONS = ("get", "load", "put", "create", "swap", "copy", "exists", "delete", "list")


@pytest.fixture
def blobs() -> Blobs:
    blobs = open_blobs(f"memory://{uuid.uuid4().hex}")
    blobs.put("there", b"four")
    return blobs


def struck(blobs: Blobs, fault: Fault | None, **options: float) -> FaultyBlobs:
    return FaultyBlobs(blobs, lambda *_: fault, sleep=lambda _: None, **options)  # type: ignore[arg-type]


def test_without_a_fault_it_is_the_store(blobs: Blobs) -> None:
    faulty = struck(blobs, None)
    faulty.put("name", b"x")
    faulty.create("new", b"y")
    version = faulty.swap("HEAD", b"z", None)
    faulty.copy("name", "copy")
    assert (faulty.get("name"), faulty.load("HEAD"), faulty.exists("copy")) == (b"x", (b"z", version), True)
    faulty.delete("copy")
    assert dict(faulty.list()) == dict(blobs.list()) == {"there": 4, "name": 1, "new": 1, "HEAD": 1}
    assert faulty.url == blobs.url


@pytest.mark.parametrize("fault", ["429", "503"])
def test_overload_does_nothing(blobs: Blobs, fault: Fault) -> None:
    with pytest.raises(StoreUnavailable, match=f"cannot create 'new' in memory://.*injected {fault}"):
        struck(blobs, fault).create("new", b"x")
    assert not blobs.exists("new")


def test_a_lost_answer_was_done(blobs: Blobs) -> None:
    with pytest.raises(StoreUnavailable):
        struck(blobs, "lost answer").create("new", b"x")
    assert blobs.get("new") == b"x"


def test_an_inner_error_may_have_been_done(blobs: Blobs) -> None:
    faulty = struck(blobs, "500")
    for number in range(30):
        with pytest.raises(StoreUnavailable):
            faulty.create(f"new/{number}", b"x")
    assert 5 < len(list(blobs.list("new"))) < 25


def test_a_refusal_is_no_silence(blobs: Blobs) -> None:
    with pytest.raises(StoreRefused):
        struck(blobs, "403").get("there")


def test_a_conflict_that_nobody_won(blobs: Blobs) -> None:
    with pytest.raises(BlobExists):
        struck(blobs, "409").create("new", b"x")
    with pytest.raises(BlobChanged):
        struck(blobs, "409").swap("HEAD", b"x", None)
    assert dict(blobs.list()) == {"there": 4}


def test_our_own_request_sent_twice(blobs: Blobs) -> None:
    with pytest.raises(BlobExists):
        struck(blobs, "412").create("new", b"x")
    assert blobs.get("new") == b"x"


def test_races_are_lost_by_conditional_writes_only(blobs: Blobs) -> None:
    assert struck(blobs, "412").get("there") == b"four"
    assert {operation for operation in OPERATIONS if strikes("409", operation)} == {"create", "swap"}


def test_a_body_that_is_cut(blobs: Blobs) -> None:
    faulty = struck(blobs, "truncated body")
    assert faulty.get("there") == faulty.load("there").data == b"fo"
    with pytest.raises(StoreUnavailable):
        faulty.put("there", b"other")
    assert blobs.get("there") == b"four"


def test_a_slow_body_comes_late_or_too_late(blobs: Blobs) -> None:
    waited: list[float] = []
    late = FaultyBlobs(blobs, lambda *_: "slow body", slow_seconds=3, sleep=waited.append)
    assert late.get("there") == b"four"
    too_late = FaultyBlobs(blobs, lambda *_: "slow body", slow_seconds=3, timeout_seconds=2, sleep=waited.append)
    with pytest.raises(StoreUnavailable):
        too_late.get("there")
    assert waited == [3, 2]


def test_a_listing_breaks_off_in_the_middle(blobs: Blobs) -> None:
    blobs.put("two", b"")
    seen = []
    with pytest.raises(StoreUnavailable):
        seen.extend(struck(blobs, "503").list())
    assert len(seen) <= 1


def test_the_same_seed_strikes_the_same() -> None:
    rates: dict[Fault, float] = dict.fromkeys(FAULTS, 0.05)
    one, other = (
        [faults(operation) for _ in range(200) for operation in OPERATIONS]
        for faults in (SeededFaults(rates, 7), SeededFaults(rates, 7))
    )
    assert one == other != [SeededFaults(rates, 8)(operation) for operation in OPERATIONS] * 200
    counted = SeededFaults(rates, 7)
    met = Counter(counted(operation) for _ in range(200) for operation in OPERATIONS)
    assert met[None] > 0.5 * met.total()
    assert {fault: met[fault] for fault in FAULTS} == counted.struck
    assert set(counted.struck) == set(FAULTS)
