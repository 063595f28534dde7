"""A replica: one worker, opened once, that runs leases and commits each result from where it was computed."""

import logging
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from actors.blobs import open_blobs
from actors.errors import StoreError
from actors.injector import Injector
from actors.ledger import Ledger
from actors.meter import Recorder
from actors.metered_blobs import MeteredBlobs
from actors.redaction import without_secrets
from actors.run_log import logged_as
from actors.tasks import AfterFailure, Lease, LeaseReport, Outcome, Task
from actors.worker import Worker, WorkerSpec

LONGEST_REASON = 500
_log = logging.getLogger(__name__)


class Replica:
    """Runs the tasks of a lease one by one and commits their results.

    Result bytes never pass through whoever hands out the leases.
    """

    def __init__(self, name: str, worker: Worker, ledger: Ledger, recorder: Recorder | None = None) -> None:
        self.name = name
        self.poisoned = ""
        self._worker = worker
        self._ledger = ledger
        self._recorder = recorder or Recorder()

    @classmethod
    def open(cls, name: str, spec: WorkerSpec, store_url: str, injector: Injector | None = None) -> "Replica":
        """Open the store and the worker, in a rehearsal with faults around both.

        Whatever the worker raises while it loads is raised here.
        """
        blobs = open_blobs(store_url)
        if injector is not None:
            spec, blobs = injector.worker(spec), injector.blobs(blobs, of_replica=True)
        recorder = Recorder()
        return cls(name, spec.open(), Ledger(MeteredBlobs(blobs, recorder), meter=recorder), recorder)

    def run(self, lease: Lease) -> LeaseReport:
        """Run a lease to its end, or to the task that poisons the replica."""
        outcomes: list[Outcome] = []
        with logged_as(replica=self.name, lease=lease.id):
            _log.info("lease begins, tasks: %d, attempt: %d", len(lease.tasks), lease.attempt)
            for task in lease.tasks:
                if self.poisoned:
                    break
                outcomes.append(self._find(task) if lease.second else self._run_task(task))
                _log_failure(outcomes[-1])
            _log_end(outcomes)
        return LeaseReport(
            lease,
            self.name,
            "finished",
            tuple(outcomes),
            self.poisoned,
            poisoned=bool(self.poisoned),
            measures=self._recorder.drain(),
        )

    def _find(self, task: Task) -> Outcome:
        """Look whether the other lease of the task has committed it by now; run it if not."""
        try:
            if self._ledger.is_committed(task.id):
                return Outcome(task.id, "found", 0.0)
        except StoreError as error:
            return _failed(task, error, 0.0)
        return self._run_task(task)

    def _run_task(self, task: Task) -> Outcome:
        started = time.perf_counter()
        try:
            data = _checked(self._worker.run(task.payload))
        except Exception as error:  # becomes data: the task fails with its reason, the rest goes on
            if getattr(error, "poisons_replica", False):
                self.poisoned = describe(error)
            return _failed(task, error, time.perf_counter() - started)
        return self._commit(task, data, started)

    def _commit(self, task: Task, data: bytes, started: float) -> Outcome:
        worked = time.perf_counter() - started
        try:
            commit = self._ledger.commit(task.id, data, replica=self.name, seconds=worked)
        except StoreError as error:
            return _failed(task, error, time.perf_counter() - started)
        return Outcome(task.id, commit.status, time.perf_counter() - started)


def _failed(task: Task, error: Exception, seconds: float) -> Outcome:
    """Make data of a failure; what it asks for is read off the error, which may be of somebody else's making."""
    asked = getattr(error, "after_failure", None)
    after: AfterFailure = next((known for known in get_args(AfterFailure) if known == asked), "try again")
    return Outcome(task.id, "failed", seconds, describe(error), after)


def _log_failure(outcome: Outcome) -> None:
    if outcome.status == "failed":
        _log.warning("task failed: %s", outcome.reason, extra={"task": outcome.task_id})


def _log_end(outcomes: Sequence[Outcome]) -> None:
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    _log.info("lease ended, done: %d, failed: %d, in %.1f s", len(outcomes) - failed, failed, seconds)


def describe(error: BaseException) -> str:
    """Say in one line what was raised and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = without_secrets(" ".join(str(error).split()))[:LONGEST_REASON]
    return f"{type(error).__name__}: {text}{where}"


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"the worker returned {type(data).__name__}; a result has to be bytes")
    return data
