from pathlib import Path

import pytest

from actors.blobs import open_blobs
from actors.errors import BlobChanged
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
