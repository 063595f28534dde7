"""A screen of as many conditions as are asked for with one trained model: knock-outs of Papalexi, alone and together.

25 knock-outs in THP-1 are 25 singles, 300 doubles, 2,300 triples and 12,650 with four parts; all parts were seen in
training. The question is that of the example. The model is the one that `benchmarks.papalexi` trains on all cells;
where it is there already it isn't trained again.
"""

from __future__ import annotations

from itertools import chain, combinations, islice
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report import DATA, EXAMPLES, RESULTS
from campaigns.source import load_training
from lingshu_core.checkpoint import load_header
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

MODEL = RESULTS / "papalexi/whole-0/model"
MOST_PARTS = 4


def trained_model() -> Path:
    """Return the model's folder; train it if it isn't there."""
    if not (MODEL / "manifest.json").exists():
        spec = load_training(EXAMPLES / "papalexi/train.yaml").spec.model_copy(update={"output": str(MODEL)})
        train_spec(spec, training_config(spec, {"seed": 0}))
    return MODEL


def labels(knockouts: list[str], number: int) -> list[str]:
    """Return so many labels: singles first, then doubles, and so on.

    Raises
    ------
    SystemExit
        If there are not so many.
    """
    sets = chain.from_iterable(combinations(sorted(knockouts), parts) for parts in range(1, MOST_PARTS + 1))
    found = ["+".join(parts) for parts in islice(sets, number)]
    if len(found) < number:
        raise SystemExit(f"{len(knockouts)} knock-outs make {len(found)} conditions of at most {MOST_PARTS}")
    return found


def write_screen(folder: Path, conditions: int, output: str, **estimator: Any) -> Path:
    """Write the campaign into a folder; it runs in this process, without Ray, and publishes to ``output``."""
    model = trained_model()
    vocabulary = load_header(str(model)).vocabulary
    knockouts = [name for name in vocabulary.parts if name != vocabulary.control]
    content = {
        "kind": "screen",
        "name": f"papalexi-{conditions}",
        "model": str(model.resolve()),
        "contexts": "all_seen",
        "perturbations": {"genetic": labels(knockouts, conditions)},
        "objective": {
            "kind": "signature",
            "gene_set": {
                "file": str((DATA / "priors/hallmark.gmt.gz").resolve()),
                "name": "HALLMARK_INTERFERON_GAMMA_RESPONSE",
                "direction": "down",
            },
        },
        "estimator": estimator,
        "budget": {"conditions": conditions + 1},
        "output": output,
        "compute": {"backend": "in_process"},
    }
    path = folder / f"screen-{conditions}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
