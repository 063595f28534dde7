"""Measures a run of a screen, and shows it to Prometheus: on Ray at its nodes' metrics ports, else at one of its own.

Everything is recorded first and passed on whenever there is progress, so that stores and replicas can be measured
before there is a cluster, and nothing is measured twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack

import polars as pl

from actors.blobs import Blobs
from actors.lazy_tasks import LazyTasks
from actors.ledger import Ledger
from actors.meter import Meter, NoMeter, Recorder
from actors.metered_blobs import MeteredBlobs
from actors.metered_pool import MeteredPool, measure_progress
from actors.planner import More
from actors.pool import Pool
from actors.port_meter import PortMeter
from actors.progress import OnProgress, Progress
from actors.ray_meter import RayMeter, is_connected
from actors.tasks import Settled, Task
from screening.planning.campaign import PlannedCampaign
from screening.watching.condition_tally import ConditionTally
from screening.watching.run_metrics import RUN_METRICS


class RunMeter:
    """Measures one run; where nobody looks it lets everything go."""

    def __init__(self, planned: PlannedCampaign) -> None:
        self._planned = planned
        self._recorder = Recorder()
        self._shown: Meter = NoMeter()
        self._tally: ConditionTally | None = None
        self._standing = {"lingshu_epoch": 0, "lingshu_blocks_cached": 0}

    def of_store(self, blobs: Blobs) -> Blobs:
        """Measure a store."""
        return MeteredBlobs(blobs, self._recorder)

    def of_ledger(self, ledger: Ledger) -> Ledger:
        """Measure a ledger."""
        return Ledger(self.of_store(ledger.blobs), meter=self._recorder)

    def of_pool(self, pool: Pool) -> Pool:
        """Measure replicas."""
        return MeteredPool(pool, self._recorder)

    def begin(self, epoch: int, missing: Sequence[Task], cached: int, resources: ExitStack) -> str:
        """Show what is measured from now on; returns the words that lead there, if it is a port of this process.

        Parameters
        ----------
        epoch
            Of the run.
        missing
            The tasks that it begins with.
        cached
            Blocks that are committed already.

        Raises
        ------
        MetricsUnavailable
            If the port that was asked for is taken.
        """
        self._standing = {"lingshu_epoch": epoch, "lingshu_blocks_cached": cached}
        where = self._show(resources)
        if not isinstance(self._shown, NoMeter):
            ids = missing.ids() if isinstance(missing, LazyTasks) else (task.id for task in missing)
            self._tally = ConditionTally(self._planned.plan, ids)
        self._tell()
        return where

    def watched(self, on_progress: OnProgress) -> OnProgress:
        """Pass progress on, and show it."""

        def heard(progress: Progress) -> None:
            measure_progress(self._recorder, progress)
            self._tell()
            on_progress(progress)

        return heard

    def choosing(self, more: More) -> More:
        """Let an allocation choose blocks, and count their conditions as open."""

        def chosen(committed: Sequence[str], failed: Mapping[str, str]) -> Collection[Task]:
            tasks = more(committed, failed)
            if self._tally is not None:
                for task in tasks:
                    self._tally.choose(json.loads(task.payload)["condition_key"])
            return tasks

        return chosen

    def settled(self, task: Task, how: Settled) -> None:
        """A block is committed or set aside."""
        if isinstance(self._shown, NoMeter):
            return
        asked = json.loads(task.payload)
        if self._tally is not None:
            self._tally.settle(asked["condition_key"], how == "failed")
        if how == "committed":
            cells = asked["shards"][1] * asked["cells_per_shard"]
            self._recorder.count("lingshu_cells_total", cells)
            self._recorder.count("lingshu_passes_total", cells * self._planned.campaign.passes_per_cell)

    def published(self, hits: pl.DataFrame) -> None:
        """The table is published."""
        for status, rows in hits.group_by("status").len().iter_rows():
            self._recorder.count("lingshu_conditions_published_total", rows, status=status)
        self._tell()

    def _show(self, resources: ExitStack) -> str:
        spec = self._planned.campaign.spec
        labels = {"campaign": spec.name}
        if spec.compute.metrics_port is not None:
            shown = PortMeter(RUN_METRICS, labels, spec.compute.metrics_port)
            resources.callback(shown.close)
            self._shown = shown
            return f"; metrics {shown.url}"
        if spec.compute.backend == "ray" and is_connected():
            self._shown = RayMeter(RUN_METRICS, labels)
        return ""

    def _tell(self) -> None:
        """Pass on what was measured; what stands is told each time, because Ray forgets it."""
        for name, value in self._standing.items():
            self._recorder.set(name, value)
        for status, conditions in ({} if self._tally is None else self._tally.counts).items():
            self._recorder.set("lingshu_conditions", conditions, status=status)
        self._recorder.drain().tell(self._shown)
