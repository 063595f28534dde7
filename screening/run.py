"""A run, in eight stages: load → plan → open → predict → commit → aggregate → score → publish.

What is committed in the store is the truth. The first four stages only add to it; the last four are a fold
over it that can be replayed at any time, and gives the same tables whatever happened on the way.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from actors.blobs import Blobs, absolute_url, open_blobs, probe_conditional_writes
from actors.cluster import ray_session
from actors.epoch import Epoch
from actors.errors import Cancelled, StoreUnavailable
from actors.history import History
from actors.in_process_pool import InProcessPool
from actors.injector import Injector
from actors.job import Ending
from actors.ledger import Ledger
from actors.own_token import token_command
from actors.planner import More, Planner, PlannerSettings
from actors.pool import Pool
from actors.progress import OnProgress, Progress, Summary
from actors.ray_pool import RayPool, ReplicaShape
from actors.run_label import RunLabel
from actors.run_log import label_process
from actors.snapshot import Snapshot
from actors.tasks import Task
from actors.worker import WorkerSpec
from campaigns.compute_spec import ComputeSpec, ReplicasSpec
from campaigns.source import dump_spec
from campaigns.yaml_source import NO_SOURCE, Source
from screening.answers.analyses import ScoredScreen, analyse
from screening.deciding.null_table import null_summary, tail_weights
from screening.deciding.scoring import score
from screening.folding.aggregation import NOT_COMPUTED, CommittedBlocks, Folded, fold
from screening.folding.cells_export import CELLS, export_cells
from screening.folding.effect_store import EFFECTS_STORE, EffectStore
from screening.planning.campaign import Campaign, PlannedCampaign, load_campaign, plan_campaign
from screening.publishing.publication import (
    LEDGER,
    Publication,
    Table,
    ledger_url,
    location,
    open_results,
    publish,
    read_hits,
)
from screening.running.gpu_check import refuse_missing_gpus
from screening.running.rehearsal import Rehearsal, open_rehearsal
from screening.running.spending import Spending
from screening.running.wanted_blocks import wanted_blocks
from screening.tables.delivery import check_table, deliver
from screening.watching.following import FACTS, Newcomer, Tenure
from screening.watching.preliminary_ranking import Ranking, open_ranking
from screening.watching.run_listener import RunListener, tell_news
from screening.watching.run_meter import RunMeter
from screening.watching.run_news import NewsDesk, RunNews

FENCE_SECONDS = 30.0
"""How often a run looks whether another one has taken over."""
COUNT_SECONDS = 2.0
"""How often it tells how many conditions are scored."""
NOTHING_DONE = Summary(0, 0, {}, 0, 0, 0.0)
STAGES = ("load", "plan", "open", "predict", "commit", "aggregate", "score", "publish")


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    run_id: str
    output: str
    hits: pl.DataFrame
    computed: int
    reused: int
    failed: int
    files: Mapping[str, Any] = field(default_factory=dict)
    gates: str = ""
    """What the model card says of the contexts."""
    cache: str | None = None
    """Where blocks are shared with other campaigns, if they are."""
    struck: Mapping[str, int] = field(default_factory=dict)
    """How often each fault of a rehearsal has struck."""
    cancelled: str = ""
    """Who cancelled it, if anybody did."""

    @property
    def complete(self) -> bool:
        """Whether every condition succeeded, and nobody ended the run before."""
        return self.failed == 0 and not self.cancelled

    @property
    def shortfall(self) -> str:
        """Why it is not complete, in a line; empty if it is."""
        if self.complete:
            return ""
        if self.cancelled:
            return f"{self.cancelled}: the table has what was complete by then; run the campaign again to go on"
        return (
            f"{self.failed} of {self.hits.height} conditions failed, such as: {self._a_reason}; `status` and `reason`"
            " of the table say which and why"
        )

    @property
    def _a_reason(self) -> str:
        """The reason that most of the failed conditions have, without the place in the code."""
        reasons = self.hits.filter(pl.col("status") != "done")["reason"].drop_nulls()
        most = reasons.mode().sort()
        return re.sub(r" \(\w+\.py:\d+\)$", "", str(most[0])) if len(most) else "no reason is known"


def run_campaign(
    path: str | os.PathLike[str],
    listener: RunListener,
    overrides: Mapping[str, Any] | None = None,
    chaos: str | os.PathLike[str] | None = None,
    take_over: bool = False,
) -> RunResult:
    """Run a campaign from its YAML to published results; run again, it goes on where it was.

    With a ``chaos`` file it is a rehearsal: its faults strike replicas and stores, and the results are the same. With
    ``take_over`` it doesn't follow a run that is in the place already, but stops it.

    Raises
    ------
    CampaignError, LingshuCoreError, ActorsError, ScreeningError
        When the campaign can't be run as it is asked. What was committed stays committed.
    """
    listener.stage("load", str(path) if chaos is None else f"{path}; a rehearsal: the faults of {chaos} strike")
    campaign = load_campaign(path, overrides)
    rehearsal = None if chaos is None else open_rehearsal(chaos, campaign.spec)
    return run_loaded(campaign, listener, rehearsal, take_over)


def run_loaded(
    campaign: Campaign, listener: RunListener, rehearsal: Rehearsal | None = None, take_over: bool = False
) -> RunResult:
    """Run a campaign that is loaded, as `run_campaign`; or follow the run of it that is there already.

    If the listener raises `Cancelled` when it hears of the prediction or its progress, no more is computed, and what
    is complete is published. Before that, it ends the run, and nothing has been touched.

    Raises
    ------
    PlaceTaken
        If another campaign is running into the same place.
    LeftRunning
        If this is interrupted while it follows another run.
    """
    listener.stage("plan", ", ".join(campaign.spec.models))
    planned = plan_campaign(campaign)
    label_process(campaign=planned.plan.name, run_id=planned.plan.run_id)
    tell_news(listener, RunNews.of(planned))
    listener.stage("open", campaign.spec.output)
    blobs, ledger = open_output(campaign.spec.output, campaign.spec.cache)
    if campaign.spec.publish.delta is not None:
        check_table(campaign.spec.publish.delta, campaign.model.vocabulary.factors)
    newcomer = Newcomer(planned, blobs, listener, STAGES, is_rehearsal=rehearsal is not None)
    if rehearsal is not None:  # its faults strike no beat, and no look at the beats of others
        blobs, ledger = rehearsal.faulty(blobs), Ledger(rehearsal.faulty(ledger.blobs))
    meter = RunMeter(planned)
    blobs, ledger = meter.of_store(blobs), meter.of_ledger(ledger)
    held = newcomer.take(History(blobs), _holder(campaign.spec.name), by_force=take_over)
    if isinstance(held, Ending):
        return result_of(held.facts, campaign.spec.output)
    with held:
        result = compute_and_publish(planned, blobs, ledger, held, rehearsal, meter)
        held.published(facts_of(result), result.shortfall)
    return result


def compute_and_publish(
    planned: PlannedCampaign,
    store: Blobs,
    ledger: Ledger,
    held: Tenure,
    rehearsal: Rehearsal | None = None,
    meter: RunMeter | None = None,
) -> RunResult:
    """Compute what is missing and publish what there is, as the run that holds the place."""
    campaign, epoch, desk = planned.campaign, held.epoch, NewsDesk(planned, held.news)
    meter = meter or RunMeter(planned)
    with ExitStack() as resources:
        blocks = wanted_blocks(planned, ledger)
        missing = blocks.first_tasks()
        label = label_of(planned)
        dashboard = open_cluster(campaign.spec.compute, resources, label, campaign.source) if missing else ""
        spending = Spending.of(campaign.spec, ledger, planned.plan.blocks)
        summary = replace(NOTHING_DONE, cancelled=spending.spent if missing else "")
        try:
            there = len(blocks.asked) - len(missing)
            shown = describe_dashboard(dashboard) + meter.begin(epoch.number, missing, there, resources)
            held.stage("predict", f"{len(missing):,} blocks, {there:,} are there already{shown}")
            desk.begin(dashboard=dashboard)
            if missing and not summary.cancelled:
                with open_ranking(planned, ledger, blocks, is_rehearsal=rehearsal is not None) as ranking:
                    heard = meter.watched(reporting(held.progress, desk, ranking))
                    progress = spending.watched(until_fenced(epoch, store, heard))
                    summary = predict(
                        campaign, ledger, missing, progress, resources, rehearsal, blocks.more, label, meter
                    )
        except Cancelled as cancelled:
            summary = replace(NOTHING_DONE, cancelled=str(cancelled))
        snapshot = Snapshot(ledger)
        used = blocks.finish(snapshot)
        committed = confirm(used, snapshot)
        confirmed = f"{len(committed)} of {len(used.plan.blocks)} blocks are in the store"
        held.stage("commit", "; ".join(filter(None, (confirmed, blocks.describe()))))
        held.stage("aggregate", f"{len(planned.plan.conditions)} conditions")
        folded = fold(used.plan, snapshot, summary.failed, summary.cancelled or NOT_COMPUTED, planned.spaces)
        folded = counted(folded, desk)
        held.stage("score", next(iter(planned.readouts.values())).question)
        every_effect = None
        if campaign.spec.publish.effects == "all":
            epoch.check()  # before what has no versions
            every_effect = EffectStore(store, campaign.model.vocabulary.genes)
        screen = score(planned, folded, blocks, every_effect)
        tables = analyse(screen)
        held.stage("publish", campaign.spec.output)
        epoch.check()  # before the cells, which have no versions
        if every_effect is not None:
            every_effect.finish(screen.hits, used_genes(planned))
        if campaign.spec.estimator.store_cells and screen.effects.keys:
            export_cells(used, snapshot, committed, campaign.spec.output)
        reused = len(snapshot.committed().intersection(block.id for block in blocks.asked)) - summary.committed
        manifest = publish_run(screen, epoch, {**blocks.digests, **snapshot.digests}, tables, blocks.facts)
        if campaign.spec.publish.delta is not None:
            held.stage("publish", deliver(store, campaign.spec.publish.delta).describe())
        meter.published(screen.hits)
    failed = screen.hits.filter(pl.col("status") != "done").height
    return RunResult(
        run_id=planned.plan.run_id,
        output=campaign.spec.output,
        hits=screen.hits,
        computed=summary.committed,
        reused=reused,
        failed=failed,
        files=manifest["files"],
        gates=planned.gate_notice,
        cache=campaign.spec.cache,
        struck={} if rehearsal is None else rehearsal.end(),
        cancelled=summary.cancelled,
    )


def facts_of(result: RunResult) -> dict[str, Any]:
    """Return what another command has to know of a result to show the same; the table is in the store."""
    return {**{name: getattr(result, name) for name in FACTS}, "files": list(result.files)}


def result_of(facts: Mapping[str, Any], place: str) -> RunResult:
    """Make of facts and of the table in the store what the run itself gave.

    Raises
    ------
    ResultsError, StoreError
        If it isn't there, or can't be reached from here.
    """
    told = dict(facts)
    files = dict.fromkeys(told.pop("files"))
    return RunResult(hits=read_hits(open_results(place)), files=files, **told)


def open_output(output: str, cache: str | None = None) -> tuple[Blobs, Ledger]:
    """Open the place of results and its ledger, and make sure that the stores can decide who was first.

    Raises
    ------
    StoreError
        If one can't be reached, or knows no conditional writes.
    """
    commits, blobs = open_blobs(ledger_url(output, cache)), open_blobs(output)
    probe_conditional_writes(commits)
    if cache is not None:  # else it is the same store
        probe_conditional_writes(blobs)
    return blobs, Ledger(commits)


def begin_epoch(blobs: Blobs, name: str) -> Epoch:
    """Take over the place of results: whatever run was there before may not publish any more."""
    return Epoch.begin(History(blobs), _holder(name))


def _holder(name: str) -> str:
    return f"{name}, process {os.getpid()} on {platform.node()}"


def until_fenced(epoch: Epoch, blobs: Blobs, on_progress: OnProgress) -> OnProgress:
    """Pass progress on, and look from time to time whether another run has taken over; then it raises `Fenced`."""
    impatient = Epoch(History(blobs, patience_seconds=0), epoch.number, epoch.owner)
    due = time.monotonic() + FENCE_SECONDS

    def heard(progress: Progress) -> None:
        nonlocal due
        if time.monotonic() >= due:
            with suppress(StoreUnavailable):  # replicas have more patience; nothing is published without an answer
                impatient.check()
            due = time.monotonic() + FENCE_SECONDS
        on_progress(progress)

    return heard


def open_cluster(
    compute: ReplicasSpec, resources: ExitStack, label: RunLabel | None = None, source: Source = NO_SOURCE
) -> str:
    """Join or start the Ray cluster, where one is wanted; returns the URL of its dashboard, empty without one.

    Raises
    ------
    SpecError
        If GPUs are asked for on this machine, and there is none.
    ClusterUnavailable
        If there is no cluster, and none can be started.
    """
    refuse_missing_gpus(compute, source)
    if compute.backend == "in_process":
        return ""
    cores = max(compute.replicas * compute.threads, os.cpu_count() or 1)
    metadata = {} if label is None else label.metadata()
    session = resources.enter_context(ray_session(compute.address, num_cpus=cores, metadata=metadata))
    return session.dashboard_url or ""


def describe_dashboard(url: str) -> str:
    """Return the words behind a stage that lead to Ray's dashboard; none where there is none."""
    command = token_command()
    return f"; Ray dashboard {url}" + f" (it asks for a token: `{command}`)" * bool(command) if url else ""


