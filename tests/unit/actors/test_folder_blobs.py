import os
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.blobs import open_blobs
from actors.errors import BlobChanged, UnsafeKey
from actors.folder_blobs import FolderBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    opened = open_blobs(str(tmp_path))
    assert isinstance(opened, FolderBlobs)
    return opened


def test_versions_are_files_that_stay(blobs: FolderBlobs, tmp_path: Path) -> None:
    version = blobs.swap("ledger/HEAD", b"one", None)
    blobs.swap("ledger/HEAD", b"two", version)
    assert (tmp_path / "ledger" / "HEAD").read_bytes() == b"two"
    versions = sorted((tmp_path / "ledger" / "HEAD.versions").iterdir())
    assert [path.read_bytes() for path in versions] == [b"one", b"two"]


def test_a_crash_before_the_plain_file_loses_nothing(blobs: FolderBlobs, tmp_path: Path) -> None:
    version = blobs.swap("HEAD", b"one", None)
    (tmp_path / "HEAD.versions" / "2").write_bytes(b"two")  # as left by a crash after the swap
    assert blobs.get("HEAD") == b"one"
    found = blobs.load("HEAD")
    assert found.data == b"two"
    with pytest.raises(BlobChanged):
        blobs.swap("HEAD", b"late", version)
    blobs.swap("HEAD", b"three", found.version)
    assert blobs.get("HEAD") == blobs.load("HEAD").data == b"three"


def test_a_slow_follower_does_not_leave_the_plain_file_behind(blobs: FolderBlobs) -> None:
    """Between the swap and the plain file of one, another swaps: the first brings the plain file to the second's."""
    first = blobs.swap("HEAD", b"one", None)

    class Slow(FolderBlobs):
        def put(self, key: str, data: bytes) -> None:
            if data == b"two":
                blobs.swap("HEAD", b"three", blobs.load("HEAD").version)
            super().put(key, data)

    Slow(blobs._store, blobs.url).swap("HEAD", b"two", first)
    assert blobs.get("HEAD") == blobs.load("HEAD").data == b"three"


def test_a_folder_that_was_copied_from_a_bucket_has_the_plain_file_only(blobs: FolderBlobs, tmp_path: Path) -> None:
    (tmp_path / "HEAD").write_bytes(b"copied")
    data, version = blobs.load("HEAD")
    assert data == b"copied"
    blobs.swap("HEAD", b"next", version)
    assert blobs.load("HEAD").data == b"next"


def test_files_that_are_no_versions_are_not_taken_for_any(blobs: FolderBlobs, tmp_path: Path) -> None:
    blobs.swap("HEAD", b"one", None)
    (tmp_path / "HEAD.versions" / "7.bak").write_bytes(b"by hand")
    assert blobs.load("HEAD").data == b"one"


def test_a_copy_takes_no_room(blobs: FolderBlobs, tmp_path: Path) -> None:
    blobs.put("runs/1/effects", b"large")
    blobs.copy("runs/1/effects", "effects")
    assert (tmp_path / "effects").stat().st_ino == (tmp_path / "runs" / "1" / "effects").stat().st_ino


@pytest.fixture
def linked(tmp_path: Path) -> tuple[FolderBlobs, Path]:
    """A store with a link that leads out of it, to a folder of somebody else's files."""
    precious = tmp_path / "elsewhere" / "task" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"mine")
    opened = open_blobs(str(tmp_path / "store"))
    assert isinstance(opened, FolderBlobs)
    opened.put("data/task/attempt", b"ours")
    (tmp_path / "store" / "data" / "link").symlink_to(precious.parent.parent)
    return opened, precious


@pytest.mark.parametrize(
    "touch",
    [
        lambda blobs: blobs.put("data/link/task/precious", b"x"),
        lambda blobs: blobs.put("data/link/task/new", b"x"),
        lambda blobs: blobs.create("data/link/new", b"x"),
        lambda blobs: blobs.swap("data/link/task/new", b"x", None),
        lambda blobs: blobs.copy("data/task/attempt", "data/link/task/precious"),
        lambda blobs: blobs.delete("data/link/task/precious"),
    ],
    ids=["put", "put new", "create", "swap", "copy", "delete"],
)
def test_nothing_is_written_or_deleted_behind_a_link(
    linked: tuple[FolderBlobs, Path], touch: Callable[[FolderBlobs], object]
) -> None:
    blobs, precious = linked
    with pytest.raises(UnsafeKey, match=r"is behind a symbolic link to .*elsewhere.*: nothing is written or deleted"):
        touch(blobs)
    assert precious.read_bytes() == b"mine"
    assert [path.name for path in precious.parent.iterdir()] == ["precious"]


def test_what_lies_behind_a_link_is_not_listed(linked: tuple[FolderBlobs, Path], tmp_path: Path) -> None:
    blobs, _ = linked
    (tmp_path / "store" / "loop").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "data" / "nothing").symlink_to(tmp_path / "nothing")
    assert dict(blobs.list()) == {"data/task/attempt": 4}
    assert dict(blobs.list("data/link")) == {}


def test_a_link_to_a_file_is_a_file_until_it_is_written(linked: tuple[FolderBlobs, Path], tmp_path: Path) -> None:
    """As in folders that a version control for data has filled."""
    blobs, precious = linked
    for name in ("one", "other"):
        (tmp_path / "store" / name).symlink_to(precious)
    assert blobs.get("one") == b"mine"
    assert dict(blobs.list())["one"] == 4
    blobs.put("one", b"new")
    blobs.delete("other")
    assert (blobs.get("one"), precious.read_bytes()) == (b"new", b"mine")


def test_a_store_may_itself_be_a_link(linked: tuple[FolderBlobs, Path], tmp_path: Path) -> None:
    (tmp_path / "short").symlink_to(tmp_path / "store")
    blobs = open_blobs(str(tmp_path / "short"))
    blobs.put("data/task/more", b"x")
    assert set(dict(blobs.list())) == {"data/task/attempt", "data/task/more"}


def test_names_that_cannot_be_asked_for_are_not_listed(blobs: FolderBlobs, tmp_path: Path) -> None:
    for name in (b"stray#1", b"line\nbreak", b"not-utf-8-\xff", b"plain"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    assert dict(blobs.list()) == {"plain": 1}
