"""What a server says, word for word, and what becomes of it; no network beyond loopback."""

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import actors.blobs
from actors.blobs import Blobs, open_blobs
from actors.errors import BlobChanged, BlobExists, BlobNotFound, StoreError, StoreRefused, StoreUnavailable

Answer = bytes | Callable[[socket.socket], None]
OK = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nlast-modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
    b'etag: "x"\r\nconnection: close\r\n\r\nfour'
)
REST = (
    b"HTTP/1.1 206 Partial Content\r\ncontent-length: 2\r\ncontent-range: bytes 2-3/4\r\n"
    b'last-modified: Sat, 21 Nov 2026 10:00:00 GMT\r\netag: "x"\r\nconnection: close\r\n\r\nur'
)
STORED = b'HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: "y"\r\nconnection: close\r\n\r\n'


def status(line: str, code: str = "") -> bytes:
    body = f"<Error><Code>{code}</Code></Error>" if code else ""
    return f"HTTP/1.1 {line}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()


class Server:
    """Gives one answer after another, each on a connection of its own, and the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:  # closed: the test is over
                return
            with connection:
                request = connection.recv(65536)
                if not request:
                    continue
                self.requests.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.socket.getsockname()[1]}")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setitem(actors.blobs.CLIENT_OPTIONS, "timeout", "1s")
    monkeypatch.setitem(actors.blobs.RETRIES, "max_retries", 2)
    yield server
    server.socket.close()


@pytest.fixture
def blobs(server: Server) -> Blobs:
    return open_blobs("s3://bucket")


@pytest.mark.parametrize("line", ["429 Too Many Requests", "500 Internal Server Error", "503 Slow Down"])
def test_overload_is_waited_out(blobs: Blobs, server: Server, line: str) -> None:
    server.answers = [status(line), OK]
    assert blobs.get("key") == b"four"
    assert len(server.requests) == 2
    server.answers = [status(line), STORED]
    blobs.put("key", b"x")
    assert len(server.requests) == 4


@pytest.mark.parametrize("line", ["429 Too Many Requests", "500 Internal Server Error", "503 Slow Down"])
def test_lasting_overload_is_no_answer(blobs: Blobs, server: Server, line: str) -> None:
    server.answers = [status(line)]
    with pytest.raises(StoreUnavailable, match="cannot read 'key' in s3://bucket") as failure:
        blobs.get("key")
    assert not isinstance(failure.value, StoreRefused)
    assert len(server.requests) == 3


def test_a_refusal_is_told_at_once_with_its_cure(blobs: Blobs, server: Server) -> None:
    server.answers = [status("403 Forbidden", "AccessDenied")]
    for act in (
        lambda: blobs.get("key"),
        lambda: blobs.put("key", b"x"),
        lambda: blobs.create("key", b"x"),
        lambda: blobs.swap("key", b"x", '"v"'),
        lambda: blobs.copy("key", "other"),
        lambda: blobs.delete("key"),
        lambda: list(blobs.list()),
    ):
        before = len(server.requests)
        with pytest.raises(StoreRefused, match=r"access denied.*AWS_ACCESS_KEY_ID"):
            act()
        assert len(server.requests) == before + 1


def test_412_is_a_lost_race(blobs: Blobs, server: Server) -> None:
    server.answers = [status("412 Precondition Failed", "PreconditionFailed")]
    with pytest.raises(BlobExists):
        blobs.create("key", b"x")
    with pytest.raises(BlobChanged):
        blobs.swap("key", b"x", '"v"')
    assert b"if-none-match: *" in server.requests[0].lower()
    assert b'if-match: "v"' in server.requests[1].lower()


def test_409_is_a_lost_race_at_worst(blobs: Blobs, server: Server) -> None:
    """Of two conditional writes at once a store may refuse both. Whoever wrote has to look who stands (`Ledger`)."""
    server.answers = [status("409 Conflict", "ConditionalRequestConflict")]
    with pytest.raises(BlobExists):
        blobs.create("key", b"x")
    with pytest.raises(BlobChanged):
        blobs.swap("key", b"x", '"v"')
    server.answers = [status("409 Conflict", "ConditionalRequestConflict"), STORED]
    assert blobs.swap("key", b"x", '"v"') == '"y"'  # the client tries a swap again by itself


def test_404_of_a_swap_is_a_lost_race(blobs: Blobs, server: Server) -> None:
    server.answers = [status("404 Not Found", "NoSuchKey")]
    with pytest.raises(BlobChanged):
        blobs.swap("key", b"x", '"v"')
    with pytest.raises(BlobNotFound):
        blobs.load("key")


def test_an_answer_that_is_lost_is_no_answer(blobs: Blobs, server: Server) -> None:
    """The connection breaks after the request was read: it may have been done."""
    server.answers = [b""]
    with pytest.raises(StoreUnavailable):
        blobs.swap("key", b"x", '"v"')


def test_of_a_body_that_is_cut_the_rest_is_read(blobs: Blobs, server: Server) -> None:
    server.answers = [OK[:-2], REST]
    assert blobs.get("key") == b"four"
    assert b"range: bytes=2-" in server.requests[1].lower()
    server.answers = [OK[:-2]]
    with pytest.raises(StoreUnavailable):
        blobs.get("key")


def test_a_slow_body_is_not_waited_for_for_ever(blobs: Blobs, server: Server) -> None:
    def slow(connection: socket.socket) -> None:
        connection.sendall(OK[:-2])
        time.sleep(1.5)

    server.answers = [slow, REST]
    started = time.monotonic()
    assert blobs.get("key") == b"four"
    assert time.monotonic() - started < 5


def test_a_store_without_versions_cannot_swap(blobs: Blobs, server: Server) -> None:
    server.answers = [OK.replace(b'etag: "x"\r\n', b"")]
    with pytest.raises(StoreUnavailable, match=r"ETag|Header"):
        blobs.load("key")


ANSWER = b'HTTP/1.1 200 OK\r\nlast-modified: Sat, 21 Nov 2026 10:00:00 GMT\r\netag: "x"\r\n'
GIGABYTE = ANSWER + b"content-length: 1000000000\r\n\r\n"
ENDLESS = ANSWER + b"transfer-encoding: chunked\r\n\r\n"


def flood(head: bytes, sent: list[int]) -> Callable[[socket.socket], None]:
    """Answer with as much as the client takes, up to a gigabyte, in chunks of a mebibyte."""

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client has left
            connection.sendall(head)
            for _ in range(1000):
                connection.sendall(b"100000\r\n" + bytes(2**20) + b"\r\n")
                sent.append(2**20)

    return answer


@pytest.mark.parametrize(("head", "said"), [(GIGABYTE, "1,000,000,000 bytes"), (ENDLESS, "Content-Length Header")])
def test_a_gigabyte_in_place_of_a_record_costs_neither_memory_nor_time(
    server: Server, blobs: Blobs, head: bytes, said: str
) -> None:
    sent: list[int] = []
    server.answers = [flood(head, sent)]
    started = time.monotonic()
    with pytest.raises(StoreError, match=said):
        blobs.get("commits/ab.json", most=2**16)
    assert time.monotonic() - started < 5
    assert sum(sent) < 100 * 2**20  # what lies in the buffers of the connection


def test_packed_bodies_are_not_unpacked(server: Server, blobs: Blobs) -> None:
    packed = gzip.compress(bytes(10**7))
    head = f"content-encoding: gzip\r\ncontent-length: {len(packed)}\r\nconnection: close\r\n\r\n".encode()
    server.answers = [ANSWER + head + packed]
    assert len(blobs.get("commits/ab.json", most=2**16)) == len(packed)


def test_a_listing_may_not_name_what_lies_elsewhere(server: Server, blobs: Blobs) -> None:
    entry = "<Contents><Key>{}</Key><LastModified>2026-11-21T10:00:00.000Z</LastModified><Size>4</Size></Contents>"
    named = "".join(entry.format(key) for key in ("data/a/1", "elsewhere/precious", "database/x"))
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{named}</ListBucketResult>"
    server.answers = [f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()]
    assert [key for key, _ in blobs.list("data")] == ["data/a/1"]


def test_the_user_of_an_endpoint_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://root:hush-hush@127.0.0.1:9")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setitem(actors.blobs.RETRIES, "max_retries", 0)
    with pytest.raises(StoreUnavailable) as refusal:
        open_blobs("s3://bucket").get("key")
    assert "hush-hush" not in str(refusal.value)
