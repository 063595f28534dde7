import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from actors.blobs import Blobs, open_blobs
from actors.errors import CorruptBlob, StoreUnavailable, UnsafeKey
from actors.folder_blobs import FolderBlobs
from screening.errors import ResultsError
from screening.publishing.publication import Table, open_results, read_hits
from screening.tables import local_copy
from screening.tables.local_copy import PULLED, pull

MakeHits = Callable[..., pl.DataFrame]
PublishHits = Callable[..., Blobs]
EVIDENCE = {
    "evidence.parquet": Table(pl.DataFrame({"a": [1]}), {}),
    "evidence_items.parquet": Table(pl.DataFrame(), {}),
}
FILES = {"hits.parquet", "hits.csv", "campaign.yaml", "plan.json", "manifest.json", *EVIDENCE}


@pytest.fixture
def source(tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits) -> Blobs:
    """Results with evidence and two files of cells."""
    blobs = publish_hits(
        str(tmp_path / "source"), make_hits({"A": 0.5}), tables=EVIDENCE, facts={"cells": "cells.zarr"}
    )
    blobs.put("cells.zarr/zarr.json", b"{}")
    blobs.put("cells.zarr/X/c/0", b"first chunk")
    return blobs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my copy"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_is_results_again(source: Blobs, folder: Path, tmp_path: Path) -> None:
    done = pull(source.url, str(folder))
    assert files(folder) == FILES | {"cells.zarr/zarr.json", "cells.zarr/X/c/0", PULLED}
    assert read_hits(open_results(str(folder))).equals(read_hits(source), null_equal=True)
    sizes = sum((folder / name).stat().st_size for name in files(folder) - {PULLED})
    assert (done.copied, done.copied_bytes, done.kept, done.unverified) == (len(FILES) + 2, sizes, 0, 2)
    assert f"({sizes:,} bytes) copied" in done.describe()
    assert json.loads((folder / PULLED).read_text())["complete"] is True
    # A copy can be copied, and has no versions.
    assert pull(str(folder), str(tmp_path / "second")).copied == done.copied


def test_effects_of_all_conditions_come_along(
    tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits, folder: Path
) -> None:
    source = publish_hits(str(tmp_path / "all"), make_hits({"A": 0.5}), facts={"effects_of_all": "effects.zarr"})
    source.put("effects.zarr/X/c/0/0", b"shard")
    assert pull(source.url, str(folder), ["effects.zarr"]).unverified == 1
    assert files(folder) == {"manifest.json", "effects.zarr/X/c/0/0", PULLED}


def test_only_some_files_and_again_only_what_is_missing(source: Blobs, folder: Path) -> None:
    assert pull(source.url, str(folder), ["evidence", "hits.csv"]).copied == 4
    assert files(folder) == {"evidence.parquet", "evidence_items.parquet", "hits.csv", "manifest.json", PULLED}
    done = pull(source.url, str(folder), ["hits", "cells"])
    assert (done.copied, done.kept) == (3, 2)
    assert pull(source.url, str(folder)).kept == len(FILES) - 2 + 2
    with pytest.raises(ResultsError, match=r"these results have no 'hit'; nearest: hits"):
        pull(source.url, str(folder), ["hit"])


