"""A worker around another one, struck by the faults of a plan."""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from actors.blobs import open_blobs
from actors.expendable_nodes import kill_raylet, this_node_may_fall
from actors.fault_plan import FaultPlan, WorkerFault
from actors.rehearsal import RehearsedFailure, RehearsedPoison
from actors.strikes import Strikes
from actors.worker import Worker, WorkerSpec

MORE_THAN_THERE_IS = 1 << 62


def open_faulty_worker(
    target: str, options: Mapping[str, Any], plan: Mapping[str, Any], url: str, home: str = ""
) -> "FaultyWorker":
    """Open a worker and the place where strikes are counted; called by name in the replica's own process.

    Parameters
    ----------
    target, options
        Of the worker that does the work, as in `WorkerSpec`.
    plan
        What `FaultPlan.to_data` gave.
    url
        Store of the marks, the same for all replicas.
    home
        Id of the node that is never taken down.
    """
    return FaultyWorker(WorkerSpec(target, options).open(), FaultPlan(**plan), Strikes(open_blobs(url)), home)


class FaultyWorker:
    """Strikes, or lets the other worker work."""

    def __init__(self, worker: Worker, plan: FaultPlan, strikes: Strikes, home: str = "") -> None:
        self._worker = worker
        self._plan = plan
        self._strikes = strikes
        self._home = home

    def run(self, payload: bytes) -> bytes:
        """Run the payload, unless a fault strikes first."""
        task = hashlib.sha256(payload).hexdigest()
        fault = self._strikes.next(f"work/{task}", self._plan.worker_faults(task), self._may_strike)
        if fault is not None:
            self._strike(fault)
        return self._worker.run(payload)

    def _may_strike(self, fault: WorkerFault) -> bool:
        return fault != "raylet kill" or this_node_may_fall(self._home)

    def _strike(self, fault: WorkerFault) -> None:
        """Do what the fault does; only a slow worker comes back from it."""
        if fault == "slow":
            time.sleep(self._plan.slow_seconds)
            return
        if fault == "exit":
            sys.exit(1)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "raylet kill":
            kill_raylet()
        if fault == "hang":
            time.sleep(self._plan.hang_seconds)
        if fault == "out of memory":
            bytearray(MORE_THAN_THERE_IS)
        if fault == "nan":
            raise RehearsedPoison("injected: the result is not finite")
        raise RehearsedFailure(f"injected: {fault}")
