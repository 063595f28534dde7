"""What measuring costs: the same run without a meter, with one that nobody reads, at a port, and by way of Ray.

`python -m benchmarks.engine_metrics [SCREEN]`. Tasks that do nothing, committed to memory, in this process: the cost
of measuring one is the difference. With a screen's YAML that is run too, in this process and anew each time. Seconds
are those of CPU, because the differences are smaller than what other work on a machine does to the clock; kinds take
turns all the same.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import actors.replica
from actors.blobs import open_blobs
from actors.cluster import ray_session
from actors.in_process_pool import InProcessPool
from actors.ledger import Ledger
from actors.meter import Measures, Meter, NoMeter, Recorder
from actors.metered_pool import MeteredPool, measure_progress
from actors.planner import Planner, PlannerSettings
from actors.port_meter import PortMeter
from actors.progress import Progress
from actors.ray_meter import RayMeter
from actors.rehearsal import rehearsed
from actors.worker import WorkerSpec
from benchmarks.report import Silent
from screening.run import run_campaign
from screening.watching.run_meter import RunMeter
from screening.watching.run_metrics import RUN_METRICS

TASKS, ROUNDS, SCREENS = 1000, 11, 7
PORT = 9464
LABELS = {"campaign": "benchmark"}


class Deaf(NoMeter):
    """A recorder that records nothing."""

    def drain(self) -> Measures:
        """Return nothing."""
        return Measures()


@contextmanager
def unmetered() -> Iterator[None]:
    """Take all measuring out of replicas and runs."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(actors.replica, "MeteredBlobs", lambda blobs, meter: blobs))
        stack.enter_context(mock.patch.object(actors.replica, "Recorder", Deaf))
        stack.enter_context(mock.patch.object(RunMeter, "of_store", lambda self, blobs: blobs))
        stack.enter_context(mock.patch.object(RunMeter, "of_ledger", lambda self, ledger: ledger))
        stack.enter_context(mock.patch.object(RunMeter, "of_pool", lambda self, pool: pool))
        stack.enter_context(mock.patch.object(RunMeter, "watched", lambda self, on_progress: on_progress))
        stack.enter_context(mock.patch.object(RunMeter, "settled"))
        yield


def seconds_of_tasks(shown: Meter | None) -> float:
    """Take the CPU time of tasks that do nothing; ``shown`` is where measurements end, None for no measuring."""
    tasks = [rehearsed(str(number)) for number in range(TASKS)]
    recorder = Recorder()

    def on_progress(progress: Progress) -> None:
        if shown is not None:
            measure_progress(recorder, progress)
            recorder.drain().tell(shown)

    with ExitStack() as stack:
        store = f"memory://{uuid.uuid4().hex}"
        if shown is None:
            stack.enter_context(unmetered())
        pool = InProcessPool(WorkerSpec("actors.rehearsal:RehearsalWorker"), store)
        used = pool if shown is None else MeteredPool(pool, recorder)
        began = time.process_time()
        Planner(used, Ledger(open_blobs(store)), PlannerSettings(lease_seconds=0.05), on_progress).run(tasks)
        return time.process_time() - began


def seconds_of_screen(path: Path, metered: bool) -> float:
    """Take the CPU time of a screen into an empty place."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if not metered:
            stack.enter_context(unmetered())
        overrides = {
            "output": folder,
            "backend": "in_process",
            "replicas": 1,
            **({"metrics_port": 9464} if metered else {}),
        }
        began = time.process_time()
        run_campaign(path, Silent(), overrides)
        return time.process_time() - began


def in_turns(kinds: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the median of each kind, in seconds; what comes first in a round changes."""
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    names = list(kinds)
    for number in range(rounds + 1):
        for kind in names[number % len(names) :] + names[: number % len(names)]:
            found[kind].append(kinds[kind]())
    return {kind: statistics.median(seconds[1:]) for kind, seconds in found.items()}  # the first warms up


def main() -> None:
    """Print what was measured, as JSON."""
    port = PortMeter(RUN_METRICS, LABELS, 0)
    with ray_session(num_cpus=1, dashboard=False, auth="disabled"):
        meters: dict[str, Meter | None] = {
            "nobody reads": NoMeter(),
            "port": port,
            "ray": RayMeter(RUN_METRICS, LABELS),
            "none": None,
        }
        kinds = {name: partial(seconds_of_tasks, meter) for name, meter in meters.items()}
        per_task = {name: 1e6 * seconds / TASKS for name, seconds in in_turns(kinds, ROUNDS).items()}
    port.close()
    answer: dict[str, object] = {"microseconds_per_task": {name: round(us, 1) for name, us in per_task.items()}}
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        both = {"with": partial(seconds_of_screen, path, True), "without": partial(seconds_of_screen, path, False)}
        screens = in_turns(both, SCREENS)
        answer["screen_cpu_seconds"] = {name: round(seconds, 3) for name, seconds in screens.items()}
        answer["screen_ratio"] = round(screens["with"] / screens["without"], 4)
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
