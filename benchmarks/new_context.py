"""A cell type that the model never saw, learned from its control cells after the training.

Kang without any CD14+ monocytes, control or stimulated; then `adapt` to their control cells. Pearson-Δ of the
stimulated ones against their real effect over all genes, beside the same model with the cell type left unspecified and
the nearest cell type's real effect. `benchmarks.kang` has a model that was trained with these controls. Three seeds.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import anndata
import numpy as np

from benchmarks.kang import LEFT_OUT, SEEDS, left_out_effects
from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from lingshu_core.baselines import context_effects, nearest_context_effect
from lingshu_core.cells import Cells
from lingshu_core.metrics import pearson_delta
from screening.objective.readouts import read_data
from screening.run import run_campaign
from screening.training.adapt import AdaptationRequest, adapt_model
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

FOLDER = RESULTS / "new-context"
FEWEST = 10


def measure() -> Figures:
    """Train without the cell type, adapt, screen; all figures."""
    spec = load_training(EXAMPLES / "kang/train.yaml").spec
    cells = read_data(spec.data)
    real, _ = left_out_effects(cells)
    controls = _write_controls(spec.data.paths[0], cells)
    rows: list[list[Any]] = []
    for seed in SEEDS:
        model = FOLDER / f"{seed}/model"
        trained = spec.model_copy(update={"output": str(model), "hold_out": ({"cell_type": LEFT_OUT},)})
        train_spec(trained, training_config(trained, {"seed": seed}))
        started = time.monotonic()
        adapt_model(AdaptationRequest(str(model), str(controls), f"{model}-adapted"))
        seconds = time.monotonic() - started
        before = _effect(f"{model}", f"{model}-before", {})
        after = _effect(f"{model}-adapted", f"{model}-after", {"cell_type": LEFT_OUT})
        rows.append([seed, pearson_delta(before, real), pearson_delta(after, real), seconds])
        print(rows[-1], file=sys.stderr, flush=True)
    table(["seed", "unspecified", "adapted", "adapting, s"], rows)
    figures = {
        name: float(np.median([row[i] for row in rows])) for i, name in enumerate(["", "unspecified", "adapted"])
    }
    return {**{k: v for k, v in figures.items() if k}, "nearest cell type": _nearest(cells, real)}


def _write_controls(path: str, cells: Cells) -> Any:
    """Write the control cells of the left-out type, of donors with enough of them."""
    here = cells.matching({"cell_type": LEFT_OUT}) & cells.is_control
    donors = cells.obs.loc[here, "donor"].value_counts()
    enough = here & cells.obs["donor"].isin(donors.index[donors >= FEWEST]).to_numpy()
    FOLDER.mkdir(parents=True, exist_ok=True)
    anndata.read_h5ad(path)[np.flatnonzero(enough)].copy().write_h5ad(FOLDER / "controls.h5ad")
    return FOLDER / "controls.h5ad"


def _effect(model: str, output: str, context: dict[str, str]) -> Any:
    overrides = {"model": model, "output": output, "contexts": [context], "backend": "in_process"}
    run_campaign(EXAMPLES / "kang/screen.yaml", Silent(), overrides)
    return np.asarray(anndata.read_h5ad(f"{output}/effects.h5ad").X)[0]


def _nearest(cells: Cells, real: Any) -> float:
    here = cells.matching({"cell_type": LEFT_OUT})
    seen = context_effects(cells.select(~here), "IFNB1", "cell_type")
    return pearson_delta(nearest_context_effect(seen, cells.log1p_per_10k(here & cells.is_control))[1], real)


if __name__ == "__main__":
    main(measure, __doc__ or "")
