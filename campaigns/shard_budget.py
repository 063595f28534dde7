"""What a budget of cells and passes comes to in shards, and whether a plan keeps within it."""

from __future__ import annotations

from dataclasses import dataclass

from campaigns.errors import Problem
from campaigns.screen_spec import ScreenSpec
from campaigns.yaml_source import Source


@dataclass(frozen=True)
class ShardBudget:
    """Shards of a screen, and what one of them takes.

    Parameters
    ----------
    spec : ScreenSpec
    conditions : int
        Perturbations in contexts, those that are ranked.
    always_whole : int
        Controls and pseudo-perturbations: they get all shards, whatever is decided. With a precision controls alone:
        it is promised to pseudo-perturbations too, which count as conditions.
    models : int
        Members of an ensemble, or 1.
    """

    spec: ScreenSpec
    conditions: int
    always_whole: int
    models: int

    @property
    def cells_per_shard(self) -> int:
        """Cells of a shard of one condition with all models."""
        return self.models * self.spec.estimator.depth_strata

    @property
    def passes_per_shard(self) -> int:
        """Passes of the model behind them."""
        return self.cells_per_shard * self.spec.estimator.passes_per_cell

    @property
    def limit(self) -> int | None:
        """Shards of all ranked conditions together that the budget allows; None without one.

        What is always whole is taken off before.
        """
        budget = self.spec.budget
        limits = [
            allowed // size
            for allowed, size in ((budget.cells, self.cells_per_shard), (budget.passes, self.passes_per_shard))
            if allowed is not None
        ]
        return min(limits) - self.always_whole * self.spec.estimator.shards if limits else None

    @property
    def least(self) -> int:
        """Shards that have to be computed in any case."""
        spec = self.spec
        return self.conditions * self._first + self.always_whole * spec.estimator.shards

    @property
    def _first(self) -> int:
        return int((self.spec.choice or {"first": self.spec.estimator.shards})["first"])

    @property
    def _whole(self) -> str:
        return "controls and null" if self.spec.estimator.precision is None else "controls"

    def problems(self, source: Source) -> list[Problem]:
        """Say what an adaptive screen needs at least and the budget doesn't allow."""
        budget = self.spec.budget
        found = []
        for field, allowed, size in (
            ("cells", budget.cells, self.cells_per_shard),
            ("passes", budget.passes, self.passes_per_shard),
        ):
            if allowed is not None and self.least * size > allowed:
                text = (
                    f"the plan needs at least {self.least * size:,} {field} ({self.conditions:,} conditions x"
                    f" {self._first} first shards, {self._whole} whole),"
                    f" {self.least * size - allowed:,} more than the budget of {allowed:,}"
                )
                found.append(source.where(("budget", field)).problem(f"{text}; screen less or raise the budget"))
        return found
