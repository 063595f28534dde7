"""Which blocks of a screen are computed next where an allocation chooses, and which its table is made of.

The allocation (`screening.allocating.allocation`) is told the scores of committed blocks and says how many shards it
wants; this turns shards into blocks of the plan. Nothing is remembered that isn't in the store: after an interruption
the same scores are read and the same decisions follow, block by block, until one is missing.

What is committed beyond (by a screen that shares the cache, or an earlier run with a larger budget) is not looked at
until it is asked for, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.planner import More
from actors.snapshot import Snapshot
from actors.tasks import Task
from campaigns.conditions import Context
from campaigns.plan import SHARDS_PER_BLOCK, Block, Plan, PlannedCondition
from screening.allocating.allocation import Verdict, describe
from screening.allocating.allocation_choice import chooses_by_score, open_allocation
from screening.allocating.halving import Halving
from screening.allocating.precision import Precision
from screening.deciding.hits import own_targets
from screening.errors import ObjectiveError
from screening.folding.aggregation import CommittedBlocks, blocks_by_condition, read_blocks
from screening.folding.shard_scores import measure_block
from screening.planning.campaign import PlannedCampaign
from screening.running.store import BlockResult

CONTROL_BLOCKS_KEPT = 64
"""Decoded blocks of controls in memory; each is asked for by every condition of its context."""

NO_FAILURES: Mapping[str, str] = {}


class AllocatedBlocks:
    """Turns what an allocation wants into blocks of a plan, and committed blocks into scores.

    Parameters
    ----------
    planned
        A campaign whose plan has an allocation.
    ledger
        Where blocks are read; what is committed in it is there from the beginning.
    """

    def __init__(self, planned: PlannedCampaign, ledger: Snapshot) -> None:
        self._planned, self._ledger = planned, ledger
        self._blocks = blocks_by_condition(planned.plan)
        # A precision is promised to the null too; where scores choose, the null has to be of all shards.
        chosen = ("perturbation",) if chooses_by_score(planned.plan) else ("perturbation", "null")
        self._ranked = [each for each in planned.plan.conditions if each.role in chosen]
        self._whole = [each for each in planned.plan.conditions if each.role == "null" and each.role not in chosen]
        self._controls = {each.condition.context: each for each in planned.plan.conditions if each.role == "control"}
        self.allocation = open_allocation(planned.plan, len(self._ranked))
        self._available = set(ledger.committed())
        self._asked = np.zeros(len(self._ranked), dtype=np.int64)
        self._of_control = dict.fromkeys(self._controls, 0)
        self._scored = np.zeros(len(self._ranked), dtype=np.int64)  # blocks
        self._waiting: dict[str, list[int]] = {}
        self._failed: set[int] = set()
        self._seen_failures: set[str] = set()
        self._control_block = lru_cache(CONTROL_BLOCKS_KEPT)(self._read_control)
        self._number = {each.key: place for place, each in enumerate(self._ranked)}

    def next(self, done: Iterable[str] = (), failed: Mapping[str, str] = NO_FAILURES) -> list[Block]:
        """Hear what was committed and set aside since, and return the blocks that are wanted and not there.

        Each block is returned once; controls first, then model by model.
        """
        news = list(done)
        self._available.update(news)
        for condition in self._concerned(news):
            self._score(condition)
        for block in failed.keys() - self._seen_failures:
            self._seen_failures.add(block)
            for condition in self._waiting.get(block, ()):
                self._fail(condition)
        return self._ask()

    def first_tasks(self) -> list[Task]:
        """Return the tasks that a run begins with: what is wanted by all that is committed, and not there."""
        return self.more_tasks((), NO_FAILURES)

    def more_tasks(self, done: Sequence[str], failed: Mapping[str, str]) -> list[Task]:
        """Return the tasks that follow, as `actors.planner.More`."""
        plan = self._planned.plan
        return [Task(block.id, plan.payload(block)) for block in self.next(done, failed)]

    @property
    def more(self) -> More:
        """What says which tasks follow from results."""
        return self.more_tasks

    def finish(self, ledger: CommittedBlocks) -> PlannedCampaign:
        """Take what is committed in the end, and return the campaign with the blocks of `used` for a plan."""
        self.next(ledger.committed())
        return replace(self._planned, plan=self.used)

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each block that decisions were made by."""
        return self._ledger.digests

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest says."""
        places = self._perturbations()
        found = self.allocation.facts(places) if isinstance(self.allocation, Precision) else {}
        shards = int(self._asked[places].sum())
        return {**dict(self._planned.plan.allocation or {}), "outcome": self.describe(), "shards": shards, **found}

    @property
    def asked(self) -> list[Block]:
        """All blocks that were wanted so far, in the order of the plan."""
        return self._within({key: (0, stop) for key, stop in self._shards_asked()})

    @property
    def used(self) -> Plan:
        """The plan with the blocks alone that the table is made of; a finalist's are those after its selection."""
        spans: dict[str, tuple[int, int]] = {}
        for place, planned in enumerate(self._ranked):
            verdict = None if place in self._failed else self.allocation.verdict(place)
            whole = (0, int(self._asked[place]))
            spans |= dict.fromkeys(planned.keys, whole if verdict is None else (verdict.first, verdict.stop))
        for key, stop in self._shards_asked():
            spans.setdefault(key, (0, stop))
        return replace(self._planned.plan, blocks=tuple(self._within(spans)))

    def columns(self, key: str) -> dict[str, Any]:
        """Return what a row of the ranked table says of its allocation."""
        place = self._number[key]
        verdict = None if place in self._failed else self.allocation.verdict(place)
        if verdict is None:
            return {"shards_drawn": int(self._asked[place])}
        bounds = {"allocation_low": _finite(verdict.low), "allocation_high": _finite(verdict.high)}
        return {"allocation": verdict.word, "shards_drawn": verdict.drawn, **bounds}

    def scored(self) -> Iterator[tuple[PlannedCondition, npt.NDArray[np.float64]]]:
        """Yield every condition with two scores at least, and the scores of its shards so far, (shards,)."""
        scores = self.allocation.scores
        for place in (each for each in self._perturbations().tolist() if scores.count[each] > 1):
            yield self._ranked[place], scores.of(place)

    def describe(self) -> str:
        """Say in a line what has come of it."""
        kind = (self._planned.plan.allocation or {})["kind"]
        verdicts: list[Verdict | None] = [self.allocation.verdict(place) for place in self._perturbations().tolist()]
        cut = isinstance(self.allocation, Halving) and self.allocation.ladder.cut
        note = "; the budget has cut its rungs" if cut else ""
        return f"{kind}: {describe(verdicts) or 'nothing is known yet'}{note}"

    def _ask(self) -> list[Block]:
        found: list[Block] = []
        while len(more := np.flatnonzero(self.allocation.wanted() > self._asked)):
            wanted = self.allocation.wanted()[more].tolist()
            for condition, shards in zip(more.tolist(), wanted, strict=True):
                found += self._extend(condition, shards)
            for condition in more.tolist():
                self._score(condition)
        missing = {block.id: block for block in found if block.id not in self._available}
        order = {key: (0, 0) for control in self._controls.values() for key in control.keys}
        order |= (
            {key: (1, model) for each in (*self._whole, *self._ranked) for model, key in enumerate(each.keys)}
            if len(self._planned.plan.members) > 1
            else {}
        )
        return sorted(missing.values(), key=lambda block: order.get(block.condition_key, (1, 0)))

    def _extend(self, condition: int, shards: int) -> Iterator[Block]:
        """Ask for further shards of a condition, and for those of its control that nobody has asked for yet."""
        planned, before = self._ranked[condition], int(self._asked[condition])
        context = planned.condition.context
        control = self._controls[context]
        first_time = self._of_control[context] == 0
        for whole in (each for each in self._whole if first_time and each.condition.context == context):
            for key in whole.keys:
                yield from self._blocks[key]
        shards_of_control = self._planned.plan.shards if first_time and self._has_null(context) else shards
        if shards_of_control > self._of_control[context]:
            for key in control.keys:
                yield from _between(self._blocks[key], self._of_control[context], shards_of_control)
            self._of_control[context] = shards_of_control
        self._asked[condition] = shards
        for key in planned.keys:
            yield from _between(self._blocks[key], before, shards)
        self._wait(condition, [b for key in (*planned.keys, *control.keys) for b in self._blocks[key]], before, shards)

    def _wait(self, condition: int, blocks: Sequence[Block], before: int, shards: int) -> None:
        """Note what a condition needs; what was set aside for another one won't come."""
        for block in _between(blocks, before, shards):
            if block.id in self._seen_failures:
                self._fail(condition)
            elif block.id not in self._available:
                self._waiting.setdefault(block.id, []).append(condition)

    def _has_null(self, context: Context) -> bool:
        return any(each.condition.context == context for each in self._whole)

    def _concerned(self, committed: Iterable[str]) -> Sequence[int]:
        """Return the conditions that were waiting for some blocks, each once, in the order of the plan."""
        return sorted({condition for block in committed for condition in self._waiting.pop(block, ())})

    def _score(self, condition: int) -> None:
        """Tell the allocation the scores of a condition, block after block, as far as they are there."""
        planned = self._ranked[condition]
        control = self._controls[planned.condition.context]
        while condition not in self._failed:
            number = int(self._scored[condition])
            if number * SHARDS_PER_BLOCK >= self._asked[condition]:
                return
            needed = [self._blocks[key][number] for key in (*planned.keys, *control.keys)]
            if any(block.id not in self._available for block in needed):
                return
            self._scored[condition] += 1
            self._observe(condition, planned, number)

    def _observe(self, condition: int, planned: PlannedCondition, number: int) -> None:
        context, vocabulary = planned.condition.context, self._planned.campaign.model.vocabulary
        targets = own_targets(planned.condition.perturbation, vocabulary)
        exclude = self._planned.campaign.spec.objective.exclude_own_targets
        mine = read_blocks([self._blocks[key][number] for key in planned.keys], self._ledger)
        readout, left_out = self._planned.readouts[context], targets if exclude else targets[:0]
        control, first = self._control_block(context, number), self._control_block(context, 0)
        try:
            found = measure_block(
                mine, control, first, readout, left_out, vocabulary.genes, self._planned.spaces.get(context)
            )
        except ObjectiveError:  # its row says why
            self._fail(condition)
        else:
            if isinstance(self.allocation, Precision):
                self.allocation.observe(condition, found.scores, found.effects)
            else:
                self.allocation.observe(condition, found.scores)

    def _read_control(self, context: Context, number: int) -> list[BlockResult]:
        return read_blocks([self._blocks[key][number] for key in self._controls[context].keys], self._ledger)

    def _fail(self, condition: int) -> None:
        self._failed.add(condition)
        self.allocation.fail(condition)

    def _perturbations(self) -> npt.NDArray[np.int64]:
        """Return the places of what is ranked, and not of the null."""
        return np.flatnonzero([each.role == "perturbation" for each in self._ranked])

    def _shards_asked(self) -> Iterator[tuple[str, int]]:
        for context, control in self._controls.items():
            yield from ((key, self._of_control[context]) for key in control.keys)
        for whole in self._whole:
            yield from ((key, self._planned.plan.shards) for key in whole.keys)
        for place, planned in enumerate(self._ranked):
            yield from ((key, int(self._asked[place])) for key in planned.keys)

    def _within(self, spans: Mapping[str, tuple[int, int]]) -> list[Block]:
        nothing = (0, 0)
        return [
            block for block in self._planned.plan.blocks if _starts_in(block, *spans.get(block.condition_key, nothing))
        ]


def _between(blocks: Collection[Block], first: int, stop: int) -> Iterator[Block]:
    return (block for block in blocks if _starts_in(block, first, stop))


def _starts_in(block: Block, first: int, stop: int) -> bool:
    return first <= block.first_shard < stop


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and np.isfinite(bound) else None
