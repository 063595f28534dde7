"""Secrets in the environment, and every command that works or fails: nothing that is shown or stored repeats them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Lingshu = Callable[..., tuple[int, str, str]]
WriteYaml = Callable[..., Path]
PLANTED = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED01",
    "AWS_SECRET_ACCESS_KEY": "planted/secret/key/0123456789+abcdefghij",
    "AWS_SESSION_TOKEN": "planted-session-token-0123456789abcdef",
    "RAY_AUTH_TOKEN": "planted0ray0token0123456789abcdef",
}
HIDDEN_IN_URLS = "planted-password"
ENDPOINT = f"http://root:{HIDDEN_IN_URLS}@127.0.0.1:9"
"""Nobody listens on this port."""
SECRETS = (*PLANTED.values(), HIDDEN_IN_URLS)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import s3fs

    import actors.blobs

    for name, value in {**PLANTED, "AWS_ENDPOINT_URL": ENDPOINT, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(actors.blobs.RETRIES, "max_retries", 0)
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def found_in(text: str | bytes) -> list[str]:
    """Name the secrets that stand in a text."""
    content = text.encode() if isinstance(text, str) else text
    return [secret for secret in SECRETS if secret.encode() in content]


FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04"]}}


@pytest.mark.usefixtures("planted")
def test_what_works_shows_and_stores_no_secret(
    lingshu: Lingshu, write_screen: WriteYaml, write_train: WriteYaml, tmp_path: Path
) -> None:
    screen, output = write_screen(**FEW), str(tmp_path / "screen")
    commands = [
        ("--debug", "train", write_train()),
        ("validate", screen),
        ("plan", screen),
        ("--debug", "run", screen),
        ("status", screen),
        ("hits", output),
        ("verify", output),
        ("gc", output),
        ("describe", tmp_path / "model"),
        ("doctor",),
    ]
    for command in commands:
        code, out, err = lingshu(*command)
        assert code == 0, err
        assert found_in(out + err) == [], command
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored) > 20
    for path in stored:
        assert found_in(path.read_bytes()) == [], path
        assert found_in(str(path)) == []


S3 = "s3://bucket/x"
SIGNED = f"s3://bucket/x?X-Amz-Signature={HIDDEN_IN_URLS}"
FAILING: dict[str, tuple[str, dict[str, object]]] = {
    "an output that nobody answers for": ("run", {"output": S3}),
    "a model that nobody answers for": ("run", {"model": S3}),
    "a cache that nobody answers for": ("run", {"cache": S3}),
    "a password in the output": ("run", {"output": f"s3://key:{HIDDEN_IN_URLS}@bucket/x"}),
    "a password with a slash": ("validate", {"output": f"s3://key:a/{HIDDEN_IN_URLS}@bucket/x"}),
    "a signature in the output": ("run", {"output": SIGNED}),
    "a signature in the model": ("plan", {"model": SIGNED}),
    "a password in the model": ("validate", {"model": f"https://me:{HIDDEN_IN_URLS}@host/model"}),
}


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize(("command", "changes"), FAILING.values(), ids=FAILING)
@pytest.mark.usefixtures("planted")
def test_a_campaign_that_fails_shows_no_secret(
    lingshu: Lingshu, write_screen: WriteYaml, command: str, changes: dict[str, object], debug: bool
) -> None:
    code, out, err = lingshu(*(["--debug"] if debug else []), command, write_screen(**FEW | changes))
    assert code == 2, err
    assert ("Traceback" in err) is debug
    assert found_in(out + err) == []


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize(
    "line",
    [
        f"hits {S3}",
        f"verify {S3}",
        f"gc {S3} --delete",
        f"describe {S3}",
        f"hits {SIGNED}",
        f"verify {SIGNED}",
        f"hits https://host/x?token={HIDDEN_IN_URLS}",
        f"hits s3://key:a/{HIDDEN_IN_URLS}@bucket/x",
        f"describe s3://key:{HIDDEN_IN_URLS}@bucket/x",
    ],
)
@pytest.mark.usefixtures("planted")
def test_a_command_that_fails_shows_no_secret(lingshu: Lingshu, line: str, debug: bool) -> None:
    code, out, err = lingshu(*(["--debug"] if debug else []), *line.split())
    assert code == 2, err
    assert found_in(out + err) == []


@pytest.mark.usefixtures("planted")
def test_a_bug_shows_no_secret(lingshu: Lingshu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library says in an error that nobody foresaw."""

    def fail() -> None:
        raise RuntimeError(f"signed with {PLANTED['AWS_SECRET_ACCESS_KEY']} at {ENDPOINT}")

    monkeypatch.setattr("screening.doctor.examine", lambda campaign: fail())
    for options in ((), ("--debug",)):
        code, out, err = lingshu(*options, "doctor")
        assert code == 1
        assert "signed with *** at http://***@127.0.0.1:9" in err
        assert found_in(out + err) == []


@pytest.mark.usefixtures("planted")
def test_the_reason_of_a_failed_condition_holds_no_secret(
    lingshu: Lingshu, write_screen: WriteYaml, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from screening.running.worker import ShardWorker

    def fail(self: object, payload: bytes) -> bytes:
        raise ValueError(f"token {PLANTED['AWS_SESSION_TOKEN']} was not taken by {ENDPOINT}")

    monkeypatch.setattr(ShardWorker, "run", fail)
    _, out, err = lingshu("--debug", "run", write_screen(**FEW))
    assert found_in(out + err) == []
    assert "token ***" in out + err
    assert all(found_in(path.read_bytes()) == [] for path in (tmp_path / "screen").rglob("*") if path.is_file())
