import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors import cluster
from actors.cluster import _check_answers, _default_auth, _set_environment, _wait_for_end
from actors.errors import ClusterUnavailable


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a process that has not imported Ray, with no token anywhere."""
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "")  # so that it is restored afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_DEDUP_LOGS_SKIP_REGEX", "")
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_local_cluster_gets_a_token(clean: None) -> None:
    _set_environment(None, joining=False)
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_second_session_keeps_the_token(clean: None) -> None:
    _set_environment(None, joining=False)
    token = os.environ["RAY_AUTH_TOKEN"]
    _set_environment(None, joining=False)
    assert os.environ["RAY_AUTH_TOKEN"] == token


def test_joining_never_invents_a_token(clean: None) -> None:
    _set_environment(None, joining=True)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_joining_uses_the_token_that_is_there(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-the-cluster")
    assert _default_auth(joining=True) == "token"


def test_the_environment_decides_before_the_default(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    _set_environment(None, joining=False)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_mode_that_came_too_late_is_refused(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", sys)
    with pytest.raises(ClusterUnavailable, match="Set RAY_AUTH_MODE=token before Ray is imported"):
        _set_environment("token", joining=False)


def test_nobody_at_the_address_is_found_out_at_once() -> None:
    with pytest.raises(ClusterUnavailable, match=r"no Ray cluster at 127.0.0.1:9"):
        _check_answers("127.0.0.1:9")


def test_what_listens_and_is_no_cluster_is_found_out_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr("actors.cluster.CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterUnavailable, match=f"{address} is no Ray cluster, or one that is stuck"):
            _check_answers(address)


def test_processes_that_were_killed_are_waited_for_and_one_that_hangs_is_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        monkeypatch.setattr(cluster, "END_SECONDS", 0.1)
        began = time.monotonic()
        _wait_for_end([process])
        assert (process.returncode, time.monotonic() - began < 60) == (None, True)
        monkeypatch.setattr(cluster, "END_SECONDS", 60.0)
        process.kill()
        _wait_for_end([process])
        assert process.returncode == -9
