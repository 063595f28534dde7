"""Papalexi 2021 with a null: which knock-outs are hits, and the effects of real cells beside the predicted ones.

The example `train-with-null.yaml` and `screen-with-null.yaml`; what was trained and screened already is used again. The
real effect is the depth-matched difference of the cells of a knock-out and all non-targeting ones, on the genes of the
score. It is of the cells that training saw: a calibration, no blind test. Beside it is the real effect of each
non-targeting guide in each replicate against all the others: how far real cells stray where nothing was done. The plot
goes to ``results/papalexi/calibration.png``. Effects are in log1p counts per 10k, 6 steps, no guidance.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.report import EXAMPLES, Figures, Silent, main, table
from campaigns.source import load_training
from lingshu_core.cells import Cells
from lingshu_core.differences import matched_effect
from lingshu_core.metrics import spearman
from screening.deciding.decisions import HIT
from screening.objective.readouts import read_data
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

KNOWN = ("IFNGR1", "IFNGR2", "JAK2", "STAT1", "IRF1")
TRAIN, SCREEN = EXAMPLES / "papalexi/train-with-null.yaml", EXAMPLES / "papalexi/screen-with-null.yaml"
TAILS = ("normal", "empirical", "learned")  # the last is the example as it stands, and its tables stay
PLOT = Path("results/papalexi/calibration.png")
LEAST_CELLS = 20


def measure() -> Figures:
    """Train if need be, screen, and put real effects beside predicted ones."""
    spec = load_training(TRAIN).spec
    started = time.process_time()
    if not (Path(spec.output) / "vocabulary.json").exists():
        train_spec(spec, training_config(spec, {}))
    decisions = {tails: _decided(tails) for tails in TAILS}
    hits = decisions["learned"]
    cells = read_data(spec.data)
    weights = next(iter(plan_campaign(load_campaign(SCREEN)).readouts.values())).weights
    real = {name: _real(cells, _having(cells, name), name, weights) for name in hits["perturbation"]}
    guides = _guides(cells, weights)
    columns = ["knock-out", "predicted", "real cells", "score", "90 % interval", "decision", "q", "q, normal", "cells"]
    normal = dict(zip(*decisions["normal"].select("perturbation", "q_value"), strict=True))
    table(columns, [_row(row, normal, real) for row in hits.iter_rows(named=True)])
    _sketch(hits, real)
    null = pl.read_parquet(f"{load_campaign(SCREEN).spec.output}/null.parquet")["effect"].to_numpy()
    _plot(hits, real, guides, null)
    for words, found in (("real", np.array(guides)), ("predicted", null)):
        spread = f"{found.min():.3f} to {found.max():.3f}, sd {found.std(ddof=1):.3f}"
        print(f"{len(found)} non-targeting guides in replicates, {words}: {spread}")
    called = {
        tails: rows.filter(pl.col("decision") == HIT)["perturbation"].to_list() for tails, rows in decisions.items()
    }
    for tails, names in called.items():
        print(f"hits, {tails} tails: {', '.join(names) or 'none'}")
    effects = np.array([real[name] for name in hits["perturbation"]])
    return {
        "hits": called,
        "known_among_hits": len(set(KNOWN) & set(called["learned"])),
        "others_among_hits": len(set(called["learned"]) - set(KNOWN)),
        "spearman_with_real": spearman(hits["effect"].to_numpy(), effects),
        "real_guides_sd": float(np.std(guides, ddof=1)),
        "predicted_guides_sd": float(null.std(ddof=1)),
        "cpu_seconds": time.process_time() - started,
    }


def _decided(tails: str) -> pl.DataFrame:
    overrides = {"hits": {"tails": tails}, "compute": {"backend": "in_process"}}
    return run_campaign(SCREEN, Silent(), overrides).hits


def _row(row: dict[str, Any], normal: dict[str, float], real: dict[str, float]) -> list[Any]:
    name = row["perturbation"]
    interval = f"{row['low_90']:.3f} to {row['high_90']:.3f}"
    rates = [f"{row['q_value']:.2g}", f"{normal[name]:.2g}"]
    return [name, row["effect"], real[name], row["score"], interval, row["decision"], *rates, row["training_cells"]]


def _having(cells: Cells, name: str) -> npt.NDArray[np.bool_]:
    return np.asarray(cells.obs["perturbation"] == name)


def _real(cells: Cells, part: npt.NDArray[np.bool_], name: str, weights: Any) -> float:
    """Return the mean over the genes of the score of the depth-matched real effect, toward the objective."""
    used = (weights != 0) & (np.array(cells.genes) != name)
    effect = matched_effect(cells, part, cells.is_control & ~part)
    return float(effect[used] @ weights[used] / used.sum())


def _guides(cells: Cells, weights: Any) -> list[float]:
    """Return the real effect of every non-targeting guide in every replicate with enough cells."""
    columns = ["guide", "batch"]
    groups = cells.obs[columns][cells.is_control].groupby(columns).indices
    found = []
    for guide, batch in sorted(groups):
        part = cells.is_control & np.asarray((cells.obs["guide"] == guide) & (cells.obs["batch"] == batch))
        if part.sum() >= LEAST_CELLS:
            found.append(_real(cells, part, "", weights))
    return found


def _sketch(hits: pl.DataFrame, real: dict[str, float]) -> None:
    """Say how predicted effects go with real ones: the line through the origin, over all and over what is no hit."""
    for words, rows in (("all", hits), ("no hit", hits.filter(pl.col("decision") != HIT))):
        predicted = rows["effect"].to_numpy()
        found = np.array([real[name] for name in rows["perturbation"]])
        slope = float(predicted @ found / (predicted @ predicted))
        away = float(np.sqrt(np.mean(np.square(predicted - found))))
        print(f"\n{words} ({rows.height}): real = {slope:.2f} × predicted; root mean square difference {away:.3f}")


def _plot(hits: pl.DataFrame, real: dict[str, float], guides: list[float], null: npt.NDArray[np.float64]) -> None:
    """Draw real against predicted effects; bands are 95 % of what non-targeting guides do, in cells and predicted."""
    figure = Figure(figsize=(6, 5), dpi=100, layout="tight")
    axes = figure.subplots()
    axes.axhspan(*np.quantile(guides, (0.025, 0.975)), color="#78909c", alpha=0.25, lw=0)
    axes.axvspan(*np.quantile(null, (0.025, 0.975)), color="#c77700", alpha=0.2, lw=0)
    axes.axline((0, 0), slope=1, color="#b0bec5", lw=1)
    for row in hits.iter_rows(named=True):
        hit, name = row["decision"] == HIT, row["perturbation"]
        axes.plot(row["effect"], real[name], "o", ms=5, color="#00796b" if hit else "#78909c")
        if hit or name in (*KNOWN, "STAT2"):
            axes.annotate(name, (row["effect"], real[name]), xytext=(5, -9), textcoords="offset points", fontsize=8)
    axes.set_xlabel("predicted effect (log1p counts per 10k)")
    axes.set_ylabel("effect in real cells")
    axes.set_title("Interferon-gamma response down; hits in green", fontsize=10)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(PLOT))


if __name__ == "__main__":
    main(measure, __doc__ or "")
