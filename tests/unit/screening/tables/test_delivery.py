import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.blobs import Blobs
from actors.errors import StoreUnavailable
from screening.errors import ResultsError, TableConflict, TableError
from screening.publishing.publication import open_results, read_hits
from screening.tables import delivery, delta_table
from screening.tables.campaign_rows import marked
from screening.tables.delivery import check_table, deliver
from screening.tables.delta_table import HitsTable

MakeHits = Callable[..., pl.DataFrame]
PublishHits = Callable[..., Blobs]
WRITE = delta_table.write_deltalake


def rows_of(url: str, blobs: Blobs) -> pl.DataFrame:
    """What the table has of a place, in the order of the hit table, without columns of others."""
    table = HitsTable.find(url)
    assert table is not None
    found = table.rows().filter(pl.col("results") == blobs.url).sort("rank", nulls_last=True)
    return found[[each.name for each in found if each.name in read_hits(blobs).columns]]


@pytest.fixture
def place(tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits) -> Blobs:
    return publish_hits(str(tmp_path / "it's one"), make_hits({"A": 0.5, "B": 0.2, "C": None}, cell_type="T cells"))


@pytest.fixture
def table(tmp_path: Path) -> str:
    return str(tmp_path / "all hits")


def test_rows_are_those_of_the_place_and_say_so(place: Blobs, table: str) -> None:
    assert deliver(place, table).rows == 3
    assert rows_of(table, place).equals(read_hits(place), null_equal=True)
    found = HitsTable.find(table)
    assert found is not None
    assert found.rows()["campaign"].unique().to_list() == ["tiny"]
    assert "Monte Carlo standard error" in found.columns["score_se"].metadata["comment"]


def test_again_changes_nothing_and_a_new_version_replaces(
    place: Blobs, table: str, make_hits: MakeHits, publish_hits: PublishHits
) -> None:
    deliver(place, table)
    version = HitsTable.find(table)._table.version()  # type: ignore[union-attr]
    assert deliver(place, table).rows is None
    assert HitsTable.find(table)._table.version() == version  # type: ignore[union-attr]
    newer = make_hits({"A": 0.7}, cell_type="T cells")
    publish_hits(place.url, newer)
    assert deliver(place, table).describe().startswith("1 rows into")
    assert rows_of(table, place).equals(newer, null_equal=True)


def test_results_that_were_deleted_and_computed_anew_come_in(
    table: str, tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits
) -> None:
    # Numbers of versions begin at 1 again: by them these rows would look as if they were in.
    for part, scores in (("old", {"A": 0.1}), ("new", {"A": 0.9, "B": 0.8})):
        place = publish_hits(str(tmp_path / "screen"), make_hits(scores, cell_type="T cells"))
        assert deliver(place, table).rows == len(scores)
        (tmp_path / "screen").rename(tmp_path / part)
    found = HitsTable.find(table)
    assert found is not None
    assert found.rows()["score"].to_list() == [0.9, 0.8]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, delta_table.CommitFailedError])
def test_a_crash_at_the_commit_loses_nothing_and_doubles_nothing(
    when: str, error: type[BaseException], place: Blobs, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strikes = [error("struck")]

    def struck(*arguments: object, **options: object) -> None:
        if when == "after":
            WRITE(*arguments, **options)
        if strikes:
            raise strikes.pop()
        if when == "before":
            WRITE(*arguments, **options)

    monkeypatch.setattr(delta_table, "write_deltalake", struck)
    if error is delta_table.CommitFailedError:  # also what a client says that sent its own commit twice
        deliver(place, table, sleep=lambda _: None)
    else:
        with pytest.raises(TableError if error is OSError else error):
            deliver(place, table)
        deliver(place, table)
    assert rows_of(table, place).equals(read_hits(place), null_equal=True)


def test_a_crash_after_the_making_of_the_table(place: Blobs, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HitsTable, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        deliver(place, table)
    monkeypatch.undo()
    assert deliver(place, table).rows == 3


def test_campaigns_that_publish_at_once_all_come_in(
    table: str, tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits
) -> None:
    # Different factors, so that each changes the schema too; and the table has yet to be made.
    places = [
        publish_hits(
            str(tmp_path / f"screen-{i}"), make_hits({"A": 0.5, "B": 0.1 * i}, **{f"factor_{i}": "x"}), f"c{i}"
        )
        for i in range(3)
    ]
    failed: list[BaseException] = []
    barrier = threading.Barrier(2 * len(places))

    def run(place: Blobs) -> None:
        barrier.wait()
        try:
            deliver(place, table)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in places * 2]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    for place in places:
        assert rows_of(table, place).equals(read_hits(place), null_equal=True)


def test_a_run_that_was_taken_over_cannot_bring_its_rows_back(
    place: Blobs, table: str, make_hits: MakeHits, publish_hits: PublishHits, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = make_hits({"A": 0.9}, cell_type="T cells")
    deliver(place, table)
    publish_hits(place.url, make_hits({"A": 0.7, "B": 0.6}, cell_type="T cells"))

    def overtaken(*arguments: object, **options: object) -> None:
        monkeypatch.setattr(delta_table, "write_deltalake", WRITE)
        publish_hits(place.url, newer)  # another run publishes and delivers while this one is about to commit
        deliver(place, table)
        WRITE(*arguments, **options)

    monkeypatch.setattr(delta_table, "write_deltalake", overtaken)
    deliver(place, table, sleep=lambda _: None)
    assert rows_of(table, place).equals(newer, null_equal=True)


def test_it_gives_up_where_others_never_stop(place: Blobs, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise TableConflict("somebody else")

    monkeypatch.setattr(HitsTable, "replace", busy)
    with pytest.raises(TableError, match="run the campaign again"):
        deliver(place, table, sleep=lambda _: None)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.booleans()), min_size=1, max_size=4))
