"""Which faults strike what: plain data, from which every strike follows.

Whether a fault strikes depends on the plan's seed, on what is struck (a task, or an operation on an object of the
store) and on how often it has been struck before; never on the clock, nor on who is at work. So two rehearsals of the
same work are struck alike.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar, get_args

from actors.errors import BadFaultPlan
from actors.faulty_blobs import FAULTS, Fault, strikes
from actors.patience import READINGS

NameT = TypeVar("NameT", bound=str)
WorkerFault = Literal["exit", "kill", "hang", "raylet kill", "slow", "nan", "out of memory", "raise"]
WORKER_FAULTS: tuple[WorkerFault, ...] = get_args(WorkerFault)
DEADLY: tuple[WorkerFault, ...] = ("exit", "kill", "hang", "raylet kill")
"""Faults that take the process with them, or hold it for good."""
REFUSAL: Fault = "403"
STRIKES_PER_OPERATION = READINGS - 1
"""A body that arrives cut once more is believed to be damaged."""
# What differs from attempt to attempt: the last part of data/<task>/<attempt>, and of runs/<run>/<number>-<attempt>/….
_ATTEMPT = re.compile(r"/[0-9a-f]{32}$|-[0-9a-f]{12}(?=/)")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Kinds of faults, with the share of the work that each strikes.

    Attributes
    ----------
    seed
        The same seed and the same work: the same faults.
    worker
        Fault → share of the attempts at a task. `exit` leaves the process, `kill` is SIGKILL to it, `hang` outlasts the
        lease, `raylet kill` takes the replica's node down if it may (`actors.expendable_nodes`), `slow` is late and
        right, `nan` poisons the replica, `out of memory` asks for more than there is, `raise` fails.
    store
        Fault of `actors.faulty_blobs` → share of the operations on the store that it can strike. A `403` strikes what a
        replica writes of a task and nothing else: anywhere else a refusal ends the run, as it does in life.
    strikes
        How many attempts at a task the faults cost at most; None: a task that is struck is struck every time.
    slow_seconds, hang_seconds
        How late `slow` is, and how long `hang` lasts.

    Raises
    ------
    BadFaultPlan
        A fault that there isn't, a share that is none, or more of them than there are attempts.
    """

    seed: int = 0
    worker: Mapping[WorkerFault, float] = field(default_factory=dict)
    store: Mapping[Fault, float] = field(default_factory=dict)
    strikes: int | None = 2
    slow_seconds: float = 1.0
    hang_seconds: float = 3600.0

    def __post_init__(self) -> None:
        _check("worker", self.worker, WORKER_FAULTS)
        _check("store", self.store, FAULTS)
        if self.kills_raylets and self.strikes is None:
            raise BadFaultPlan("raylet kill would take node after node down if it struck always: leave one of them out")
        if self.strikes is not None and self.strikes < self._refusals + bool(self._rates(self.worker)):
            raise BadFaultPlan(
                f"{self.strikes} strikes leave no room for faults of workers beside a {REFUSAL}: take more"
            )

    def worker_faults(self, task: str) -> Iterator[WorkerFault]:
        """Yield the faults that strike the attempts at a task, one after the other; then it is let through."""
        at_most = None if self.strikes is None else self.strikes - self._refusals
        for fault in self._drawn(f"work/{task}", self._rates(self.worker), at_most):
            yield fault
            if fault == "slow" and self.strikes is not None:  # this attempt ends well
                return

    def store_faults(self, operation: str, key: str, *, of_replica: bool) -> Iterator[Fault]:
        """Yield the faults that strike an operation on an object, one after the other; then it is let through."""
        rates = {fault: rate for fault, rate in self._rates(self.store).items() if strikes(fault, operation)}
        if not (of_replica and operation == "put"):
            rates.pop(REFUSAL, None)
        forever = self.strikes is None and of_replica
        refused = False
        for fault in self._drawn(target(operation, key), rates, None if forever else STRIKES_PER_OPERATION):
            if fault == REFUSAL and refused and not forever:
                return
            refused |= fault == REFUSAL
            yield fault

    @property
    def deadly(self) -> tuple[WorkerFault, ...]:
        """Faults that only replicas with a process of their own can be struck by."""
        return tuple(fault for fault in DEADLY if self._rates(self.worker).get(fault))

    @property
    def kills_raylets(self) -> bool:
        """Whether nodes are taken down."""
        return self.worker.get("raylet kill", 0.0) > 0

    @property
    def digest(self) -> str:
        """Name of the plan."""
        return hashlib.sha256(json.dumps(self.to_data(), sort_keys=True).encode()).hexdigest()

    def to_data(self) -> dict[str, Any]:
        """Give the plan as plain JSON."""
        return asdict(self)

    @property
    def _refusals(self) -> int:
        """How many attempts at a task the store costs."""
        return int(self.store.get(REFUSAL, 0.0) > 0)

    @staticmethod
    def _rates(rates: Mapping[NameT, float]) -> dict[NameT, float]:
        return {fault: rate for fault, rate in rates.items() if rate > 0}

    def _drawn(self, what: str, rates: Mapping[NameT, float], at_most: int | None) -> Iterator[NameT]:
        for number in itertools.count() if at_most is None else range(at_most):
            # What is struck always is struck alike; else each strike is drawn anew.
            point = _point(f"{self.seed}/{what}/{0 if at_most is None else number}")
            fault = _at(point, rates)
            if fault is None:
                return
            yield fault


def target(operation: str, key: str) -> str:
    """Name an operation on an object, the same in every attempt."""
    return f"{operation}/{_ATTEMPT.sub('', key)}"


def _point(name: str) -> float:
    """Draw a number between 0 and 1."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _at(point: float, rates: Mapping[NameT, float]) -> NameT | None:
    for fault, rate in rates.items():
        point -= rate
        if point < 0:
            return fault
    return None


def _check(of: str, rates: Mapping[Any, float], known: tuple[str, ...]) -> None:
    unknown = [fault for fault in rates if fault not in known]
    if unknown:
        raise BadFaultPlan(f"faults of the {of}: {unknown[0]!r} is none; there are {', '.join(known)}")
    if any(not 0 <= rate <= 1 for rate in rates.values()) or sum(rates.values()) > 1 + 1e-9:
        raise BadFaultPlan(f"faults of the {of}: shares go from 0 to 1, and all together to 1 at most")
