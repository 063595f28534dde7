"""Kang: interferon-beta donor by donor, beside what the cells of each donor say.

The campaign is `campaigns/examples/kang/screen-patients.yaml`. Real effects are raw: mean log1p counts per 10k over the
genes of the objective, stimulated cells less control cells of the same donor and cell type; the model was trained on
these cells, so this asks whether it tells donors apart, and not whether it predicts unseen ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import polars as pl

from benchmarks.report import EXAMPLES, Figures, Silent, main, table
from campaigns.source import load_screen, load_training
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.metrics import spearman
from screening.answers.across_contexts import PAN_CONTEXT, PATIENTS, SELECTIVE
from screening.objective.readouts import read_data
from screening.run import run_campaign
from screening.training.training_request import train_model

LEAST_CELLS, LEAST_DONORS = 5, 4
"""Stimulated cells for a real effect, and donors for a rank correlation."""
TRAIN, SCREEN = EXAMPLES / "kang/train-patients.yaml", EXAMPLES / "kang/screen-patients.yaml"


def measure() -> Figures:
    """Train unless the model is there, screen, and compare donors with their cells."""
    spec = load_screen(SCREEN).spec
    training = load_training(TRAIN).spec
    if not Path(training.output).exists():
        train_model(TRAIN)
    hits = run_campaign(SCREEN, Silent(), {"backend": "in_process"}).hits
    folder = Path(spec.output)
    patients = pl.read_parquet(folder / PATIENTS)
    genes = anndata.read_h5ad(folder / "effects.h5ad").var["in_objective"].to_numpy()
    real = _real(read_data(training.data), hits.filter(pl.col("donor").is_not_null()), genes)
    figures: dict[str, Any] = {
        "rows": patients.height,
        "shared": dict(patients["shared"].value_counts().iter_rows()),
        "pan": pl.read_parquet(folder / PAN_CONTEXT)["decision_reason"].to_list(),
        "selective": pl.read_parquet(folder / SELECTIVE).select("context", "decision").rows(),
    }
    rows = []
    for cells, group in patients.group_by("cells", maintain_order=True):
        here = real.filter(pl.col("cells") == cells[0])
        enough = here.height >= LEAST_DONORS
        rank = spearman(here["effect"].to_numpy(), here["real"].to_numpy()) if enough else float("nan")
        change = group["own_controls_change"]
        rows.append(
            [
                *(cells[0], group.height, float(group["mean_over_donors"][0]), float(group["score_open"][0])),
                *(change.min(), change.max(), int((group["deviation_q"] <= 0.1).sum())),
                *(
                    here.height,
                    rank,
                    *(_spread(here[name]) if enough else float("nan") for name in ("effect", "real")),
                ),
            ]
        )
    table(
        [
            *("cells", "donors", "mean score", "donor left open", "own controls: least", "most", "deviate"),
            *("real donors", "Spearman with real", "sd, predicted", "sd, real"),
        ],
        sorted(rows),
    )
    return figures | {f"spearman, {row[0]}": row[8] for row in rows}


def _spread(values: pl.Series) -> float:
    return float(np.std(values.to_numpy(), ddof=1))


def _real(cells: Cells, hits: pl.DataFrame, genes: Any) -> pl.DataFrame:
    """Return the real effect beside the predicted one, both means over the genes in log1p counts per 10k."""
    found = []
    for cell_type, donor, effect in hits.select("cell_type", "donor", "effect").iter_rows():
        here = cells.matching({"cell_type": cell_type, "donor": donor})
        perturbed = here & np.asarray(cells.obs["perturbation"] == "IFNB1")
        if perturbed.sum() < LEAST_CELLS:
            continue
        measured = real_effect(cells, perturbed, here & cells.is_control)
        found.append((f"cell_type={cell_type}", donor, effect, float(measured[genes].mean())))
    return pl.DataFrame(found, schema=["cells", "donor", "effect", "real"], orient="row")


if __name__ == "__main__":
    main(measure, __doc__ or "")
