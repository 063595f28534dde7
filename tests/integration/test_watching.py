"""What Ray shows and keeps of a run: names of actors, and logs that name the lease and no secret."""

import json
import time
from pathlib import Path

import pytest

from actors.blobs import open_blobs
from actors.cluster import RaySession
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.ray_pool import RayPool
from actors.rehearsal import rehearsed
from actors.run_label import RunLabel
from actors.worker import WorkerSpec

pytestmark = pytest.mark.ray
SECRET = "planted/secret/key/0123456789"
LABEL = RunLabel("tiny", "1a2b3c4d" * 8)


def log_files() -> list[Path]:
    from ray._private.worker import _global_node

    return list((Path(_global_node.get_session_dir_path()) / "logs").glob("worker-*"))


def log_lines() -> list[dict[str, str]]:
    """What replicas of this run have logged so far."""
    lines = [line for path in log_files() for line in path.read_text(errors="replace").splitlines()]
    found = [json.loads(line) for line in lines if line.startswith('{"time"')]
    return [line for line in found if line.get("run_id") == LABEL.run]


def test_actors_and_log_lines_say_which_run_they_are_of(
    ray_cluster: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("LINGSHU_LOG", "json")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    store = str(tmp_path / "store")
    tasks = [*(rehearsed(str(number)) for number in range(3)), rehearsed(SECRET, fault="raise")]
    with RayPool(1, WorkerSpec("actors.rehearsal:RehearsalWorker"), store, label=LABEL) as pool:
        summary = Planner(pool, Ledger(open_blobs(store)), PlannerSettings(attempts=1)).run(tasks)
        named = ray.util.list_named_actors(all_namespaces=True)
        names = [each["name"] for each in named if each["namespace"] == pool.namespace]
    assert (summary.committed, len(summary.failed)) == (3, 1)
    assert names == ["replica-0 of tiny-1a2b3c4d"]
    deadline = time.monotonic() + 30
    while not any("lease ended" in line["message"] for line in log_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    lines = log_lines()
    assert {(line["campaign"], line["replica"]) for line in lines} == {("tiny", "replica-0")}
    assert all(line["node"] for line in lines)
    assert len({line["lease"] for line in lines if "lease" in line}) >= 2
    assert any(line["message"].startswith("task failed") and line["task"] == tasks[-1].id for line in lines)
    assert not [path for path in log_files() if SECRET in path.read_text(errors="replace")]
