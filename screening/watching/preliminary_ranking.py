"""Who leads so far: conditions scored from what is committed while a run still predicts.

It is for people who watch, and decides nothing: no null, no decisions, no gates, and conditions that are still to come.
The score of a condition is the one that the table will have, because a condition counts only when all of its blocks and
all of its control's are there.

It must not slow a run down. So it works in a thread of its own, reads each block once (a control once a look), stops a
look after some seconds, and rests fifty times as long as it worked: 2 % of one core at most. Where an allocation
chooses the shards, it has scored them already, and they are only ranked.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from types import TracebackType

import numpy as np

from actors.errors import ActorsError
from actors.ledger import Ledger
from actors.snapshot import Snapshot
from campaigns.plan import Block, Plan, PlannedCondition
from screening.allocating.allocated_blocks import AllocatedBlocks
from screening.deciding.hits import own_targets
from screening.errors import ObjectiveError, ScreeningError
from screening.folding.aggregation import Folded, blocks_by_condition, fold
from screening.folding.effects import standard_error
from screening.objective.objectives import score_members
from screening.planning.campaign import PlannedCampaign
from screening.running.wanted_blocks import WantedBlocks
from screening.watching.run_news import LONGEST_LABEL, Leader, Leading, unit_of

FIRST_SECONDS = 10.0
REST_SECONDS = 30.0
"""Between two looks at least."""
SHARE = 0.02
LOOK_SECONDS = 5.0
"""A look ends after so long, and the next one goes on from there."""
LEADERS = 5
MOST_CONDITIONS = 100_000
"""Of more conditions an index of their blocks would take memory that a planner should not need."""
END_SECONDS = 5.0
STORE_SECONDS = 5.0
"""How long a look waits for a store that doesn't answer."""


class PreliminaryRanking:
    """Ranks what is complete, in a thread, for as long as its context lasts.

    Parameters
    ----------
    planned
        A campaign without allocation.
    ledger
        Where blocks are read.
    """

    def __init__(self, planned: PlannedCampaign, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._planned, self._clock = planned, clock
        self._ledger = Ledger(ledger.blobs, patience_seconds=STORE_SECONDS)
        self._ranked = [each for each in planned.plan.conditions if each.role == "perturbation"]
        self._scored = np.zeros(len(self._ranked), dtype=np.bool_)
        self._best: list[tuple[float, int, Leader]] = []  # a heap, the worst of the best first
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="preliminary ranking", daemon=True)
        self._latest: Leading | None = None

    def __enter__(self) -> PreliminaryRanking:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what is being scored is thrown away."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)

    @property
    def latest(self) -> Leading | None:
        """Who leads by the latest look; None before the first."""
        return self._latest

    def look(self) -> None:
        """Score conditions that have become complete, for some seconds.

        A store that doesn't answer or a block that is damaged is told in the news: the run will say more of it.
        """
        until = self._clock() + LOOK_SECONDS
        why = ""
        try:
            for place, leader in self._newly_scored():
                self._scored[place] = True
                if leader is not None:
                    self._keep(place, leader)
                if self._stopped.is_set() or self._clock() > until:
                    break
        except (ActorsError, ScreeningError) as error:
            why = " ".join(str(error).split())[:LONGEST_LABEL]
        best = tuple(leader for _, _, leader in sorted(self._best, reverse=True))
        self._latest = Leading(best, int(self._scored.sum()), len(self._ranked), unit_of(self._planned), why)

    def _go_on(self) -> None:
        rest = FIRST_SECONDS
        while not self._stopped.wait(rest):
            started = self._clock()
            self.look()
            rest = max(REST_SECONDS, (self._clock() - started) / SHARE)

    def _newly_scored(self) -> Iterator[tuple[int, Leader | None]]:
        """Yield conditions that are complete and were not scored before; those that can't be scored without leader."""
        ledger = Snapshot(self._ledger)
        places = self._ready(ledger.committed())
        numbers = {self._ranked[place].key: place for place in places}
        part = self._part([self._ranked[place] for place in places])
        for folded in fold(part, ledger, {}, spaces=self._planned.spaces):
            yield numbers[folded.planned.key], self._leader(folded)

    def _ready(self, committed: frozenset[str]) -> Sequence[int]:
        """Return the places of conditions that can be scored now."""
        there = {
            planned.condition.context
            for planned in self._planned.plan.conditions
            if planned.role == "control" and self._is_there(planned, committed)
        }
        waiting = np.flatnonzero(~self._scored).tolist()
        candidates = (place for place in waiting if self._ranked[place].condition.context in there)
        return [place for place in candidates if self._is_there(self._ranked[place], committed)]

    def _is_there(self, planned: PlannedCondition, committed: frozenset[str]) -> bool:
        return all(block.id in committed for key in planned.keys for block in self._blocks[key])

    @cached_property
    def _blocks(self) -> dict[str, list[Block]]:
        return blocks_by_condition(self._planned.plan)

    def _part(self, ready: Sequence[PlannedCondition]) -> Plan:
        """Return the plan of these conditions and their controls alone, in the order of the whole."""
        keys = {planned.key for planned in ready}
        contexts = {planned.condition.context for planned in ready}
        conditions = tuple(
            planned
            for planned in self._planned.plan.conditions
            if planned.key in keys or (planned.role == "control" and planned.condition.context in contexts)
        )
        blocks = tuple(block for planned in conditions for key in planned.keys for block in self._blocks[key])
        return replace(self._planned.plan, conditions=conditions, blocks=blocks)

    def _leader(self, folded: Folded) -> Leader | None:
        if folded.moments is None or folded.control is None:
            return None
        condition, model = folded.planned.condition, self._planned.campaign.model
        targets = own_targets(condition.perturbation, model.vocabulary)
        left_out = targets if self._planned.campaign.spec.objective.exclude_own_targets else targets[:0]
        members = folded.members or ((folded.moments, folded.control),)
        try:
            score = score_members(members, self._planned.readouts[condition.context], left_out, model.vocabulary.genes)
        except ObjectiveError:  # its row will say why
            return None
        return leader_of(folded.planned, score.score, score.score_se)

    def _keep(self, place: int, leader: Leader) -> None:
        entry = (leader.score, -place, leader)
        if len(self._best) < LEADERS:
            heapq.heappush(self._best, entry)
        else:
            heapq.heappushpop(self._best, entry)


