"""Unseen perturbations: Papalexi's 25 knock-outs in five folds, each predicted from features alone.

Five targets at a time are left out of training with all of their cells, and asked of a model that knows them by
Reactome gene sets, DoRothEA links and co-expression (as in the doubles). Half of the control cells is left out too:
the truth is measured against it alone. Folds and that half change with the seed.

"Strong" are the eight targets whose real effect is largest beyond noise, in all cells. A row is a setting and a seed;
its figures are appended to results/benchmarks/unseen/rows.jsonl, and what is there is not computed again.
``--table`` prints what there is: medians over the seeds that were run, and *not run*.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import RidgeCV

from benchmarks.ablation_data import half_of
from benchmarks.agreement import Predictor, Question, Truth
from benchmarks.report import DATA, EXAMPLES, RESULTS, table
from campaigns.feature_spec import FeaturesSpec
from campaigns.source import load_training
from campaigns.training_spec import ModelSpec, TrainSpec
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint, load_checkpoint
from lingshu_core.conditioning import Condition
from lingshu_core.denoiser import configuration
from lingshu_core.drug_baselines import neighbour_effects
from lingshu_core.metrics import pearson_delta
from lingshu_core.perturbation_features import PerturbationFeatures
from lingshu_core.preparation import build_vocabulary
from lingshu_core.reveal import RevealSettings
from screening.objective.readouts import read_data
from screening.training.features import build_features
from screening.training.training_run import Prepared, build_trainer, finish, training_config

Array = npt.NDArray[np.float64]
Effects = dict[str, Array]

FOLDS, SEEDS, EPOCHS = 5, (0, 1, 2), 6
STRONG = 8
FOLDER = RESULTS / "unseen"
FILE = FOLDER / "rows.jsonl"
PENALTIES = np.logspace(-2, 4, 13)
FIGURES = {
    "pearson": "Pearson-Δ, all",
    "strong": "strong eight",
    "strong_matched": "strong eight, depth-matched",
    "pds": "PDS",
    "error": "error norm, strong eight",
    "cpu_seconds": "training, CPU s",
}


@dataclass(frozen=True)
class Row:
    """One setting of the model; ``shuffled`` gives each target the features of another one."""

    factor: str
    value: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    guidance: float = 0.0
    shuffled: bool = False

    @property
    def folder(self) -> str:
        """Name of what is trained: rows that differ in the guidance only share it."""
        changed = {**self.overrides, **self.training, **({"features": "shuffled"} if self.shuffled else {})}
        return "-".join(f"{name}={value}" for name, value in changed.items()) or "base"


ROWS = (
    Row("base", f"rank 48, identity dropout .5, weight decay .01, {EPOCHS} epochs"),
    Row("features", "shuffled among the targets", shuffled=True),
    Row("rank", "16", {"condition_rank": 16}),
    Row("rank", "96", {"condition_rank": 96}),
    Row("paths", "tilt only (no pooled path)", {"pooled_width": 0}),
    Row("identity dropout", ".25", training={"identity_dropout": 0.25}),
    Row("identity dropout", ".75", training={"identity_dropout": 0.75}),
    Row("guidance", "w = 1", guidance=1.0),
    Row("weight decay", ".1", training={"weight_decay": 0.1}),
    Row("weight decay", "0", training={"weight_decay": 0.0}),
    Row("epochs", "12", training={"epochs": 12}),
)
"""In the order in which they are run."""


@dataclass(frozen=True)
class Experiment:
    """The cells with one seed's truth and folds; ``test_controls`` (cells,) belong to the truth alone."""

    seed: int
    spec: TrainSpec
    cells: Cells
    test_controls: npt.NDArray[np.bool_]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All targets."""
        return tuple(sorted(set(self.cells.obs["perturbation"]) - {self.cells.control}))

    @cached_property
    def truth(self) -> Truth:
        """Real effects against the test controls."""
        context = {"cell_type": str(self.cells.obs["cell_type"].iloc[0])}
        questions = [
            Question(label, Condition(context, ((label, None),)), self.of(label), self.test_controls)
            for label in self.labels
        ]
        return Truth(self.cells, questions, questions)

    @cached_property
    def shared(self) -> Effects:
        """Real effects against the controls that are trained on: what a baseline may know of seen targets."""
        controls = self.cells.is_control & ~self.test_controls
        return {label: real_effect(self.cells, self.of(label), controls) for label in self.labels}

    @cached_property
    def strong(self) -> tuple[str, ...]:
        """Targets with the largest squared effect beyond noise, the same for every seed."""
        controls = self.cells.is_control
        size = {label: _size_beyond_noise(self.cells, self.of(label), controls) for label in self.labels}
        return tuple(sorted(self.labels, key=lambda label: -size[label])[:STRONG])

    @cached_property
    def folds(self) -> list[list[str]]:
        """Which targets are left out together."""
        order = np.random.default_rng([self.seed, 2026]).permutation(self.labels)
        return [sorted(order[fold::FOLDS].tolist()) for fold in range(FOLDS)]

    def of(self, label: str) -> npt.NDArray[np.bool_]:
        """Cells of a target, (cells,)."""
        return np.asarray(self.cells.obs["perturbation"] == label)

    def training_cells(self, held: Sequence[str]) -> Cells:
        """All but the test controls and the cells of these targets."""
        out = self.test_controls | np.asarray(self.cells.obs["perturbation"].isin(held))
        return self.cells.select(~out)


def _size_beyond_noise(cells: Cells, perturbed: Any, controls: Any) -> float:
    """Return the squared norm of the effect less the part that sampling alone would give it."""
    noise = 0.0
    for group in (perturbed, controls):
        values = np.log1p(1e4 * cells.counts[group].toarray() / cells.depth[group][:, None])
        noise += float(values.var(axis=0, ddof=1).sum() / len(values))
    return float((real_effect(cells, perturbed, controls) ** 2).sum()) - noise


def main() -> None:
    """Run rows until the time is used up, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    factors = list(dict.fromkeys(row.factor for row in ROWS))
    parser.add_argument("--factor", default=",".join(factors), help=", ".join(factors))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="0,1,2")
    parser.add_argument("--minutes", type=float, default=20.0, help="start no new row after this time [20]")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    parser.add_argument("--json", action="store_true", help="print all rows as one JSON list, last line")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.factor.split(",")) - set(factors))
    if unknown:
        parser.error(f"--factor {unknown[0]}: there are {', '.join(factors)}")
    if not arguments.table:
        if not DATA.exists():
            parser.error(f"{DATA} is not there; set LINGSHU_DATA to the folder with the data sets")
        torch.set_num_threads(1)
        run(arguments.factor.split(","), [int(seed) for seed in arguments.seeds.split(",")], arguments.minutes)
    show()
    if arguments.json:
        print(json.dumps(read_records(), ensure_ascii=False))


