import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.blobs import Blobs, open_blobs
from actors.epoch import Epoch
from actors.errors import CommitUnknown, CorruptBlob, Fenced, StoreRefused
from actors.faulty_blobs import Fault, FaultyBlobs
from actors.history import History
from actors.manifest import Manifest, read_commit_lines

RUN, OTHER_RUN = "ab" * 32, "cd" * 32
COMMITS = {"a" * 64: "1" * 64, "b" * 64: "2" * 64}


@pytest.fixture(params=["memory", "folder"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return open_blobs(f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path))


def publish(blobs: Blobs, content: bytes, run: str = RUN) -> Manifest:
    return Epoch.begin(History(blobs)).publish(run, {"hits": content}, COMMITS)


class Striking:
    """Strikes the n-th operation of a kind with a fault, after having done something else."""

    def __init__(self, operation: str, number: int, fault: Fault | None, meanwhile: object = None) -> None:
        self.left, self.operation, self.fault, self.meanwhile = number, operation, fault, meanwhile

    def __call__(self, operation: str, key: str) -> Fault | None:
        self.left -= operation == self.operation
        if self.left == 0 and operation == self.operation:
            self.left = -1
            if callable(self.meanwhile):
                self.meanwhile()
            return self.fault
        return None


def history(blobs: Blobs, strike: Striking) -> History:
    return History(FaultyBlobs(blobs, strike), sleep=lambda _: None)


def test_the_first_run_begins_epoch_1_and_the_next_epoch_2(blobs: Blobs) -> None:
    first, second = (Epoch.begin(History(blobs), name) for name in ("a", "b"))
    assert (first.number, second.number) == (1, 2)
    head = History(blobs).head()
    assert head is not None
    assert (head.epoch, head.owner, head.holder, head.manifest) == (2, second.owner, "b", None)
    second.check()
    with pytest.raises(Fenced, match=r"another run \(b\) has taken over \(epoch 2, since .* nothing"):
        first.check()


def test_a_place_is_taken_only_as_it_was_seen(blobs: Blobs) -> None:
    seen = History(blobs).load()
    first = Epoch.succeed(History(blobs), *seen, "a", uuid.uuid4().hex)
    assert first is not None
    assert first.number == 1
    assert Epoch.succeed(History(blobs), *seen, "b", uuid.uuid4().hex) is None
    first.check()
    second = Epoch.succeed(History(blobs), *History(blobs).load(), "b", uuid.uuid4().hex)
    assert second is not None
    assert second.number == 2
    with pytest.raises(Fenced):
        first.check()


def test_a_place_that_was_taken_with_an_answer_that_was_lost_is_taken(blobs: Blobs) -> None:
    strike = Striking("swap", 1, "lost answer")
    owner = uuid.uuid4().hex
    epoch = Epoch.succeed(history(blobs, strike), *History(blobs).load(), "a", owner)
    assert epoch is not None
    assert (epoch.number, epoch.owner) == (1, owner)
    epoch.check()


def test_a_version_has_its_files_under_names_of_its_own_and_plain_copies(blobs: Blobs) -> None:
    first = publish(blobs, b"1")
    second = publish(blobs, b"2")
    assert (first.number, second.number, second.epoch) == (1, 2, 2)
    assert first.files["hits"].key != second.files["hits"].key
    assert History(blobs).read(first.files["hits"]) == b"1"
    assert blobs.get("hits") == History(blobs).read(second.files["hits"]) == b"2"
    assert list(History(blobs).chain()) == [second, first]
    assert read_commit_lines(History(blobs).read(second.commits)) == COMMITS
    assert (second.results, second.ledger, second.run) == (2, "ledger", RUN)


def test_the_same_again_is_no_new_version(blobs: Blobs) -> None:
    first = publish(blobs, b"1")
    blobs.delete("hits")
    assert publish(blobs, b"1") == first
    assert blobs.get("hits") == b"1"  # but what was lost of it is mended
    assert publish(blobs, b"1", OTHER_RUN).number == 2


def test_a_version_that_lost_a_file_is_published_anew(blobs: Blobs) -> None:
    first = publish(blobs, b"1")
    blobs.delete(first.files["hits"].key)
    assert publish(blobs, b"1").number == 2


def test_a_version_after_a_damaged_manifest(blobs: Blobs) -> None:
    publish(blobs, b"1")
    blobs.put("ledger/manifests/00000001.json", b"{}")
    with pytest.raises(CorruptBlob, match="not what was published"):
        History(blobs).published()
    assert publish(blobs, b"2").number == 2
    assert blobs.get("hits") == b"2"


def test_plain_names_that_a_run_has_no_more_are_removed(blobs: Blobs) -> None:
    Epoch.begin(History(blobs)).publish(RUN, {"hits": b"1", "effects": b"e"}, {})
    publish(blobs, b"2")
    assert not blobs.exists("effects")


def test_a_zombie_that_wakes_up_publishes_nothing(blobs: Blobs) -> None:
    zombie = Epoch.begin(History(blobs))
    publish(blobs, b"of the living")
    before = dict(blobs.list())
    with pytest.raises(Fenced):
        zombie.publish(RUN, {"hits": b"of the dead"}, {})
    assert dict(blobs.list()) == before


@pytest.mark.parametrize("moment", ["put", "create", "swap"])
def test_a_zombie_that_sleeps_while_it_publishes_publishes_nothing(blobs: Blobs, moment: str) -> None:
    """Another run begins, and publishes, just before one of the zombie's own steps."""
    strike = Striking(moment, 2 if moment == "swap" else 1, None, lambda: publish(blobs, b"of the living"))
    zombie = Epoch.begin(history(blobs, strike))
    with pytest.raises(Fenced):
        zombie.publish(RUN, {"hits": b"of the dead"}, {})
    published = History(blobs).published()
    assert published is not None
    assert History(blobs).read(published.files["hits"]) == b"of the living" == blobs.get("hits")


def test_a_publisher_that_is_overtaken_while_it_copies_ends_with_the_newer(blobs: Blobs) -> None:
    slow = history(blobs, Striking("copy", 1, None, lambda: publish(blobs, b"newer")))
    manifest = Epoch.begin(slow).publish(RUN, {"hits": b"older"}, {})
    assert blobs.get("hits") == b"newer"
    assert [each.number for each in History(blobs).chain()] == [2, manifest.number]


@pytest.mark.parametrize("fault", ["412", "lost answer", "409", "503", "500", "truncated body", "slow body"])
@pytest.mark.parametrize(("operation", "number"), [("swap", 1), ("swap", 2), ("create", 1), ("put", 1), ("load", 2)])
def test_a_fault_at_any_step_is_overcome(blobs: Blobs, operation: str, number: int, fault: Fault) -> None:
    struck = history(blobs, Striking(operation, number, fault))
    manifest = Epoch.begin(struck).publish(RUN, {"hits": b"1"}, COMMITS)
    assert History(blobs).published() == manifest
    assert [each.number for each in History(blobs).chain()] == [manifest.number]
    assert blobs.get("hits") == b"1"


def test_a_lost_answer_is_settled_although_another_run_has_published_since(blobs: Blobs) -> None:
    """The move was done, its answer was lost, and by the time of asking another version stands on top of it."""

    class Late(Striking):
        def __call__(self, operation: str, key: str) -> Fault | None:
            if operation == "load" and self.left == -1:
                self.left = -2
                publish(blobs, b"2")
            return super().__call__(operation, key)

    manifest = Epoch.begin(history(blobs, Late("swap", 2, "412"))).publish(RUN, {"hits": b"1"}, {})
    second, first = History(blobs).chain()
    assert first == manifest
    assert blobs.get("hits") == b"2" == History(blobs).read(second.files["hits"])


def test_a_store_that_stays_silent_leaves_it_unknown(blobs: Blobs) -> None:
    epoch = Epoch.begin(History(blobs))
    silent = History(
        FaultyBlobs(blobs, lambda operation, _: "503" if operation == "swap" else None), patience_seconds=0
    )
    with pytest.raises(CommitUnknown, match=r"publishing in .*injected 503"):
        Epoch(silent, epoch.number, epoch.owner).publish(RUN, {"hits": b"1"}, {})
    assert History(blobs).published() is None


def test_a_refusal_is_told_at_once(blobs: Blobs) -> None:
    epoch = Epoch.begin(History(blobs))

    def no_waiting(seconds: float) -> None:
        raise AssertionError("waited for an answer that will not change")

    refused = History(FaultyBlobs(blobs, lambda operation, _: "403" if operation == "put" else None), sleep=no_waiting)
    with pytest.raises(StoreRefused, match="injected 403"):
        Epoch(refused, epoch.number, epoch.owner).publish(RUN, {"hits": b"1"}, {})


def test_of_8_that_begin_at_once_each_has_an_epoch_and_one_may_publish(blobs: Blobs) -> None:
    with ThreadPoolExecutor(8) as threads:
        epochs = list(threads.map(lambda number: Epoch.begin(History(blobs), str(number)), range(8)))
    assert sorted(epoch.number for epoch in epochs) == list(range(1, 9))

    def attempt(epoch: Epoch) -> int | None:
        try:
            epoch.publish(RUN, {"hits": str(epoch.number).encode()}, {})
        except Fenced:
            return None
        return epoch.number

    with ThreadPoolExecutor(8) as threads:
        assert [found for found in threads.map(attempt, epochs) if found is not None] == [8]
    assert blobs.get("hits") == b"8"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"epoch": 1}'])
def test_a_damaged_head_is_told_with_its_cure(blobs: Blobs, text: bytes) -> None:
    blobs.put("ledger/HEAD", text)
    with pytest.raises(CorruptBlob, match=r"ledger/HEAD.*Delete it .*to begin a new history; what is committed stays"):
        Epoch.begin(History(blobs))
    blobs.delete("ledger/HEAD")
    assert publish(blobs, b"1").number == 1


def test_a_history_that_was_deleted_begins_anew_beside_old_manifests(blobs: Blobs) -> None:
    publish(blobs, b"1")
    blobs.delete("ledger/HEAD")
    assert publish(blobs, b"2").number == 2
    assert blobs.get("hits") == b"2"


def test_a_head_of_a_later_format_is_not_guessed_at(blobs: Blobs) -> None:
    Epoch.begin(History(blobs))
    content = json.loads(blobs.get("ledger/HEAD")) | {"format": 2}
    blobs.delete("ledger/HEAD")
    blobs.create("ledger/HEAD", json.dumps(content).encode())
    with pytest.raises(CorruptBlob, match="another version of the engine"):
        History(blobs).head()
