import uuid

import pytest

from actors.blobs import open_blobs
from actors.errors import BlobExists, BlobNotFound, StoreRefused, StoreUnavailable
from actors.meter import Recorder
from actors.metered_blobs import MeteredBlobs


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def blobs(recorder: Recorder) -> MeteredBlobs:
    return MeteredBlobs(open_blobs(f"memory://{uuid.uuid4().hex}"), recorder)


def counts(recorder: Recorder) -> dict[str, float]:
    return {
        " ".join([name, *(value for _, value in labels)]): n for (name, labels), n in recorder.drain().counts.items()
    }


def test_requests_and_bytes_are_counted(blobs: MeteredBlobs, recorder: Recorder) -> None:
    blobs.put("a/1", b"four")
    blobs.create("a/2", b"three")
    blobs.swap("a/3", b"swap", None)
    blobs.copy("a/1", "a/4")
    assert blobs.get("a/4") + blobs.load("a/2").data == b"fourthree"
    assert blobs.exists("a/1")
    assert len(list(blobs.list("a"))) == len(list(blobs.scan("a"))) == 4
    blobs.delete("a/1")
    found = counts(recorder)
    assert {name.rpartition(" ")[2]: n for name, n in found.items() if "requests" in name} == {
        "put": 1, "create": 1, "swap": 1, "copy": 1, "get": 1, "load": 1, "exists": 1, "list": 2, "delete": 1
    }  # fmt: skip
    assert found["lingshu_store_bytes_total written"] == 13
    assert found["lingshu_store_bytes_total read"] == 9
    assert blobs.url.startswith("memory://")


def test_no_is_an_answer(blobs: MeteredBlobs, recorder: Recorder) -> None:
    blobs.create("a", b"first")
    with pytest.raises(BlobExists):
        blobs.create("a", b"second")
    with pytest.raises(BlobNotFound):
        blobs.get("b")
    found = counts(recorder)
    assert not [name for name in found if "errors" in name]
    assert found["lingshu_store_bytes_total written"] == 5  # what was refused is not counted


class Failing:
    url = "failing"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get(self, key: str, most: int = 0) -> bytes:
        raise self.error

    def list(self, prefix: str = "") -> object:
        yield "a", 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"), [(StoreUnavailable("503"), "unavailable"), (StoreRefused("403"), "refused")]
)
def test_no_answer_is_an_error(error: Exception, kind: str, recorder: Recorder) -> None:
    blobs = MeteredBlobs(Failing(error), recorder)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        blobs.get("a")
    with pytest.raises(type(error)):
        list(blobs.list())
    found = counts(recorder)
    assert found[f"lingshu_store_errors_total {kind} get"] == found[f"lingshu_store_errors_total {kind} list"] == 1
