from pathlib import Path

import fsspec
import pytest

from screening.json_file import read_json_file


def test_a_file_and_a_url_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, "é"]}', encoding="utf-8")
    with fsspec.open("memory://json/a.json", "wb") as handle:
        handle.write((tmp_path / "a.json").read_bytes())
    assert read_json_file(str(tmp_path / "a.json")) == read_json_file("memory://json/a.json") == {"a": [1, "é"]}


def test_nothing_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_json_file(str(tmp_path / "none.json")) is None
    assert read_json_file(str(tmp_path / "file" / "none.json")) is None
    assert read_json_file("memory://json/none.json") is None


@pytest.mark.parametrize("content", [b"{", b"", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_json_file(str(tmp_path / "a.json"))


def test_what_cannot_be_reached_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match=r"can't be read.*check the path, and the credentials"):
        read_json_file(str(tmp_path / "a.json"))


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    monkeypatch.setattr("screening.json_file.MAX_CHARACTERS", 8)
    with pytest.raises(ValueError, match="more than 8 characters"):
        read_json_file(str(tmp_path / "a.json"))
