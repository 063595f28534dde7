import hashlib
import json
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.blobs import Blobs, open_blobs
from actors.errors import (
    BlobExists,
    BlobNotFound,
    CommitUnknown,
    CorruptBlob,
    StoreRefused,
    StoreUnavailable,
    UnsafeTaskId,
)
from actors.ledger import Ledger

TASK = hashlib.sha256(b"a task").hexdigest()
FAULTS = ("none", "lost before", "lost after", "retried")


class FaultyBlobs:
    """Writes meet the scheduled faults in turn; when the schedule is over, all is well."""

    def __init__(self, blobs: Blobs, faults: list[str]) -> None:
        self.blobs, self.faults = blobs, faults
        self.url = blobs.url

    def get(self, key: str) -> bytes:
        return self.blobs.get(key)

    def put(self, key: str, data: bytes) -> None:
        fault = self._next()
        if fault != "lost before":
            self.blobs.put(key, data)
        if fault != "none":
            raise StoreUnavailable("no answer")

    def create(self, key: str, data: bytes) -> None:
        fault = self._next()
        if fault != "lost before":
            self.blobs.create(key, data)
        if fault == "retried":  # the first answer was lost, and the client's own second request met the first
            raise BlobExists(key)
        if fault != "none":
            raise StoreUnavailable("no answer")

    def exists(self, key: str) -> bool:
        return self.blobs.exists(key)

    def delete(self, key: str) -> None:
        if self._next() != "none":
            raise StoreUnavailable("no answer")
        self.blobs.delete(key)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return self.blobs.list(prefix)

    def _next(self) -> str:
        return self.faults.pop(0) if self.faults else "none"


@pytest.fixture
def blobs() -> Blobs:
    return fresh_blobs()


def fresh_blobs() -> Blobs:
    return open_blobs(f"memory://{uuid.uuid4().hex}")


def content(task_id: str) -> bytes:
    return f"result of {task_id}".encode()


def test_what_is_committed_is_read(blobs: Blobs) -> None:
    commit = Ledger(blobs).commit(TASK, b"result", replica="replica-0", seconds=1.5)
    assert commit.status == "committed"
    assert Ledger(blobs).read(TASK) == b"result"
    assert Ledger(blobs).committed() == {TASK}
    assert Ledger(blobs).is_committed(TASK)


def test_the_record_says_all_there_is_to_know(blobs: Blobs) -> None:
    Ledger(blobs).commit(TASK, b"result", replica="replica-0", seconds=1.5, attempt="a1")
    record = json.loads(blobs.get(f"commits/{TASK}.json"))
    assert record.pop("created").endswith("+00:00")
    assert record == {
        "task": TASK,
        "attempt": "a1",
        "data": f"data/{TASK}/a1",
        "size": 6,
        "sha256": hashlib.sha256(b"result").hexdigest(),
        "seconds": 1.5,
        "replica": "replica-0",
    }


def test_the_second_attempt_is_a_duplicate_and_leaves_nothing(blobs: Blobs) -> None:
    first = Ledger(blobs).commit(TASK, b"first", replica="replica-0")
    second = Ledger(blobs).commit(TASK, b"second", replica="replica-1")
    assert (second.status, second.record) == ("duplicate", first.record)
    assert Ledger(blobs).read(TASK) == b"first"
    assert [key for key, _ in blobs.list("data")] == [first.record.data]


def test_data_without_a_record_are_no_result(blobs: Blobs) -> None:
    blobs.put(f"data/{TASK}/orphan", b"of a crash")
    assert Ledger(blobs).committed() == frozenset()
    assert not Ledger(blobs).is_committed(TASK)
    with pytest.raises(BlobNotFound):
        Ledger(blobs).read(TASK)


@pytest.mark.parametrize("damage", [b"resulT", b"result and more", b""])
def test_damaged_data_are_not_believed(blobs: Blobs, damage: bytes) -> None:
    record = Ledger(blobs).commit(TASK, b"result", replica="replica-0").record
    blobs.put(record.data, damage)
    with pytest.raises(CorruptBlob, match=f"Delete commits/{TASK}.json"):
        Ledger(blobs).read(TASK)


