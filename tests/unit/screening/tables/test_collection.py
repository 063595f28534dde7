import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from actors.blobs import Blobs
from screening.errors import ResultsError
from screening.tables import collection
from screening.tables.collection import collect
from screening.tables.delivery import deliver

MakeHits = Callable[..., pl.DataFrame]
PublishHits = Callable[..., Blobs]
Lingshu = Callable[..., tuple[int, str, str]]


@pytest.fixture
def results(tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits) -> Path:
    """Two campaigns at different depths, one that has not published, a Delta table, and folders of other things."""
    folder = tmp_path / "all results"
    one = publish_hits(str(folder / "one"), make_hits({"A": 0.5, "B": None}, cell_type="NK cells"), "first")
    publish_hits(str(folder / "kang 50%" / "two"), make_hits({"C": 0.7, "D": 0.1}, donor="D1"), "second")
    deliver(one, str(folder / "table"))
    (folder / "begun" / "ledger").mkdir(parents=True)
    (folder / "cells.zarr" / "c").mkdir(parents=True)
    (folder / "link").symlink_to(folder / "one")
    return folder


def test_one_campaign_is_its_table_as_it_was_published(results: Path) -> None:
    found = collect([str(results / "one")])
    assert not found.is_marked
    assert found.rows.equals(pl.read_parquet(results / "one" / "hits.parquet"), null_equal=True)


def test_all_campaigns_below_a_folder(results: Path) -> None:
    found = collect([str(results)])
    # The best of each campaign first, failed conditions last; what a campaign lacks is empty.
    assert found.rows["perturbation"].to_list() == ["A", "C", "D", "B"]
    assert found.rows["campaign"].to_list() == ["first", "second", "second", "first"]
    assert found.rows["donor"].to_list() == [None, "D1", "D1", None]
    assert found.left_out == (f"{(results / 'begun').as_uri()}: a campaign that has not published yet",)
    assert set(found.rows["results"]) == {(results / "one").as_uri(), (results / "kang 50%" / "two").as_uri()}


def test_a_table_and_a_place_and_a_folder_above_it_are_read_once(results: Path) -> None:
    found = collect([str(results / "table"), str(results / "one"), str(results)])
    assert found.rows["perturbation"].to_list() == ["A", "C", "D", "B"]
    alone = collect([str(results / "table")])
    assert alone.is_marked
    assert alone.rows["campaign"].unique().to_list() == ["first"]


def test_places_without_results(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResultsError, match="no such folder"):
        collect([str(tmp_path / "nowhere"), str(results)])
    with pytest.raises(ResultsError, match=r"no hits.parquet here, nor in the folders below, and no Delta table; run"):
        collect([str(results / "cells.zarr")])
    with pytest.raises(ResultsError, match="begun: a campaign that has not published yet; run the campaign"):
        collect([str(results / "begun")])
    (results / "torn" / "_delta_log").mkdir(parents=True)
    with pytest.raises(ResultsError, match="has no version"):
        collect([str(results / "torn")])
    monkeypatch.setattr(collection, "MOST_FOLDERS", 2)
    with pytest.raises(ResultsError, match="name a narrower one"):
        collect([str(results)])


def test_a_table_of_something_else_is_left_out_and_told(results: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(results / "begun" / "hits.parquet")
    found = collect([str(results)])
    assert found.rows.height == 4
    assert "begun/hits.parquet: not a ranked table of a screen: it has no column status" in found.left_out[0]
    with pytest.raises(ResultsError, match="not a ranked table"):
        collect([str(results), str(results / "begun")])


def test_columns_of_two_types(tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits) -> None:
    publish_hits(str(tmp_path / "a"), make_hits({"A": 0.5}, donor="D1"))
    publish_hits(str(tmp_path / "b"), make_hits({"A": 0.5}, extra={"donor": 1.0}))
    with pytest.raises(ResultsError, match="its column donor is Float64, and that of another campaign is String"):
        collect([str(tmp_path)])


def test_a_copy_of_the_table_alone_is_named_by_its_folder(tmp_path: Path, make_hits: MakeHits) -> None:
    (tmp_path / "copied").mkdir()
    make_hits({"A": 0.5}, donor="D1").write_parquet(tmp_path / "copied" / "hits.parquet")
    assert collect([str(tmp_path)]).rows["campaign"].to_list() == ["copied"]


def test_on_the_command_line(results: Path, lingshu: Lingshu) -> None:
    code, out, err = lingshu("hits", results, "--where", "q < 0.05 and context = 'NK cells'")
    assert code == 0, err
    assert "campaign" in out.splitlines()[0]
    assert out.splitlines()[1].split()[:3] == ["first", "1", "A"]
    assert err.startswith("left out: file://")
    assert "begun: a campaign that has not published yet" in err
    code, out, _ = lingshu("hits", results, "--sort", "-score", "--top", 1, "--format", "csv")
    assert pl.read_csv(io.StringIO(out))["perturbation"].to_list() == ["C"]
    assert lingshu("hits", results / "one", results / "kang 50%" / "two", "--context", "D1")[1].count("second") == 2
    code, _, err = lingshu("hits", results / "one", "--where", "qq < 1")
    assert (code, err.startswith("error: --where: unknown column 'qq'; ")) == (2, True)
    code, out, _ = lingshu("hits", results / "one", "--format", "csv")
    assert out.startswith("rank,")
    assert lingshu("hits")[0] == 2


def test_the_csv_has_what_the_parquet_has(results: Path) -> None:
    table = pl.read_parquet(results / "one" / "hits.parquet")
    text = pl.read_csv(results / "one" / "hits.csv", schema=table.schema)
    assert text.equals(table, null_equal=True)
