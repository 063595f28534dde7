"""Real cells: a few passes over a CRISPR screen, and the pathway asked for leads the list."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from benchmarks.quickstart import __file__ as benchmark
from screening.run import run_campaign
from screening.training.training_request import train_model

pytestmark = pytest.mark.data
ROOT = Path(benchmark).parents[1]
DATA = Path(os.environ.get("LINGSHU_DATA") or ROOT / "../shared/data")


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write an example's file with some blocks changed; the data are those of `LINGSHU_DATA`."""
    if not (DATA / "papalexi2021_thp1_crispr_299.h5ad").exists():
        pytest.skip("the real data are not here: set LINGSHU_DATA to the folder with papalexi2021_thp1_crispr_299.h5ad")
    monkeypatch.setenv("LINGSHU_DATA", str(DATA.resolve()))

    def write(name: str, **changes: Any) -> Path:
        content = yaml.safe_load((ROOT / "campaigns" / "examples" / "papalexi" / name).read_text())
        (tmp_path / name).write_text(yaml.safe_dump(content | changes))
        return tmp_path / name

    return write


def test_the_receptor_and_its_chain_lower_the_response(
    example: Callable[..., Path], quiet: Any, tmp_path: Path
) -> None:
    training = {"epochs": 2, "learning_rate": 0.001, "device": "cpu"}
    trained = train_model(example("train.yaml", output=str(tmp_path / "model"), training=training))
    assert trained.cells > 10_000
    screen = example(
        "screen.yaml",
        model=str(tmp_path / "model"),
        output=str(tmp_path / "screen"),
        estimator={"shards": 8, "depth_strata": 8, "steps": 3},
        compute={"backend": "in_process"},
    )
    hits = run_campaign(screen, quiet).hits
    assert hits.height == 25
    assert set(hits["perturbation"].head(4)) == {"STAT1", "JAK2", "IFNGR1", "IFNGR2"}
    leaders = hits.head(4)
    assert (leaders["score_low"] > hits["score_high"].slice(4).max()).all()
    # A knock-out lowers its own transcript; that does not count.
    stat1 = hits.row(by_predicate=pl.col("perturbation") == "STAT1", named=True)
    assert stat1["targets_left_out"] == "STAT1"
    assert stat1["on_target_effect"] < 0
    assert stat1["training_cells"] > 100
