import contextlib
import hashlib
import io
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.blobs import Blobs, open_blobs
from actors.epoch import Epoch
from actors.errors import CorruptBlob, Fenced, UnsupportedURL
from actors.history import History
from actors.size_limits import LARGEST_OBJECT
from screening.deciding.hits import COLUMNS, hit_table
from screening.errors import ResultsError
from screening.publishing.publication import (
    Publication,
    anndata_to_bytes,
    filter_hits,
    hits_to_parquet,
    ledger_url,
    local_path,
    location,
    open_results,
    publish,
    read_hits,
)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return open_blobs(str(tmp_path))


@pytest.fixture
def hits() -> pl.DataFrame:
    rows = [
        {
            "perturbation": label,
            "context": f"cell_type={kind}, donor={donor}",
            "status": "done",
            "score": score,
            "cell_type": kind,
            "donor": donor,
            "score_se": 0.1,
            "support": "in_vocabulary",
            "training_cells": 16,
            "training_cells_all": 32,
            "top_up": "",
            "top_down": "",
        }
        for label, kind, donor, score in [
            ("A", "T", "D1", 0.9),
            ("B", "T", "D2", 0.7),
            ("A", "B", "D1", 0.5),
            ("B", "B", "D2", 0.3),
        ]
    ]
    return hit_table(rows, {"cell_type": pl.String, "donor": pl.String})


def publication(hits: pl.DataFrame, run_id: str = "a" * 64, **changes: Any) -> Publication:
    effects = anndata.AnnData(np.zeros((1, 2), dtype=np.float32), obs=pd.DataFrame(index=["c"]))
    content = {"effects": effects, "campaign": "kind: screen\n", "plan": b"{}", "facts": {"failed": 0}}
    return Publication(run_id=run_id, hits=hits, **(content | changes))


def test_the_manifest_lists_the_digest_of_every_file(blobs: Blobs, hits: pl.DataFrame) -> None:
    manifest = publish(Epoch.begin(History(blobs)), publication(hits))
    assert set(manifest["files"]) == {"hits.parquet", "hits.csv", "effects.h5ad", "campaign.yaml", "plan.json"}
    for name, told in manifest["files"].items():
        data = blobs.get(name)
        assert told == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert json.loads(blobs.get("manifest.json")) == manifest
    assert (manifest["failed"], manifest["run_id"]) == (0, "a" * 64)
    assert {"torch", "ray", "lingshu-screen"} <= set(manifest["versions"])


def test_each_run_keeps_its_record(blobs: Blobs, hits: pl.DataFrame) -> None:
    publish(Epoch.begin(History(blobs)), publication(hits))
    publish(Epoch.begin(History(blobs)), publication(hits.head(1), run_id="b" * 64, campaign="kind: other\n"))
    second, first = History(blobs).chain()
    assert (first.run, second.run) == ("a" * 64, "b" * 64)
    assert blobs.get(first.files["campaign.yaml"].key) == b"kind: screen\n"
    assert blobs.get(second.files["campaign.yaml"].key) == blobs.get("campaign.yaml") == b"kind: other\n"
    assert pl.read_parquet(io.BytesIO(blobs.get(first.files["hits.parquet"].key))).equals(hits, null_equal=True)
    assert read_hits(blobs).height == 1
    assert json.loads(blobs.get(first.files["manifest.json"].key))["run_id"] == "a" * 64


def test_a_run_that_was_taken_over_publishes_nothing(blobs: Blobs, hits: pl.DataFrame) -> None:
    zombie = Epoch.begin(History(blobs), "the first, process 1")
    publish(Epoch.begin(History(blobs), "the second, process 2"), publication(hits))
    before = dict(blobs.list())
    with pytest.raises(Fenced, match=r"another run \(the second, process 2\) has taken over"):
        publish(zombie, publication(hits.head(1)))
    assert dict(blobs.list()) == before
    assert read_hits(blobs).height == 4


