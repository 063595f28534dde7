"""From a campaign file to the published tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from screening import pan_context, patients, selective
from screening.across_contexts import PAN_CONTEXT, PATIENTS, SELECTIVE
from screening.run import run_campaign

WriteScreen = Callable[..., Path]
SMALL = {"perturbations": {"genetic": ["REG04", "REG05"]}, "estimator": {"shards": 8, "depth_strata": 2, "steps": 2}}


def test_two_cell_types_give_pan_and_selective_tables(write_screen: WriteScreen, tmp_path: Path, listener: Any) -> None:
    result = run_campaign(write_screen(**SMALL), listener)
    assert {PAN_CONTEXT, SELECTIVE} <= set(result.files)
    assert PATIENTS not in result.files
    for name, module, rows in ((PAN_CONTEXT, pan_context, 2), (SELECTIVE, selective, 4)):
        table = pl.read_parquet(tmp_path / "screen" / name)
        assert table.height == rows
        assert set(table["factor"]) == {"cell_type"}
        assert set(table["decision"]) == {"undecided"}
        assert table["decision_reason"].str.contains("Monte Carlo only, which is too sure: the model has no null").all()
        told = json.loads(pl.read_parquet_metadata(tmp_path / "screen" / name)["lingshu.columns"])
        assert told == {column: text for column, (_, text) in module.COLUMNS.items()}


def test_one_context_gives_neither(write_screen: WriteScreen, listener: Any) -> None:
    result = run_campaign(write_screen(**SMALL, contexts={"cell_type": "type_1"}), listener)
    assert not {PAN_CONTEXT, SELECTIVE, PATIENTS} & set(result.files)


def test_patients_and_their_own_controls(write_screen: WriteScreen, tmp_path: Path, listener: Any) -> None:
    contexts = [{"cell_type": "all_seen", "donor": "all_seen"}, {"cell_type": "all_seen"}]
    across = {"factor": "cell_type", "modes": ["pan", "patient"]}
    result = run_campaign(write_screen(**SMALL, contexts=contexts, across=across), listener)
    assert SELECTIVE not in result.files
    table = pl.read_parquet(tmp_path / "screen" / PATIENTS)
    assert dict(table.schema) == {name: kind for name, (kind, _) in patients.COLUMNS.items()}
    assert table.height == 8
    assert sorted(table["donor"].unique()) == ["donor_1", "donor_2"]
    same = (table["above_null"] - table["score_open"]).to_list()
    assert table["own_controls_change"].to_list() == pytest.approx(same)
    assert any(abs(each) > 1e-6 for each in same)
    # Contexts with the donor left open count for own controls, and not a second time among the cell types.
    pan = pl.read_parquet(tmp_path / "screen" / PAN_CONTEXT)
    here = result.hits.filter((pl.col("perturbation") == "REG04") & pl.col("donor").is_not_null())
    means = here.group_by("cell_type").agg(pl.col("score").mean())["score"]
    found = pan.row(by_predicate=pl.col("perturbation") == "REG04", named=True)
    assert found["worst_score"] == pytest.approx(min(means))


def test_results_are_the_same_again(write_screen: WriteScreen, listener: Any) -> None:
    path = write_screen(**SMALL)
    first, second = run_campaign(path, listener), run_campaign(path, listener)
    assert first.files[PAN_CONTEXT] == second.files[PAN_CONTEXT]
    assert first.files[SELECTIVE] == second.files[SELECTIVE]
    assert second.computed == 0