class AllocatedRanking:
    """Ranks what an allocation has scored, in the thread that asks; the allocation belongs to it.

    Parameters
    ----------
    blocks
        Of the campaign.
    """

    def __init__(
        self, planned: PlannedCampaign, blocks: AllocatedBlocks, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._planned, self._blocks, self._clock = planned, blocks, clock
        self._due = clock() + FIRST_SECONDS
        self._latest: Leading | None = None

    def __enter__(self) -> AllocatedRanking:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to stop."""

    @property
    def latest(self) -> Leading | None:
        """Who leads by the mean score of its shards so far; None before the first look."""
        started = self._clock()
        if started >= self._due:
            self._latest = self._look()
            now = self._clock()
            self._due = now + max(REST_SECONDS, (now - started) / SHARE)
        return self._latest

    def _look(self) -> Leading:
        scored = list(self._blocks.scored())
        best = heapq.nlargest(LEADERS, scored, key=lambda each: float(each[1].mean()))
        leaders = tuple(leader_of(each, float(scores.mean()), float(standard_error(scores))) for each, scores in best)
        ranked = sum(each.role == "perturbation" for each in self._planned.plan.conditions)
        return Leading(leaders, len(scored), ranked, unit_of(self._planned))


class NoRanking:
    """Ranks nothing, and says why."""

    def __init__(self, why: str) -> None:
        self.latest: Leading | None = Leading(why_not=why)

    def __enter__(self) -> NoRanking:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to stop."""


Ranking = PreliminaryRanking | AllocatedRanking | NoRanking


def open_ranking(planned: PlannedCampaign, ledger: Ledger, blocks: WantedBlocks, *, is_rehearsal: bool) -> Ranking:
    """Return what ranks a campaign while it runs."""
    if is_rehearsal:  # it would meet faults that are meant for the run, and take them from it
        return NoRanking("not in a rehearsal")
    if sum(each.role == "perturbation" for each in planned.plan.conditions) > MOST_CONDITIONS:
        return NoRanking(f"not for more than {MOST_CONDITIONS:,} conditions")
    if isinstance(blocks, AllocatedBlocks):
        return AllocatedRanking(planned, blocks)
    return PreliminaryRanking(planned, ledger)


def leader_of(planned: PlannedCondition, score: float, score_se: float) -> Leader:
    """Name a condition and its score so far."""
    condition = planned.condition
    return Leader(
        condition.perturbation.label[:LONGEST_LABEL], condition.context.label[:LONGEST_LABEL], score, score_se
    )
