from pathlib import Path

import fsspec
import pytest

from campaigns.errors import VocabularyError
from lingshu_core.checkpoint import load_header
from screening.vocabulary_file import read_plain_vocabulary


def test_it_reads_what_the_checkpoint_says(tiny: Path) -> None:
    found = read_plain_vocabulary(f"{tiny}/model/")
    header = load_header(str(tiny / "model")).vocabulary
    assert found is not None
    assert found.genes == header.genes
    assert set(found.perturbations) == set(header.perturbations)
    assert [seen.control_cells for seen in found.contexts] == [seen.control_cells for seen in header.contexts]


def test_it_reads_a_url(tiny: Path) -> None:
    for name in ("vocabulary.json",):
        with fsspec.open(f"memory://model/{name}", "wb") as handle:
            handle.write((tiny / "model" / name).read_bytes())
    assert read_plain_vocabulary("memory://model") == read_plain_vocabulary(str(tiny / "model"))
    assert read_plain_vocabulary("memory://no-model") is None


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_plain_vocabulary(str(tmp_path)) is None
    assert read_plain_vocabulary(str(tmp_path / "file")) is None


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}', '{"format": 1}', "\udcff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "vocabulary.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(VocabularyError, match=r"vocabulary.json"):
        read_plain_vocabulary(str(tmp_path))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.json").mkdir()
    with pytest.raises(VocabularyError, match="can't be read"):
        read_plain_vocabulary(str(tmp_path))
