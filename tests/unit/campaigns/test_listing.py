from __future__ import annotations

from pathlib import Path

import pytest

from campaigns.errors import VocabularyError, Where
from campaigns.listing import read_names, read_table

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
