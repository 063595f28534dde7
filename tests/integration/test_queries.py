"""Hits in a bucket of a real S3 server: a Delta table of campaigns, and the lines of `docs/query.md` as they stand."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import s3fs

import screening.run
from actors.blobs import open_blobs
from benchmarks.s3_server import S3Server
from screening.run import run_campaign
from screening.tables.delivery import deliver
from screening.tables.delta_table import HitsTable

pytestmark = pytest.mark.s3
PAGE = Path(__file__).parents[2] / "docs" / "query.md"
TOOLS = ("polars", "DuckDB", "pandas")
FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}
Lingshu = Callable[..., tuple[int, str, str]]


def code_of(tool: str) -> str:
    """The block of Python below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {tool}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(block)


def rows_of(table: str) -> pl.DataFrame:
    found = HitsTable.find(table)
    assert found is not None
    rows = found.rows().sort("campaign", "rank")  # files and columns lie in the order of commits
    return rows.select(sorted(rows.columns))


def deliver_at_once(places: list[str], table: str) -> None:
    """Begin with no table; all of them make it, and change its columns."""
    barrier = threading.Barrier(len(places))

    def bring(place: str) -> None:
        barrier.wait()
        deliver(open_blobs(place), table)

    threads = [threading.Thread(target=bring, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture(autouse=True)
def _fresh_client(s3_url: str) -> None:
    s3fs.S3FileSystem.clear_instance_cache()  # clients remember credentials of other tests


@pytest.fixture
def run(write_screen: Callable[..., Path], quiet: Any, s3_url: str) -> Callable[..., Any]:
    """Run a campaign into the bucket that publishes into a shared table: `run("name", seed=1)`."""

    def start(name: str, **changes: Any) -> Any:
        content = {**FEW, "output": f"{s3_url}/{name}", "publish": {"delta": f"{s3_url}/hits"}, **changes}
        path = write_screen(f"{name}.yaml", **content)
        path.write_text(path.read_text().replace("name: tiny\n", f"name: {name}\n"))
        return run_campaign(path, quiet)

    return start


def test_the_lines_of_the_page_read_what_was_published(
    run: Callable[..., Any], lingshu: Lingshu, s3_url: str, tmp_path: Path
) -> None:
    hits = run("my-screen").hits
    run("other", contexts=[{"cell_type": "type_1", "donor": "donor_1"}], perturbations={"genetic": ["REG04"]})
    assert rows_of(f"{s3_url}/hits").height == 3
    code, out, err = lingshu("pull", f"{s3_url}/my-screen", tmp_path / "my-screen", "--only", "hits")
    assert (code, "3 files" in out) == (0, True), err
    for name in ("my-screen", "other"):
        deliver(open_blobs(f"{s3_url}/{name}"), str(tmp_path / "hits"))
    expected = hits.filter(pl.col("score_low") > 0).height
    for place in (s3_url, str(tmp_path)):
        for tool in TOOLS:
            names: dict[str, Any] = {}
            exec(compile(code_of(tool).replace("s3://bucket", place), tool, "exec"), names)
            assert (len(names["hits"]), len(names["all_hits"])) == (expected, 2), (tool, place)
    deliver_at_once([f"{s3_url}/my-screen", f"{s3_url}/other"] * 2, f"{s3_url}/again")
    assert rows_of(f"{s3_url}/again").equals(rows_of(f"{s3_url}/hits"), null_equal=True)
    for where in (s3_url, f"{s3_url}/hits"):
        code, out, err = lingshu("hits", where, "--where", "context = 'donor_1' or campaign = 'my-screen'")
        assert (code, out.count("REG04"), out.count("my-screen")) == (0, 2, 2), err


def test_a_run_that_died_before_or_after_the_commit_and_one_that_is_new(
    run: Callable[..., Any], s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(when: str) -> Callable[..., None]:
        def die(*arguments: Any) -> None:
            if when == "after":
                deliver(*arguments)
            raise KeyboardInterrupt

        return die

    for when, height in (("before", 0), ("after", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(screening.run, "deliver", dying(when))
            with pytest.raises(KeyboardInterrupt):
                run("my-screen", seed=len(when))
        found = HitsTable.find(f"{s3_url}/hits")
        assert (0 if found is None else found.rows().height) == height
        again = run("my-screen", seed=len(when))
        assert again.computed == 0
        assert rows_of(f"{s3_url}/hits").select(again.hits.columns).equals(again.hits, null_equal=True)
    stored = open_blobs(f"{s3_url}/hits")
    for name, _ in stored.list():
        assert s3_server.secret.encode() not in stored.get(name)
        assert s3_server.key.encode() not in stored.get(name)


@pytest.mark.parametrize("wrong", ["secret", "bucket"])
def test_a_table_that_cannot_be_written_is_told_before_anything_is_computed(
    wrong: str,
    write_screen: Callable[..., Path],
    lingshu: Lingshu,
    s3_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = s3_url
    if wrong == "secret":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret-of-mine")
    else:
        table = "s3://no-such-bucket/hits"
    code, _, err = lingshu("run", write_screen(**FEW, publish={"delta": table}))
    cure = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if wrong == "secret" else "NoSuchBucket"
    assert (code, err.count("\n")) == (2, 1)
    assert cure in err
    assert "a-wrong-secret-of-mine" not in err
    assert list((tmp_path / "screen").rglob("hits.parquet")) == []
    for command in (("pull", table, tmp_path / "copy"), ("hits", table)):
        code, _, err = lingshu(*command)
        assert (code, err.count("\n")) == (2, 1)
    assert cure in err, err
