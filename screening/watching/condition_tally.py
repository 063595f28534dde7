"""How many conditions of a plan are complete while its blocks are being computed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Literal

from campaigns.plan import Plan

_FAILED = -1


class ConditionTally:
    """Counts conditions by what has become of their blocks.

    A condition is done when its last block is committed, and failed as soon as one is set aside. Where an allocation
    chooses blocks as it goes, that is the last of those chosen so far: one that gets more is open again.

    Parameters
    ----------
    plan
        Whose blocks are wanted, all or those that are chosen.
    missing
        Ids of the blocks that nobody has committed yet.

    Attributes
    ----------
    cached, done, failed, open
        Conditions that were complete before; that are by now; that lack a block for good; and all others.
    """

    def __init__(self, plan: Plan, missing: Iterable[str]) -> None:
        wanted = frozenset(missing)
        self._place = {key: place for place, planned in enumerate(plan.conditions) for key in planned.keys}
        self._left = array("l", bytes(array("l").itemsize * len(plan.conditions)))
        for block in plan.blocks:
            self._left[self._place[block.condition_key]] += block.id in wanted
        self._is_ours = bytearray(len(plan.conditions))  # something was computed for it by this run
        self.cached = self._left.count(0)
        self.done = self.failed = 0

    @property
    def open(self) -> int:
        """Conditions of which something is still to come."""
        return len(self._left) - self.cached - self.done - self.failed

    @property
    def counts(self) -> dict[Literal["cached", "done", "failed", "open"], int]:
        """All of them, by their name."""
        return {"cached": self.cached, "done": self.done, "failed": self.failed, "open": self.open}

    def choose(self, condition_key: str) -> None:
        """One more block of a condition is to be computed."""
        place = self._place[condition_key]
        if self._left[place] == _FAILED:
            return
        if self._left[place] == 0:
            self.done -= self._is_ours[place]
            self.cached -= not self._is_ours[place]
        self._left[place] += 1

    def settle(self, condition_key: str, failed: bool) -> None:
        """One more block of a condition is committed, or set aside."""
        place = self._place[condition_key]
        if self._left[place] == _FAILED:
            return
        self._is_ours[place] = True
        self._left[place] = _FAILED if failed else self._left[place] - 1
        self.failed += failed
        self.done += self._left[place] == 0
