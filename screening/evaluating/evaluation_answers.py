"""How questions are put to a predictor, and what comes back: effects with their errors, and drawn cells.

Every question is asked against its own control, with the same random numbers: an effect is condition minus control,
shard by shard. What a predictor has no words for is no failure of the evaluation: it stays unanswered, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from campaigns.evaluation_spec import EvaluationEstimatorSpec
from lingshu_core.cells import Cells, open_table
from lingshu_core.conditioning import Condition
from lingshu_core.errors import ConditionError, UnusableCells
from lingshu_core.estimator import EstimatorKind, ShardRequest, ShardResult
from lingshu_core.population_scores import CellGroup
from lingshu_core.prediction_checks import check_prediction, predicted_effects
from lingshu_core.predictor import Predictor
from lingshu_core.prior_genes import PriorInjection
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.splits import Question
from screening.errors import NonFiniteResult
from screening.running.worker import context_key

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What a contender said: by label of the question.

    ``effects`` and ``errors`` are (genes,), log1p counts per 10k and Monte Carlo standard error; ``cells`` are there
    where cells were asked for; ``unanswered`` tells why.
    """

    effects: Mapping[str, Array]
    errors: Mapping[str, Array]
    cells: Mapping[str, CellGroup] = field(default_factory=dict)
    unanswered: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Interview:
    """Asks one predictor, control by control.

    Parameters
    ----------
    predictor
        Who is asked.
    estimator
        Steps, schedule, guidance, shards, depth strata.
    seed
        Root of the random numbers.
    injection
        What the published prior pre-fills; None for nothing.
    exact
        Whether answers have no Monte Carlo error, so that one shard says all.
    panel
        Whether the genes are a panel of those that library sizes were counted over, so that the library size of a
        drawn cell isn't the sum of its counts.
    """

    def __init__(
        self,
        predictor: Predictor,
        estimator: EvaluationEstimatorSpec,
        seed: int,
        injection: PriorInjection | None = None,
        *,
        exact: bool = False,
        panel: bool = False,
    ) -> None:
        self._predictor, self._estimator, self._seed = predictor, estimator, seed
        self._settings = RevealSettings(estimator.steps, estimator.schedule, estimator.guidance)
        self._injection, self._shards, self._panel = injection, 1 if exact else estimator.shards, panel
        self._controls: dict[str, Array] = {}

    def ask(self, questions: Iterable[Question], drawn: Callable[[Question], int] | None = None) -> Answers:
        """Put all questions.

        Parameters
        ----------
        questions
            Conditions of one fold.
        drawn
            How many cells to draw for a question; None draws none.

        Raises
        ------
        NonFiniteResult
            If the predictor gave NaN or infinity.
        """
        effects, errors, cells, unanswered = {}, {}, {}, {}
        for question in questions:
            try:
                found = self._effects(question)
                if drawn is not None and drawn(question):
                    cells[question.label] = self._cells(question, drawn(question))
            except (ConditionError, UnusableCells) as reason:
                unanswered[question.label] = str(reason)
                continue
            if not np.isfinite(found).all():
                raise NonFiniteResult(f"non-finite effects for {question.label}; train again, or check the data")
            effects[question.label] = found.mean(axis=0)
            errors[question.label] = _standard_error(found)
        return Answers(effects, errors, cells, unanswered)

    def _effects(self, question: Question) -> Array:
        """Return the effect of a question in every shard, (shards, genes)."""
        condition = Condition(question.context, question.parts)
        key = context_key(dict(question.context))
        if key not in self._controls:
            self._controls[key] = self._means(condition.as_control())
        return self._means(condition) - self._controls[key]

    def _means(self, condition: Condition) -> Array:
        """Return the mean of log1p counts per 10k of every shard, (shards, genes)."""
        strata = self._estimator.depth_strata
        shards = [self._shard(condition, shard, strata, "variance_reduced") for shard in range(self._shards)]
        return np.stack([shard.moments[0] for shard in shards]).astype(np.float64)

    def _cells(self, question: Question, cells: int) -> CellGroup:
        shard = self._shard(Condition(question.context, question.parts), 0, cells, "sampled")
        if shard.counts is None:
            raise TypeError("a sampled shard has its counts")
        counts = sp.csr_matrix(np.floor(shard.counts))  # the middle of a bin may be no integer; counts have to be
        totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        return CellGroup(counts, shard.depth if self._panel else np.maximum(totals, 1.0))

    def _shard(self, condition: Condition, shard: int, cells: int, kind: EstimatorKind) -> ShardResult:
        context = dict(condition.context)
        request = ShardRequest(
            condition=condition,
            root=RandomRoot(self._seed, context_key(context), self._predictor.vocabulary.control),
            shard=shard,
            cells=cells,
            settings=self._settings,
            injected=self._injected(condition),
        )
        return self._predictor.estimate(request, kind)

    def _injected(self, condition: Condition) -> tuple[int, ...]:
        if self._injection is None or self._estimator.prior == "none":
            return ()
        return self._injection.genes([name for name, _ in condition.parts], condition.context)


def answers_from_cells(path: str, cells: Cells, questions: Sequence[Question], columns: Mapping[str, str]) -> Answers:
    """Take the answers of a model that only its predicted cells are known of.

    Raises
    ------
    UnreadableCells, PredictionRefused
        If the file can't be read, or the cells are none that could be scored fairly.
    """
    checked = check_prediction(open_table(path), cells, questions, columns=columns, source=path)
    effects = predicted_effects(checked, cells, questions)
    nothing = np.zeros(len(cells.genes))
    return Answers(effects, dict.fromkeys(effects, nothing), checked.groups, notes=checked.notes)


def _standard_error(shards: Array) -> Array:
    """Return the standard error of a mean over shards, (shards, genes) → (genes,); 0 where there is one only."""
    if len(shards) < 2:
        return np.zeros(shards.shape[1])
    return np.asarray(shards.std(axis=0, ddof=1) / np.sqrt(len(shards)))
