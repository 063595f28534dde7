"""The worker of an evaluation: holds the cells, and turns the payload of a unit into its bytes.

One unit is one contender on one fold with one seed: train it or open it, ask it the questions of the fold, score what
it says. What the real cells say of a fold is measured once and kept for the units that follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from campaigns.data_spec import DataSpec
from campaigns.evaluation_spec import REPLICATE, EvaluationEstimatorSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from lingshu_core.cells import Cells
from lingshu_core.predictor import open_predictor
from lingshu_core.splits import Fold, Split, load_split
from lingshu_core.training import pick_device
from screening.errors import BlockError
from screening.evaluating.evaluation_answers import Answers, Interview, answers_from_cells
from screening.evaluating.evaluation_plan import GIVEN_CELLS, SCORING_VERSION, UNIT_FORMAT
from screening.evaluating.evaluation_scores import FoldScorer
from screening.evaluating.evaluation_store import UnitResult, encode_unit
from screening.evaluating.evaluation_training import Place, Trained, prefilled_genes, train_on_fold
from screening.objective.readouts import read_data


def open_evaluation_worker(
    data: Mapping[str, Any],
    split: str,
    models: str,
    device: str = "cpu",
    threads: int = 1,
    licence: str = "not stated",
    source: str = "not stated",
) -> EvaluationWorker:
    """Read the cells and the split; called by name in the replica's own process.

    Parameters
    ----------
    data
        The ``data`` block.
    split
        Path or URL of the saved split.
    models
        Folder or URL below which models are trained.
    device, threads
        Where and with how many CPU threads to train and predict.
    licence, source
        Of the data, for the checkpoints.

    Raises
    ------
    DataError, SplitError
        If cells or split can't be used, or don't belong together.
    """
    torch.set_num_threads(threads)
    spec = validate(DataSpec, Source("data", dict(data)))
    cells = read_data(spec)
    return EvaluationWorker(cells, load_split(split, cells), spec, Place(models, device, threads, licence, source))


@dataclass
class EvaluationWorker:
    """Computes units; one at a time, in one thread."""

    cells: Cells
    split: Split
    data: DataSpec
    place: Place
    _digest: str = field(init=False)
    _panel: bool = field(init=False)
    _scorers: dict[str, FoldScorer] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Name the cells, and see whether their library sizes are sums of the counts that are here."""
        self._digest = self.cells.digest()
        self._panel = not np.array_equal(self.cells.depth, np.asarray(self.cells.counts.sum(axis=1)).ravel())

    def run(self, payload: bytes) -> bytes:
        """Compute one unit: payload is the plan's JSON, the result the bytes of a :class:`UnitResult`.

        Raises
        ------
        BlockError
            If the plan was made by another version, or for other cells.
        LeakError
            If a model is about to learn from what it will be asked.
        LingshuCoreError
            If the model can't be trained or asked.
        """
        request = json.loads(payload)
        self._check(request)
        # The packages of evaluators start numba, which raises the number of threads of torch and sklearn behind them.
        with threadpool_limits(self.place.threads):
            return self._computed(request)

    def _computed(self, request: Mapping[str, Any]) -> bytes:
        fold = self.split.fold(request["fold"])
        scorer = self._scorer(fold, request)
        if request["source"]["kind"] == REPLICATE:
            empty = np.zeros((0, len(self.cells.genes)), dtype=np.float32)
            return encode_unit(UnitResult((), empty, empty, scorer.ceiling()))
        answers, facts = self._answers(fold, request, scorer)
        return encode_unit(_result(answers, fold, scorer, facts))

    def _check(self, request: Mapping[str, Any]) -> None:
        if request["format"] != UNIT_FORMAT or request["versions"]["scoring"] != SCORING_VERSION:
            raise BlockError(
                f"the plan has format {request['format']} and scores version {request['versions']['scoring']}, this"
                f" replica {UNIT_FORMAT} and {SCORING_VERSION}: install one version of lingshu-screen on all nodes"
            )
        if request["data"] != self._digest:
            raise BlockError("the cells are not those that the plan was made for; they changed since: evaluate again")

    def _scorer(self, fold: Fold, request: Mapping[str, Any]) -> FoldScorer:
        """Return what the real cells say of a fold; units come fold by fold, so the latest is enough."""
        if fold.name not in self._scorers:
            prefilled = prefilled_genes(request["prefilled"], self.cells, fold)
            self._scorers = {fold.name: FoldScorer(self.cells, fold, tuple(request["metrics"]), prefilled)}
        return self._scorers[fold.name]

    def _answers(self, fold: Fold, request: Mapping[str, Any], scorer: FoldScorer) -> tuple[Answers, Mapping[str, Any]]:
        source = request["source"]
        if source["kind"] == GIVEN_CELLS:
            answers = answers_from_cells(source["path"], self.cells, fold.questions, self.data.columns.named)
            return answers, {"paths": "given cells"}
        trained = self._trained(fold, request)
        estimator = validate(EvaluationEstimatorSpec, Source("estimator", dict(request["estimator"])))
        interview = Interview(
            trained.predictor,
            estimator,
            int(request["seed"]),
            trained.injection,
            exact=trained.is_baseline,
            panel=self._panel,
        )
        drawn = scorer.cells_wanted(estimator.cells)
        return interview.ask((*fold.questions, *fold.calibration), drawn), trained.facts

    def _trained(self, fold: Fold, request: Mapping[str, Any]) -> Trained:
        source = request["source"]
        if source["kind"] == "checkpoint":
            predictor = open_predictor(source["folder"], pick_device(self.place.device))
            if predictor.header.digest != source["digest"]:
                raise BlockError(f"{source['folder']}: the model changed since the plan was made; evaluate again")
            return Trained.of(predictor)
        name, seed = request["contender"], int(request["seed"])
        return train_on_fold(source, name, seed, fold, self.data, self.cells, self.place)


def _result(answers: Answers, fold: Fold, scorer: FoldScorer, facts: Mapping[str, Any]) -> UnitResult:
    labels = tuple(answers.effects)
    errors = [answers.errors[label] for label in labels]
    return UnitResult(
        labels=labels,
        effects=_stacked([answers.effects[label] for label in labels], scorer.genes),
        errors=_stacked(errors if np.any(errors) else [], scorer.genes),  # those of a baseline are zero
        scores=scorer.scores(answers),
        unanswered=answers.unanswered,
        facts={**facts, "notes": list(answers.notes)},
    )


def _stacked(rows: Sequence[np.ndarray], genes: int) -> np.ndarray:
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, genes), dtype=np.float32)
