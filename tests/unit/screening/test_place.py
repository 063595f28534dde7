from pathlib import Path

import pytest

from screening.place import same_place


def test_a_place_is_the_same_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    for other in ("model/", "./model", f"{tmp_path}/x/../model", "link", f"file://{tmp_path}/model"):
        assert same_place("model", other), other
    assert not same_place("model", "model-2")
    assert not same_place("model", "memory://model")
    assert same_place("memory://bucket/model/", "memory://bucket/model")
    assert same_place("gopher://host/model", "gopher://host/model")  # nobody can go there, and it is one place