def test_missing_data_are_corruption(blobs: Blobs) -> None:
    blobs.delete(Ledger(blobs).commit(TASK, b"result", replica="replica-0").record.data)
    with pytest.raises(CorruptBlob, match="missing"):
        Ledger(blobs).read(TASK)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"{}", b'{"task": "other"}'])
def test_a_damaged_record_is_named(blobs: Blobs, text: bytes) -> None:
    blobs.put(f"commits/{TASK}.json", text)
    with pytest.raises(CorruptBlob, match=f"commits/{TASK}.json"):
        Ledger(blobs).read(TASK)


def test_a_record_of_another_task_is_refused(blobs: Blobs) -> None:
    Ledger(blobs).commit(TASK, b"result", replica="replica-0")
    other = hashlib.sha256(b"another task").hexdigest()
    blobs.put(f"commits/{other}.json", blobs.get(f"commits/{TASK}.json"))
    with pytest.raises(CorruptBlob, match=f"speaks of task {TASK}"):
        Ledger(blobs).read(other)


@pytest.mark.parametrize("task_id", ["../../outside", "ABCDEF00", "", "abc"])
def test_only_digests_name_commits(blobs: Blobs, task_id: str) -> None:
    with pytest.raises(UnsafeTaskId):
        Ledger(blobs).commit(task_id, b"", replica="replica-0")
    with pytest.raises(UnsafeTaskId):
        Ledger(blobs).read(task_id)


@pytest.mark.parametrize("fault", ["lost after", "retried"])
def test_a_lost_answer_to_our_own_commit_is_a_commit(blobs: Blobs, fault: str) -> None:
    ledger = Ledger(FaultyBlobs(blobs, ["none", fault]), sleep=lambda _: None)
    assert ledger.commit(TASK, b"result", replica="replica-0").status == "committed"
    assert Ledger(blobs).read(TASK) == b"result"


def test_a_store_that_stays_silent_leaves_the_commit_unknown(blobs: Blobs) -> None:
    ledger = Ledger(FaultyBlobs(blobs, ["none"] + ["lost before"] * 10_000), patience_seconds=0.05)
    with pytest.raises(CommitUnknown, match=f"commit of task {TASK}"):
        ledger.commit(TASK, b"result", replica="replica-0")
    assert Ledger(blobs).committed() == frozenset()


def test_a_refusal_is_not_waited_out(blobs: Blobs) -> None:
    class Refusing(FaultyBlobs):
        def put(self, key: str, data: bytes) -> None:
            raise StoreRefused("access denied")

    def no_waiting(seconds: float) -> None:
        raise AssertionError("waited for an answer that will not change")

    with pytest.raises(StoreRefused, match="access denied"):
        Ledger(Refusing(blobs, []), sleep=no_waiting).commit(TASK, b"", replica="replica-0")


@given(
    attempts=st.lists(st.integers(0, 4), max_size=15),
    faults=st.lists(st.sampled_from(FAULTS), max_size=40),
)
def test_any_order_of_attempts_and_faults_gives_the_same_content(attempts: list[int], faults: list[str]) -> None:
    blobs = fresh_blobs()
    ledger = Ledger(FaultyBlobs(blobs, list(faults)), sleep=lambda _: None)
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in attempts]
    commits = [ledger.commit(name, content(name), replica=f"replica-{place}") for place, name in enumerate(names)]

    assert Ledger(blobs).committed() == set(names)
    assert {name: Ledger(blobs).read(name) for name in names} == {name: content(name) for name in names}
    winners = [commit.record.task for commit in commits if commit.status == "committed"]
    assert sorted(winners) == sorted(set(names))  # each task was committed by exactly one attempt
    assert all(Ledger(blobs).record(commit.record.task) == commit.record for commit in commits)


@given(order=st.permutations(range(8)))
def test_what_is_committed_does_not_depend_on_the_order(order: list[int]) -> None:
    blobs = fresh_blobs()
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in order]
    for name in names:
        Ledger(blobs).commit(name, content(name), replica="replica-0")
    digest = hashlib.sha256(b"".join(Ledger(blobs).read(name) for name in sorted(Ledger(blobs).committed())))
    expected = sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(8))
    assert digest.digest() == hashlib.sha256(b"".join(map(content, expected))).digest()
