"""A session with its defaults, in a process of its own: a token, a dashboard on loopback, a quiet terminal."""

import json
from collections.abc import Callable
from subprocess import Popen

import pytest

pytestmark = pytest.mark.ray

SESSION = """
import json, os, sys, urllib.request, urllib.error
from actors.cluster import _started_processes, ray_session

with ray_session(num_cpus=1) as session:
    import ray

    with ray_session() as inner:
        joined = not inner.started_here
    still_up = ray.is_initialized()

    @ray.remote(max_retries=0)
    def die():
        os.kill(os.getpid(), 9)

    try:
        ray.get(die.remote())
    except ray.exceptions.WorkerCrashedError:
        pass
    try:
        status = urllib.request.urlopen(session.dashboard_url + "/api/version").status
    except urllib.error.HTTPError as refusal:
        status = refusal.code
    started = _started_processes()
print(json.dumps({
    "url": session.dashboard_url, "address": session.address, "started_here": session.started_here,
    "inner_joined": joined, "still_up": still_up, "status_without_token": status,
    "mode": os.environ["RAY_AUTH_MODE"], "down": not ray.is_initialized(),
    "processes": len(started), "ended": all(process.returncode is not None for process in started),
}))
"""


def test_the_defaults_are_safe_and_quiet(
    start_python: Callable[..., "Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    said, complaints = start_python(SESSION).communicate(timeout=60)
    assert complaints == ""
    answer = json.loads(said)  # and nothing else was printed, although a process died
    assert answer["url"].startswith("http://127.0.0.1:")
    assert answer["address"].startswith("127.0.0.")
    assert (answer["mode"], answer["status_without_token"]) == ("token", 401)
    assert all(answer[fact] for fact in ("started_here", "inner_joined", "still_up", "down", "ended"))
    assert answer["processes"] > 2