def run(factors: Sequence[str], seeds: Sequence[int], minutes: float) -> None:
    """Compute the rows that are not there, seed by seed, until the time is used up."""
    started = time.monotonic()
    there = {(record["factor"], record["value"], record["seed"]) for record in read_records()}
    for seed in seeds:
        experiment = _experiment(seed)
        for factor, value, compute in _work(experiment, factors):
            if (factor, value, seed) in there:
                continue
            if time.monotonic() - started > 60 * minutes:
                print(f"{minutes:g} minutes are over; start again to go on", file=sys.stderr)
                return
            record = {"factor": factor, "value": value, "seed": seed, **compute()}
            _append(record)
            shown = {key: record.get(key) for key in FIGURES}
            print(f"seed {seed}, {factor}, {value}: {shown}", file=sys.stderr, flush=True)


def _experiment(seed: int) -> Experiment:
    loaded = load_training(EXAMPLES / "papalexi/train.yaml").spec
    priors = DATA / "priors"
    sources = [
        {"kind": "gene_sets", "file": str(priors / "reactome.gmt.gz"), "licence": "CC BY 4.0"},
        {
            **{"kind": "links", "source": "tf", "target": "target", "sign": "mor", "licence": "GPL-3"},
            "file": str(priors / "dorothea_human_abc.tsv.gz"),
        },
        {"kind": "co_expression"},
    ]
    features = FeaturesSpec.model_validate({"genetic": sources})
    spec = loaded.model_copy(update={"features": features})
    cells = read_data(spec.data)
    return Experiment(seed, spec, cells, half_of(cells.is_control, seed))