def test_readers_follow_the_head_and_not_the_copies(blobs: Blobs, hits: pl.DataFrame) -> None:
    publish(Epoch.begin(History(blobs)), publication(hits))
    blobs.put("hits.parquet", hits_to_parquet(hits.head(2)))  # as by a publisher that was cut short
    assert read_hits(blobs).height == 4


def test_a_damaged_version_is_not_believed(blobs: Blobs, hits: pl.DataFrame) -> None:
    publish(Epoch.begin(History(blobs)), publication(hits))
    manifest = History(blobs).published()
    assert manifest is not None
    blobs.put(manifest.files["hits.parquet"].key, hits_to_parquet(hits.head(2)))
    with pytest.raises(CorruptBlob, match=r"hits.parquet is not what was published; run the campaign again"):
        read_hits(blobs)
    publish(Epoch.begin(History(blobs)), publication(hits.head(3)))
    assert read_hits(blobs).height == 3


def test_a_version_that_was_collected_while_it_was_looked_up(blobs: Blobs, hits: pl.DataFrame) -> None:
    publish(Epoch.begin(History(blobs)), publication(hits))

    class Slow:
        """Gives the manifest, and by the time the table is asked for another version stands."""

        def __getattr__(self, name: str) -> Any:
            return getattr(blobs, name)

        def get(self, key: str, most: int = LARGEST_OBJECT) -> bytes:
            manifest = next(History(blobs).chain())
            if key == manifest.files["hits.parquet"].key and manifest.number == 1:
                publish(Epoch.begin(History(blobs)), publication(hits.head(1)))
                blobs.delete(key)
            return blobs.get(key, most)

    assert read_hits(Slow()).height == 1  # type: ignore[arg-type]


FOREIGN: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "another table": (lambda _: pl.DataFrame({"x": [1]}), "it has no column status, perturbation, context and 9 more"),
    "a column less": (lambda hits: hits.drop("score_se"), "it has no column score_se;"),
    "text for numbers": (
        lambda hits: hits.cast({"score": pl.String}),
        "its column score is String and has to be Float64",
    ),
    "numbers for text": (
        lambda hits: hits.with_columns(gate=pl.lit(1)),
        "its column gate is Int32 and has to be String",
    ),
    "no context": (lambda hits: hits.with_columns(context=pl.lit(None, pl.String)), "context has empty fields"),
    "done without a score": (lambda hits: hits.with_columns(score=pl.lit(None, pl.Float64)), "score has empty fields"),
    "too many rows": (lambda hits: pl.concat([hits] * 3), "has 12 rows, and at most 10 are read"),
}


@pytest.mark.parametrize(("spoil", "said"), FOREIGN.values(), ids=FOREIGN)
def test_another_table_is_told_in_one_line(
    blobs: Blobs,
    hits: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pl.DataFrame], pl.DataFrame],
    said: str,
) -> None:
    monkeypatch.setattr("screening.publishing.publication.MOST_HITS", 10)
    buffer = io.BytesIO()
    spoil(hits).write_parquet(buffer)
    blobs.put("hits.parquet", buffer.getvalue())
    with pytest.raises(ResultsError, match=f"hits.parquet: .*{said}") as refusal:
        read_hits(blobs)
    assert "\n" not in str(refusal.value)


