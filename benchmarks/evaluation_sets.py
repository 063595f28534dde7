"""The sets of the evaluation table: which cells, what is held out, who answers, and what intervals are resampled over.

Kang and Papalexi are the examples of `campaigns/examples`. In the data of Norman and McFaline-Figueroa a perturbation
is a target and a method: K562 is CRISPRa, the glioblastoma lines are CRISPRi under the same gene labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.norman import LICENCE, data_block
from benchmarks.report import EXAMPLES, RESULTS
from campaigns.evaluation_spec import BASELINES, REPLICATE, EvaluateSpec
from campaigns.source import load_evaluation
from campaigns.training_spec import NEED_FEATURES, TRAINED_BASELINES
from campaigns.validation import validate
from campaigns.yaml_source import Source
from screening.evaluating.evaluation_plan import Evaluation, open_evaluation

SEEDS = (0, 1, 2)
METRICS = ("effects", "realism", "cell_eval2")
FOLDER = RESULTS / "evaluation"
Content = dict[str, Any]


@dataclass(frozen=True)
class Set:
    """A set of the table.

    Attributes
    ----------
    name
        As on the command line.
    title
        What is asked, for the heading.
    example
        File below `campaigns/examples`; empty where ``content`` is the whole of it.
    content
        A ``kind: evaluate`` file, or the fields that stand in for the example's.
    unit
        Column that intervals are resampled over: ``perturbation``, ``label`` (a question), or a factor of the context.
    ablated
        Whether the first model answers once more without self-conditioning, as ``without-self``.
    """

    name: str
    title: str
    example: str
    content: Mapping[str, Any]
    unit: str
    ablated: bool = False

    def evaluation(self, *, scvi: bool = False) -> Evaluation:
        """Read the evaluation, with the metrics, seeds and place of the table."""
        content = self._content(scvi=scvi)
        source = Source(f"benchmarks/evaluation_sets.py ({self.name})", content)
        return open_evaluation(validate(EvaluateSpec, source), source)

    def names(self, *, scvi: bool = False) -> list[str]:
        """Return the names of all that answer, real cells included."""
        content = self._content(scvi=scvi)
        return [*(entry["name"] for entry in content["models"]), *content["baselines"], REPLICATE]

    def _content(self, *, scvi: bool) -> Content:
        content = load_evaluation(EXAMPLES / self.example).spec.model_dump(by_alias=True) if self.example else {}
        content |= self.content
        content["models"] = [*content["models"], *map(_without_self, content["models"][: int(self.ablated)])]
        content |= {"metrics": METRICS, "seeds": SEEDS, "output": str(FOLDER / self.name)}
        content |= {"baselines": baselines(bool(content.get("features")), scvi=scvi)}
        return content | {"compute": {"backend": "in_process"}}


def _without_self(model: Content) -> Content:
    block = model["model"]
    overrides = {**(block.get("overrides") or {}), "self_conditioning": False}
    return {**model, "name": "without-self", "model": {**block, "overrides": overrides}}


def baselines(features: bool, *, scvi: bool) -> tuple[str, ...]:
    """Return all baselines that a set can ask."""
    left_out = {*(() if scvi else TRAINED_BASELINES), *(() if features else NEED_FEATURES)}
    return tuple(name for name in BASELINES if name not in left_out)


def _norman(name: str, split: Mapping[str, Any]) -> Content:
    return {
        "kind": "evaluate",
        "name": name,
        "data": data_block(),
        "split": split,
        "models": [
            {
                "name": "lingshu",
                "model": {"configuration": "direct"},
                "training": {"epochs": 15, "learning_rate": 0.001},
            }
        ],
        "estimator": {"steps": 6, "shards": 8, "depth_strata": 16},
        "licence": LICENCE,
        "source": "Norman et al. 2019; McFaline-Figueroa et al. 2024",
    }


GLIOBLASTOMA = ("A172", "T98G", "U87MG")

SETS: Sequence[Set] = (
    Set(
        "kang-types",
        "Kang: cell type × IFNB1, one type after the other",
        "kang/evaluate.yaml",
        {},
        "cell_type",
        ablated=True,
    ),
    Set("kang-donors", "Kang: donor × IFNB1, two donors at a time", "kang/evaluate-donors.yaml", {}, "donor"),
    Set(
        "papalexi-replicates",
        "Papalexi: a replicate from the other two",
        "papalexi/evaluate-replicates.yaml",
        {},
        "perturbation",
        ablated=True,
    ),
    Set("papalexi-guides", "Papalexi: unseen guides of seen targets", "papalexi/evaluate.yaml", {}, "perturbation"),
    Set(
        "papalexi-targets",
        "Papalexi: unseen targets, from features",
        "papalexi/evaluate-targets.yaml",
        {},
        "perturbation",
    ),
    Set(
        "norman-doubles",
        "Norman: doubles in K562 (CRISPRa), both singles seen",
        "",
        _norman("norman-doubles", {"kind": "parts", "seen": [2], "minimum_cells": 60}),
        "perturbation",
    ),
    Set(
        "glioblastoma",
        "McFaline-Figueroa: line × knock-down (CRISPRi)",
        "",
        _norman(
            "glioblastoma",
            {"kind": "combination", "factor": "cell_type", "values": list(GLIOBLASTOMA), "folds": 3},
        ),
        "perturbation",
    ),
)
"""In the order of the table."""
