"""A hundred thousand leases through the planner, with replicas that are only arithmetic: its rate and its memory.

The pool keeps a clock of its own, which jumps to the next end of a lease, so that days of work pass in seconds. Tasks
take 3 to 15 seconds of that clock, leases 30: four tasks or so. One lease in a thousand is lost, one task in two
thousand fails once, one in ten thousand always.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from actors.blobs import open_blobs
from actors.lazy_tasks import LazyTasks
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.pool import LEASES_PER_REPLICA
from actors.progress import Progress
from actors.tasks import Lease, LeaseReport, Outcome, Task
from benchmarks.memory import MemoryLog

LEASES, REPLICAS, TASKS_PER_LEASE = 100_000, 64, 4
PAYLOAD = b"x" * 680  # as long as that of a block


class ArithmeticPool:
    """`Pool` of replicas that are queues on a clock of their own."""

    def __init__(self, replicas: int) -> None:
        self.replicas, self.leases, self.now = replicas, 0, 0.0
        self.waited = 0.0
        self._queues: list[deque[Lease]] = [deque() for _ in range(replicas)]
        self._free = LEASES_PER_REPLICA * replicas
        self._with: list[set[int]] = [set(range(replicas)), *(set[int]() for _ in range(LEASES_PER_REPLICA))]
        self._ends: list[tuple[float, int]] = []

    def free_slots(self) -> int:
        """How many leases fit."""
        return self._free

    def idle(self) -> int:
        """How many replicas have nothing to do."""
        return len(self._with[0])

    def submit(self, lease: Lease) -> None:
        """Queue a lease where the queue is shortest."""
        length = next(length for length, numbers in enumerate(self._with) if numbers)
        number = self._with[length].pop()
        self._with[length + 1].add(number)
        self._queues[number].append(lease)
        self._free -= 1
        self.leases += 1
        if length == 0:
            heapq.heappush(self._ends, (self.now + seconds_of(lease), number))

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        """Jump to the next end of a lease, and report it."""
        self.now, number = heapq.heappop(self._ends)
        lease = self._queues[number].popleft()
        self.waited += seconds_of(lease)
        self._with[len(self._queues[number]) + 1].remove(number)
        self._with[len(self._queues[number])].add(number)
        self._free += 1
        if self._queues[number]:
            heapq.heappush(self._ends, (self.now + seconds_of(self._queues[number][0]), number))
        return [report_of(lease, f"replica-{number}")]

    def replace(self, replica: str, reason: str) -> None:
        """Nothing to replace."""

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def seconds_of(lease: Lease) -> float:
    return sum(seconds_of_task(task) for task in lease.tasks)


def seconds_of_task(task: Task) -> float:
    return 3.0 + 12.0 * int(task.id[:4], 16) / 0xFFFF


def report_of(lease: Lease, replica: str) -> LeaseReport:
    if int(lease.id[:8], 16) % 1000 == 0:
        return LeaseReport(lease, replica, "lost", reason="the benchmark lost it")
    return LeaseReport(lease, replica, "finished", tuple(outcome_of(task, lease.attempt) for task in lease.tasks))


def outcome_of(task: Task, attempt: int) -> Outcome:
    fate = int(task.id[-8:], 16)
    if fate % 10_000 == 0 or (fate % 2_000 == 1 and attempt == 1):
        return Outcome(task.id, "failed", 1.0, f"the benchmark failed task {task.id}")
    return Outcome(task.id, "committed", seconds_of_task(task))


def task_id(place: int) -> str:
    return hashlib.sha256(str(place).encode()).hexdigest()


def measure(leases: int) -> dict[str, Any]:
    pool, memory = ArithmeticPool(REPLICAS), MemoryLog(every=0.1)
    tasks = LazyTasks(leases * TASKS_PER_LEASE, task_id, lambda place: PAYLOAD)

    def look(progress: Progress) -> None:
        memory.look(pool.leases)

    started, cpu = time.monotonic(), time.process_time()
    settings = PlannerSettings(lease_seconds=9.0 * TASKS_PER_LEASE)
    summary = Planner(pool, Ledger(open_blobs("memory://engine")), settings, look).run(tasks)
    return {
        "leases": pool.leases,
        "tasks": summary.committed,
        "set_aside": len(summary.failed),
        "lost_leases": summary.lost_leases,
        "second_leases": summary.second_leases,
        "seconds": time.monotonic() - started,
        "leases_per_cpu_second": pool.leases / (time.process_time() - cpu),
        "busy": pool.waited / (REPLICAS * pool.now),
        "days": pool.now / 86_400,
        "rss_mb": memory.mb_at_the_end,
        "rss_bytes_per_lease": memory.bytes_each,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else LEASES)))