def reporting(on_progress: OnProgress, desk: NewsDesk, ranking: Ranking) -> OnProgress:
    """Pass progress on, and before it who leads by then."""

    def heard(progress: Progress) -> None:
        desk.report(leading=ranking.latest)
        on_progress(progress)

    return heard


def counted(folded: Iterator[Folded], desk: NewsDesk) -> Iterator[Folded]:
    """Pass conditions on, and tell every few seconds how many there were."""
    due, number = time.monotonic() + COUNT_SECONDS, 0
    for condition in folded:
        yield condition
        number += condition.planned.role == "perturbation"
        if time.monotonic() >= due:
            desk.report(folded=number)
            due = time.monotonic() + COUNT_SECONDS


def label_of(planned: PlannedCampaign) -> RunLabel:
    """Return the names by which Ray's dashboard and the logs know a run."""
    return RunLabel(planned.plan.name, planned.plan.run_id)


def open_pool(
    worker: WorkerSpec,
    ledger: str,
    compute: ReplicasSpec,
    resources: ExitStack,
    injector: Injector | None = None,
    label: RunLabel | None = None,
) -> Pool:
    """Open the replicas: Ray actors on the cluster that is open, or this process; ``ledger`` is its URL."""
    if compute.backend == "in_process":
        pool: Pool = InProcessPool(worker, ledger, injector)
    else:
        shape = ReplicaShape(num_cpus=compute.threads, num_gpus=compute.gpus_per_replica, threads=compute.threads)
        elastic = isinstance(compute, ComputeSpec) and compute.elastic
        pool = RayPool(compute.replicas, worker, ledger, shape, elastic=elastic, injector=injector, label=label)
    resources.callback(pool.close)
    return pool


