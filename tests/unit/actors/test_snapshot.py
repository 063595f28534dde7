import hashlib
import uuid

from actors.blobs import open_blobs
from actors.ledger import Ledger
from actors.snapshot import Snapshot

FIRST, SECOND = (hashlib.sha256(name).hexdigest() for name in (b"first", b"second"))


def test_what_is_committed_later_is_not_in_it() -> None:
    ledger = Ledger(open_blobs(f"memory://{uuid.uuid4().hex}"))
    ledger.commit(FIRST, b"1", replica="r")
    snapshot = Snapshot(ledger)
    assert snapshot.committed() == {FIRST}
    ledger.commit(SECOND, b"2", replica="r")
    assert snapshot.committed() == {FIRST}
    assert Snapshot(ledger).committed() == {FIRST, SECOND}


def test_it_knows_what_was_read() -> None:
    ledger = Ledger(open_blobs(f"memory://{uuid.uuid4().hex}"))
    for task in (FIRST, SECOND):
        ledger.commit(task, task.encode(), replica="r")
    snapshot = Snapshot(ledger)
    assert snapshot.digests == {}
    assert snapshot.read(FIRST) == FIRST.encode()
    assert snapshot.digests == {FIRST: hashlib.sha256(FIRST.encode()).hexdigest()}