Work = tuple[str, str, Callable[[], dict[str, Any]]]


def _work(experiment: Experiment, factors: Sequence[str]) -> Iterator[Work]:
    for name, predict in BASELINES.items():
        yield "baseline", name, partial(_of_baseline, experiment, predict)
    yield "baseline", CEILING, lambda: _ceiling(experiment)
    for row in ROWS:
        if row.factor in factors:
            yield row.factor, row.value, partial(_of_model, experiment, row)


def _of_baseline(experiment: Experiment, predict: Callable[[Experiment], Effects]) -> dict[str, Any]:
    return _figures(experiment, predict(experiment))


def _figures(experiment: Experiment, predicted: Effects, truth: Truth | None = None) -> dict[str, Any]:
    """Score predictions of all targets, those that nothing describes left out."""
    truth = truth or experiment.truth
    asked = {each.label: each for each in truth.questions if each.label in predicted}
    used = {label: truth.used(question) for label, question in asked.items()}
    strong = [label for label in experiment.strong if label in asked]

    def pearson(real: Mapping[str, Array], label: str) -> float:
        genes = used[label]
        return pearson_delta(predicted[label][genes], real[label][genes])

    each = {label: pearson(truth.raw, label) for label in asked}
    errors = [
        np.linalg.norm((predicted[at] - truth.raw[at])[used[at]]) / np.linalg.norm(truth.raw[at][used[at]])
        for at in strong
    ]
    return {
        "pearson": float(np.mean(list(each.values()))),
        "strong": float(np.mean([each[label] for label in strong])),
        "strong_matched": float(np.mean([pearson(truth.matched, label) for label in strong])),
        "pds": truth.agreement(predicted, used)["pds"],
        "error": float(np.mean(errors)),
        "each": each,
    }


def _of_model(experiment: Experiment, row: Row) -> dict[str, Any]:
    settings = RevealSettings(steps=6, schedule="geometric", guidance=row.guidance)
    predicted: Effects = {}
    seconds = 0.0
    for fold, held in enumerate(experiment.folds):
        model, took = _model(experiment, row, fold)
        seconds += took
        predictor = Predictor(model, settings)
        for question in experiment.truth.questions:
            if question.label in held and model.vocabulary.feature_row(question.label):
                predicted[question.label] = predictor.effect(question.condition)
    paths = configuration("direct", row.overrides).paths
    return {**_figures(experiment, predicted), "cpu_seconds": seconds, "paths": paths, "guidance": row.guidance}


def _model(experiment: Experiment, row: Row, fold: int) -> tuple[Checkpoint, float]:
    """Train, or load where it is there; with the CPU seconds that training took."""
    folder = FOLDER / f"models/{row.folder}-{experiment.seed}-{fold}"
    took = folder / "took.json"
    if not took.exists():
        update: dict[str, Any] = {
            "model": ModelSpec(configuration="direct", overrides=dict(row.overrides)),
            "output": str(folder),
        }
        spec = experiment.spec.model_copy(update=update)
        changed = {"epochs": EPOCHS, "seed": experiment.seed, "threads": 1, **row.training}
        config = training_config(spec, changed)
        cells = experiment.training_cells(experiment.folds[fold])
        features = _features(experiment, cells, shuffled=row.shuffled)
        vocabulary = build_vocabulary(cells, features)
        trainer = build_trainer(spec, config, cells, vocabulary, features)
        started = time.process_time()
        finish(spec, config, Prepared(cells, 0, vocabulary, trainer, "", 0, features))
        took.write_text(json.dumps(time.process_time() - started), encoding="utf-8")
    return load_checkpoint(str(folder)), float(json.loads(took.read_text(encoding="utf-8")))


def _features(experiment: Experiment, cells: Cells, *, shuffled: bool = False) -> PerturbationFeatures:
    found = build_features(experiment.spec, cells)
    if found is None:
        raise ValueError("the experiment names features")
    # Of the thousands of genes that the sources describe only these are asked for.
    names = [label for label in experiment.labels if label in found.types]
    matrix = found.matrix[[list(found.types).index(name) for name in names]]
    if shuffled:  # each gets the row of the next in a random round, so that nobody keeps its own
        order = np.random.default_rng([experiment.seed, 7]).permutation(len(names))
        matrix[order] = matrix[np.roll(order, 1)]
    return replace(found, types={name: found.types[name] for name in names}, matrix=matrix)


