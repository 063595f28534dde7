from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lingshu_core.errors import FeatureError
from lingshu_core.feature_files import FeatureFile, read_edges, read_feature_file, read_rows, read_vectors

VALUES = np.array([[1.0, 2.0], [3.0, 4.5]])


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., FeatureFile]:
    def write(**arrays: Any) -> FeatureFile:
        np.savez(tmp_path / "f.npz", **arrays)
        return read_feature_file(str(tmp_path / "f.npz"))

    return write


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., FeatureFile]:
    def write(**columns: Any) -> FeatureFile:
        pd.DataFrame(columns).to_parquet(tmp_path / "f.parquet", index=False)
        return read_feature_file(str(tmp_path / "f.parquet"))

    return write


@pytest.fixture
def text(tmp_path: Path) -> Callable[[str | bytes], FeatureFile]:
    def write(content: str | bytes) -> FeatureFile:
        path = tmp_path / "f.tsv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_feature_file(str(path))

    return write


def test_a_file_is_named_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert read_feature_file(str(tmp_path / "f")).sha256 == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("path", ["nowhere.npz", "nosuchprotocol://x"])
def test_a_file_that_is_not_there_is_told(path: str) -> None:
    with pytest.raises(FeatureError, match=path):
        read_feature_file(path)


def test_npz(npz: Callable[..., FeatureFile]) -> None:
    found = read_vectors(npz(names=np.array(["A", " B "]), features=VALUES.astype(np.float32)))
    assert found.names == ("A", "B")
    np.testing.assert_array_equal(found.values, VALUES)


@pytest.mark.parametrize(
    "columns",
    [
        {"gene": ["A", "B"], "x": [1, 3], "y": [2.0, 4.5]},
        {"gene": ["A", "B"], "v": [[1.0, 2.0], [3.0, 4.5]]},
        {"x": [1, 3], "note": ["n", "m"], "gene": ["A", "B"], "y": [2.0, 4.5]},
    ],
)
def test_parquet(parquet: Callable[..., FeatureFile], columns: dict[str, Any]) -> None:
    found = read_vectors(parquet(**columns), "gene")
    assert found.names == ("A", "B")
    np.testing.assert_array_equal(found.values, VALUES)


