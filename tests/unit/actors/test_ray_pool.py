import itertools
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import ray_pool
from actors.errors import BadFaultPlan, ClusterUnavailable, NotEnoughResources, ReplicaStartFailed, UnsupportedURL
from actors.fault_plan import FaultPlan
from actors.injector import Injector
from actors.meter import Measures
from actors.ray_pool import (
    START_AGAIN_SECONDS,
    RayPool,
    ReplicaShape,
    _check_resources,
    _death_of,
    _process_variables,
)
from actors.rehearsal import rehearsed
from actors.tasks import Lease, LeaseReport, Outcome
from actors.worker import WorkerSpec

SPEC = WorkerSpec("actors.rehearsal:RehearsalWorker")


def test_ray_is_imported_only_when_it_is_used() -> None:
    code = "import sys, actors.ray_pool, actors.cluster, actors.in_process_pool; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.ray
def test_raylets_that_nobody_has_marked_are_not_struck(ray_cluster: object, tmp_path: Path) -> None:
    injector = Injector(FaultPlan(worker={"raylet kill": 1.0}), str(tmp_path))
    with pytest.raises(BadFaultPlan, match="no node of this cluster may lose its raylet"):
        RayPool(2, SPEC, str(tmp_path), injector=injector)


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


class FakeRay:
    """Nodes with room for some actors each; a test answers their calls, kills nodes and lets time pass."""

    def __init__(self, **room: int) -> None:
        self.room: dict[str, int] = dict(room)
        self.draining: set[str] = set()
        self.now = 1000.0
        self.actors: list[FakeActor] = []
        self.exceptions = SimpleNamespace(RayError=FakeRayError)

    def cluster_resources(self) -> Mapping[str, float]:
        return {"CPU": float(sum(self.room.values()))}

    def remote(self, kind: type) -> "FakeRay":
        return self

    def options(self, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *arguments: FakeActor(self, options))

    def place(self) -> None:
        for actor in self.actors:
            if actor.alive and not actor.node:
                free = [node for node in self.room if self.left(node) > 0 and node not in self.draining]
                wished = [node for node in free if node not in actor.avoids]
                actor.node = next(iter(wished or free), "")

    def left(self, node: str) -> int:
        return self.room[node] - sum(actor.alive and actor.node == node for actor in self.actors)

    def wait(self, refs: list["Ref"], num_returns: int, timeout: float) -> tuple[list["Ref"], list["Ref"]]:
        self.place()
        ready = [ref for ref in refs if ref.is_ready()]
        self.now += 0.0 if ready else timeout
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref: "Ref") -> Any:
        return ref.value()

    def kill(self, actor: "FakeActor") -> None:
        actor.alive = False

    def lose(self, node: str) -> None:
        del self.room[node]
        for actor in self.actors:
            if actor.node == node:
                actor.dead = True


class FakeRayError(Exception):
    pass


class Ref:
    def __init__(self, actor: "FakeActor", answer: Callable[[], Any]) -> None:
        self.actor, self.answer = actor, answer

    def is_ready(self) -> bool:
        return self.actor.dead or (bool(self.actor.node) and self.answer() is not NotYet)

    def value(self) -> Any:
        if self.actor.dead:
            raise FakeRayError("The actor is dead because its node has died.")
        return self.answer()


class NotYet:
    pass


class FakeActor:
    def __init__(self, ray: FakeRay, options: Mapping[str, Any]) -> None:
        self.name, self.alive, self.dead, self.node = options["name"], True, False, ""
        self.options = options
        strategy = options.get("scheduling_strategy")
        self.avoids = tuple(strategy.soft[0].operator.values) if strategy else ()
        self.opened: Any = ""
        self.answers: dict[str, Any] = {}
        self.place = self.method(lambda: self.node)
        self.open = self.method(lambda *arguments: self.opened)
        self.run = self.method(lambda lease: self.answers.get(lease.id, NotYet))
        ray.actors.append(self)

    def method(self, answer: Callable[..., Any]) -> SimpleNamespace:
        call = SimpleNamespace(remote=lambda *arguments: Ref(self, lambda: answer(*arguments)))
        call.options = lambda name: call
        return call

    def finish(self, lease: Lease, poison: str = "") -> None:
        outcomes = tuple(Outcome(task.id, "committed", 1.0) for task in lease.tasks)
        self.answers[lease.id] = (outcomes, poison, Measures(counts={("measured", ()): 1.0}))


