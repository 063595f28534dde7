"""Puts the faults of a plan where they strike: around workers, around stores.

For rehearsals and for tests: what is run is the engine as it is, only its surroundings fail.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Self

from actors.blobs import Blobs, open_blobs
from actors.errors import BadFaultPlan
from actors.expendable_nodes import check_expendable
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
    home
        Id of the node of a cluster that is never taken down: the one that whoever plans is connected to.
    """

    plan: FaultPlan
    url: str
    home: str = ""

    def on_cluster(self, replicas: int) -> Self:
        """Return what strikes so many replicas on the Ray cluster that this process is connected to.

        Raises
        ------
        BadFaultPlan
            The plan kills raylets, and there is none that may be killed.
        """
        if not self.plan.kills_raylets:
            return self
        import ray

        home = ray.get_runtime_context().get_node_id()
        check_expendable(ray.nodes(), home, replicas)
        return replace(self, home=home)

    def worker(self, spec: WorkerSpec) -> WorkerSpec:
        """Name the worker that is struck by the plan's faults."""
        options = {"target": spec.target, "options": dict(spec.options), "plan": self.plan.to_data(), "url": self.url}
        options["home"] = self.home
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
            deadly = ", ".join(fault.replace(" ", "_") for fault in self.plan.deadly)
            raise BadFaultPlan(
                f"{deadly} would end the run itself where the replica is in its process: use `backend: ray`, or leave "
                "them out"
            )

    def struck(self) -> Counter[str]:
        """Return how often each fault has struck."""
        return Strikes(open_blobs(self.url)).count()

    def forget(self) -> None:
        """Remove what was written down: the same plan strikes anew."""
        Strikes(open_blobs(self.url)).forget()
