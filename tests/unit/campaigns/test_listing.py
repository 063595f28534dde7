from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from campaigns.errors import VocabularyError, Where
from campaigns.listing import read_columns, read_names, read_table

AT = Where("screen.yaml", 6, "perturbations.genetic.file")


def test_names_stand_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "targets.txt"
    path.write_bytes(b"\xef\xbb\xbf# my targets\r\nSTAT1\r\n\r\n STAT2 + JAK2 \r\n")
    read = [(name, where.line) for name, where in read_names(str(path), AT)]
    assert read == [("STAT1", 2), ("STAT2 + JAK2", 4)]


def test_rows_leave_empty_cells_out(tmp_path: Path) -> None:
    path = tmp_path / "contexts.csv"
    path.write_text('cell_type,donor\n"B cells, naive",D1\nT cells,\n')
    read = [(row, where.line) for row, where in read_table(str(path), AT)]
    assert read == [({"cell_type": "B cells, naive", "donor": "D1"}, 2), ({"cell_type": "T cells"}, 3)]


def test_a_row_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contexts.csv"
    path.write_text("cell_type\nB cells,D1\n")
    with pytest.raises(VocabularyError, match=r"contexts.csv:2: has more cells than the header's 1"):
        list(read_table(str(path), AT))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "missing.txt",
            r"screen.yaml:6: perturbations.genetic.file: missing.txt can't be read: No such file.*working dir",
        ),
        ("s3://bucket/targets.txt", "is a URL; copy the file to this machine"),
        ("nul\0", "null byte"),
    ],
)
def test_a_listing_that_cannot_be_read_is_told_where_it_is_named(
    path: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VocabularyError, match=said):
        list(read_names(path, AT))


def test_what_is_no_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "targets.txt"
    path.write_bytes(b"STAT1\n\xff\n")
    with pytest.raises(VocabularyError, match=r"targets.txt:2: isn't UTF-8"):
        list(read_names(str(path), AT))


@pytest.mark.parametrize("comma", [",", "\t"])
def test_columns_are_found_by_name(tmp_path: Path, comma: str) -> None:
    path = tmp_path / "library"
    path.write_bytes(
        b"\xef\xbb\xbf" + comma.join([" smiles ", "id"]).encode() + f"\r\nCCO{comma} A \r\n\r\nCCN\r\n".encode()
    )
    found = read_columns(str(path), {"name": ("id", AT), "smiles": ("smiles", AT)}, AT)
    assert [(row, where.line) for row, where in found] == [
        ({"name": "A", "smiles": "CCO"}, 2),
        ({"name": "", "smiles": "CCN"}, 4),
    ]


def test_damaged_gzip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "library.tsv.gz"
    path.write_bytes(gzip.compress(b"id\tsmiles\nA\tCCO\n")[:-9])
    with pytest.raises(VocabularyError, match=r"screen.yaml:6: .*library.tsv.gz is damaged gzip"):
        list(read_columns(str(path), {"name": ("id", AT)}, AT))
