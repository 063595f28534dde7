"""What the masking times of training do: the published t ~ U(0, 1), or half of the cells with few visible genes.

Kang without the stimulated CD14+ monocytes, everything else equal; Pearson-Δ of the left-out cell type at 3 and at 6
geometric steps, three seeds.
"""

from __future__ import annotations

import sys
from typing import Any

import anndata
import numpy as np

from benchmarks.kang import LEFT_OUT, SEEDS, left_out_effects
from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from lingshu_core.metrics import pearson_delta
from screening.objective.readouts import read_data
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

SHARES, STEPS = (0.0, 0.5), (3, 6)


def measure() -> Figures:
    """Train with both kinds of masking times and every seed; all figures."""
    spec = load_training(EXAMPLES / "kang/train.yaml").spec
    real, _ = left_out_effects(read_data(spec.data))
    rows: list[list[Any]] = []
    for seed in SEEDS:
        for share in SHARES:
            folder = RESULTS / f"masking/{share}-{seed}"
            trained = spec.model_copy(update={"output": str(folder / "model")})
            train_spec(trained, training_config(trained, {"seed": seed, "few_visible": share}))
            rows.append([share, seed, *(_agreement(folder, steps, real) for steps in STEPS)])
            print(rows[-1], file=sys.stderr, flush=True)
    table(["few_visible", "seed", *(f"{steps} steps" for steps in STEPS)], rows)
    return {
        f"few_visible_{share}_steps_{steps}": float(np.median([row[2 + i] for row in rows if row[0] == share]))
        for share in SHARES
        for i, steps in enumerate(STEPS)
    }


def _agreement(folder: Any, steps: int, real: Any) -> float:
    output = str(folder / f"screen-{steps}")
    overrides = {
        "model": str(folder / "model"),
        "output": output,
        "contexts": {"cell_type": LEFT_OUT},
        "estimator": {"steps": steps},
        "backend": "in_process",
    }
    run_campaign(EXAMPLES / "kang/screen.yaml", Silent(), overrides)
    return pearson_delta(np.asarray(anndata.read_h5ad(f"{output}/effects.h5ad").X)[0], real)


if __name__ == "__main__":
    main(measure, __doc__ or "")
