import uuid

import pytest

from actors.blobs import open_blobs
from actors.errors import StoreFull, StoreRefused
from actors.ledger import Commit, Ledger
from actors.rehearsal import RehearsalWorker, rehearsed
from actors.replica import LONGEST_REASON, Replica, describe
from actors.tasks import Lease, Task


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(open_blobs(f"memory://{uuid.uuid4().hex}"))


def lease_of(*tasks: Task) -> Lease:
    return Lease("lease", tasks, 1, 60.0)


def test_a_lease_is_run_and_committed(ledger: Ledger) -> None:
    tasks = [rehearsed("a"), rehearsed("b")]
    report = Replica("replica-7", RehearsalWorker(), ledger).run(lease_of(*tasks))
    assert (report.status, report.replica, report.poisoned) == ("finished", "replica-7", False)
    assert [(each.task_id, each.status) for each in report.outcomes] == [(task.id, "committed") for task in tasks]
    assert [ledger.read(task.id) for task in tasks] == [b"a", b"b"]
    assert ledger.record(tasks[0].id).replica == "replica-7"


def test_what_another_attempt_committed_is_a_duplicate(ledger: Ledger) -> None:
    replica = Replica("replica-0", RehearsalWorker(), ledger)
    replica.run(lease_of(rehearsed("a")))
    assert replica.run(lease_of(rehearsed("a"))).outcomes[0].status == "duplicate"


def test_a_second_lease_computes_only_what_the_first_has_not_committed(ledger: Ledger) -> None:
    replica = Replica("replica-0", RehearsalWorker(), ledger)
    replica.run(lease_of(rehearsed("a")))
    second = Lease("second", (rehearsed("a"), rehearsed("b")), 1, 60.0, second=True)
    assert [each.status for each in replica.run(second).outcomes] == ["found", "committed"]


def test_a_second_lease_that_cannot_look_fails_its_task(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(task_id: str) -> bool:
        raise StoreRefused("wrong key")

    monkeypatch.setattr(ledger, "is_committed", refuse)
    second = Lease("second", (rehearsed("a"),), 1, 60.0, second=True)
    (outcome,) = Replica("replica-0", RehearsalWorker(), ledger).run(second).outcomes
    assert (outcome.status, "StoreRefused: wrong key" in outcome.reason) == ("failed", True)


def test_an_error_may_say_what_another_attempt_would_bring(ledger: Ledger) -> None:
    class Odd(Exception):
        after_failure = "sing"

    class Singing:
        def run(self, payload: bytes) -> bytes:
            raise Odd

    tasks = [rehearsed(fault, fault=fault) for fault in ("raise", "end", "stop")]
    outcomes = Replica("replica-0", RehearsalWorker(), ledger).run(lease_of(*tasks)).outcomes
    assert [each.after_failure for each in outcomes] == ["try again", "set aside", "stop"]
    assert Replica("replica-1", Singing(), ledger).run(lease_of(tasks[0])).outcomes[0].after_failure == "try again"


def test_a_full_disk_ends_the_run(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **more: object) -> Commit:
        raise StoreFull("no space is left there")

    monkeypatch.setattr(ledger, "commit", full)
    (outcome,) = Replica("replica-0", RehearsalWorker(), ledger).run(lease_of(rehearsed("a"))).outcomes
    assert (outcome.status, outcome.after_failure) == ("failed", "stop")


def test_a_task_that_raises_fails_alone(ledger: Ledger) -> None:
    report = Replica("replica-0", RehearsalWorker(), ledger).run(
        lease_of(rehearsed("a"), rehearsed("bad", fault="raise"), rehearsed("b"))
    )
    assert [each.status for each in report.outcomes] == ["committed", "failed", "committed"]
    assert report.outcomes[1].reason.startswith("RehearsedFailure: 'bad' was asked to fail (rehearsal.py:")


def test_a_poisoned_replica_runs_nothing_more(ledger: Ledger) -> None:
    replica = Replica("replica-0", RehearsalWorker(), ledger)
    report = replica.run(lease_of(rehearsed("a"), rehearsed("bad", fault="poison"), rehearsed("b")))
    assert [each.status for each in report.outcomes] == ["committed", "failed"]
    assert report.poisoned
    later = replica.run(lease_of(rehearsed("c")))
    assert (later.outcomes, later.poisoned) == ((), True)
    assert ledger.committed() == {rehearsed("a").id}


def test_a_result_has_to_be_bytes(ledger: Ledger) -> None:
    class Careless:
        def run(self, payload: bytes) -> bytes:
            return "text"  # type: ignore[return-value]

    report = Replica("replica-0", Careless(), ledger).run(lease_of(rehearsed("a")))
    assert "returned str; a result has to be bytes" in report.outcomes[0].reason
    assert ledger.committed() == frozenset()


def test_a_store_that_refuses_fails_the_task_with_its_reason() -> None:
    class Refusing(Ledger):
        def commit(self, *_: object, **__: object) -> Commit:
            raise StoreRefused("access denied")

    replica = Replica("replica-0", RehearsalWorker(), Refusing(open_blobs("memory://refusing")))
    outcome = replica.run(lease_of(rehearsed("a"))).outcomes[0]
    assert outcome.status == "failed"
    assert outcome.reason.startswith("StoreRefused: access denied")


def test_an_interrupt_is_no_failure(ledger: Ledger) -> None:
    class Interrupted:
        def run(self, payload: bytes) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Replica("replica-0", Interrupted(), ledger).run(lease_of(rehearsed("a")))


def test_reasons_are_short_and_of_one_line() -> None:
    reason = describe(ValueError("several\nlines " + "x" * 10_000))
    assert "\n" not in reason
    assert len(reason) < LONGEST_REASON + 50
