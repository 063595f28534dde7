"""``lingshu run --chaos``: a real run of a real campaign, struck by the faults of a plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from actors.blobs import Blobs, absolute_url
from actors.errors import BadFaultPlan
from actors.fault_plan import FaultPlan
from actors.injector import Injector
from actors.strikes import SPARED
from campaigns.chaos_spec import ChaosSpec
from campaigns.screen_spec import ScreenSpec
from campaigns.source import load_chaos

FOLDER = "rehearsal"
"""What has struck is counted here, in the place of results, until the run has ended."""


@dataclass(frozen=True)
class Rehearsal:
    """Faults that are ready to strike."""

    name: str
    injector: Injector
    deadline_seconds: float

    def faulty(self, blobs: Blobs) -> Blobs:
        """Return a store as whoever plans and publishes sees it."""
        return self.injector.blobs(blobs, of_replica=False)

    def end(self) -> Mapping[str, int]:
        """Return how often each fault has struck, or was spared, and remove the traces."""
        struck = self.injector.struck()
        self.injector.forget()
        return dict(struck.most_common())


def open_rehearsal(path: str | os.PathLike[str], screen: ScreenSpec) -> Rehearsal:
    """Read a file of faults for a screen.

    Raises
    ------
    YamlError, SpecError
        It is no ``kind: chaos`` file.
    BadFaultPlan
        The faults would end the run itself, because the replica is in its process, or the cluster is its own.
    """
    spec = load_chaos(path).spec
    plan = fault_plan(spec)
    injector = Injector(plan, f"{absolute_url(screen.output).rstrip('/')}/{FOLDER}/{plan.digest[:16]}")
    if screen.compute.backend == "in_process":
        injector.refuse_in_process()
    elif plan.kills_raylets and (screen.compute.address or os.environ.get("RAY_ADDRESS", "local")) == "local":
        raise BadFaultPlan(
            "raylet_kill would end the run itself: the cluster that it starts has one node, which is its own. Name a "
            "cluster of several nodes by compute.address or RAY_ADDRESS, or leave raylet_kill out"
        )
    return Rehearsal(spec.name, injector, spec.deadline_seconds)


def fault_plan(spec: ChaosSpec) -> FaultPlan:
    """Write a file's faults as the engine's plan."""
    return FaultPlan(
        seed=spec.seed,
        worker={fault.replace("_", " "): share for fault, share in spec.workers.items()},  # type: ignore[misc]
        store={fault.replace("_", " "): share for fault, share in spec.store.items()},  # type: ignore[misc]
        strikes=None if spec.always else spec.strikes,
        slow_seconds=spec.slow_seconds,
    )


def describe_strikes(struck: Mapping[str, int]) -> str:
    """Say in a line which faults have struck, and in another which were spared; nothing where it was no rehearsal."""
    done = {fault: times for fault, times in struck.items() if not fault.endswith(SPARED)}
    told = ", ".join(f"{fault} {times}" for fault, times in done.items())
    lines = [f"a rehearsal: {sum(done.values())} faults have struck ({told or 'none'})\n"] if struck else []
    for fault in struck.keys() - done.keys():
        lines.append(
            f"a rehearsal: spared, {fault.removesuffix(SPARED)} {struck[fault]}: the node was not marked for it, had"
            " other actors too, or was the last of the run\n"
        )
    return "".join(lines)