def test_a_pull_that_is_interrupted_goes_on(source: Blobs, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put, left = FolderBlobs.put, [4]

    def failing(self: FolderBlobs, key: str, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise StoreUnavailable("the disk is full")
        put(self, key, data)

    monkeypatch.setattr(FolderBlobs, "put", failing)
    with pytest.raises(StoreUnavailable):
        pull(source.url, str(folder))
    monkeypatch.undo()
    assert len(files(folder)) == 4  # each of them whole
    assert json.loads((folder / PULLED).read_text())["complete"] is False
    (folder / "campaign.yaml").write_text("torn")
    done = pull(source.url, str(folder))
    assert (done.copied, done.kept) == (len(FILES) + 2 - 2, 2)


def test_a_newer_version_replaces_all_that_was_pulled(
    source: Blobs, folder: Path, make_hits: MakeHits, publish_hits: PublishHits
) -> None:
    pull(source.url, str(folder))
    source.delete("cells.zarr/X/c/0")
    source.put("cells.zarr/X/c/1", b"other chunk")
    publish_hits(source.url, make_hits({"A": 0.9}), facts={"cells": "cells.zarr"})
    pull(source.url, str(folder), ["hits"])
    assert read_hits(open_results(str(folder)))["score"].to_list() == [0.9]
    assert files(folder) == FILES - set(EVIDENCE) | {"cells.zarr/zarr.json", "cells.zarr/X/c/1", PULLED}
    publish_hits(source.url, make_hits({"A": 0.8}))
    pull(source.url, str(folder))
    assert files(folder) == FILES - set(EVIDENCE) | {PULLED}


def test_other_results_are_not_overwritten(
    source: Blobs, folder: Path, tmp_path: Path, make_hits: MakeHits, publish_hits: PublishHits
) -> None:
    other = publish_hits(str(tmp_path / "other"), make_hits({"B": 0.1}))
    with pytest.raises(ResultsError, match="where campaigns publish"):
        pull(source.url, str(tmp_path / "other"))
    pull(other.url, str(folder))
    with pytest.raises(ResultsError, match=r"holds a copy of .*other; name another folder"):
        pull(source.url, str(folder))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "hits.csv").write_text("mine")
    with pytest.raises(ResultsError, match=r"has another hits\.csv"):
        pull(source.url, str(tmp_path / "notes"))
    assert (tmp_path / "notes" / "hits.csv").read_text() == "mine"
    assert pull(source.url, str(tmp_path / "notes"), ["evidence"]).copied == 3  # beside what is not in the way
    (tmp_path / "cells" / "cells.zarr").mkdir(parents=True)
    with pytest.raises(ResultsError, match=r"has another cells\.zarr"):
        pull(source.url, str(tmp_path / "cells"))


def test_wrong_places(source: Blobs, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no such folder"):
        pull(str(tmp_path / "nowhere"), str(folder))
    with pytest.raises(ResultsError, match="no results here"):
        pull(str(tmp_path), str(folder))
    with pytest.raises(ResultsError, match="into a local folder"):
        pull(source.url, "s3://bucket/x")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="is a file"):
        pull(source.url, str(tmp_path / "file"))
    assert not folder.exists()
    folder.mkdir()
    (folder / PULLED).write_text("[]")
    with pytest.raises(ResultsError, match="damaged; delete this folder"):
        pull(source.url, str(folder))


def test_what_was_damaged_is_not_copied(source: Blobs, folder: Path, tmp_path: Path) -> None:
    pull(source.url, str(tmp_path / "copy"))
    for path in (tmp_path / "source" / "runs").rglob("hits.csv"):
        path.write_text("damaged")
    with pytest.raises(CorruptBlob, match="publish it anew"):
        pull(source.url, str(folder))
    (tmp_path / "copy" / "hits.csv").write_text("damaged")
    with pytest.raises(CorruptBlob, match="not what was published"):
        pull(str(tmp_path / "copy"), str(tmp_path / "third"))


def test_a_manifest_leads_nowhere_else(source: Blobs, folder: Path, tmp_path: Path) -> None:
    pull(source.url, str(tmp_path / "copy"))
    path = tmp_path / "copy" / "manifest.json"
    content = json.loads(path.read_text())
    content["files"]["../outside"] = content["files"]["hits.csv"]
    path.write_text(json.dumps(content))
    with pytest.raises(ResultsError, match=r"damaged at '\.\./outside'"):
        pull(str(tmp_path / "copy"), str(folder))
    # Nor does a link in the folder.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "cells.zarr").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeKey, match="symbolic link"):
        pull(source.url, str(folder), ["cells"])


def test_superseded_while_it_is_read(
    source: Blobs, folder: Path, make_hits: MakeHits, publish_hits: PublishHits, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = local_copy._copy_file

    def superseded(*arguments: object) -> None:
        monkeypatch.setattr(local_copy, "_copy_file", copy)
        publish_hits(source.url, make_hits({"A": 0.1}))
        for name, _ in list(open_blobs(source.url).list("runs")):  # as `lingshu gc` may
            if "/00000001-" in name:
                source.delete(name)
        copy(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(local_copy, "_copy_file", superseded)
    pull(source.url, str(folder))
    assert read_hits(open_results(str(folder)))["score"].to_list() == [0.1]


def test_on_the_command_line(source: Blobs, folder: Path, lingshu: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = lingshu("pull", source.url, folder, "--only", "hits, evidence")
    assert code == 0, err
    assert "hits.csv  " in out
    assert "checked by SHA-256" in out
    assert lingshu("hits", folder)[0] == 0
    code, _, err = lingshu("pull", source.url, folder, "--only", ",")
    assert (code, "names no file" in err) == (2, True)
