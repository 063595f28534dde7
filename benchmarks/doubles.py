"""Norman 2019, K562: doubles held out, with both of their singles seen, one, or none, beside the additive baseline.

The splits are fixed: all fifteen doubles are held out, and half of the control cells (another half with every seed),
which the truth is measured against; with the same controls on both sides their noise would be in prediction and truth
alike. Of five doubles both singles are in the data. They are asked three times over: with both singles seen, with one
of them held out (each of two sets leaves every one of the five with one), and with none. The other ten have one or no
single in the data. Unseen singles are described by Reactome gene sets, DoRothEA links and co-expression.

A model that is in the results folder already is not trained again; remove the folder to measure anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ablation_data import EPOCHS, half_of
from benchmarks.agreement import Predictor, Question, Truth
from benchmarks.norman import LICENCE, data_block
from benchmarks.report import DATA, RESULTS, Figures, main, table
from campaigns.training_spec import TrainSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint, load_checkpoint
from lingshu_core.conditioning import Condition
from lingshu_core.metrics import pearson_delta
from lingshu_core.reveal import RevealSettings
from lingshu_core.vocabulary import split_label
from screening.objective.readouts import read_data
from screening.training.training_run import finish, prepare, training_config

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SEEDS = (0, 1, 2)
FOLDER = RESULTS / "doubles"
SETTINGS = RevealSettings(steps=6, schedule="geometric", guidance=0.0)
ONE_SET, OTHER_SET = ("MAP2K6", "SLC38A2", "TGFBR2"), ("KLF1", "MAP2K3", "MAPK1")
"""The singles of the five doubles, so that each double has one in either set."""
SPLITS: Mapping[str, tuple[str, ...]] = {
    "doubles": (),
    "doubles and one set": ONE_SET,
    "doubles and the other set": OTHER_SET,
    "doubles and both sets": ONE_SET + OTHER_SET,
}
"""What is held out: the doubles and these singles."""
COLUMNS = ("Pearson-Δ, raw", "matched", "error norm", "Pearson-Δ, shared controls")
GROUPS = ("both seen", "one seen", "none seen", "one seen (others)", "none seen (others)")


@dataclass(frozen=True)
class Experiment:
    """The cells of K562 with the truth about the doubles.

    ``test_controls`` belong to the truth alone, ``controls`` are trained on; ``shared`` is the real effect against the
    latter.
    """

    seed: int
    spec: TrainSpec
    cells: Cells
    test_controls: Mask
    controls: Mask
    truth: Truth
    singles: tuple[str, ...]
    shared: Mapping[str, Array]


def measure() -> Figures:
    """Train every split with every seed; all figures."""
    found: dict[tuple[str, str], dict[int, list[tuple[float, ...]]]] = {}
    for seed in SEEDS:
        experiment = _experiment(seed)
        for split, singles in SPLITS.items():
            for group, name, question, predicted in _predictions(experiment, split, singles):
                scores = _scores(experiment, question, predicted)
                found.setdefault((group, name), {}).setdefault(seed, []).append(scores)
                print(f"{split}, {group}, {name}, seed {seed}, {question.label}: {scores}", file=sys.stderr, flush=True)
    rows: list[list[Any]] = []
    figures: dict[str, float] = {}
    for (group, name), by_seed in sorted(found.items(), key=lambda item: GROUPS.index(item[0][0])):
        means = np.stack([np.mean(its, axis=0) for its in by_seed.values()])  # (seeds, columns)
        shown = [f"{np.median(each):.3f} ({each.min():.3f}–{each.max():.3f})" for each in means.T]
        rows.append([group, len(next(iter(by_seed.values()))), name, *shown])
        medians = map(float, np.median(means, axis=0))
        figures |= {f"{group}, {name}, {at}": value for at, value in zip(COLUMNS, medians, strict=True)}
    table(["group", "questions", "prediction", *COLUMNS], rows)
    return figures


def _experiment(seed: int) -> Experiment:
    spec = validate(TrainSpec, Source("benchmarks/doubles.py", _training()))
    cells = read_data(spec.data)
    cells = cells.select(cells.matching({"cell_type": "K562"}))
    test = half_of(cells.is_control, seed)
    labels = sorted(set(cells.obs["perturbation"]) - {cells.control})
    doubles = [label for label in labels if len(split_label(label)) == 2]
    questions = [_question(cells, label, test) for label in doubles]
    controls = cells.is_control & ~test
    shared = {label: real_effect(cells, np.asarray(cells.obs["perturbation"] == label), controls) for label in labels}
    truth = Truth(cells, questions, questions)
    return Experiment(seed, spec, cells, test, controls, truth, tuple(sorted(set(labels) - set(doubles))), shared)


def _question(cells: Cells, label: str, controls: Mask) -> Question:
    condition = Condition({"cell_type": "K562"}, tuple((part, None) for part in split_label(label)))
    return Question(label, condition, np.asarray(cells.obs["perturbation"] == label), controls)


def _predictions(experiment: Experiment, split: str, held: Sequence[str]) -> Iterator[tuple[str, str, Question, Array]]:
    """Yield group, prediction, double and predicted effect; what the model has no features of is left out for all."""
    seen = [name for name in experiment.singles if name not in held]
    described = _model(experiment, split, held, "direct with features")
    for question in experiment.truth.questions:
        group = _group(experiment, question, seen, split)
        if not group:
            continue
        if not _supported(described, question):
            print(f"{split}, {group}: {question.label} is unsupported, nothing describes it", file=sys.stderr)
            continue
        for name, effect in _baselines(experiment, question, seen).items():
            yield group, name, question, effect
        variants = {"direct with features": described}
        if all(part in seen for part in split_label(question.label)):
            variants["direct"] = _model(experiment, split, held, "direct")
        for name, model in variants.items():
            yield group, name, question, Predictor(model, SETTINGS).effect(question.condition)


def _group(experiment: Experiment, question: Question, seen: Sequence[str], split: str) -> str:
    """Name the group of a double in a split; empty where another split has asked the same already."""
    parts = split_label(question.label)
    known = sum(part in seen for part in parts)
    own = all(part in experiment.singles for part in parts)
    group = f"{('none', 'one', 'both')[known]} seen"
    if own:
        return group
    return f"{group} (others)" if split == "doubles" else ""


def _supported(model: Checkpoint, question: Question) -> bool:
    vocabulary = model.vocabulary
    return all(
        vocabulary.index("perturbation", name) is not None or vocabulary.feature_row(name)
        for name, _ in question.condition.parts
    )


def _baselines(experiment: Experiment, question: Question, seen: Sequence[str]) -> dict[str, Array]:
    """Sum of the seen singles' real effects where there are any, and the mean of all."""
    effects = {name: experiment.shared[name] for name in seen}
    known = [effects[part] for part in split_label(question.label) if part in effects]
    mean = np.mean(list(effects.values()), axis=0)
    additive = {"additive: sum of the seen singles": np.sum(known, axis=0)} if known else {}
    return additive | {"perturbation mean": mean}


