import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from lingshu_core.checkpoint import load_header
from lingshu_core.errors import CheckpointError
from screening.errors import BlockError
from screening.running import node_cache
from screening.running.node_cache import cache_folder, on_this_node
from screening.running.worker import open_worker

URL = "memory://node-cache-tests/model"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(node_cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket(tiny: Path) -> Iterator[str]:
    """The small model in a bucket; returns its digest."""
    files = fsspec.filesystem("memory")
    for path in (tiny / "model").iterdir():
        if path.is_file():
            files.pipe_file(f"/node-cache-tests/model/{path.name}", path.read_bytes())
    yield load_header(str(tiny / "model")).digest
    files.rm("/node-cache-tests", recursive=True)


def test_a_folder_is_read_where_it_is(cache: Path) -> None:
    assert on_this_node("/some/model", "ab") == "/some/model"
    assert not cache.exists()


def test_replicas_that_open_at_once_fetch_once(bucket: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    fetch = node_cache.fetch_checkpoint

    def count(folder: str, target: Path) -> str:
        fetched.append(folder)
        return fetch(folder, target)

    monkeypatch.setattr(node_cache, "fetch_checkpoint", count)
    with ThreadPoolExecutor(8) as threads:
        places = set(threads.map(lambda _: on_this_node(URL, bucket), range(8)))
    assert places == {str(cache / bucket)}
    assert fetched == [URL]
    assert load_header(str(cache / bucket)).digest == bucket


def test_a_worker_opens_from_the_copy_even_when_the_bucket_is_gone(bucket: str) -> None:
    open_worker(URL, bucket, "cpu")
    fsspec.filesystem("memory").rm("/node-cache-tests/model/weights.safetensors")
    assert open_worker(URL, bucket, "cpu").predictor.header.digest == bucket


def test_a_model_that_changed_since_the_plan_is_named_and_not_kept(bucket: str, cache: Path) -> None:
    with pytest.raises(BlockError, match="it changed since: run the campaign again"):
        open_worker(URL, "ab" * 32, "cpu")
    assert [path.name for path in cache.iterdir()] == ["ab" * 32 + ".lock"]


def test_a_fetch_that_fails_leaves_nothing_half(bucket: str, cache: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/node-cache-tests/model/weights.safetensors", b"cut")
    with pytest.raises(CheckpointError, match="do not match the manifest"):
        on_this_node(URL, bucket)
    assert [path.name for path in cache.iterdir()] == [f"{bucket}.lock"]


def test_a_copy_may_be_deleted(bucket: str, cache: Path) -> None:
    on_this_node(URL, bucket)
    shutil.rmtree(cache)
    assert load_header(on_this_node(URL, bucket)).digest == bucket


def test_without_the_variable_it_is_below_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(node_cache.CACHE_VARIABLE)
    assert cache_folder().relative_to(Path.home()) == Path(".cache/lingshu/models")
