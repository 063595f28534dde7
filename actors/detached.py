"""Jobs in named actors, so that one outlives the command that started it and every other command finds it.

The name says what the job works on. So of two that would do the same only one begins, and the second command watches
the first. An actor holds nothing that isn't in the store: it is never restarted, and when its process dies, the next
command starts another one, which goes on from there. Actors that the job starts are owned by its process, and Ray ends
them with it.
"""

import os
import platform
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from actors.blobs import store_environment
from actors.errors import JobLost, JobSilent
from actors.job import Job, JobSpec, Look
from actors.process_mark import user_name
from actors.replica import LONGEST_REASON
from actors.run_label import RunLabel
from actors.run_log import label_process, log_environment, start_logging

NAMESPACE = "lingshu"
ANSWER_SECONDS = 15.0
"""How long an answer is waited for: while it plans a million conditions a job answers late."""
START_SECONDS = 300.0
"""How long its process may take to start: on a machine that is busy, minutes."""
NAME_SECONDS = 15.0
"""How long Ray may take to free the name of a job that has ended."""


class JobActor:
    """What runs inside the process of a job."""

    def __init__(self, spec: JobSpec, about: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        # Passed as an argument and not as a runtime_env, which Ray shows on its dashboard: these are credentials.
        os.environ.update(environment)
        label = RunLabel(str(about.get("name", "")), str(about.get("run_id", "")))
        self._name = label.of("planner")
        start_logging()
        label_process(campaign=label.campaign, run_id=label.run, node=ray_node())
        self._job = Job(spec, {**about, "process": os.getpid(), "host": platform.node()})
        self._job.start()
        threading.Thread(target=self._leave, name="leave", daemon=True).start()

    def __repr__(self) -> str:
        """What Ray's dashboard and its logs call this actor."""
        return self._name

    def look(self) -> Look:
        """Tell how far the job is."""
        return self._job.look()

    def cancel(self, reason: str) -> Look:
        """Ask the job to end soon and to leave what it has in order; returns how it stood."""
        return self._job.cancel(reason)

    def dismiss(self) -> None:
        """Somebody has seen the end."""
        self._job.dismiss()

    def _leave(self) -> None:
        import ray

        self._job.wait_until_over()
        ray.kill(ray.get_runtime_context().current_actor)


class RunningJob:
    """A job as it is seen from outside; needs a session (`actors.cluster.ray_session`)."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name = name
        self._actor = actor

    def look(self, timeout_seconds: float = ANSWER_SECONDS) -> Look:
        """Ask how far it is.

        Raises
        ------
        JobLost
            Its process is no more.
        JobSilent
            It does not answer in time.
        """
        return self._ask("look", timeout_seconds)

    def cancel(self, who: str) -> Look:
        """Ask it to end soon and to leave what it has in order; returns how it stood; raises as `look`."""
        return self._ask("cancel", ANSWER_SECONDS, who)

    def dismiss(self) -> None:
        """Its end was seen and needs not be kept much longer."""
        self._actor.dismiss.remote()

    def kill(self) -> None:
        """End its process, and with it the actors that it started."""
        import ray

        ray.kill(self._actor)

    def _ask(self, question: str, timeout_seconds: float, *arguments: Any) -> Any:
        import ray

        try:
            return ray.get(getattr(self._actor, question).remote(*arguments), timeout=timeout_seconds)
        except ray.exceptions.GetTimeoutError as error:
            raise JobSilent(
                f"{self.name} has not answered for {timeout_seconds:.0f} s: it is busy, or its node is out of reach"
            ) from error
        except ray.exceptions.RayActorError as error:
            account = " ".join(str(error).split())[:LONGEST_REASON]
            raise JobLost(f"{self.name}: its process is no more: {account}") from error


def ray_node() -> str:
    """Return the id of the node on which this process runs."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def find_job(name: str) -> RunningJob | None:
    """Return the job of this name, whether it runs or has ended; None if there is none."""
    import ray

    try:
        return RunningJob(name, ray.get_actor(name, namespace=NAMESPACE))
    except ValueError:
        return None


def start_job(name: str, spec: JobSpec, about: Mapping[str, Any], *, outlives: bool) -> tuple[RunningJob, Look, bool]:
    """Start a job, unless one of this name is running.

    Parameters
    ----------
    about
        Plain data to be shown to whoever looks; no secrets. To it are added `owner`, unique to this call, `user`,
        `since` (UTC, ISO 8601), `outlives`, `process` and `host`.
    outlives
        Whether it goes on when this process ends.

    Returns
    -------
    The job, a first look at it, and whether it was started here.

    Raises
    ------
    JobLost
        Its process dies at once, again and again.
    JobSilent
        It does not answer.
    """
    owner, deadline = uuid.uuid4().hex, time.monotonic() + NAME_SECONDS
    told = {**about, "owner": owner, "user": user_name(), "since": _now(), "outlives": outlives}
    while True:
        job = find_job(name) or _create(name, spec, told, outlives)
        try:
            look = job.look(START_SECONDS)
        except JobLost:  # one that is just about to go keeps its name for a moment
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
            continue
        if look.about["owner"] == owner or look.ending is None:
            return job, look, look.about["owner"] == owner
        job.kill()  # it has ended, and nobody is waiting for it any more than for the new one


def _create(name: str, spec: JobSpec, about: Mapping[str, Any], outlives: bool) -> RunningJob:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    actor_class = ray.remote(JobActor).options(
        name=name,
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached" if outlives else None,
        num_cpus=0,
        max_restarts=0,
        max_task_retries=0,
        # Where the command was given the files lie that it names; another node will do if all of them see the files.
        scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True),
    )
    environment = {**store_environment(os.environ), **log_environment(os.environ)}
    return RunningJob(name, actor_class.remote(spec, dict(about), environment))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