def _from_features(experiment: Experiment, predict: Callable[..., Array], *, shuffled: bool = False) -> Effects:
    """Predict each fold from (features of the held, of the seen, effects of the seen); rows are targets."""
    predicted: Effects = {}
    for held in experiment.folds:
        features = _features(experiment, experiment.training_cells(held), shuffled=shuffled)
        row = {name: i for i, name in enumerate(features.types)}
        seen = [label for label in experiment.labels if label not in held and label in row]
        asked = [label for label in held if label in row]
        matrix = features.matrix.astype(float)
        effects = np.stack([experiment.shared[label] for label in seen])
        found = predict(matrix[[row[at] for at in asked]], matrix[[row[at] for at in seen]], effects)
        predicted |= dict(zip(asked, found, strict=True))
    return predicted


def _mean(asked: Array, seen: Array, effects: Array) -> Array:
    return np.broadcast_to(effects.mean(axis=0), (len(asked), effects.shape[1]))


def _neighbours(count: int) -> Callable[..., Array]:
    def predict(asked: Array, seen: Array, effects: Array) -> Array:
        unit = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (asked, seen)]
        return neighbour_effects(np.maximum(unit[0] @ unit[1].T, 0), effects, count)

    return predict


def _ridge(asked: Array, seen: Array, effects: Array) -> Array:
    """Linear map from features to effects; the penalty by leave-one-out error on the seen targets."""
    return np.asarray(RidgeCV(PENALTIES).fit(seen, effects).predict(asked))


BASELINES: Mapping[str, Callable[[Experiment], Effects]] = {
    "mean of the training targets": lambda experiment: _from_features(experiment, _mean),
    "3 nearest in features": lambda experiment: _from_features(experiment, _neighbours(3)),
    "5 nearest in features": lambda experiment: _from_features(experiment, _neighbours(5)),
    "5 nearest, features shuffled": lambda experiment: _from_features(experiment, _neighbours(5), shuffled=True),
    "ridge on features": lambda experiment: _from_features(experiment, _ridge),
    "ridge, features shuffled": lambda experiment: _from_features(experiment, _ridge, shuffled=True),
}
CEILING = "half of the target's own cells, against the other half"


def _ceiling(experiment: Experiment) -> dict[str, Any]:
    """Score real effects of half of the cells, measured with the training's controls, as if they were predictions."""
    predicted: Effects = {}
    questions = []
    controls = experiment.cells.is_control & ~experiment.test_controls
    for question in experiment.truth.questions:
        first = half_of(question.perturbed, experiment.seed)
        predicted[question.label] = real_effect(experiment.cells, first, controls)
        questions.append(replace(question, perturbed=question.perturbed & ~first))
    return _figures(experiment, predicted, Truth(experiment.cells, questions, questions))


def read_records() -> list[dict[str, Any]]:
    """Read the rows that were computed so far."""
    if not FILE.exists():
        return []
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def _append(record: Mapping[str, Any]) -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with FILE.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def show() -> None:
    """Print the table: medians over the seeds run, lowest and highest behind the figures of agreement."""
    records = read_records()
    names = [("baseline", name) for name in [*BASELINES, CEILING]] + [(row.factor, row.value) for row in ROWS]
    settings = {(row.factor, row.value): row for row in ROWS}
    rows = []
    for name in names:
        found = [record for record in records if (record["factor"], record["value"]) == name]
        row = settings.get(name)
        shown = ["–", "–"] if row is None else [f"{row.guidance:g}", configuration("direct", row.overrides).paths]
        seeds = ", ".join(str(record["seed"]) for record in found)
        rows.append([*name, *shown, seeds or "*not run*", *(_spread(found, key) for key in FIGURES)])
    table(["factor", "value", "w", "paths", "seeds", *FIGURES.values()], rows)


def _spread(found: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [record[key] for record in found if key in record]
    if not values:
        return "–"
    if key == "cpu_seconds":
        return f"{np.median(values):.0f}"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


if __name__ == "__main__":
    main()
