"""A detached planner over a bucket of a real S3 server, killed midway: the next command goes on, no key is shown."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import s3fs

from actors.blobs import open_blobs
from actors.cluster import RaySession
from actors.detached import find_job
from actors.ledger import Ledger
from benchmarks.s3_server import S3Server
from screening.publishing.publication import ledger_url, open_results, read_hits
from screening.running.detached_run import job_name

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.timeout(600)]

FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}
WORK = {"shards": 160, "depth_strata": 32, "steps": 4}
REPLICAS = {"backend": "ray", "replicas": 2, "lease_seconds": 0.2}
BLOCKS = 60


@pytest.fixture(autouse=True)
def _fresh_client(s3_url: str) -> Iterator[None]:
    s3fs.S3FileSystem.clear_instance_cache()  # clients remember credentials of other tests
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shown_by_ray() -> bytes:
    """What Ray knows of actors and jobs, and so its dashboard, and every line that its processes have logged."""
    from ray._private.state import state
    from ray._private.worker import _global_node

    accessor = state._connect_and_get_accessor()
    actors = accessor.get_actor_table(None, None)
    jobs = accessor.get_job_table(skip_submission_job_info_field=False, skip_is_running_tasks_field=True)
    logs = [path.read_bytes() for path in Path(_global_node.get_logs_dir_path()).rglob("*") if path.is_file()]
    return b"\n".join((*actors, *jobs, *logs))


def test_a_killed_planner_over_a_bucket_loses_nothing_and_shows_no_key(
    ray_cluster: RaySession,
    s3_server: S3Server,
    s3_url: str,
    write_screen: Callable[..., Path],
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    full: bool,
) -> None:
    if not full:
        pytest.skip("with CHAOS=full only: tests/integration/test_detached_run.py kills a planner over a folder")
    calm = write_screen("calm.yaml", **FEW, estimator=WORK, output=str(tmp_path / "calm"))
    assert lingshu("run", calm)[0] == 0
    place, compute = f"{s3_url}/screen", {**REPLICAS, "address": ray_cluster.address}
    path = write_screen(**FEW, estimator=WORK, output=place, compute=compute)
    code, out, err = lingshu("run", path, "--detach")
    assert code == 0, err
    job = find_job(job_name(place))
    assert job is not None
    planner = job.look().about["process"]
    ledger = Ledger(open_blobs(ledger_url(place)))
    wait_for(lambda: len(ledger.committed()) >= 5)
    os.kill(planner, signal.SIGKILL)
    wait_for(lambda: find_job(job_name(place)) is None)
    committed = len(ledger.committed())
    assert 5 <= committed < BLOCKS  # it was killed midway

    code, said, err = lingshu("run", path)
    assert code == 0, err
    told = re.search(r"(\d+) blocks computed, (\d+) reused", " ".join(said.split()))
    assert told is not None
    assert int(told[1]) + int(told[2]) == len(ledger.committed()) == BLOCKS
    assert int(told[2]) >= committed  # replicas commit until they hear that their planner is gone
    assert read_hits(open_results(place)).equals(read_hits(open_results(str(tmp_path / "calm"))), null_equal=True)

    shown = shown_by_ray()
    assert job_name(place).encode() in shown
    for secret in (s3_server.secret, s3_server.key):
        assert secret.encode() not in shown
        assert secret not in out + err + said
