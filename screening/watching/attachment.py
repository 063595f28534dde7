"""Runs whose planner is a process of its own on a cluster: started, found, watched and cancelled.

A run on a cluster that this command joins (`compute.address`, `RAY_ADDRESS`) is a job under a name made from the place
of its results. So a second command for the same place finds the first instead of competing with it. Where two commands
share no cluster, the second follows the first through the store (`screening.watching.following`).
"""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.blobs import absolute_url
from actors.cluster import RaySession, ray_session
from actors.detached import RunningJob, find_job, start_job
from actors.errors import ClusterUnavailable, JobLost, JobSilent
from actors.job import Look
from actors.progress import Progress
from actors.run_label import RunLabel
from campaigns.compute_spec import ComputeSpec
from campaigns.screen_spec import ScreenSpec
from campaigns.source import load_screen
from screening.errors import LeftRunning, NotDetachable, NotRunning, PlaceTaken
from screening.planning.asked import digest_of
from screening.planning.campaign import load_campaign, override, plan_campaign
from screening.run import run_loaded
from screening.running.detached_run import RunEnd, about_screen, end_of, job_name, screen_job
from screening.watching.run_listener import RunListener, tell_news
from screening.watching.run_news import RunNews

LOOK_SECONDS = 0.5
SILENT_SECONDS = 600.0
"""A planner that hasn't answered for so long is given up, by whoever watches it."""
_NODE = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
START_A_CLUSTER = (
    "`export RAY_AUTH_MODE=token; ray get-auth-token --generate >/dev/null; ray start --head"
    f" --node-ip-address={_NODE} --port=6379 --dashboard-host=127.0.0.1 --disable-usage-stats;"
    f" export RAY_ADDRESS={_NODE}:6379`"
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """What `attach` and `cancel` are about.

    Attributes
    ----------
    words
        The arguments of the command line that name it.
    place
        URL of the results.
    asked
        Digest of what the campaign asks for; empty where only the place is named.
    """

    words: str
    place: str
    address: str
    asked: str = ""


def run_or_attach(
    path: str | os.PathLike[str],
    listener: RunListener,
    overrides: Mapping[str, Any] | None = None,
    *,
    detach: bool = False,
    take_over: bool = False,
    say: Say = print,
) -> RunEnd:
    """Run a campaign, here or on the cluster that it names; or watch the run of it that is there already.

    Parameters
    ----------
    detach
        Come back as soon as replicas are at work, or what stands in the way is known.
    take_over
        Stop a run elsewhere that holds the place, instead of following it.
    say
        Hears what there is to know beside stages and progress.

    Raises
    ------
    NotDetachable
        If ``detach`` is asked for, and the run would end with this process.
    PlaceTaken
        If another campaign is running into the same place; or if this one is on the cluster, and is to be stopped.
    LeftRunning
        If this is interrupted, and the run goes on.
    CampaignError, LingshuCoreError, ActorsError, ScreeningError
        When the campaign can't be run as it is asked. What was committed stays committed.
    """
    listener.stage("load", str(path))
    campaign = load_campaign(path, overrides)
    address = cluster_address(campaign.spec.compute)
    _check_detachable(campaign.spec, address, detach)
    if address is None:
        return RunEnd.of(run_loaded(campaign, listener, None, take_over))
    listener.stage("plan", ", ".join(campaign.spec.models))
    # Planned to be checked, and not kept: the planner makes its own plan, and watching may take days.
    planned = plan_campaign(campaign)
    about, words, links = about_screen(planned), words_of(path, overrides), _Links(listener, RunNews.of(planned))
    del planned
    with ray_session(address, metadata=RunLabel(about["name"], about["run_id"]).metadata()) as session:
        links.dashboard(session, say)
        job_spec = screen_job(campaign, take_over)
        job, look, ours = start_job(job_name(campaign.spec.output), job_spec, about, outlives=detach)
        if not ours:
            _check_same(look, about)
            if take_over:
                raise PlaceTaken(
                    f"this campaign is running on the same cluster, {describe_owner(look)}, and --take-over stops runs"
                    f" elsewhere: end this one with `lingshu cancel {words}`"
                )
            say(f"this campaign is running already, {describe_owner(look)}; it goes on with the replicas that it has")
        known, until = ("load", "plan") if ours else (), _at_work if detach else _ended
        look = _watched(job, links, words, ours and not detach, until, known)
        if look.ending is None:
            say(describe_detached(look, words))
            return RunEnd(0)
        job.dismiss()
    return end_of(look.ending, about["place"])


def attach(target: Target, listener: RunListener, say: Say = print) -> RunEnd:
    """Watch a run to its end, from wherever the cluster and the store can be reached.

    Raises
    ------
    NotRunning
        If nothing is running there.
    LeftRunning
        If this is interrupted, and the run goes on.
    JobLost
        If the planner's process dies.
    """
    with ray_session(target.address) as session:
        job, look = _found(target)
        _say_what(look, target, say)
        links = _Links(listener, RunNews(look.about["name"], look.about["run_id"], target.place))
        links.dashboard(session, say)
        look = _watched(job, links, target.words, False, _ended)
        job.dismiss()
    return RunEnd(0) if look.ending is None else end_of(look.ending, target.place)


def cancel(target: Target, say: Say = print) -> None:
    """Ask a run to end, and to publish what is complete.

    Raises
    ------
    NotRunning
        If nothing is running there any more.
    """
    with ray_session(target.address):
        job, look = _found(target)
        if look.ending is not None:
            raise NotRunning(f"{target.words}: the run has ended already; `lingshu attach {target.words}` shows how")
        _say_what(look, target, say)
        before = job.cancel(f"cancelled by {_who()}")
        if before.cancelled:
            say(f"it was {before.cancelled} before, and is about to end")
        elif is_planning(before):
            say(f"cancelled while it plans, and ends before it computes; `lingshu attach {target.words}` waits for it")
        else:
            say(f"cancelled; what is complete is published; `lingshu attach {target.words}` waits for it")


def is_planning(look: Look) -> bool:
    """Whether a run has not begun to open the place of its results."""
    return all(name in ("load", "plan") for name, _ in look.stages)


def live_look(output: str, address: str) -> Look | None:
    """Look at the run into a place, if there is one on this cluster.

    Raises
    ------
    ClusterUnavailable
        If there is no such cluster.
    JobSilent
        If there is a planner that does not answer.
    """
    with ray_session(address):
        job = find_job(job_name(output))
        try:
            return None if job is None else job.look()
        except JobLost:
            return None


def cluster_address(compute: ComputeSpec) -> str | None:
    """Return the address of the cluster that a campaign joins; None if it starts one for itself, or needs none."""
    if compute.backend == "in_process":
        return None
    address = compute.address or os.environ.get("RAY_ADDRESS") or None
    return None if address == "local" else address


def target_of(argument: str, output: str | None = None) -> Target:
    """Read the argument of `attach` and `cancel`: a campaign file, or the place of results.

    Raises
    ------
    CampaignError
        If the file is not a valid campaign.
    ClusterUnavailable
        If nothing names a cluster.
    """
    is_file = Path(argument).suffix in (".yaml", ".yml") or Path(argument).is_file()
    words = words_of(argument, {"output": output})
    if not is_file:
        return Target(words, absolute_url(output or argument), _named(os.environ.get("RAY_ADDRESS"), words))
    spec = override(load_screen(argument).spec, {"output": output})
    return Target(words, absolute_url(spec.output), _named(cluster_address(spec.compute), words), digest_of(spec))


def words_of(path: str | os.PathLike[str], overrides: Mapping[str, Any] | None) -> str:
    """Write the arguments with which another command finds the same run."""
    output = (overrides or {}).get("output")
    return shlex.join([str(path), *([] if output is None else ["--output", str(output)])])


def describe_owner(look: Look) -> str:
    """Say since when a run is there and who started it."""
    about = look.about
    return (
        f"since {about['since']}, started by {about['user']} (planner: process {about['process']} on {about['host']})"
    )


def describe_detached(look: Look, words: str) -> str:
    """Say that a run goes on, and how to reach it."""
    stays = "" if look.about["outlives"] else " for as long as the command does that started it"
    return (
        f"the run goes on without this command{stays} (planner: process {look.about['process']} on"
        f" {look.about['host']})\n"
        f"  lingshu status {words}   how far it is\n"
        f"  lingshu attach {words}   watch it to its end\n"
        f"  lingshu cancel {words}   end it; what is complete is published"
    )


def _check_detachable(spec: ScreenSpec, address: str | None, detach: bool) -> None:
    if detach and spec.compute.backend == "in_process":
        raise NotDetachable("--detach needs a Ray cluster, and `compute.backend` is in_process; use --backend ray")
    if detach and address is None:
        raise NotDetachable(
            "--detach needs a Ray cluster that outlives this command, and neither compute.address nor RAY_ADDRESS names"
            f" one; start one here with {START_A_CLUSTER}"
        )
    places = [place for place in (spec.output, spec.cache) if place is not None]
    if address is not None and any(absolute_url(place).startswith("memory://") for place in places):
        raise NotDetachable(
            "memory:// lives in one process, and the nodes of a cluster are others; use s3:// or a shared folder"
        )


def _check_same(look: Look, about: Mapping[str, Any]) -> None:
    there = look.about
    if there["run_id"] != about["run_id"]:
        raise PlaceTaken(
            f"{about['place']}: another campaign, {there['name']!r} of {there['file']} (run {there['run_id'][:16]}), is"
            f" running into it, {describe_owner(look)}. Wait for it (`lingshu attach {shlex.quote(about['place'])}`),"
            f" cancel it (`lingshu cancel {shlex.quote(about['place'])}`), or give this one another --output"
        )


def _found(target: Target) -> tuple[RunningJob, Look]:
    job = find_job(job_name(target.place))
    nothing = (
        f"{target.words}: no run into {target.place} on the cluster at {target.address}; `lingshu status` tells what"
        " the store has, and `lingshu run` goes on"
    )
    if job is None:
        raise NotRunning(nothing)
    try:
        return job, job.look()
    except JobLost as error:
        raise NotRunning(nothing) from error


def _say_what(look: Look, target: Target, say: Say) -> None:
    about = look.about
    state = "running" if look.ending is None else "ended"
    say(f"{about['name']} (run {about['run_id'][:16]}), {state}, {describe_owner(look)}")
    if target.asked not in ("", about["asked"]):
        say(f"note: {target.words} asks for something else than this run, which was started from {about['file']}")


def _watched(
    job: RunningJob,
    listener: RunListener,
    words: str,
    ours: bool,
    until: Callable[[Look], bool],
    known: Collection[str] = (),
) -> Look:
    """Follow a job; if this is interrupted the job ends too if it is ours, and otherwise goes on."""
    try:
        return _follow(job, listener, until, known)
    except KeyboardInterrupt:
        if ours:
            job.kill()
            raise
        raise LeftRunning(describe_detached(job.look(), words)) from None
    except JobLost as error:
        raise JobLost(f"{error}; what was committed stays, run the campaign again to go on") from error


def _follow(job: RunningJob, listener: RunListener, until: Callable[[Look], bool], known: Collection[str]) -> Look:
    """Pass on what a job shows, but stages that are known, until it shows what is waited for."""
    told, progress, answered = 0, None, time.monotonic()
    while True:
        try:
            look = job.look()
        except JobSilent:  # busy: it plans, or folds a large table
            if time.monotonic() - answered > SILENT_SECONDS:
                raise
            continue
        for name, detail in look.stages[told:]:
            if name not in known:
                listener.stage(name, detail)
        news = RunNews.from_data(look.news)
        if news is not None:
            tell_news(listener, news)
        if look.progress is not None and look.progress != progress:
            listener.progress(look.progress)
        told, progress, answered = len(look.stages), look.progress, time.monotonic()
        if until(look):
            return look
        time.sleep(LOOK_SECONDS)


class _Links:
    """Hears a planner, and puts what only this command knows into its news: where the dashboard is from here."""

    def __init__(self, listener: RunListener, news: RunNews) -> None:
        self._listener, self._told = listener, news
        self._url, self._place = "", news.output

    def dashboard(self, session: RaySession, say: Say) -> None:
        """Name the dashboard, and tell what is known of the run by now."""
        self._url = session.dashboard_url or ""
        if self._url:
            say(f"Ray dashboard {self._url}")
        tell_news(self._listener, replace(self._told, dashboard=self._url))

    def stage(self, name: str, detail: str) -> None:
        """Pass it on."""
        self._listener.stage(name, detail)

    def progress(self, progress: Progress) -> None:
        """Pass it on."""
        self._listener.progress(progress)

    def news(self, news: RunNews) -> None:
        """Pass it on with the links, once."""
        if news != self._told:
            self._told = news
            tell_news(self._listener, replace(news, dashboard=self._url, output=self._place))


def _ended(look: Look) -> bool:
    return look.ending is not None


def _at_work(look: Look) -> bool:
    return _ended(look) or look.progress is not None


def _named(address: str | None, words: str) -> str:
    if address is None:
        raise ClusterUnavailable(
            f"{words}: neither compute.address nor RAY_ADDRESS names a Ray cluster, and a planner runs on one"
        )
    return address


def _who() -> str:
    try:
        return f"{getpass.getuser()} on {platform.node()}"
    except (KeyError, OSError):
        return platform.node()
