"""Baselines from their YAML to hits: on replicas as in one process, and on real cells that they were not fitted to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from actors.cluster import RaySession
from benchmarks.quickstart import __file__ as benchmark
from lingshu_core.baselines import real_effect
from lingshu_core.cells import CellSource, read_cells
from lingshu_core.conditioning import Condition
from lingshu_core.predictor import StoredBaseline, open_predictor
from lingshu_core.replicate_ceiling import split_half_effects
from screening.run import run_campaign
from screening.training.ensemble_training import train_file

DATA = Path(os.environ.get("LINGSHU_DATA") or Path(benchmark).parents[1] / "../shared/data")
KANG = DATA / "kang2018_ifnb_tiny_100.h5ad"
ROLES = {name: name for name in ("perturbation", "perturbation_type", "cell_type", "donor")}
HELD_OUT = "CD4 T cells"


@pytest.mark.ray
def test_replicas_give_the_table_of_one_process(
    ray_cluster: RaySession,
    write_train: Callable[..., Path],
    write_screen: Callable[..., Path],
    quiet: Any,
    tmp_path: Path,
) -> None:
    train_file(write_train(model={"kind": "additive"}, training={}, output=str(tmp_path / "baseline")))
    tables = []
    for backend in ("ray", "in_process"):
        output = str(tmp_path / backend)
        screen = write_screen(model=str(tmp_path / "baseline"), output=output, compute={"backend": backend})
        result = run_campaign(screen, quiet)
        assert result.complete
        tables.append(pl.read_parquet(f"{output}/hits.parquet"))
    assert tables[0].equals(tables[1], null_equal=True)
    assert tables[0]["score_se"].max() < 1e-12


@pytest.mark.data
def test_interferon_in_a_cell_type_that_never_saw_it(tmp_path: Path) -> None:
    """The effect of the other cell types is far better than none, and no better than more cells of the same."""
    if not KANG.exists():
        pytest.skip(f"the real data are not here: set LINGSHU_DATA to the folder with {KANG.name}")
    cells = read_cells(CellSource(str(KANG), ROLES))
    here = cells.matching({"cell_type": HELD_OUT})
    perturbed, controls = here & ~cells.is_control, here & cells.is_control
    real = real_effect(cells, perturbed, controls)
    errors = {}
    for kind in ("no_change", "perturbation_mean", "additive", "nearest_context", "low_rank"):
        training = {
            "kind": "train",
            "name": kind,
            "data": {"path": str(KANG), "columns": ROLES},
            "hold_out": [{"cell_type": HELD_OUT, "perturbation": "IFNB1"}],
            "model": {"kind": kind},
            "output": str(tmp_path / kind),
        }
        (tmp_path / "train.yaml").write_text(yaml.safe_dump(training))
        train_file(tmp_path / "train.yaml")
        opened = open_predictor(str(tmp_path / kind))
        assert isinstance(opened, StoredBaseline)
        asked = Condition({"cell_type": HELD_OUT}, (("IFNB1", None),))
        effect = opened.baseline.moments(asked)[0] - opened.baseline.moments(asked.as_control())[0]
        errors[kind] = float(np.square(effect - real).mean())
    halves = split_half_effects(cells, perturbed, controls, splits=3)
    ceiling = float(np.mean([np.square(each.prediction - each.truth).mean() for each in halves]))
    learned = {kind: error for kind, error in errors.items() if kind != "no_change"}
    assert max(learned.values()) < 0.3 * errors["no_change"]
    assert ceiling < min(learned.values())
