"""Puts the faults of a plan where they strike: around workers, around stores.

For rehearsals and for tests: what is run is the engine as it is, only its surroundings fail.
"""

from collections import Counter
from dataclasses import dataclass

from actors.blobs import Blobs, open_blobs
from actors.errors import BadFaultPlan
from actors.fault_plan import FaultPlan, target
from actors.faulty_blobs import Fault, FaultyBlobs
from actors.strikes import Strikes
from actors.worker import WorkerSpec


@dataclass(frozen=True, slots=True)
class Injector:
    """A plan, and where its strikes are counted; plain data, so that it travels to replicas.

    Attributes
    ----------
    url
        A store that all replicas reach. Faults never strike it.
    """

    plan: FaultPlan
    url: str

    def worker(self, spec: WorkerSpec) -> WorkerSpec:
        """Name the worker that is struck by the plan's faults."""
        options = {"target": spec.target, "options": dict(spec.options), "plan": self.plan.to_data(), "url": self.url}
        return WorkerSpec("actors.faulty_worker:open_faulty_worker", options)

    def blobs(self, blobs: Blobs, *, of_replica: bool) -> FaultyBlobs:
        """Return the store as it is seen through the plan's faults, by a replica or by whoever plans and publishes."""
        strikes = Strikes(open_blobs(self.url))

        def next_fault(operation: str, key: str) -> Fault | None:
            faults = self.plan.store_faults(operation, key, of_replica=of_replica)
            return strikes.next(target(operation, key), faults)

        return FaultyBlobs(blobs, next_fault)

    def refuse_in_process(self) -> None:
        """Refuse faults that would take the run itself with them.

        Raises
        ------
        BadFaultPlan
            Replicas have no processes of their own, and the plan has deadly faults.
        """
        if self.plan.deadly:
            raise BadFaultPlan(
                f"{', '.join(self.plan.deadly)} would end the run itself where the replica is in its process: use "
                "`backend: ray`, or leave them out"
            )

    def struck(self) -> Counter[str]:
        """Return how often each fault has struck."""
        return Strikes(open_blobs(self.url)).count()

    def forget(self) -> None:
        """Remove what was written down: the same plan strikes anew."""
        Strikes(open_blobs(self.url)).forget()