@given(st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_table_with_changed_bytes_is_read_or_refused(hits: pl.DataFrame, data: st.DataObject) -> None:
    blobs = open_blobs(f"memory://{uuid.uuid4().hex}")
    spoilt = bytearray(hits_to_parquet(hits))
    for place in data.draw(st.lists(st.integers(0, len(spoilt) - 1), min_size=1, max_size=4)):
        spoilt[place] = data.draw(st.integers(0, 255))
    blobs.put("hits.parquet", bytes(spoilt))
    with contextlib.suppress(ResultsError):
        read_hits(blobs)


def test_a_copy_of_the_files_alone_is_read(blobs: Blobs, hits: pl.DataFrame) -> None:
    blobs.put("hits.parquet", hits_to_parquet(hits.head(3)))
    assert read_hits(blobs).height == 3


def test_without_a_single_effect_there_is_no_file_of_them(blobs: Blobs, hits: pl.DataFrame) -> None:
    assert "effects.h5ad" not in publish(Epoch.begin(History(blobs)), publication(hits, effects=None))["files"]
    assert not blobs.exists("effects.h5ad")


def test_parquet_says_what_its_columns_mean(hits: pl.DataFrame) -> None:
    data = hits_to_parquet(hits)
    metadata = pq.read_metadata(io.BytesIO(data)).metadata
    meanings = json.loads(metadata[b"lingshu.columns"])
    assert pl.read_parquet_metadata(io.BytesIO(data))["lingshu.columns"] == json.dumps(meanings)
    assert meanings == {name: text for name, (_, text) in COLUMNS.items()}
    assert pl.read_parquet(io.BytesIO(data)).equals(hits, null_equal=True)
    assert hits_to_parquet(hits) == data


def test_an_h5ad_is_written_into_memory(tmp_path: Path) -> None:
    table = anndata.AnnData(np.eye(3, dtype=np.float32), layers={"twice": 2 * np.eye(3, dtype=np.float32)})
    (tmp_path / "x.h5ad").write_bytes(anndata_to_bytes(table))
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "x.h5ad").layers["twice"], 2 * np.eye(3))


def test_a_folder_without_results_says_so(blobs: Blobs) -> None:
    with pytest.raises(ResultsError, match=r"no hits.parquet here; run the campaign"):
        read_hits(blobs)


def test_a_damaged_table_says_so(blobs: Blobs) -> None:
    blobs.put("hits.parquet", b"PAR1 no more")
    with pytest.raises(ResultsError, match="not a readable Parquet file"):
        read_hits(blobs)


def test_looking_at_results_that_are_not_there_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no such folder"):
        open_results(str(tmp_path / "typo"))
    assert not (tmp_path / "typo").exists()
    assert open_results(str(tmp_path)).url == tmp_path.as_uri()


def test_hits_are_filtered_by_a_factors_value_or_the_whole_label(hits: pl.DataFrame) -> None:
    assert filter_hits(hits, ["T"], None)["score"].to_list() == [0.9, 0.7]
    assert filter_hits(hits, ["D2"], None)["score"].to_list() == [0.7, 0.3]
    assert filter_hits(hits, ["cell_type=B, donor=D1"], None)["score"].to_list() == [0.5]
    assert filter_hits(hits, ["cell_type=B, donor=D1", "D2"], None)["score"].to_list() == [0.7, 0.5, 0.3]
    assert filter_hits(hits, [], None).height == 4


def test_the_top_is_taken_of_what_the_filter_left(hits: pl.DataFrame) -> None:
    assert filter_hits(hits, ["B"], 1)["score"].to_list() == [0.5]
    assert filter_hits(hits, [], 99).height == 4


def test_an_unknown_context_names_the_known_ones(hits: pl.DataFrame) -> None:
    with pytest.raises(ResultsError, match=r"no context 'NK'.*cell_type=B, donor=D1"):
        filter_hits(hits, ["NK"], None)


def test_a_perturbation_is_no_context(hits: pl.DataFrame) -> None:
    with pytest.raises(ResultsError, match="no context 'done'"):
        filter_hits(hits, ["done"], None)


def test_the_ledger_lies_in_the_results_folder(tmp_path: Path) -> None:
    assert ledger_url(f"{tmp_path}/screen/") == f"{tmp_path.as_uri()}/screen/ledger"
    assert ledger_url("s3://bucket/screen/") == "s3://bucket/screen/ledger"


def test_a_location_is_absolute_and_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spaced = tmp_path / "my results"
    assert location("my results") == location(str(spaced)) == location(spaced.as_uri()) == str(spaced)
    assert local_path("my results") == spaced
    assert location("s3://bucket/my") == "s3://bucket/my"
    assert local_path("s3://bucket/my") is None
    with pytest.raises(UnsupportedURL):
        location("ftp://host/x")