def test_the_only_text_column_has_the_names(parquet: Callable[..., FeatureFile]) -> None:
    assert read_vectors(parquet(x=[1, 2], gene=["A", "B"])).names == ("A", "B")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"features": VALUES}, "the array 'names' is missing"),
        ({"names": np.array(["A", "B"])}, "the array 'features' is missing"),
        ({"names": np.array(["A", "B"], dtype=object), "features": VALUES}, "without pickle"),
        ({"names": np.array(["A", "B"]), "features": VALUES.astype(object)}, "without pickle"),
        ({"names": np.array([1, 2]), "features": VALUES}, "has to be a list of text"),
        ({"names": np.array(["A", "B"]), "features": np.array([["x"], ["y"]])}, "has to be numbers"),
        ({"names": np.array(["A", "A"]), "features": VALUES}, r"1 names occur more than once \(A\)"),
        ({"names": np.array(["A", ""]), "features": VALUES}, "row 2 has no name"),
        ({"names": np.array(["A"]), "features": VALUES[:1]}, "describes 1 names"),
        ({"names": np.array(["A", "B", "C"]), "features": VALUES}, r"3 names and features of the shape \(2, 2\)"),
        ({"names": np.array(["A", "B"]), "features": VALUES[0]}, "one row of numbers for each name"),
        ({"names": np.array(["A", "B"]), "features": VALUES * [[1], [np.nan]]}, "features of 'B' have NaN"),
        ({"names": np.array(["A", "B"]), "features": VALUES * [[np.inf], [1]]}, "features of 'A' have NaN"),
    ],
)
def test_an_unusable_npz_is_refused(npz: Callable[..., FeatureFile], arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        read_vectors(npz(**arrays))


@pytest.mark.parametrize(
    ("columns", "name", "said"),
    [
        ({"a": ["A", "B"], "b": ["C", "D"], "x": [1, 2]}, None, r"there are 2 text columns \(a, b\)"),
        ({"x": [1, 2]}, None, "there are 0 text columns"),
        ({"a": ["A", "B"], "x": [1, 2]}, "gene", "there is no column 'gene'"),
        ({"a": ["A", "B"], "b": ["C", "D"]}, "a", "0 numeric columns and 0 columns of lists"),
        ({"a": ["A", "B"], "x": [1, 2], "v": [[1.0], [2.0]]}, "a", "1 numeric columns and 1 columns of lists"),
        ({"a": ["A", "B"], "v": [[1.0], [2.0, 3.0]]}, "a", "gaps or different lengths"),
        ({"a": ["A", "B"], "v": [[1.0], [None]]}, "a", "gaps or different lengths"),
        ({"a": ["A", "B"], "v": [["x"], ["y"]]}, "a", "something else than numbers"),
        ({"a": ["A", None], "x": [1, 2]}, "a", "row 2 has no name"),
        ({"a": ["A", "B"], "x": [1.0, None]}, "a", "features of 'B' have NaN"),
    ],
)
def test_an_unusable_parquet_is_refused(
    parquet: Callable[..., FeatureFile], columns: dict[str, Any], name: str | None, said: str
) -> None:
    with pytest.raises(FeatureError, match=said):
        read_vectors(parquet(**columns), name)


@pytest.mark.parametrize("content", [b"", b"PK but no archive", b"PAR1 but no parquet PAR1", b"name\tx\nA\t1\n"])
def test_neither_npz_nor_parquet_is_refused(text: Callable[..., FeatureFile], content: bytes) -> None:
    with pytest.raises(FeatureError, match=r"f\.tsv: "):
        read_vectors(text(content))


ROWS = "name\tsmiles\textra\n (+)-JQ1 \tCCO\t1\n\nNA\t\t2\n"


@pytest.mark.parametrize("change", [str.encode, lambda one: gzip.compress(one.encode(), mtime=0)])
def test_rows_keep_their_lines(text: Callable[..., FeatureFile], change: Callable[[str], bytes]) -> None:
    rows = read_rows(text(change(ROWS)), {"smiles": "smiles", "name": "name"})
    assert rows.to_dict("index") == {2: {"smiles": "CCO", "name": "(+)-JQ1"}, 4: {"smiles": "", "name": "NA"}}


def test_commas_separate_where_there_are_no_tabs(text: Callable[..., FeatureFile]) -> None:
    rows = read_rows(text('name,smiles\n"A, B",C\n'), {"name": "name"})
    assert rows["name"].tolist() == ["A, B"]


def test_rows_of_a_parquet(parquet: Callable[..., FeatureFile]) -> None:
    rows = read_rows(parquet(drug=["A", None], smiles=["C", "CC"]), {"name": "drug", "smiles": "smiles"})
    assert rows.to_dict("index") == {1: {"name": "A", "smiles": "C"}, 2: {"name": "", "smiles": "CC"}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ROWS, r"there is no column 'drug' \(name\); columns are: name, smiles, extra"),
        (b"name\n\xff\n", "isn't UTF-8"),
        (gzip.compress(ROWS.encode(), mtime=0)[:25], "is damaged gzip"),
        ("", "not a readable table"),
        ('name\tsmiles\n"A\tB\n', "not a readable table"),
    ],
)
def test_what_is_no_table_is_refused(text: Callable[..., FeatureFile], content: str | bytes, said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        read_rows(text(content), {"name": "drug"})


def test_edges(text: Callable[..., FeatureFile]) -> None:
    file = text("tf\tgene\tmor\nA\tB\t-1\nB\tC\t2.5\n")
    signed = read_edges(file, {"source": "tf", "target": "gene", "weight": "mor"})
    assert signed["weight"].tolist() == [-1.0, 2.5]
    assert read_edges(file, {"source": "tf", "target": "gene"})["weight"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("s\tt\tw\n", "no rows"),
        ("s\tt\tw\nA\tB\t1\nA\t\t1\n", r"f\.tsv:3: column 't' \(target\) is empty"),
        ("s\tt\tw\nA\tB\tx\n", r"f\.tsv:2: 'x' in column 'w' is no number"),
        ("s\tt\tw\nA\tB\tinf\n", r"f\.tsv:2: 'inf' in column 'w' is no number"),
    ],
)
def test_unusable_edges_are_refused(text: Callable[..., FeatureFile], content: str, said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        read_edges(text(content), {"source": "s", "target": "t", "weight": "w"})
