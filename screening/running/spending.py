"""What a run has cost so far, and the end of it when a budget of hours or money is spent.

Time is counted for all replicas from the moment when they are opened, whether they work or wait: so it is paid for. Of
earlier runs of the same campaign the store knows the time of each block, and no more; that is added.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from actors.errors import Cancelled
from actors.ledger import Ledger
from actors.progress import OnProgress, Progress
from campaigns.plan import Block
from campaigns.screen_spec import ScreenSpec


class Spending:
    """Counts hours of replicas against ``budget.gpu_hours`` and ``budget.money``.

    Parameters
    ----------
    spec
        Of the screen.
    earlier_seconds
        Seconds of replicas before this run.
    clock
        Seconds since some moment.
    """

    def __init__(
        self, spec: ScreenSpec, earlier_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget, self._earlier, self._clock = spec.budget, earlier_seconds, clock
        self._replicas = 1 if spec.compute.backend == "in_process" else spec.compute.replicas
        self._gpus = spec.compute.gpus_per_replica
        self._opened = clock()

    @classmethod
    def of(cls, spec: ScreenSpec, ledger: Ledger, blocks: Iterable[Block]) -> Spending:
        """Begin to count; the records of blocks that are committed are read only where a budget asks for it."""
        if spec.budget.gpu_hours is None and spec.budget.money is None:
            return cls(spec)
        committed = ledger.committed()
        return cls(spec, sum(ledger.record(block.id).seconds for block in blocks if block.id in committed))

    @property
    def hours(self) -> float:
        """Hours of replicas so far."""
        return (self._earlier + self._replicas * (self._clock() - self._opened)) / 3600.0

    @property
    def spent(self) -> str:
        """Which limit is reached; empty as long as none is."""
        budget, hours = self._budget, self.hours
        if budget.gpu_hours is not None and hours * self._gpus >= budget.gpu_hours:
            return f"budget.gpu_hours: {budget.gpu_hours:g} hours of GPUs are spent"
        if budget.money is not None and hours * (budget.price_per_hour or 0.0) >= budget.money:
            return f"budget.money: {budget.money:g} is spent ({hours:.3g} hours of replicas)"
        return ""

    def watched(self, on_progress: OnProgress) -> OnProgress:
        """Pass progress on; once the budget is spent it raises `Cancelled`, and what is complete is published."""

        def heard(progress: Progress) -> None:
            on_progress(progress)
            if spent := self.spent:
                raise Cancelled(spent)

        return heard
