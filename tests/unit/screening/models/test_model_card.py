import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from screening.errors import CardError
from screening.models.model_card import CARD_FORMAT, PARTS, card_digest, read_card, write_card

DIGEST = "ab" * 32


def content(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = dict.fromkeys(PARTS)
    return {"model_digest": DIGEST, "limits": ["one"], "data": {"cells": 3, "share": 0.1 + 0.2}, **parts, **changes}


@pytest.fixture
def place() -> Iterator[str]:
    yield "memory://lingshu-card"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/lingshu-card"):
        filesystem.rm("/lingshu-card", recursive=True)


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    gates = [{"context": {"donor": "D1"}, "parts": [["A", 0.1]], "verdict": "pass"}]
    written = write_card(str(tmp_path), content(gates=gates), "# words")
    read = read_card(str(tmp_path), DIGEST)
    assert read == written
    assert read is not None
    assert read.gates == gates
    assert read.model_digest == DIGEST
    assert (tmp_path / "model_card.md").read_text() == "# words\n"
    assert json.loads((tmp_path / "model_card.json").read_text())["sha256"] == read.digest


def test_a_card_lies_at_a_url_too(place: str) -> None:
    written = write_card(place, content(), "words")
    assert read_card(f"{place}/", DIGEST) == written


def test_a_model_without_a_card_has_none(tmp_path: Path) -> None:
    assert read_card(str(tmp_path), DIGEST) is None
    assert read_card(str(tmp_path / "nowhere"), DIGEST) is None


def test_the_layout_of_the_file_does_not_matter(tmp_path: Path) -> None:
    written = write_card(str(tmp_path), content(), "words")
    file = tmp_path / "model_card.json"
    file.write_text(json.dumps(json.loads(file.read_text()), separators=(",", ":")))
    assert read_card(str(tmp_path), DIGEST) == written


def test_the_card_of_another_model_is_refused(tmp_path: Path) -> None:
    write_card(str(tmp_path), content(), "words")
    with pytest.raises(CardError, match=r"is the card of the model abababababab, and the model here is cdcdcdcdcdcd"):
        read_card(str(tmp_path), "cd" * 32)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every plain value."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            yield from places(part, (*path, key))
    else:
        yield path


WHOLE = content(gates=[{"context": {"donor": "D1"}, "parts": [], "verdict": "fail"}]) | {"format": CARD_FORMAT}


@pytest.mark.parametrize("path", list(places(WHOLE)), ids=str)
def test_whatever_is_changed_is_found(tmp_path: Path, path: tuple[Any, ...]) -> None:
    write_card(str(tmp_path), WHOLE, "words")
    file = tmp_path / "model_card.json"
    changed = json.loads(file.read_text())
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "something else"
    file.write_text(json.dumps(changed))
    with pytest.raises(CardError, match=r"model_card\.json: (was changed since|isn't a model card of format 1)"):
        read_card(str(tmp_path), DIGEST)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("null", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "isn't a model card of format 1"),
        ('{"format": 9}', "isn't a model card of format 1"),
        ('{"format": 1}', "was changed since it was written"),
        (json.dumps({"format": 1, "sha256": card_digest({"format": 1})}), "was changed since it was written"),
    ],
)
def test_what_is_no_card_is_refused_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "model_card.json").write_text(text)
    with pytest.raises(CardError, match=said) as caught:
        read_card(str(tmp_path), DIGEST)
    assert "write it anew with `lingshu card" in str(caught.value)
    assert "\n" not in str(caught.value)
