"""A pool of Ray actors, one replica each, pinned to their share of CPUs and GPUs.

Ray places the actors and tells when one dies; everything else is decided here and in the planner. So actors never
restart by themselves and calls are never retried (`max_restarts=0`, `max_task_retries=0`): a replica that is lost is
replaced by a new actor with a new name, and its leases are reported. The worker opens in a call of its own and not
in the constructor, because Ray hides what a constructor raises behind the death of the actor.

A replica waits for a place, opens, and is up. All of them are asked for at once; those without a place wait for nodes
to join, for as long as others work. Replicas on a node that is being drained get no more leases, and leave it when
their queue is empty; replicas of a node on which one after the other fails start elsewhere, while there is room.
"""

import itertools
import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from actors.blobs import absolute_url, store_environment
from actors.errors import ClusterUnavailable, NotEnoughResources, PoolError, ReplicaStartFailed, UnsupportedURL
from actors.injector import Injector
from actors.meter import Measures
from actors.nodes import Nodes, draining_nodes, placed_elsewhere
from actors.pool import LEASES_PER_REPLICA
from actors.replica import LONGEST_REASON, Replica, describe
from actors.run_label import RunLabel
from actors.run_log import label_process, log_environment, start_logging
from actors.tasks import Lease, LeaseReport, LeaseStatus, Outcome
from actors.worker import WorkerSpec

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
PLACING_SECONDS = 10.0
"""A replica that has no place after this waits for a node, and is not counted."""
LOOK_AT_NODES_SECONDS = 2.0
START_AGAIN_SECONDS = 60.0
"""When starting fails again and again while other replicas work, it is tried this often."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplicaShape:
    """What one replica takes of the cluster.

    Attributes
    ----------
    num_cpus, num_gpus
        Shares that Ray reserves; 0 and fractions are allowed.
    threads
        Threads of the numerical libraries. It is fixed and independent of the number of replicas, so that sums come
        out equal to the bit however many there are.
    start_seconds
        How long opening the worker may take; and, while no other replica has a place, waiting for one.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    threads: int = 1
    start_seconds: float = 600.0