@pytest.fixture
def make_pool(monkeypatch: pytest.MonkeyPatch) -> Callable[..., RayPool]:
    def make(ray: FakeRay, replicas: int, **options: Any) -> RayPool:
        monkeypatch.setattr(ray_pool, "_initialised_ray", lambda: ray)
        monkeypatch.setattr(ray_pool, "draining_nodes", lambda: frozenset(ray.draining))
        monkeypatch.setattr(ray_pool.time, "monotonic", lambda: ray.now)
        return RayPool(replicas, SPEC, "/tmp", ReplicaShape(start_seconds=100.0), **options)

    return make


MakePool = Callable[..., RayPool]


def lease_of(name: str) -> Lease:
    return Lease(name, (rehearsed(name),), 1, 60.0)


def settle(pool: RayPool, seconds: float = 0.0) -> list[LeaseReport]:
    """Poll until nothing happens any more, and for some seconds."""
    return [report for _ in range(8) for report in pool.poll(seconds / 8)]


def nodes_of(ray: FakeRay) -> list[str]:
    return sorted(actor.node for actor in ray.actors if actor.alive and not actor.dead)


def test_a_report_brings_the_lease_that_the_pool_kept(make_pool: MakePool) -> None:
    ray = FakeRay(a=1)
    pool = make_pool(ray, 1)
    settle(pool)
    lease = lease_of("one")
    pool.submit(lease)
    assert (pool.idle(), pool.free_slots()) == (0, 1)
    ray.actors[0].finish(lease)
    (report,) = settle(pool)
    assert report.lease is lease
    assert (report.status, report.outcomes[0].status, pool.idle()) == ("finished", "committed", 1)
    assert report.measures.counts  # comes with it


def test_a_replica_whose_node_dies_waits_for_a_place_while_others_work(make_pool: MakePool) -> None:
    ray = FakeRay(a=1, b=1)
    pool = make_pool(ray, 2)
    settle(pool)
    leases = [lease_of("one"), lease_of("two")]
    for lease in leases:
        pool.submit(lease)
    ray.lose("a")
    (report,) = settle(pool, 1.0)
    assert (report.status, "node has died" in report.reason) == ("lost", True)
    settle(pool, 50.0)  # longer than nothing, shorter than the deadline of the other's lease
    assert nodes_of(ray) == ["", "b"]
    assert pool.replicas == 1
    ray.room["c"] = 1
    settle(pool, 1.0)
    assert nodes_of(ray) == ["b", "c"]
    assert pool.replicas == 2


def test_replicas_that_do_not_fit_are_refused_or_wait_for_nodes(make_pool: MakePool) -> None:
    with pytest.raises(NotEnoughResources):
        make_pool(FakeRay(a=1), 3)
    ray = FakeRay(a=1)
    pool = make_pool(ray, 3, elastic=True)
    settle(pool, 500.0)
    assert (nodes_of(ray), pool.replicas, pool.free_slots()) == (["", "", "a"], 1, 2)
    ray.room["b"] = 5
    settle(pool, 1.0)
    assert (nodes_of(ray), pool.replicas) == (["a", "b", "b"], 3)


def test_an_elastic_pool_begins_before_there_is_any_node(make_pool: MakePool) -> None:
    ray = FakeRay()
    pool = make_pool(ray, 2, elastic=True)
    settle(pool, 5_000.0)
    assert pool.replicas == 0
    ray.room["a"] = 2
    settle(pool, 1.0)
    assert pool.free_slots() == 4


