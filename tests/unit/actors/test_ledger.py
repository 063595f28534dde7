import contextlib
import hashlib
import itertools
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.blobs import Blobs, open_blobs
from actors.errors import (
    BlobNotFound,
    BlobTooLarge,
    CommitUnknown,
    CorruptBlob,
    StoreRefused,
    UnsafeTaskId,
)
from actors.faulty_blobs import FAULTS, Fault, FaultyBlobs, SeededFaults
from actors.ledger import Ledger, commit_key
from actors.orphans import delete_from_ledger
from actors.size_limits import LARGEST_RECORD

WRITES = ("put", "create", "delete")
TASK = hashlib.sha256(b"a task").hexdigest()
WRITE_FAULTS: tuple[Fault | None, ...] = (None, "503", "lost answer", "412")


def struck(blobs: Blobs, faults: list[Fault | None]) -> FaultyBlobs:
    """Writes meet the scheduled faults in turn; when the schedule is over, all is well."""
    return FaultyBlobs(blobs, lambda operation, _: faults.pop(0) if faults and operation in WRITES else None)


@pytest.fixture
def blobs() -> Blobs:
    return fresh_blobs()


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


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


@pytest.mark.parametrize("fault", ["lost answer", "412"])
def test_a_lost_answer_to_our_own_commit_is_a_commit(blobs: Blobs, fault: Fault) -> None:
    ledger = Ledger(struck(blobs, [None, fault]), sleep=lambda _: None)
    assert ledger.commit(TASK, b"result", replica="replica-0").status == "committed"
    assert Ledger(blobs).read(TASK) == b"result"


def test_a_store_that_stays_silent_leaves_the_commit_unknown(blobs: Blobs) -> None:
    ledger = Ledger(struck(blobs, [None] + ["503"] * 10_000), patience_seconds=0.05)
    with pytest.raises(CommitUnknown, match=f"commit of task {TASK}"):
        ledger.commit(TASK, b"result", replica="replica-0")
    assert Ledger(blobs).committed() == frozenset()


def test_a_refusal_is_not_waited_out(blobs: Blobs) -> None:
    def no_waiting(seconds: float) -> None:
        raise AssertionError("waited for an answer that will not change")

    with pytest.raises(StoreRefused, match="injected 403"):
        Ledger(struck(blobs, ["403"]), sleep=no_waiting).commit(TASK, b"", replica="replica-0")


@pytest.mark.parametrize("cut", [[0], [0, 1], [1], [1, 2]])
def test_a_body_that_arrives_cut_is_read_again(blobs: Blobs, cut: list[int]) -> None:
    """The record is read first, then the data."""
    Ledger(blobs).commit(TASK, b"result", replica="replica-0")
    readings = itertools.count()
    faulty = FaultyBlobs(blobs, lambda *_: "truncated body" if next(readings) in cut else None)
    assert Ledger(faulty).read(TASK) == b"result"


def test_reads_wait_for_a_store_that_is_silent_for_a_while(blobs: Blobs) -> None:
    Ledger(blobs).commit(TASK, b"result", replica="replica-0")
    faults = iter(["503", "lost answer", "429"] * 4)
    ledger = Ledger(FaultyBlobs(blobs, lambda *_: next(faults, None)), sleep=lambda _: None)  # type: ignore[arg-type]
    assert ledger.committed() == {TASK}
    faults = iter(["503"] * 3)
    assert ledger.read(TASK) == b"result"
    faults = iter(["503"] * 3)
    assert ledger.is_committed(TASK)


def test_a_replica_that_slept_looks_after_its_data(blobs: Blobs) -> None:
    """It wakes two days after it wrote its data, and an hour after somebody took them for an orphan."""
    seconds = [0.0]

    def sleep_before_the_record(operation: str, _: str) -> None:
        if operation == "create" and not seconds[0]:
            seconds[0] = 2 * 86400.0
            assert [orphan.size for orphan in delete_from_ledger(Ledger(blobs), soon())] == [6]

    ledger = Ledger(FaultyBlobs(blobs, sleep_before_the_record), clock=lambda: seconds[0])
    assert ledger.commit(TASK, b"result", replica="replica-0").status == "committed"
    assert Ledger(blobs).read(TASK) == b"result"