class ReplicaActor:
    """What runs inside a replica's process."""

    def __init__(self, environment: Mapping[str, str], name: str = "", label: RunLabel | None = None) -> None:
        # Passed as an argument and not as a runtime_env, which Ray shows on its dashboard: these are credentials.
        os.environ.update(environment)
        self._replica: Replica | None = None
        self._name = (label or RunLabel()).of(name)
        start_logging()
        label_process(**{} if label is None else {"campaign": label.campaign, "run_id": label.run})
        label_process(replica=name, node=self.place())

    def __repr__(self) -> str:
        """What Ray's dashboard and its logs call this actor."""
        return self._name

    def open(self, name: str, spec: WorkerSpec, store_url: str, injector: Injector | None) -> str:
        """Open the worker; return an empty string, or why it does not open."""
        started = time.monotonic()
        try:
            self._replica = Replica.open(name, spec, store_url, injector)
        except Exception as error:  # becomes data: the pool decides whether to try again
            _log.error("the worker does not open: %s", describe(error))
            return describe(error)
        _log.info("the worker is open, after %.1f s", time.monotonic() - started)
        return ""

    def place(self) -> str:
        """Tell on which node this is."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def process_id(self) -> int:
        """Tell which process this is, for whoever looks into it from outside."""
        return os.getpid()

    def run(self, lease: Lease) -> tuple[tuple[Outcome, ...], str, Measures]:
        """Run a lease; return what came of its tasks, what poisoned the replica, and what was measured."""
        if self._replica is None:
            raise PoolError("a lease came before the worker was opened")
        report = self._replica.run(lease)
        return report.outcomes, report.reason, report.measures


@dataclass
class _Running:
    """A replica as the pool sees it; the first lease of the queue is the one that runs."""

    name: str
    actor: Any
    placing: Any  # reference to the answer of place(), None once it has come
    opening: Any  # reference to the answer of open(), None once it has come
    since: float  # when it was asked for, got its place, or when the first lease of the queue became the first
    node: str = ""
    leaving: bool = False
    queue: deque[tuple[Lease, Any]] = field(default_factory=deque)

    @property
    def awaited(self) -> Any:
        """The next reference that will be answered, or None when idle."""
        if self.placing is not None:
            return self.placing
        if self.opening is not None:
            return self.opening
        return self.queue[0][1] if self.queue else None

    @property
    def takes_leases(self) -> bool:
        """Whether it is up and will stay."""
        return self.opening is None and not self.leaving


class RayPool:
    """`Pool` of Ray actors; needs a running session (`actors.cluster.ray_session`).

    Parameters
    ----------
    replicas
        How many to keep up. All start at once, and every one that is lost is replaced.
    spec
        The worker; its module has to be importable on every node.
    store_url
        `s3://…`, or a folder that every node sees.
    starts
        How many starts in a row may fail before nothing more is started; while other replicas work, starting is
        tried again every minute.
    elastic
        Accept a cluster that is too small now: replicas that find no place wait for nodes to join.
    injector
        Strikes the replicas with faults, in a rehearsal.
    label
        Of the run, for the names of actors and calls, and for the logs.

    Attributes
    ----------
    namespace
        Of the named actors `replica-0`, `replica-1`, … (with a label `replica-0 of papalexi-1a2b3c4d`); each pool has
        its own.

    Raises
    ------
    ClusterUnavailable
        Ray is not initialised in this process.
    NotEnoughResources
        The cluster is too small.
    UnsupportedURL
        `memory://`, which no other process can see.
    BadFaultPlan
        The faults would kill raylets, and there is none that may be killed.
    """

    def __init__(
        self,
        replicas: int,
        spec: WorkerSpec,
        store_url: str,
        shape: ReplicaShape | None = None,
        *,
        starts: int = 3,
        elastic: bool = False,
        injector: Injector | None = None,
        label: RunLabel | None = None,
    ) -> None:
        self._ray = _initialised_ray()
        self._label = label or RunLabel()
        self._store_url = _shared_url(store_url)
        self._spec = spec
        self._injector = None if injector is None else injector.on_cluster(replicas)
        self._shape = shape or ReplicaShape()
        self._wanted, self._elastic = replicas, elastic
        if not elastic:
            _check_resources(self._ray.cluster_resources(), replicas, self._shape)
        self._starts_left = self._starts = starts
        self._start_failure = ""
        self.namespace = f"pool-{uuid.uuid4().hex[:12]}"  # so that two pools may both have a replica-0
        self._numbers = itertools.count()
        self._due: list[LeaseReport] = []
        self._running: dict[str, _Running] = {}
        self._nodes = Nodes()
        self._looked_at_nodes = time.monotonic()
        self._start_again_at = 0.0
        self._start_missing()

    @property
    def replicas(self) -> int:
        """How many replicas are up or starting; those that wait for a node are not counted."""
        recently = time.monotonic() - PLACING_SECONDS
        return sum(bool(replica.node) or replica.since > recently for replica in self._running.values())

    def free_slots(self) -> int:
        """How many leases the replicas that are up would take now."""
        return sum(LEASES_PER_REPLICA - len(replica.queue) for replica in self._up())

    def idle(self) -> int:
        """How many of the replicas that are up have nothing to do."""
        return sum(not replica.queue for replica in self._up())

    def submit(self, lease: Lease) -> None:
        """Queue a lease on the replica with the least to do."""
        replica = min(self._up(), key=lambda up: len(up.queue), default=None)
        if replica is None or len(replica.queue) >= LEASES_PER_REPLICA:
            raise PoolError(f"lease {lease.id}: no replica has a free slot; ask free_slots() first")
        if not replica.queue:
            replica.since = time.monotonic()
        call = replica.actor.run.options(name=self._label.call("lease"))
        replica.queue.append((lease, call.remote(lease)))

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        """Wait until a replica answers or the time is over, and return the reports that are due."""
        if not self._due:
            self._take_answers(timeout_seconds)
            self._enforce_deadlines()
            self._look_at_nodes()
            self._start_missing()
        reports, self._due = self._due, []
        if not reports and not self._running:
            raise ReplicaStartFailed(
                f"no replica is left: worker {self._spec.target} failed to start {self._starts} times in a row, "
                f"the last time with: {self._start_failure or 'the pool was closed'}"
            )
        return reports

    def replace(self, replica: str, reason: str) -> None:
        """Kill a replica and start another; its leases come back as `returned`. A name that is gone is ignored."""
        if replica in self._running:
            self._nodes.saw_loss(self._running[replica].node)
            self._give_up(self._running[replica], reason, first="returned")
            self._start_missing()

    def close(self) -> None:
        """Kill all replicas."""
        self._wanted = 0
        for replica in self._running.values():
            self._ray.kill(replica.actor)
        self._running.clear()
        self._due.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _up(self) -> list[_Running]:
        return [replica for replica in self._running.values() if replica.takes_leases]

    def _start_missing(self) -> None:
        """Ask for replicas until there are as many as are wanted, unless starting is what fails."""
        if self._starts_left < 1 and self._running and time.monotonic() > self._start_again_at:
            self._starts_left = 1
        while len(self._running) < self._wanted and self._starts_left > 0:
            self._start()

    def _start(self) -> None:
        name = f"replica-{next(self._numbers)}"
        environment = {**store_environment(os.environ), **log_environment(os.environ)}
        actor = self._actor_class(name).remote(environment, name, self._label)
        placing = actor.place.options(name=self._label.call("place")).remote()
        opening = actor.open.options(name=self._label.call("open worker")).remote(
            name, self._spec, self._store_url, self._injector
        )
        self._running[name] = _Running(name, actor, placing, opening, time.monotonic())

    def _actor_class(self, name: str) -> Any:
        return self._ray.remote(ReplicaActor).options(
            name=self._label.of(name),
            namespace=self.namespace,
            num_cpus=self._shape.num_cpus,
            num_gpus=self._shape.num_gpus,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": _process_variables(self._shape)},
            **placed_elsewhere(self._nodes.avoided()),
        )

    def _take_answers(self, timeout_seconds: float) -> None:
        awaited = [replica.awaited for replica in self._running.values() if replica.awaited is not None]
        if not awaited:
            return
        ready, _ = self._ray.wait(awaited, num_returns=1, timeout=self._wait_seconds(timeout_seconds))
        if not ready:
            return
        # One more look without waiting takes in whatever else is ready, a whole round in one step.
        ready, _ = self._ray.wait(awaited, num_returns=len(awaited), timeout=0)
        answered = set(ready)
        for replica in list(self._running.values()):
            if replica.awaited in answered:
                self._take_answer(replica)

    def _take_answer(self, replica: _Running) -> None:
        try:
            answer = self._ray.get(replica.awaited)
        except self._ray.exceptions.RayError as error:
            self._lose(replica, _death_of(error))
            return
        if replica.placing is not None:
            replica.placing, replica.node, replica.since = None, answer, time.monotonic()
        elif replica.opening is None:
            self._take_report(replica, *answer)
        elif answer:
            self._lose(replica, answer)
        else:
            replica.opening = None
            self._starts_left = self._starts
            _log.info("%s is up", replica.name, extra={"replica": replica.name, "node": replica.node})

    def _take_report(self, replica: _Running, outcomes: tuple[Outcome, ...], poison: str, measures: Measures) -> None:
        lease, _ = replica.queue.popleft()
        replica.since = time.monotonic()
        report = LeaseReport(lease, replica.name, "finished", outcomes, poison, bool(poison), measures)
        self._due.append(report)
        if any(outcome.status == "committed" for outcome in outcomes):
            self._nodes.saw_success(replica.node)
        if poison:
            self.replace(replica.name, poison)

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        for replica in list(self._running.values()):
            limit = self._limit(replica)
            if now - replica.since > limit:
                doing = "opening the worker" if replica.opening is not None else "the lease"
                self._lose(replica, f"{doing} took longer than its deadline of {limit:.0f} s{self._waiting_hint()}")

    def _limit(self, replica: _Running) -> float:
        if replica.placing is not None and self._may_wait():
            return float("inf")
        if replica.opening is not None:
            return self._shape.start_seconds
        return replica.queue[0][0].deadline_seconds if replica.queue else float("inf")

    def _may_wait(self) -> bool:
        """Whether a replica may wait for its place as long as it takes: nodes will join, or others work."""
        return self._elastic or any(replica.node for replica in self._running.values())

    def _look_at_nodes(self) -> None:
        """Let replicas leave the nodes that are being drained, each when it has ended its leases."""
        now = time.monotonic()
        if now - self._looked_at_nodes > LOOK_AT_NODES_SECONDS:
            self._looked_at_nodes = now
            going = draining_nodes()
            for replica in self._running.values():
                replica.leaving = replica.node in going
        for replica in [each for each in self._running.values() if each.leaving and not each.queue]:
            self._give_up(replica, "its node is being drained", first="returned")

    def _wait_seconds(self, timeout_seconds: float) -> float:
        now = time.monotonic()
        until_overdue = min(replica.since + self._limit(replica) - now for replica in self._running.values())
        return max(0.0, min(timeout_seconds, until_overdue + 0.01))

    def _lose(self, replica: _Running, reason: str) -> None:
        """Give up a replica that died or took too long; another starts in its place, unless starting is what fails."""
        if replica.leaving:  # with its node, as was announced: no task is to blame
            self._give_up(replica, f"{replica.name} was lost with its node: {reason}", first="returned")
            return
        if replica.node:
            self._nodes.saw_loss(replica.node)
        if replica.opening is not None:
            self._starts_left -= 1
            self._start_failure = reason
            self._start_again_at = time.monotonic() + START_AGAIN_SECONDS
        self._give_up(replica, f"{replica.name} was lost: {reason}", first="lost")
        self._start_missing()

    def _give_up(self, replica: _Running, reason: str, first: LeaseStatus) -> None:
        del self._running[replica.name]
        self._ray.kill(replica.actor)
        _log.warning("given up: %s", reason, extra={"replica": replica.name, "node": replica.node})
        # Only the first lease of the queue was running; those behind it were never touched.
        for place, (lease, _) in enumerate(replica.queue):
            status: LeaseStatus = first if place == 0 else "returned"
            self._due.append(LeaseReport(lease, replica.name, status, reason=reason))

    def _waiting_hint(self) -> str:
        return "; are there enough free CPUs and GPUs?" if not self._up() else ""


def _initialised_ray() -> Any:
    import ray  # imported here, so that a run without a cluster does not pay for it

    if not ray.is_initialized():
        raise ClusterUnavailable("Ray is not initialised: open the pool inside actors.cluster.ray_session()")
    return ray


def _shared_url(url: str) -> str:
    url = absolute_url(url)
    if url.startswith("memory://"):
        raise UnsupportedURL(f"{url} lives in one process: replicas need s3://bucket/prefix or a shared folder")
    return url


def _check_resources(available: Mapping[str, float], replicas: int, shape: ReplicaShape) -> None:
    for resource, each in (("CPU", shape.num_cpus), ("GPU", shape.num_gpus)):
        fitting = _fitting(available.get(resource, 0.0), each, resource) if each else replicas
        if fitting < replicas:
            raise NotEnoughResources(
                f"{replicas} replicas need {replicas * each:g} {resource}, the cluster has "
                f"{available.get(resource, 0.0):g}: at most {fitting} fit. Ask for fewer replicas or smaller shares, "
                "or add nodes"
            )


def _fitting(available: float, each: float, resource: str) -> int:
    if resource == "GPU" and each < 1:  # a share lies on one device, so what is left over of each is lost
        return int(available) * int(1 / each + 1e-9)
    return int(available / each + 1e-9)


def _process_variables(shape: ReplicaShape) -> dict[str, str]:
    variables = {variable: str(shape.threads) for variable in THREAD_VARIABLES}
    # Ray leaves all devices visible to an actor that asked for none.
    return variables if shape.num_gpus else variables | {"CUDA_VISIBLE_DEVICES": ""}


def _death_of(error: Exception) -> str:
    """Pick the cause out of Ray's long account of a death."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith(("The actor is dead", "Task was killed"))] or lines[-1:]
    account = " ".join([f"{type(error).__name__}:", *causes])
    return account.partition(" Some common causes include")[0][:LONGEST_REASON]