def test_where_no_replica_finds_a_place_the_pool_gives_up(make_pool: MakePool) -> None:
    ray = FakeRay(a=1)
    pool = make_pool(ray, 1)
    ray.room["a"] = 0  # somebody else has taken it
    with pytest.raises(ReplicaStartFailed, match="are there enough free CPUs"):
        settle(pool, 8 * 500.0)


def test_a_draining_node_is_left_when_its_leases_are_done(make_pool: MakePool) -> None:
    ray = FakeRay(a=1, b=1)
    pool = make_pool(ray, 1)
    settle(pool)
    lease = lease_of("one")
    pool.submit(lease)
    ray.draining.add("a")
    settle(pool, 8.0)
    assert (nodes_of(ray), pool.free_slots(), pool.idle()) == (["a"], 0, 0)
    ray.actors[0].finish(lease)
    (report,) = settle(pool, 8.0)
    assert report.status == "finished"
    assert nodes_of(ray) == ["b"]
    assert pool.free_slots() == 2


def test_a_lease_that_goes_with_a_draining_node_costs_no_attempt(make_pool: MakePool) -> None:
    ray = FakeRay(a=1, b=1)
    pool = make_pool(ray, 1)
    settle(pool)
    pool.submit(lease_of("one"))
    ray.draining.add("a")
    settle(pool, 8.0)
    ray.lose("a")
    (report,) = settle(pool, 1.0)
    assert (report.status, "lost with its node" in report.reason) == ("returned", True)
    assert nodes_of(ray) == ["b"]


def test_a_node_on_which_one_replica_after_the_other_fails_is_avoided(make_pool: MakePool) -> None:
    ray = FakeRay(a=1, b=1)
    pool = make_pool(ray, 1)
    for _ in range(2):
        settle(pool)
        assert nodes_of(ray) == ["a"]
        pool.replace(next(iter(pool._running)), "different tasks failed on it in a row")
    settle(pool)
    assert nodes_of(ray) == ["b"]


def test_a_poisoned_process_is_killed_and_runs_nothing_more(make_pool: MakePool) -> None:
    ray = FakeRay(a=2)
    pool = make_pool(ray, 1)
    settle(pool)
    first, second = lease_of("one"), lease_of("two")
    pool.submit(first)
    pool.submit(second)
    ray.actors[0].finish(first, poison="NonFiniteResult: NaN")
    reports = settle(pool)
    assert [(report.lease.id, report.status, report.poisoned) for report in reports] == [
        ("one", "finished", True),
        ("two", "returned", False),
    ]
    assert [actor.alive for actor in ray.actors] == [False, True]


def test_starting_is_tried_again_while_others_work(make_pool: MakePool) -> None:
    """One bad node must not make a pool small for good."""
    ray = FakeRay(a=1, b=3)
    pool = make_pool(ray, 2, starts=1)
    settle(pool)
    names = itertools.count()
    ray.actors[1].dead = True
    pool.submit(lease_of(f"lease {next(names)}"))
    pool.submit(lease_of(f"lease {next(names)}"))
    pool.poll(0.0)
    ray.actors[-1].opened = "OSError: the disk is full"
    settle(pool)
    assert len(pool._running) == 1
    settle(pool, START_AGAIN_SECONDS - 10)
    assert len(pool._running) == 1
    for replica in pool._running.values():
        replica.since = ray.now
    settle(pool, 20.0)
    assert len(pool._running) == 2


def test_what_the_dashboard_shows_of_a_replica_holds_no_secret(
    make_pool: Callable[..., RayPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "planted-key",
        "AWS_SESSION_TOKEN": "planted-token",
        "RAY_AUTH_TOKEN": "planted",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    ray = FakeRay(a=1)
    make_pool(ray, 1)
    assert ray.actors
    assert "planted" not in str(ray.actors[0].options)
    assert set(ray.actors[0].options["runtime_env"]) == {"env_vars"}
