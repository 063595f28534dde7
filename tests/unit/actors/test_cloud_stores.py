"""Google and Azure, spoken to over HTTP: a server on loopback that keeps their rules for conditional writes."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from actors.blobs import open_blobs, probe_conditional_writes, store_environment
from actors.errors import BlobChanged, BlobExists, BlobNotFound, StoreRefused, StoreUnavailable, UnsupportedURL

DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
LISTED = "2026-11-21T10:00:00.000Z"


class Bucket(ThreadingHTTPServer):
    """Objects with generations, which are their ETags too; what refuses a request is set by a test."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.generation = 1000
        self.refusal: tuple[int, str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", generation: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("last-modified", DATE)
        if generation is not None:
            self.send_header("etag", f'"{generation}"')
            self.send_header("x-goog-generation", str(generation))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refused(self) -> bool:
        if self.server.refusal is not None:
            status, code = self.server.refusal
            self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())
        return self.server.refusal is not None

    def _allowed(self, generation: int | None) -> bool:
        """Whether the conditions of a write hold: Google's by generation, Azure's by ETag."""
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is not None:
            return int(wanted) == (generation or 0)
        if self.headers.get("if-none-match") == "*":
            return generation is None
        return self.headers.get("if-match") in (None, f'"{generation}"')

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self._refused():
            return
        path = unquote(urlsplit(self.path).path)
        known = self.server.objects.get(path)
        if not self._allowed(known and known[1]):
            exists = self.headers.get("if-none-match") == "*"
            return self._answer(409 if exists else 412, b"<Error><Code>ConditionNotMet</Code></Error>")
        self.server.generation += 1
        self.server.objects[path] = (body, self.server.generation)
        self._answer(201, generation=self.server.generation)

    def do_GET(self) -> None:
        if self._refused():
            return
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if "prefix" in query or "list-type" in query or "comp" in query:
            return self._answer(200, self._listing(query.get("prefix", [""])[0], azure="comp" in query))
        found = self.server.objects.get(unquote(parts.path))
        if found is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        self._answer(200, *found)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        self.server.objects.pop(unquote(urlsplit(self.path).path), None)
        self._answer(204)

    def do_POST(self) -> None:
        """Answer a batch of deletions of Azure's."""
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        answers = []
        for number, path in enumerate(re.findall(r"^DELETE (\S+) HTTP", body, re.MULTILINE)):
            self.server.objects.pop(unquote(urlsplit(path).path), None)
            head = f"--batch\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
            answers.append(f"{head}HTTP/1.1 202 Accepted\r\nx-ms-request-id: {number}\r\n\r\n\r\n")
        text = ("".join(answers) + "--batch--\r\n").encode()
        self.send_response(202)
        self.send_header("content-type", "multipart/mixed; boundary=batch")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _listing(self, prefix: str, azure: bool) -> bytes:
        names = [(path.split("/", 3 if azure else 2)[-1], *kept) for path, kept in self.server.objects.items()]
        here = [(name, body, number) for name, body, number in names if name.startswith(prefix)]
        if azure:
            blobs = "".join(
                f"<Blob><Name>{name}</Name><Properties><Last-Modified>{DATE}</Last-Modified>"
                f"<Content-Length>{len(body)}</Content-Length><Content-Type>x/y</Content-Type><Etag>{number}</Etag>"
                "</Properties></Blob>"
                for name, body, number in here
            )
            return f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>".encode()
        contents = "".join(
            f"<Contents><Key>{name}</Key><LastModified>{LISTED}</LastModified><Size>{len(body)}</Size>"
            f'<ETag>"{number}"</ETag></Contents>'
            for name, body, number in here
        )
        return f"<ListBucketResult>{contents}</ListBucketResult>".encode()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["gs", "az"])
def url(request: pytest.FixtureRequest, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.address)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{bucket.address}/account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"hush-hush").decode())
    return f"{request.param}://bucket/screen"


def test_what_is_stored_is_found_again(url: str) -> None:
    blobs = open_blobs(url)
    blobs.put("data/a b", b"one")
    blobs.put("data/c", b"three")
    assert blobs.url == url
    assert blobs.get("data/a b") == b"one"
    assert dict(blobs.list("data")) == {"data/a b": 3, "data/c": 5}
    assert (blobs.exists("data/c"), blobs.exists("data/d")) == (True, False)
    with pytest.raises(BlobNotFound):
        blobs.get("data/d")


def test_a_result_is_committed_once(url: str) -> None:
    blobs = open_blobs(url)
    blobs.create("commits/a", b"first")
    with pytest.raises(BlobExists):
        blobs.create("commits/a", b"second")
    assert blobs.get("commits/a") == b"first"


def test_of_two_that_swap_one_wins(url: str) -> None:
    blobs = open_blobs(url)
    first = blobs.swap("HEAD", b"one", None)
    with pytest.raises(BlobChanged):
        blobs.swap("HEAD", b"other", None)
    assert blobs.load("HEAD").version == first
    second = blobs.swap("HEAD", b"two", first)
    with pytest.raises(BlobChanged):
        blobs.swap("HEAD", b"late", first)
    assert blobs.load("HEAD").data == b"two"
    assert second != first


def test_conditional_writes_are_probed(url: str, bucket: Bucket) -> None:
    probe_conditional_writes(open_blobs(url))
    assert not bucket.objects


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        ((403, "AuthenticationFailed"), r"access denied.*Check (GOOGLE_APPLICATION_|AZURE_STORAGE_ACCOUNT_NAME)"),
        ((404, "ContainerNotFound"), r"the (bucket|container) does not exist \(ContainerNotFound\)\. Make it, or"),
    ],
)
def test_a_refusal_says_what_to_check(url: str, bucket: Bucket, refusal: tuple[int, str], told: str) -> None:
    bucket.refusal = refusal
    with pytest.raises(StoreRefused, match=told) as failure:
        open_blobs(url).put("key", b"x")
    assert "hush" not in str(failure.value)
    assert base64.b64encode(b"hush-hush").decode() not in str(failure.value)


def test_a_server_that_is_down_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.blobs.RETRIES", {"max_retries": 0})
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match=r"Is the endpoint right \(STORAGE_EMULATOR_HOST\)"):
        open_blobs("gs://bucket").get("key")


def test_azure_without_an_account_says_which_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreRefused, match=r"az://bucket: Account must be specified\. Set AZURE_STORAGE_ACCOUNT_NAME"):
        open_blobs("az://bucket/x")


def test_a_key_that_can_be_none_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "hush-hush!")
    with pytest.raises(StoreRefused, match="Invalid Access Key") as failure:
        open_blobs("az://bucket/x")
    assert "hush" not in str(failure.value)


def test_a_missing_file_of_credentials_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StoreRefused, match=r"none\.json.* Check GOOGLE_APPLICATION_CREDENTIALS"):
        open_blobs("gs://bucket/x")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("gs://", "come from GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://name:key@container/x", "come from AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_credentials_in_a_url_are_refused_with_where_they_belong(url: str, told: str) -> None:
    with pytest.raises(UnsupportedURL, match=told) as refusal:
        open_blobs(url)
    assert "key@" not in str(refusal.value)


def test_variables_of_the_clouds_are_handed_on() -> None:
    wanted = {"AZURE_STORAGE_ACCOUNT_NAME": "a", "GOOGLE_APPLICATION_CREDENTIALS": "f", "STORAGE_EMULATOR_HOST": "h"}
    assert store_environment({**wanted, "AZURE_OPENAI_API_KEY": "k", "GOOGLE_API_KEY": "k", "HOME": "/"}) == wanted
