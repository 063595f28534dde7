"""``lingshu run --chaos``: a real run of a real campaign, struck by the faults of a plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from actors.blobs import Blobs, absolute_url
from actors.fault_plan import FaultPlan
from actors.injector import Injector
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
        """Return how often each fault has struck, and remove the traces."""
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
        The faults would end the run itself, because the replica is in its process.
    """
    spec = load_chaos(path).spec
    plan = fault_plan(spec)
    injector = Injector(plan, f"{absolute_url(screen.output).rstrip('/')}/{FOLDER}/{plan.digest[:16]}")
    if screen.compute.backend == "in_process":
        injector.refuse_in_process()
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
