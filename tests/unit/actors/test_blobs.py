import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.blobs import absolute_url, open_blobs, probe_conditional_writes, store_environment
from actors.errors import BlobNotFound, ConditionalWritesUnsupported, StoreRefused, StoreUnavailable, UnsupportedURL
from actors.size_limits import LARGEST_OBJECT


class ForgetfulBlobs:
    """A store that overwrites although it was asked to create."""

    url = "s3://forgetful"

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def get(self, key: str, most: int = LARGEST_OBJECT) -> bytes:
        return self.held[key]

    def put(self, key: str, data: bytes) -> None:
        self.held[key] = data

    create = put

    def exists(self, key: str) -> bool:
        return key in self.held

    def delete(self, key: str) -> None:
        self.held.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return iter([(key, len(data)) for key, data in self.held.items() if key.startswith(prefix)])


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("memory://name", "memory://name"),
        ("file:///tmp/a%20b", "file:///tmp/a%20b"),
        ("/tmp/a b", "file:///tmp/a%20b"),
        ("/tmp/x/../y", "file:///tmp/y"),
    ],
)
def test_urls_become_absolute(url: str, meant: str) -> None:
    assert absolute_url(url) == meant


def test_relative_paths_are_of_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_url("results") == (tmp_path / "results").as_uri()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://host/x",
        "ftp://bucket",
        "s3://",
        "s3://key:secret@bucket/x",
        "s3://b/../c",
        "s3://b//c",
        "file://host/x",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UnsupportedURL) as refusal:
        open_blobs(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://key:hush/hush@bucket/x", r"s3://\*\*\*@bucket/x: a store URL reads"),
        ("s3://bucket/x?X-Amz-Signature=hush", r"s3://bucket/x\?\*\*\*: a store URL reads"),
        ("https://me:hush@host/x?token=hush", r"https://\*\*\*@host/x\?\*\*\*: https:// is no store"),
        ("s3://b/../c", r"s3://b/\.\./c: a store URL reads"),
        ("file://me:hush@host/x", r"file://\*\*\*@host/x names a host"),
    ],
)
def test_a_refused_url_is_named_without_what_opens_a_door(url: str, told: str) -> None:
    with pytest.raises(UnsupportedURL, match=told) as refusal:
        open_blobs(url)
    assert "hush" not in str(refusal.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=r"file/store.*Choose a folder"):
        open_blobs(str(tmp_path / "file" / "store"))


def test_memory_is_one_store_by_name() -> None:
    open_blobs("memory://shared-by-name").put("key", b"x")
    assert open_blobs("memory://shared-by-name").get("key") == b"x"
    with pytest.raises(BlobNotFound):
        open_blobs("memory://another").get("key")


def test_the_probe_refuses_a_store_that_overwrites() -> None:
    blobs = ForgetfulBlobs()
    with pytest.raises(ConditionalWritesUnsupported, match="If-None-Match"):
        probe_conditional_writes(blobs)
    assert blobs.held == {}


def test_leftovers_of_a_crash_are_not_listed(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path))
    blobs.put("data/whole", b"x")
    (tmp_path / "data" / "half#1").write_bytes(b"a crash left this")  # the name under which obstore stages
    assert dict(blobs.list()) == {"data/whole": 1}


def test_an_endpoint_that_is_down_is_found_out_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "some-secret")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"AWS_ENDPOINT_URL") as failure:
        probe_conditional_writes(open_blobs("s3://bucket/prefix"))
    assert time.monotonic() - started < 10
    assert "s3://bucket/prefix" in str(failure.value)
    assert "some-" not in str(failure.value)


def test_a_broken_answer_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers 503 twice and then 200: the read succeeds without the caller noticing."""
    answers = [b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"] * 2
    answers.append(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nlast-modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
        b'etag: "x"\r\nconnection: close\r\n\r\nok'
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, answers))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        assert open_blobs("s3://bucket").get("key") == b"ok"
        thread.join()


def test_only_what_concerns_s3_is_handed_on() -> None:
    environment = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "k", "HOME": "/root", "TOKEN": "t"}
    assert store_environment(environment) == {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "k"}


@pytest.mark.s3
class TestRefusals:
    def test_a_wrong_secret(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
        with pytest.raises(StoreRefused, match=r"SignatureDoesNotMatch.*AWS_SECRET_ACCESS_KEY") as refusal:
            probe_conditional_writes(open_blobs(s3_url))
        assert "not-the-secret" not in str(refusal.value)
        assert os.environ["AWS_ACCESS_KEY_ID"] not in str(refusal.value)

    def test_an_unknown_key(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        with pytest.raises(StoreRefused, match="InvalidAccessKeyId"):
            open_blobs(s3_url).get("key")

    def test_a_missing_bucket(self, s3_url: str) -> None:
        blobs = open_blobs("s3://no-such-bucket/prefix")
        for touch in (lambda: blobs.get("key"), lambda: blobs.put("key", b""), lambda: list(blobs.list())):
            with pytest.raises(StoreRefused, match="NoSuchBucket"):
                touch()


def _serve(server: socket.socket, answers: list[bytes]) -> None:
    for answer in answers:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)


def test_what_kept_the_probe_from_being_written_is_told_and_not_its_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = ForgetfulBlobs()

    def refuse(key: str, *_: object) -> None:
        raise StoreRefused(f"cannot create {key!r}")

    monkeypatch.setattr(blobs, "create", refuse)
    monkeypatch.setattr(blobs, "delete", lambda _: pytest.fail("there is nothing to delete"))
    with pytest.raises(StoreRefused, match="cannot create 'probe/"):
        probe_conditional_writes(blobs)  # type: ignore[arg-type]
