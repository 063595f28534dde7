"""How well a model answers questions about conditions that it never saw, against the real cells of each.

Effects are depth-matched expectations, so real effects are taken raw and depth-matched. The own targets of a
perturbation and the genes that a prior pre-fills are left out. Clouds of drawn cells are compared with real ones in
30 principal components of the real cells; real cells against real cells stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint
from lingshu_core.conditioning import Condition
from lingshu_core.depths import pooled_depths
from lingshu_core.differences import matched_effect
from lingshu_core.estimator import EstimatorKind, ShardRequest, ShardResult, estimate_shard
from lingshu_core.methods import target_of
from lingshu_core.metrics import maximum_mean_discrepancy, pearson_delta
from lingshu_core.prior_genes import PriorInjection
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from screening.running.worker import context_key

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Effects = Mapping[str, Array]

SHARDS, STRATA = 4, 32
COMPONENTS, MOST_DRAWN = 30, 200
LEAST_TO_TELL_APART = 5
"""Perturbations below which telling them apart says nothing."""


@dataclass(frozen=True)
class Question:
    """A condition, and the real cells that answer: masks of its cells and of the controls, (cells,)."""

    label: str
    condition: Condition
    perturbed: Mask
    controls: Mask

    @property
    def targets(self) -> frozenset[str]:
        """Genes that were perturbed."""
        return frozenset(target_of(name) for name, _ in self.condition.parts)


class Truth:
    """What the real cells say about some questions.

    Parameters
    ----------
    cells
        All cells.
    questions
        What is asked.
    candidates
        Questions whose real effects stand beside when perturbations are told apart.
    """

    def __init__(self, cells: Cells, questions: Sequence[Question], candidates: Sequence[Question]) -> None:
        self.cells, self.questions, self.candidates = cells, tuple(questions), tuple(candidates)
        self.raw = {each.label: real_effect(cells, each.perturbed, each.controls) for each in candidates}
        self.matched = {each.label: matched_effect(cells, each.perturbed, each.controls) for each in questions}
        asked = np.any([each.perturbed | each.controls for each in questions], axis=0)
        # Genes without a molecule in these cells have no effect to be right about.
        self.seen = np.asarray(cells.counts[asked].sum(axis=0)).ravel() > 0
        self._components = PCA(COMPONENTS, random_state=0).fit(scaled(cells, asked))

    def used(self, question: Question, injected: Sequence[int] = ()) -> Mask:
        """Which genes count for a question, (genes,)."""
        used = self.seen & ~np.isin(np.array(self.cells.genes), list(question.targets))
        used[list(injected)] = False
        return used

    def agreement(self, predicted: Effects, used: Mapping[str, Mask] | None = None) -> dict[str, float]:
        """Compare predicted effects, (genes,) each, with the real ones: Pearson-Δ of every kind, and PDS."""
        used = used or {each.label: self.used(each) for each in self.questions}
        found = {
            "pearson_raw": _mean_pearson(predicted, self.raw, used),
            "pearson_matched": _mean_pearson(predicted, self.matched, used),
        }
        if min(len(predicted), len(self.raw)) >= LEAST_TO_TELL_APART:
            found["pds"] = perturbation_discrimination(predicted, self.raw, used)
        return found

    def discrepancy(self, draw: Callable[[Question, int], Array]) -> float:
        """Mean MMD over the questions of drawn cells, (cells, genes) ``log1p counts per 10k``, against real ones.

        As many cells are drawn as the real cells have in one of two halves, and compared with the other half.
        """
        found = []
        for question in self.questions:
            first, second = self.halves(question.perturbed)
            drawn = self._components.transform(draw(question, len(first)))
            found.append(maximum_mean_discrepancy(drawn, self._components.transform(scaled(self.cells, second))))
        return float(np.mean(found))

    def halves(self, group: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Split cells at random, the same way at every call, into two halves of at most ``MOST_DRAWN``."""
        order = np.random.default_rng(0).permutation(np.flatnonzero(group))
        size = min(len(order) // 2, MOST_DRAWN)
        return order[:size], order[size : 2 * size]


def scaled(cells: Cells, rows: npt.NDArray[np.generic]) -> Array:
    """Return ``log1p counts per 10k`` of some cells, (cells, genes)."""
    return np.log1p(1e4 * cells.counts[rows].toarray() / cells.depth[rows][:, None])


def _mean_pearson(predicted: Effects, real: Effects, used: Mapping[str, Mask]) -> float:
    return float(np.mean([pearson_delta(effect[used[at]], real[at][used[at]]) for at, effect in predicted.items()]))


def perturbation_discrimination(predicted: Effects, real: Effects, used: Mapping[str, Mask]) -> float:
    """Return the perturbation discrimination score with the L1 distance, averaged over the predictions.

    1 − rank / n, where rank is the number of the n real effects that are nearer to a prediction than its own; equal
    distances count half. A prediction that is the same for all gets about .5.
    """
    scores = []
    for label, effect in predicted.items():
        genes = used[label]
        distance = {name: float(np.abs(effect - its)[genes].sum()) for name, its in real.items()}
        others = np.array([value for name, value in distance.items() if name != label])
        rank = (others < distance[label]).sum() + 0.5 * (others == distance[label]).sum()
        scores.append(1.0 - rank / len(real))
    return float(np.mean(scores))


class Predictor:
    """Asks a trained model, condition and control with the same random numbers.

    Parameters
    ----------
    checkpoint
        The model.
    settings
        Steps, schedule and guidance.
    prior
        Whether the published prior is injected (``lingshu_core.prior_genes``).
    """

    def __init__(self, checkpoint: Checkpoint, settings: RevealSettings, *, prior: bool = False) -> None:
        self.checkpoint, self.settings = checkpoint, settings
        self._injection = (
            PriorInjection(checkpoint.vocabulary, checkpoint.priors) if prior and checkpoint.priors else None
        )
        self._controls: dict[str, Array] = {}

    def effect(self, condition: Condition) -> Array:
        """Return the depth-matched effect, log1p counts per 10k, (genes,)."""
        key = context_key(dict(condition.context))
        if key not in self._controls:
            self._controls[key] = self._mean(condition.as_control())
        return self._mean(condition) - self._controls[key]

    def drawn(self, condition: Condition, cells: int) -> Array:
        """Draw cells; ``log1p counts per 10k``, (cells, genes)."""
        shard = self._shard(condition, 0, cells, "sampled")
        if shard.counts is None:
            raise TypeError("a sampled shard has its counts")
        return np.log1p(1e4 * shard.counts / shard.depth[:, None])

    def injected(self, condition: Condition) -> tuple[int, ...]:
        """Return the genes that the prior pre-fills, as indices; none where there is no prior."""
        names = [name for name, _ in condition.parts]
        return self._injection.genes(names, condition.context) if self._injection else ()

    def _mean(self, condition: Condition) -> Array:
        shards = [self._shard(condition, shard, STRATA, "variance_reduced") for shard in range(SHARDS)]
        return np.mean([shard.moments[0] for shard in shards], axis=0, dtype=np.float64)

    def _shard(self, condition: Condition, shard: int, cells: int, kind: EstimatorKind) -> ShardResult:
        vocabulary, context = self.checkpoint.vocabulary, dict(condition.context)
        request = ShardRequest(
            condition=condition,
            root=RandomRoot(0, context_key(context), vocabulary.control),
            shard=shard,
            cells=cells,
            settings=self.settings,
            injected=self.injected(condition),
        )
        depths = pooled_depths(vocabulary, self.checkpoint.control_depths, context)
        return estimate_shard(self.checkpoint.denoiser, vocabulary, depths, request, kind)
