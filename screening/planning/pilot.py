"""A pilot: one replica of the campaign computes a block or a few, and the clock runs.

The blocks are blocks of the plan and are committed like all others, so the run finds them done.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack

from actors.errors import PoolError
from actors.planner import PlannerSettings
from actors.pool import Pool
from actors.tasks import Lease, LeaseReport, Task
from campaigns.compute_spec import ComputeSpec
from screening.errors import PilotFailed
from screening.planning.block_rates import BlockRates, spread
from screening.planning.campaign import PlannedCampaign
from screening.publishing.publication import ledger_url
from screening.run import open_cluster, open_output, open_pool, worker_spec
from screening.running.wanted_blocks import wanted_blocks

MOST_BLOCKS = 4
ENOUGH_SECONDS = 30.0
"""No further block is begun after this, once two are measured."""
LEAST_WITHOUT_FIRST = 3
"""The first block warms the replica up; with so many, it isn't counted as one of those that follow."""


def run_pilot(planned: PlannedCampaign) -> BlockRates | None:
    """Open one replica as the campaign would, and measure blocks that are missing; None where none is.

    Raises
    ------
    PilotFailed
        If the replica doesn't open, or a block fails.
    StoreError, PoolError
        If the store can't be used, or there is no such cluster.
    """
    spec = planned.campaign.spec
    _, ledger = open_output(spec.output, spec.cache)
    missing = wanted_blocks(planned, ledger).first_tasks()
    if not missing:
        return None
    with ExitStack() as resources:
        open_cluster(spec.compute, resources, source=planned.campaign.source)
        began = time.monotonic()
        one = spec.compute.model_copy(update={"replicas": 1, "elastic": False})
        pool = _open(planned, one, resources)
        opening = time.monotonic() - began
        seconds = _measure(pool, _chosen(planned, missing))
    if len(seconds) >= LEAST_WITHOUT_FIRST:
        opening, seconds = opening + max(0.0, seconds[0] - max(seconds[1:])), seconds[1:]
    device = "GPU" if spec.compute.gpus_per_replica else "CPU"
    source = (
        f"a pilot of {len(seconds)} block{'s' * (len(seconds) > 1)} on one replica ({device}, {spec.compute.backend})"
    )
    return BlockRates(tuple(seconds), opening, source)


def _open(planned: PlannedCampaign, compute: ComputeSpec, resources: ExitStack) -> Pool:
    """Open the pool, and wait until its replica takes leases."""
    spec = planned.campaign.spec
    try:
        pool = open_pool(worker_spec(planned.campaign), ledger_url(spec.output, spec.cache), compute, resources)
        while pool.free_slots() < 1:
            pool.poll(timeout_seconds=1.0)
    except PoolError as error:
        raise PilotFailed(f"the pilot's replica doesn't open: {error}") from error
    return pool


def _chosen(planned: PlannedCampaign, missing: Sequence[Task]) -> list[Task]:
    """Choose tasks spread over the plan; of an ensemble over the first member, or each would load its own."""
    first_member = max(1, len(missing) // planned.plan.n_models)
    return [missing[place] for place in spread(first_member, MOST_BLOCKS)]


def _measure(pool: Pool, tasks: Sequence[Task]) -> list[float]:
    """Return the seconds of each task in the worker and in the store."""
    seconds: list[float] = []
    began = time.monotonic()
    for task in tasks:
        if len(seconds) >= 2 and time.monotonic() - began > ENOUGH_SECONDS:
            break
        seconds.append(_seconds_of(_run(pool, task)))
    return seconds


def _run(pool: Pool, task: Task) -> LeaseReport:
    pool.submit(Lease(uuid.uuid4().hex, (task,), 1, PlannerSettings().deadline_seconds))
    while not (reports := pool.poll(timeout_seconds=1.0)):
        pass
    return reports[0]


def _seconds_of(report: LeaseReport) -> float:
    if report.status != "finished" or not report.outcomes:
        raise PilotFailed(f"the pilot's replica was lost: {report.reason}; `lingshu doctor` looks at what it needs")
    outcome = report.outcomes[0]
    if outcome.status == "failed":
        raise PilotFailed(f"the pilot's block failed: {outcome.reason}")
    return outcome.seconds
