import subprocess
import sys

import pytest

from actors.errors import ClusterUnavailable, NotEnoughResources, UnsupportedURL
from actors.ray_pool import RayPool, ReplicaShape, _check_resources, _death_of, _process_variables
from actors.worker import WorkerSpec

SPEC = WorkerSpec("actors.rehearsal:RehearsalWorker")


def test_ray_is_imported_only_when_it_is_used() -> None:
    code = "import sys, actors.ray_pool, actors.cluster, actors.in_process_pool; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.ray
def test_memory_cannot_be_shared(ray_cluster: object) -> None:
    with pytest.raises(UnsupportedURL, match="lives in one process"):
        RayPool(1, SPEC, "memory://name")


def test_a_pool_needs_a_session() -> None:
    code = (
        "from actors.ray_pool import RayPool; from actors.worker import WorkerSpec; from actors.errors import *\n"
        "try: RayPool(1, WorkerSpec('a:b'), '/tmp')\n"
        f"except {ClusterUnavailable.__name__} as error: print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "open the pool inside actors.cluster.ray_session()" in answer


@pytest.mark.parametrize(
    ("replicas", "shape", "fits"),
    [
        (4, ReplicaShape(num_cpus=1), True),
        (5, ReplicaShape(num_cpus=1), False),
        (8, ReplicaShape(num_cpus=0.5), True),
        (100, ReplicaShape(num_cpus=0), True),
        (2, ReplicaShape(num_cpus=0, num_gpus=1), True),
        (3, ReplicaShape(num_cpus=0, num_gpus=1), False),
        (4, ReplicaShape(num_cpus=0, num_gpus=0.5), True),
        (5, ReplicaShape(num_cpus=0, num_gpus=0.4), False),  # two on each device, the rest of it is lost
    ],
)
def test_replicas_have_to_fit(replicas: int, shape: ReplicaShape, fits: bool) -> None:
    cluster = {"CPU": 4.0, "GPU": 2.0}
    if fits:
        _check_resources(cluster, replicas, shape)
        return
    with pytest.raises(NotEnoughResources, match=rf"{replicas} replicas need .* at most \d+ fit"):
        _check_resources(cluster, replicas, shape)


def test_replicas_without_a_gpu_see_none() -> None:
    assert _process_variables(ReplicaShape(num_gpus=0))["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in _process_variables(ReplicaShape(num_gpus=0.5))
    assert _process_variables(ReplicaShape(threads=3))["OMP_NUM_THREADS"] == "3"


def test_the_cause_of_a_death_is_picked_out() -> None:
    error = RuntimeError(
        "The actor died unexpectedly before finishing this task.\n\tclass_name: A\n\tpid: 42\n"
        "The actor is dead because its worker process has died. Some common causes include: (1) a long list"
    )
    assert _death_of(error) == "RuntimeError: The actor is dead because its worker process has died."