def worker_spec(campaign: Campaign) -> WorkerSpec:
    """Say how a replica opens the model, or the members of an ensemble."""
    compute = campaign.spec.compute
    options = {"device": "cuda" if compute.gpus_per_replica else "cpu", "threads": compute.threads}
    places = {member.header.digest: location(member.location) for member in campaign.members}
    if campaign.is_ensemble:
        return WorkerSpec("screening.running.ensemble_worker:open_ensemble_worker", {"members": places, **options})
    ((digest, place),) = places.items()
    return WorkerSpec("screening.running.worker:open_worker", {"model": place, "digest": digest, **options})


def predict(
    campaign: Campaign,
    ledger: Ledger,
    tasks: Sequence[Task],
    on_progress: OnProgress,
    resources: ExitStack,
    rehearsal: Rehearsal | None = None,
    more: More | None = None,
    label: RunLabel | None = None,
    meter: RunMeter | None = None,
) -> Summary:
    """Compute the tasks, and those that follow from their results; replicas commit each block themselves."""
    spec = campaign.spec
    place = ledger_url(spec.output, spec.cache)
    injector = rehearsal.injector if rehearsal else None
    pool = open_pool(worker_spec(campaign), place, spec.compute, resources, injector, label)
    settings = PlannerSettings(lease_seconds=spec.compute.lease_seconds)
    if rehearsal is not None:  # nobody waits half an hour for a replica that hangs
        settings = replace(settings, deadline_seconds=rehearsal.deadline_seconds)
    if meter is None:
        return Planner(pool, ledger, settings, on_progress).run(tasks, more)
    chosen = None if more is None else meter.choosing(more)
    return Planner(meter.of_pool(pool), ledger, settings, on_progress, meter.settled).run(tasks, chosen)


