"""What the coverage of intervals is measured on: combinations that were held out of training, with their answers.

* A simulated screen of single knock-outs in three cell types. Each is held out in one of them, and what it truly does
  there is known.
* Kang: interferon-beta in one cell type after the other; of each with at least 60 cells a condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.report import EXAMPLES
from campaigns.source import load_training
from campaigns.training_spec import TrainSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition
from lingshu_core.estimator import ShardRequest
from lingshu_core.measured_effect import MeasuredEffect, measured_effect, measured_score
from lingshu_core.predictor import Predictor, open_predictor
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.simulation_config import SimulationConfig
from lingshu_core.simulator import Simulation, simulate
from lingshu_core.uncertainty import Prediction
from screening.objective.readouts import read_data
from screening.running.worker import context_key
from screening.training.training_run import finish, prepare, training_config

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SHARDS, STRATA = 4, 16
LEAST_CELLS = 60
INTERFERON = "IFNB1"
KANG_EPOCHS = 8


@dataclass(frozen=True)
class Question:
    """A held-out condition, the real cells that answer it, and its true effect, (genes,), where that is known."""

    label: str
    group: str
    condition: Condition
    perturbed: Mask
    controls: Mask
    true: Array | None = None


@dataclass(frozen=True)
class Task:
    """Cells, what is left out of training, (cells,), and the questions; ``weights`` (genes,) make a score."""

    name: str
    spec: TrainSpec
    cells: Cells
    held: Mask
    questions: tuple[Question, ...]
    weights: Array


@dataclass(frozen=True)
class Answer:
    """Predicted effects of one question, own targets left out, and its predicted score; both with what was measured."""

    genes: Prediction
    score: Prediction
    true: Array | None = None
    true_score: float | None = None


def simulated(config: SimulationConfig, folder: Path, epochs: int) -> Task:
    """Simulate a screen in which every combination has cells, and hold each knock-out out in one cell type."""
    simulation = simulate(config)
    files = simulation.write(folder)
    columns = {role: role for role in ("perturbation", "perturbation_type", "cell_type", "donor")}
    content = {
        "kind": "train",
        "name": "coverage",
        "data": {"path": str(files.cells), "columns": columns, "context": ["cell_type"]},
        "training": {"epochs": epochs, "learning_rate": 0.001},
        "output": str(folder / "model"),
        "licence": "simulated",
    }
    spec = validate(TrainSpec, Source("benchmarks/coverage_questions.py", content))
    cells = read_data(spec.data)
    rng = np.random.default_rng(config.seed)
    types = sorted(set(cells.obs["cell_type"]))
    labels = sorted(set(cells.obs["perturbation"]) - {cells.control})
    questions = tuple(_simulated_question(simulation, cells, label, str(rng.choice(types))) for label in labels)
    held = np.any([each.perturbed for each in questions], axis=0)
    weights = np.isin(cells.genes, simulation.program) / len(simulation.program)
    return Task(f"simulation {config.seed}", spec, cells, held, questions, weights)


def _simulated_question(simulation: Simulation, cells: Cells, label: str, cell_type: str) -> Question:
    truth = simulation.true_effects
    row = np.asarray((truth.obs["perturbation"] == label) & (truth.obs["cell_type"] == cell_type))
    return _question(cells, label, cell_type, label, np.asarray(truth.X[row], dtype=float)[0])


def _question(cells: Cells, label: str, cell_type: str, group: str, true: Array | None = None) -> Question:
    here = cells.matching({"cell_type": cell_type})
    perturbed = here & np.asarray(cells.obs["perturbation"] == label)
    condition = Condition({"cell_type": cell_type}, ((label, None),))
    return Question(f"{label} in {cell_type}", group, condition, perturbed, here & cells.is_control, true)


def kang(cell_type: str, folder: Path) -> Task:
    """Leave the stimulated cells of one type out; the score is the mean over what interferon changes in the others."""
    spec = load_training(EXAMPLES / "kang/train.yaml").spec
    spec = spec.model_copy(update={"hold_out": (), "output": str(folder / "model")})
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"epochs": KANG_EPOCHS})})
    cells = read_data(spec.data)
    question = _question(cells, INTERFERON, cell_type, cell_type)
    others = ~cells.matching({"cell_type": cell_type})
    seen = measured_effect(cells, others & ~cells.is_control, others & cells.is_control)
    strongest = np.argsort(-seen.effect)[:50]
    weights = np.isin(np.arange(len(cells.genes)), strongest) / len(strongest)
    return Task(f"kang, {cell_type}", spec, cells, question.perturbed, (question,), weights)


def kang_cell_types(cells: Cells) -> list[str]:
    """Return the cell types with enough cells of both kinds, smallest first."""
    sizes = {}
    for cell_type in sorted(set(cells.obs["cell_type"])):
        here = cells.matching({"cell_type": cell_type})
        sizes[cell_type] = int(min((here & cells.is_control).sum(), (here & ~cells.is_control).sum()))
    return sorted((name for name, size in sizes.items() if size >= LEAST_CELLS), key=lambda name: sizes[name])


def train(task: Task, seed: int) -> Predictor:
    """Train a model without the held-out cells, or open it where it is there."""
    folder = f"{task.spec.output}-{seed}"
    if not Path(folder, "manifest.json").exists():
        spec = task.spec.model_copy(update={"output": folder})
        config = training_config(spec, {"seed": seed, "threads": 1})
        kept = (task.cells.select(~task.held), int(task.held.sum()))
        finish(spec, config, prepare(spec, config, kept))
    return open_predictor(folder)


def answers(task: Task, predictors: Sequence[Predictor]) -> list[Answer]:
    """Ask one model, or the members of an ensemble, everything."""
    controls: dict[str, Array] = {}
    return [_answer(task, question, predictors, controls) for question in task.questions]


def _answer(task: Task, question: Question, predictors: Sequence[Predictor], controls: dict[str, Array]) -> Answer:
    key = context_key(dict(question.condition.context))
    if key not in controls:
        controls[key] = _shards(predictors, question.condition.as_control())
    shards = _shards(predictors, question.condition) - controls[key]
    groups = (task.cells, question.perturbed, question.controls)
    own = [task.cells.genes.index(name) for name, _ in question.condition.parts if name in task.cells.genes]
    genes = _prediction(question, shards, measured_effect(*groups)).without(own)
    score = _prediction(question, shards @ task.weights[:, None], measured_score(*groups, task.weights))
    true_score = None if question.true is None else float(question.true @ task.weights)
    return Answer(genes, score, question.true, true_score)


def _prediction(question: Question, shards: Array, measured: MeasuredEffect) -> Prediction:
    return Prediction.of_shards(question.label, question.group, shards, measured)


def _shards(predictors: Sequence[Predictor], condition: Condition) -> Array:
    """Return the mean of every shard, log1p counts per 10k, (members, shards, genes)."""
    root = RandomRoot(0, context_key(dict(condition.context)), predictors[0].vocabulary.control)
    requests = [ShardRequest(condition, root, shard, STRATA, RevealSettings()) for shard in range(SHARDS)]
    found: Any = [[predictor.estimate(request).moments[0] for request in requests] for predictor in predictors]
    return np.asarray(found, dtype=np.float64)
