import os
from pathlib import Path

import pytest

from actors.own_token import own_token, token_command, token_file


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder with nothing in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-another")
    return tmp_path


def test_it_stays_the_same_and_is_for_its_user_alone() -> None:
    token = own_token()
    assert len(token) == 64
    assert own_token() == token
    assert token_file().read_text() == f"{token}\n"
    assert token_file().stat().st_mode & 0o777 == 0o600
    assert [each.name for each in token_file().parent.iterdir()] == ["ray_token"]  # no drafts are left


def test_the_command_prints_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", own_token())
    assert token_command() == "cat ~/.cache/lingshu/ray_token"


def test_there_is_no_command_for_what_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert token_command() == ""  # nothing lies there
    token = own_token()
    assert token_command() == ""  # the environment has that of another cluster
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert token_command() == ""


def test_a_home_that_cannot_be_written_to_is_no_reason_to_stop(home: Path) -> None:
    (home / ".cache").write_text("a file where the folder would be")
    token = own_token()
    assert len(token) == 64
    os.environ["RAY_AUTH_TOKEN"] = token  # restored by the fixture
    assert token_command() == ""


def test_without_a_home_folder_it_is_one_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    assert len(own_token()) == 64
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", own_token())
    assert token_command() == ""
