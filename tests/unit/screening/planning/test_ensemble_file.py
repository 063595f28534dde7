import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaigns.errors import EnsembleError
from campaigns.plan import ensemble_digest
from screening.planning.ensemble_file import ENSEMBLE, EnsembleMember, member_folder, read_ensemble, write_ensemble

MEMBERS = tuple(EnsembleMember(member_folder(number), 7 + number, f"{number}" * 64) for number in range(3))


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    digest = write_ensemble(str(tmp_path), MEMBERS)
    assert read_ensemble(str(tmp_path)) == read_ensemble(f"{tmp_path}/") == MEMBERS
    assert digest == ensemble_digest(member.digest for member in MEMBERS)
    assert [each.name for each in tmp_path.iterdir()] == [ENSEMBLE]
    assert str(tmp_path) not in (tmp_path / ENSEMBLE).read_text()


def test_a_url_works_too() -> None:
    write_ensemble("memory://ensemble", MEMBERS)
    assert read_ensemble("memory://ensemble") == MEMBERS


def test_the_digest_does_not_depend_on_the_order(tmp_path: Path) -> None:
    assert write_ensemble(str(tmp_path), MEMBERS) == write_ensemble(str(tmp_path), MEMBERS[::-1])
    assert write_ensemble(str(tmp_path), MEMBERS) != write_ensemble(str(tmp_path), MEMBERS[:2])


def test_a_folder_without_one_is_none(tmp_path: Path) -> None:
    assert read_ensemble(str(tmp_path)) is None
    assert read_ensemble(str(tmp_path / "none")) is None


def exchange(entry: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["members"][1].update({entry: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (exchange("folder", "../elsewhere"), "is damaged"),
        (exchange("folder", "/etc"), "is damaged"),
        (exchange("folder", ".."), "is damaged"),
        (exchange("folder", 3), "is damaged"),
        (exchange("digest", "a" * 64), "its digest doesn't fit its members"),
        (exchange("digest", "../x"), "is damaged"),
        (exchange("seed", "x"), "is damaged"),
        (lambda content: content.pop("members"), "is damaged"),
        (lambda content: content["members"].clear(), "its digest doesn't fit its members"),
        (lambda content: content.update(format=2), "isn't an ensemble of format 1"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    write_ensemble(str(tmp_path), MEMBERS)
    content = json.loads((tmp_path / ENSEMBLE).read_text())
    change(content)
    (tmp_path / ENSEMBLE).write_text(json.dumps(content))
    with pytest.raises(EnsembleError, match=said) as raised:
        read_ensemble(str(tmp_path))
    assert raised.value.file == f"{tmp_path}/{ENSEMBLE}"


@pytest.mark.parametrize("content", ["{", "[]", "null", "3"])
def test_a_file_that_is_no_ensemble_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / ENSEMBLE).write_text(content)
    with pytest.raises(EnsembleError, match=ENSEMBLE):
        read_ensemble(str(tmp_path))
