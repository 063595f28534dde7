"""Combinations beside their parts, shard by shard and on the same genes.

All conditions of a context share their random numbers, so shard r of A+B pairs with shard r of A and of B, and the
error of ``A+B − A − B`` comes from paired differences, as that of an effect does. A score leaves own targets out: A+B
leaves out two, A one. Here the parts are scored once more without all targets of the combination, or the difference
would be partly one of genes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from campaigns.conditions import Context, Perturbation
from campaigns.plan import Plan
from campaigns.screen_spec import PRECISION
from lingshu_core.vocabulary import Vocabulary
from screening.deciding.hits import own_targets
from screening.errors import ObjectiveError
from screening.folding.aggregation import Folded
from screening.folding.effects import Moments
from screening.objective.objectives import Array, Readout, score_members

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CombinationScore:
    """One combination in one context.

    Attributes
    ----------
    perturbation, context
        What was asked.
    whole
        Its score with every member in every shard, (members, shards).
    parts
        Those of its parts on the same genes, (parts, members, shards).
    reason
        Why there are no scores; empty where there are, and then only.
    """

    perturbation: Perturbation
    context: Context
    whole: Array
    parts: Array
    reason: str = ""


class CombinationScores:
    """Gathers the combinations of a screen whose parts are in it, too; one context is in memory at a time.

    Parameters
    ----------
    perturbations
        All that the screen asks about.
    readouts
        Of every context.
    vocabulary
        Of the model.
    exclude_own_targets
        Whether scores leave the own targets of genetic perturbations out.
    from_first_shard
        Whether every condition is estimated from its first shard on, however many it has; then a combination is
        compared with its parts on the shards that all of them have.
    """

    def __init__(
        self,
        perturbations: Iterable[Perturbation],
        readouts: Mapping[Context, Readout],
        vocabulary: Vocabulary,
        *,
        exclude_own_targets: bool,
        from_first_shard: bool = False,
    ) -> None:
        asked = set(perturbations)
        single = {each.label for each in asked if len(each.parts) == 1}
        several = (each for each in asked if len(each.parts) > 1)
        self._wanted = {each for each in several if single.issuperset(part.label for part in each.parts)}
        self._part_labels = {part.label for each in self._wanted for part in each.parts}
        self._readouts = readouts
        self._vocabulary = vocabulary
        self._exclude_own_targets = exclude_own_targets
        self._from_first_shard = from_first_shard
        self._context: _ContextCombinations | None = None
        self._found: list[CombinationScore] = []

    @classmethod
    def of(
        cls, plan: Plan, readouts: Mapping[Context, Readout], vocabulary: Vocabulary, *, exclude_own_targets: bool
    ) -> CombinationScores:
        """Gather those of a plan."""
        perturbations = (planned.condition.perturbation for planned in plan.conditions)
        from_first = plan.allocation is not None and plan.allocation["kind"] == PRECISION
        return cls(
            perturbations, readouts, vocabulary, exclude_own_targets=exclude_own_targets, from_first_shard=from_first
        )

    def add(self, folded: Folded) -> None:
        """Take in a condition; those of a context come one after the other."""
        condition = folded.planned.condition
        perturbation = condition.perturbation
        whole = perturbation in self._wanted
        if not whole and (len(perturbation.parts) != 1 or perturbation.label not in self._part_labels):
            return
        if self._context is None or self._context.context != condition.context:
            self._end_context()
            self._context = _ContextCombinations(
                condition.context, self._readouts[condition.context], self._vocabulary, self._exclude_own_targets
            )
        self._context.add(folded, whole=whole)

    def found(self) -> list[CombinationScore]:
        """Return all that was gathered, in the order of contexts and labels."""
        self._end_context()
        return sorted(self._found, key=lambda each: (each.context.label, each.perturbation.label))

    def _end_context(self) -> None:
        if self._context is not None:
            self._found.extend(self._context.scores(from_first_shard=self._from_first_shard))
            self._context = None


class _ContextCombinations:
    """Combinations and parts of one context; of the parts only the genes of the objective are kept."""

    def __init__(self, context: Context, readout: Readout, vocabulary: Vocabulary, exclude_own_targets: bool) -> None:
        self.context = context
        self._used = np.flatnonzero(readout.needed)
        self._readout = readout.restricted_to(self._used)
        self._genes = tuple(vocabulary.genes[gene] for gene in self._used)
        self._vocabulary = vocabulary
        self._exclude_own_targets = exclude_own_targets
        self._parts: dict[str, tuple[tuple[Moments, Moments], ...] | str] = {}
        self._whole: list[tuple[Perturbation, Array | str]] = []
        self._scored: dict[tuple[str, tuple[int, ...]], Array] = {}
        self._controls: list[tuple[Moments, Moments]] = []  # of each member, whole and cut: the same for all conditions

    def add(self, folded: Folded, *, whole: bool) -> None:
        perturbation = folded.planned.condition.perturbation
        kept = self._kept(folded)
        if whole:
            score = kept if isinstance(kept, str) else self._score(kept, self._left_out(perturbation))
            self._whole.append((perturbation, score))
        else:
            self._parts[perturbation.label] = kept

    def scores(self, *, from_first_shard: bool) -> Iterator[CombinationScore]:
        for perturbation, whole in self._whole:
            left_out = self._left_out(perturbation)
            parts = [self._part(part.label, left_out) for part in perturbation.parts]
            labels = [perturbation.label, *(part.label for part in perturbation.parts)]
            arrays = _arrays([whole, *parts])
            if from_first_shard:  # (members, shards) each
                arrays = [each[:, : min(other.shape[1] for other in arrays)] for each in arrays]
            reason = _first_reason(labels, [whole, *parts])
            if not reason and len({each.shape for each in arrays}) > 1:
                reason = "the allocation gave it and its parts different numbers of shards"
            if reason:
                yield CombinationScore(perturbation, self.context, np.empty((0, 0)), np.empty((0, 0, 0)), reason)
            else:
                yield CombinationScore(perturbation, self.context, arrays[0], np.stack(arrays[1:]))

    def _part(self, label: str, left_out: tuple[int, ...]) -> Array | str:
        kept = self._parts.get(label, "not in this context")
        if isinstance(kept, str):
            return kept
        if (label, left_out) not in self._scored:
            score = self._score(kept, left_out)
            if isinstance(score, str):
                return score
            self._scored[label, left_out] = score
        return self._scored[label, left_out]

    def _score(self, members: tuple[tuple[Moments, Moments], ...], left_out: tuple[int, ...]) -> Array | str:
        try:
            return score_members(members, self._readout, np.array(left_out, dtype=np.int64), self._genes).by_shard
        except ObjectiveError as error:
            return str(error)

    def _kept(self, folded: Folded) -> tuple[tuple[Moments, Moments], ...] | str:
        if folded.moments is None or folded.control is None:
            return folded.reason
        members = folded.members or ((folded.moments, folded.control),)
        return tuple((self._cut(condition), self._cut_control(control)) for condition, control in members)

    def _cut_control(self, control: Moments) -> Moments:
        for whole, cut in self._controls:
            if whole is control:
                return cut
        self._controls.append((control, self._cut(control)))
        return self._controls[-1][1]

    def _left_out(self, perturbation: Perturbation) -> tuple[int, ...]:
        """Places among the genes of the objective of the own targets, ascending."""
        if not self._exclude_own_targets:
            return ()
        targets = own_targets(perturbation, self._vocabulary)
        return tuple(np.flatnonzero(np.isin(self._used, targets)).tolist())

    def _cut(self, moments: Moments) -> Moments:
        """Copy what scores are made of, and no counts; a view would keep all genes in memory."""
        return Moments(
            log1p=moments.log1p[:, self._used],
            counts=np.empty((len(moments.log1p), 0)),
            log1p_square=moments.log1p_square[self._used],
            counts_square=np.empty(0),
            cells=moments.cells,
            placed=moments.placed,
        )


def _first_reason(labels: Sequence[str], scores: Sequence[Array | str]) -> str:
    return next((f"{label}: {each}" for label, each in zip(labels, scores, strict=True) if isinstance(each, str)), "")


def _arrays(scores: Iterable[Array | str]) -> list[Array]:
    return [score for score in scores if not isinstance(score, str)]