def _scores(experiment: Experiment, question: Question, predicted: Array) -> tuple[float, ...]:
    """Return Pearson-Δ, that against the depth-matched effect, the error norm as a share of the effect's, and Pearson-Δ
    against the real effect that is measured with the training's own controls.
    """
    truth, label = experiment.truth, question.label
    used = truth.used(question)
    raw, matched, shared, mine = (
        values[used] for values in (truth.raw[label], truth.matched[label], experiment.shared[label], predicted)
    )
    error = float(np.linalg.norm(mine - raw) / np.linalg.norm(raw))
    return pearson_delta(mine, raw), pearson_delta(mine, matched), error, pearson_delta(mine, shared)


def _model(experiment: Experiment, split: str, held: Sequence[str], variant: str) -> Checkpoint:
    folder = FOLDER / f"{split} {variant}-{experiment.seed}".replace(" ", "-")
    if not Path(folder, "manifest.json").exists():
        update: dict[str, Any] = {"output": str(folder)}
        if variant == "direct":
            update["features"] = None
        spec = experiment.spec.model_copy(update=update)
        labels = experiment.cells.obs["perturbation"]
        doubles = [question.label for question in experiment.truth.questions]
        out = np.asarray(labels.isin([*doubles, *held])) | experiment.test_controls
        config = training_config(spec, {"seed": experiment.seed, "threads": 1})
        finish(spec, config, prepare(spec, config, (experiment.cells.select(~out), int(out.sum()))))
    return load_checkpoint(str(folder))


def _training() -> dict[str, Any]:
    priors = DATA / "priors"
    links = {"kind": "links", "source": "tf", "target": "target", "sign": "mor", "licence": "GPL-3"}
    return {
        "kind": "train",
        "name": "doubles",
        "data": data_block(with_method=False),
        "features": {
            "genetic": [
                {"kind": "gene_sets", "file": str(priors / "reactome.gmt.gz"), "licence": "CC BY 4.0"},
                {**links, "file": str(priors / "dorothea_human_abc.tsv.gz")},
                {"kind": "co_expression"},
            ]
        },
        "training": {"epochs": EPOCHS["norman"], "learning_rate": 0.001},
        "output": str(FOLDER),
        "licence": LICENCE,
    }


if __name__ == "__main__":
    main(measure, __doc__ or "")