def test_a_record_that_names_data_of_another_is_refused(blobs: Blobs) -> None:
    record = Ledger(blobs).commit(TASK, b"result", replica="replica-0").record
    blobs.put(f"commits/{TASK}.json", record.to_json().replace(b'"data":"data/', b'"data":"data/../'))
    with pytest.raises(CorruptBlob, match="names data of another task or attempt"):
        Ledger(blobs).read(TASK)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_any_mixture_of_faults_is_overcome(seed: int) -> None:
    blobs = fresh_blobs()
    rates = {fault: 0.06 for fault in FAULTS if fault != "403"}
    ledger = Ledger(FaultyBlobs(blobs, SeededFaults(rates, seed)), sleep=lambda _: None)
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4)]
    for _ in range(2):
        for name in names:
            # Cut three times in a row it does count as damaged; whoever plans tries such a task again.
            with contextlib.suppress(CorruptBlob):
                ledger.commit(name, content(name), replica="replica-0")
    assert Ledger(blobs).committed() == set(names)
    assert {name: Ledger(blobs).read(name) for name in names} == {name: content(name) for name in names}


@given(
    attempts=st.lists(st.integers(0, 4), max_size=15),
    faults=st.lists(st.sampled_from(WRITE_FAULTS), max_size=40),
)
def test_any_order_of_attempts_and_faults_gives_the_same_content(
    attempts: list[int], faults: list[Fault | None]
) -> None:
    blobs = fresh_blobs()
    ledger = Ledger(struck(blobs, list(faults)), sleep=lambda _: None)
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


def rewritten(blobs: Blobs, **changes: object) -> None:
    """Change a commit record, as somebody could who may write to the store."""
    record = json.loads(blobs.get(commit_key(TASK)))
    blobs.put(commit_key(TASK), json.dumps(record | changes).encode())


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "other/attempt", "..", "", "a\\b", "a\nb"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_record_cannot_lead_out_of_its_data(blobs: Blobs, name: str, whole: bool) -> None:
    Ledger(blobs).commit(TASK, b"result", replica="r")
    rewritten(blobs, attempt=name, data=name if whole else f"data/{TASK}/{name}")
    with pytest.raises(CorruptBlob, match=r"names data of another task or attempt .*Delete commits/"):
        Ledger(blobs).read(TASK)


@pytest.mark.parametrize(("size", "most"), [(5, 5), (-1, 0), (10**18, 2**32)])
def test_no_more_is_read_than_a_record_promises(blobs: Blobs, size: int, most: int) -> None:
    Ledger(blobs).commit(TASK, b"result", replica="r")
    rewritten(blobs, size=size)
    asked: list[int] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(blobs, name)

        def get(self, key: str, most: int) -> bytes:
            asked.append(most)
            return blobs.get(key, most)

    with pytest.raises(CorruptBlob, match=r"Delete commits/.* to have the task computed again"):
        Ledger(Watched()).read(TASK)  # type: ignore[arg-type]
    assert max(asked[1:]) <= most


def test_a_record_that_is_too_large_is_told_with_its_cure(blobs: Blobs) -> None:
    blobs.put(commit_key(TASK), bytes(LARGEST_RECORD + 1))
    with pytest.raises(CorruptBlob, match=r"has 65,537 bytes, and at most 65,536 are read: .* Delete commits/"):
        Ledger(blobs).record(TASK)


def test_a_record_that_is_nested_too_deep_is_damage(blobs: Blobs) -> None:
    blobs.put(commit_key(TASK), b"[" * LARGEST_RECORD)
    with pytest.raises(CorruptBlob, match="is not JSON"):
        Ledger(blobs).record(TASK)


def test_a_result_that_nobody_would_read_is_not_committed(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.ledger.LARGEST_OBJECT", 5)
    with pytest.raises(BlobTooLarge, match="has 6 bytes, and at most 5 can be stored"):
        Ledger(blobs).commit(TASK, b"result", replica="r")
    assert dict(blobs.list()) == {}