def test_the_table_is_what_stands_in_the_places(
    steps: list[tuple[int, int, bool]],
    tmp_path_factory: pytest.TempPathFactory,
    make_hits: MakeHits,
    publish_hits: PublishHits,
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    table, places = str(folder / "table"), {}
    for number, height, is_delivered_twice in steps:
        hits = make_hits({f"P{i}": i / 10 for i in range(height)}, **{f"factor_{number}": "x"})
        places[number] = publish_hits(str(folder / str(number)), hits, f"campaign-{number}")
        for _ in range(1 + is_delivered_twice):
            deliver(places[number], table)
    found = HitsTable.find(table)
    assert found is not None
    assert found.rows().height == sum(read_hits(open_results(place.url)).height for place in places.values())
    for place in places.values():
        assert rows_of(table, place).equals(read_hits(place), null_equal=True)


def test_upkeep_of_the_table_by_others_changes_nothing(
    place: Blobs, table: str, tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits
) -> None:
    other = publish_hits(str(tmp_path / "other"), make_hits({"A": 0.3}, cell_type="T cells"))  # of the same name
    for each in (place, other):
        deliver(each, table)
    delta = delta_table.DeltaTable(table)
    assert delta.optimize.compact()["numFilesRemoved"] == 2  # rows of both are in one file now
    delta.vacuum(0, dry_run=False, enforce_retention_duration=False)
    delta.create_checkpoint()
    for log in sorted(Path(table, "_delta_log").glob("*.json"))[:-1]:
        log.unlink()
    for each in (place, other):
        assert deliver(each, table).rows is None
    newer = make_hits({"A": 0.9, "B": 0.8}, cell_type="T cells")
    publish_hits(other.url, newer)
    deliver(other, table)
    assert rows_of(table, other).equals(newer, null_equal=True)
    assert rows_of(table, place).equals(read_hits(place), null_equal=True)


def test_a_column_of_another_type_is_refused(
    place: Blobs, table: str, tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits
) -> None:
    deliver(place, table)
    other = publish_hits(str(tmp_path / "other"), make_hits({"A": 0.5}, extra={"cell_type": 1.0}))
    with pytest.raises(
        TableError, match=r"'cell_type' is string, and that of this campaign is double; .*are published in file"
    ):
        deliver(other, table)


def test_names_that_spark_refuses_are_written_otherwise(
    table: str, tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits
) -> None:
    hits = make_hits({"A": 0.5}, extra={"effect[IL2]": 0.25}, **{"cell type (fine)": "T cells"})
    deliver(publish_hits(str(tmp_path / "screen"), hits), table)
    found = HitsTable.find(table)
    assert found is not None
    assert found.rows().select("cell_type__fine_", "effect[IL2]").row(0) == ("T cells", 0.25)
    with pytest.raises(TableError, match="rename a factor"):
        delta_table.delta_names(hits.with_columns(pl.lit("x").alias("cell_type__fine_")))


def test_what_is_there_is_looked_at_before_anything_is_computed(tmp_path: Path, table: str) -> None:
    check_table(table, ["cell_type"])
    with pytest.raises(ResultsError, match="context factor 'campaign'"):
        check_table(table, ["campaign"])
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="Choose a folder"):
        check_table(str(tmp_path / "file"), [])
    delta_table.write_deltalake(str(tmp_path / "cells"), pl.DataFrame({"a": [1]}))
    with pytest.raises(TableError, match=r"none of hits: it has no column status.*name another folder"):
        check_table(str(tmp_path / "cells"), [])
    (tmp_path / "cells" / "_delta_log" / "00000000000000000001.json").write_text("garbage{")
    with pytest.raises(TableError, match="can't read the Delta table") as told:
        check_table(str(tmp_path / "cells"), [])
    assert "\n" not in str(told.value)


def test_a_place_without_results(tmp_path: Path, table: str) -> None:
    from actors.blobs import open_blobs

    with pytest.raises(ResultsError, match="nothing is published"):
        deliver(open_blobs(str(tmp_path / "empty")), table)


def test_a_mark_that_is_a_factor_is_refused(make_hits: MakeHits) -> None:
    with pytest.raises(ResultsError, match="name the factor otherwise"):
        marked(make_hits({"A": 0.5}, results="x"), "c", "file:///r")


def test_options_hold_no_secret() -> None:
    environment = {"AWS_ENDPOINT_URL": "http://here", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    told = delta_table.storage_options("s3://bucket/t", environment)
    assert told == {
        "aws_conditional_put": "etag",
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
        "aws_endpoint_url": "http://here",
    }
    assert delta_table.storage_options("file:///t", environment) == {}
    assert delivery.MOST_ATTEMPTS > 10
