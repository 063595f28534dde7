"""What every store has to do, whatever lies behind its URL."""

import hashlib
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.blobs import Blobs, open_blobs, probe_conditional_writes
from actors.epoch import Epoch
from actors.errors import BlobChanged, BlobExists, BlobNotFound, BlobTooLarge, UnsafeKey
from actors.heartbeat import Heartbeat, remove_beats
from actors.history import History
from actors.job import Ending
from actors.ledger import Ledger
from actors.watch import Watch

CREATORS = 16


class StoreContract:
    """The suite; a subclass gives the fixture `url`."""

    @pytest.fixture
    def blobs(self, url: str) -> Blobs:
        return open_blobs(url)

    def test_what_is_put_is_got(self, blobs: Blobs) -> None:
        blobs.put("folder/name", b"\x00bytes\xff")
        assert blobs.get("folder/name") == b"\x00bytes\xff"

    def test_empty_objects_are_objects(self, blobs: Blobs) -> None:
        blobs.create("empty", b"")
        assert blobs.get("empty") == b""
        assert dict(blobs.list()) == {"empty": 0}

    def test_large_objects_arrive_whole(self, blobs: Blobs) -> None:
        data = bytes(range(256)) * 2**15  # 8 MiB, more than one part of a multipart upload
        blobs.put("large", data)
        assert hashlib.sha256(blobs.get("large")).digest() == hashlib.sha256(data).digest()

    def test_of_what_is_too_large_nothing_is_read(self, blobs: Blobs) -> None:
        blobs.put("folder/name", b"12345")
        assert blobs.get("folder/name", most=5) == b"12345"
        assert blobs.load("folder/name", most=5).data == b"12345"
        for read in (blobs.get, blobs.load):
            with pytest.raises(BlobTooLarge, match=r"'folder/name' in .* has 5 bytes, and at most 4 are read"):
                read("folder/name", most=4)

    def test_folders_are_those_directly_below(self, blobs: Blobs) -> None:
        assert blobs.folders() == []
        for key in ("b c/name", "a/deep/er", "name"):
            blobs.put(key, b"")
        assert blobs.folders() == ["a", "b c"]
        assert open_blobs(f"{blobs.url}/a").folders() == ["deep"]

    def test_put_overwrites(self, blobs: Blobs) -> None:
        blobs.put("name", b"first")
        blobs.put("name", b"second")
        assert blobs.get("name") == b"second"

    def test_create_never_overwrites(self, blobs: Blobs) -> None:
        blobs.create("name", b"first")
        with pytest.raises(BlobExists, match="name"):
            blobs.create("name", b"second")
        assert blobs.get("name") == b"first"

    def test_large_creation_never_overwrites(self, blobs: Blobs) -> None:
        blobs.create("name", b"first")
        with pytest.raises(BlobExists):
            blobs.create("name", bytes(8 * 2**20))
        assert blobs.get("name") == b"first"

    def test_of_16_creators_one_wins(self, blobs: Blobs) -> None:
        barrier = threading.Barrier(CREATORS)

        def create(number: int) -> int | None:
            barrier.wait()
            try:
                blobs.create("contested", str(number).encode())
            except BlobExists:
                return None
            return number

        with ThreadPoolExecutor(CREATORS) as threads:
            answers = list(threads.map(create, range(CREATORS)))
        winners = [answer for answer in answers if answer is not None]
        assert len(winners) == 1
        assert blobs.get("contested") == str(winners[0]).encode()

    def test_a_swap_names_the_version_that_was_loaded(self, blobs: Blobs) -> None:
        version = blobs.swap("HEAD", b"first", None)
        assert blobs.load("HEAD") == (b"first", version)
        assert blobs.swap("HEAD", b"second", version) != version
        assert blobs.load("HEAD").data == blobs.get("HEAD") == b"second"

    def test_an_older_version_is_not_swapped(self, blobs: Blobs) -> None:
        first = blobs.swap("HEAD", b"first", None)
        second = blobs.swap("HEAD", b"second", first)
        for stale in (None, first):
            with pytest.raises(BlobChanged, match="HEAD"):
                blobs.swap("HEAD", b"late", stale)
        assert blobs.load("HEAD") == (b"second", second)

    def test_nothing_is_no_version(self, blobs: Blobs) -> None:
        with pytest.raises(BlobNotFound, match="HEAD"):
            blobs.load("HEAD")
        version = blobs.swap("elsewhere", b"x", None)
        blobs.delete("elsewhere")
        with pytest.raises(BlobNotFound):
            blobs.load("elsewhere")
        blobs.swap("elsewhere", b"y", None)
        assert blobs.load("elsewhere").data == b"y"
        assert version

    def test_what_was_created_can_be_swapped(self, blobs: Blobs) -> None:
        """As after a copy of a whole bucket or folder to elsewhere."""
        blobs.create("HEAD", b"copied")
        blobs.swap("HEAD", b"next", blobs.load("HEAD").version)
        assert blobs.load("HEAD").data == b"next"

    def test_of_16_swappers_one_wins(self, blobs: Blobs) -> None:
        version = blobs.swap("HEAD", b"before", None)
        barrier = threading.Barrier(CREATORS)

        def swap(number: int) -> int | None:
            barrier.wait()
            try:
                blobs.swap("HEAD", str(number).encode(), version)
            except BlobChanged:
                return None
            return number

        with ThreadPoolExecutor(CREATORS) as threads:
            answers = list(threads.map(swap, range(CREATORS)))
        winners = [answer for answer in answers if answer is not None]
        assert len(winners) == 1
        assert blobs.load("HEAD").data == str(winners[0]).encode()

    def test_no_swap_is_lost(self, blobs: Blobs) -> None:
        """Several count on: each swap that succeeds counts once."""
        blobs.swap("counter", b"0", None)

        def count(_: int) -> None:
            while True:
                data, version = blobs.load("counter")
                try:
                    blobs.swap("counter", str(int(data) + 1).encode(), version)
                except BlobChanged:
                    continue
                return

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(count, range(20)))
        assert blobs.load("counter").data == blobs.get("counter") == b"20"

    def test_a_sign_of_life_is_seen_to_change_and_to_end(self, blobs: Blobs) -> None:
        now = 0.0
        heart = Heartbeat(blobs, dict.fromkeys(("name", "run_id", "asked", "file"), "x"), beat_seconds=3600)
        heart.start()
        Epoch.succeed(History(blobs), *History(blobs).load(), "a run", heart.owner)
        watch = Watch(History(blobs), patience_seconds=45, clock=lambda: now)
        assert watch.look().verdict != "free"
        heart._write()
        assert watch.look().verdict == "alive"
        now = 45.0
        assert watch.look().verdict == "free"
        heart.end(Ending(0))
        seen = watch.look()
        assert seen.beat is not None
        assert (seen.verdict, seen.beat.ending) == ("free", Ending(0))
        remove_beats(blobs, heart.owner)
        assert watch.look().beat is None

    def test_a_copy_is_the_same_bytes_and_stays_so(self, blobs: Blobs) -> None:
        blobs.put("runs/1/hits", b"first")
        blobs.copy("runs/1/hits", "hits")
        blobs.put("runs/2/hits", b"second")
        blobs.copy("runs/2/hits", "hits")
        assert (blobs.get("hits"), blobs.get("runs/1/hits")) == (b"second", b"first")
        blobs.put("hits", b"spoilt")
        assert blobs.get("runs/2/hits") == b"second"
        with pytest.raises(BlobNotFound, match="no/such"):
            blobs.copy("no/such", "hits")

    def test_a_scan_tells_when_something_was_written(self, blobs: Blobs) -> None:
        before = datetime.now(UTC) - timedelta(seconds=5)
        blobs.put("folder/name", b"four")
        (found,) = blobs.scan("folder")
        assert (found.key, found.size) == ("folder/name", 4)
        assert before <= found.modified <= datetime.now(UTC) + timedelta(seconds=5)

    def test_what_is_missing_is_named(self, blobs: Blobs) -> None:
        with pytest.raises(BlobNotFound, match="no/such"):
            blobs.get("no/such")
        assert not blobs.exists("no/such")

    def test_a_folder_is_no_object(self, blobs: Blobs) -> None:
        blobs.put("folder/name", b"x")
        assert blobs.exists("folder/name")
        assert not blobs.exists("folder")

    def test_deleting_twice_is_deleting(self, blobs: Blobs) -> None:
        blobs.put("name", b"x")
        blobs.delete("name")
        blobs.delete("name")
        assert not blobs.exists("name")

    def test_list_goes_by_folder(self, blobs: Blobs) -> None:
        for key in ("commits/a.json", "commits/deep/b.json", "commitsx/c.json", "data/d"):
            blobs.put(key, key.encode())
        assert dict(blobs.list("commits")) == {"commits/a.json": 14, "commits/deep/b.json": 19}
        assert len(dict(blobs.list())) == 4
        assert dict(blobs.list("nothing")) == {}

    def test_list_goes_on_after_a_page(self, blobs: Blobs) -> None:
        keys = {f"many/{number:04d}" for number in range(1050)}
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: blobs.put(key, b"x"), keys))
        assert {key for key, _ in blobs.list("many")} == keys

    @pytest.mark.parametrize("key", ["../outside", "a/../../b", "/absolute", "a//b", "", ".", "a\\b", "a#1", "a\nb"])
    def test_keys_stay_inside(self, blobs: Blobs, key: str) -> None:
        with pytest.raises(UnsafeKey, match="no key"):
            blobs.put(key, b"x")

    def test_a_store_opened_again_is_the_same_store(self, blobs: Blobs) -> None:
        blobs.put("name", b"x")
        assert open_blobs(blobs.url).get("name") == b"x"

    def test_a_deeper_url_is_a_folder(self, blobs: Blobs) -> None:
        open_blobs(f"{blobs.url}/deeper").put("name", b"x")
        assert blobs.get("deeper/name") == b"x"

    def test_the_probe_passes_and_leaves_nothing(self, blobs: Blobs) -> None:
        probe_conditional_writes(blobs)
        assert dict(blobs.list()) == {}

    def test_of_8_attempts_one_commits(self, blobs: Blobs) -> None:
        task_id = hashlib.sha256(b"contested").hexdigest()
        barrier = threading.Barrier(8)

        def attempt(number: int) -> str:
            barrier.wait()
            return Ledger(blobs).commit(task_id, f"result {number}".encode(), replica=f"replica-{number}").status

        with ThreadPoolExecutor(8) as threads:
            assert sorted(threads.map(attempt, range(8))) == ["committed"] + ["duplicate"] * 7
        winner = Ledger(blobs).record(task_id)
        assert Ledger(blobs).read(task_id).decode().split()[1] == winner.replica.split("-")[1]
        assert [key for key, _ in blobs.list("data")] == [winner.data]


class TestMemory(StoreContract):
    @pytest.fixture
    def url(self) -> str:
        return f"memory://{uuid.uuid4().hex}"


class TestMemoryBelowAPrefix(StoreContract):
    @pytest.fixture
    def url(self) -> str:
        return f"memory://{uuid.uuid4().hex}/some/prefix"


class TestFolder(StoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return str(tmp_path / "a folder with spaces, 100% é")


@pytest.mark.s3
class TestS3(StoreContract):
    @pytest.fixture
    def url(self, s3_url: str) -> str:
        return s3_url