def confirm(planned: PlannedCampaign, ledger: CommittedBlocks) -> frozenset[str]:
    """Read back from the store which blocks of the plan are committed."""
    committed = ledger.committed()
    return frozenset(block.id for block in planned.plan.blocks if block.id in committed)


def publish_run(
    screen: ScoredScreen,
    epoch: Epoch,
    commits: Mapping[str, str],
    tables: Mapping[str, Table],
    allocation: Mapping[str, Any],
) -> dict[str, Any]:
    """Publish the results of a run and return its manifest.

    ``commits`` are the blocks that they were folded from, ``tables`` what `screening.answers.analyses` made,
    ``allocation`` what there is to say of the choice of blocks, if there was one.
    """
    planned, hits, null, effects = screen.planned, screen.hits, screen.null, screen.effects
    kept = effects.keys
    table = effects.to_anndata(_rows_of(kept, planned, hits), used_genes(planned))
    return publish(
        epoch,
        Publication(
            commits=commits,
            ledger=LEDGER if planned.campaign.spec.cache is None else absolute_url(planned.campaign.spec.cache),
            run_id=planned.plan.run_id,
            hits=hits,
            tables=tables,
            effects=table,
            campaign=dump_spec(planned.campaign.spec),
            plan=planned.plan.to_json(),
            facts={
                "campaign": planned.campaign.spec.name,
                "question": next(iter(planned.readouts.values())).question,
                "model": planned.campaign.spec.model,
                "model_digest": planned.campaign.digest,
                **_members(planned),
                **planned.gates.facts,
                "paths": planned.campaign.paths,
                **({} if null is None else {"null": null_summary(null), "null_tails": tail_weights(null)}),
                **({"allocation": dict(allocation)} if allocation else {}),
                "conditions": hits.height,
                "failed": hits.filter(pl.col("status") != "done").height,
                "conditions_in_effects": len(kept),
                "effects_of_all": EFFECTS_STORE if planned.campaign.spec.publish.effects == "all" else None,
                "cells": CELLS if planned.campaign.spec.estimator.store_cells and kept else None,
                "notices": list(planned.plan.notices),
            },
        ),
    )


def used_genes(planned: PlannedCampaign) -> npt.NDArray[np.bool_]:
    """Tell which genes the objective uses in any context, (genes,)."""
    return np.asarray(np.any([readout.used for readout in planned.readouts.values()], axis=0))


def _members(planned: PlannedCampaign) -> dict[str, Any]:
    """List the members of an ensemble; a single model has no such entry."""
    members = [{"name": member.name, "digest": member.digest} for member in planned.plan.members]
    return {"members": members} if members else {}


def _rows_of(keys: Sequence[str], planned: PlannedCampaign, hits: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Pick the rows of some conditions out of the table, which may have a million."""
    wanted = set(keys)
    labels = {
        (p.condition.perturbation.label, p.condition.context.label): p.key
        for p in planned.plan.conditions
        if p.key in wanted
    }
    names = hits.select("perturbation", "context").iter_rows()
    places = [place for place, label in enumerate(names) if label in labels]
    return {labels[row["perturbation"], row["context"]]: row for row in hits[places].iter_rows(named=True)}
