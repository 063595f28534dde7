"""Screens with objectives of drawn cells and of profiles: from the file to the published tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.blobs import open_blobs
from actors.ledger import Ledger
from screening.objective.population_readout import COLUMNS
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import RunResult, run_campaign
from screening.watching.preliminary_ranking import PreliminaryRanking

WriteScreen = Callable[..., Path]
COLUMN_NAMES = {"perturbation": "perturbation", "cell_type": "cell_type"}
SAMPLED = {"kind": "sampled", "shards": 8, "depth_strata": 4, "steps": 2}


def population(folder: Path, measure: str, **changes: Any) -> dict[str, Any]:
    return {
        "contexts": {"cell_type": "all_seen"},
        "perturbations": {"genetic": "all_seen"},
        "objective": {
            "kind": "population",
            "measure": measure,
            "data": {"path": str(folder / "cells.h5ad"), "columns": COLUMN_NAMES},
            "group": {"perturbation": "REG05"},
            **changes,
        },
        "estimator": SAMPLED,
    }


@pytest.fixture
def result(tiny: Path, write_screen: WriteScreen, listener: Any) -> RunResult:
    return run_campaign(write_screen(**population(tiny, "e_distance")), listener)


def test_a_screen_by_e_distance_is_ranked_and_has_all_measures(result: RunResult, tmp_path: Path) -> None:
    hits = pl.read_parquet(tmp_path / "screen" / "hits.parquet")
    assert result.complete
    assert hits["score"].is_sorted(descending=True)
    assert set(hits["score_unit"]) == {"share of the E-distance between the groups"}
    assert hits.select(list(COLUMNS)).null_count().sum_horizontal().item() == 0
    gain = hits["e_distance_control"] - hits["e_distance"]
    assert hits["effect"].to_list() == pytest.approx(gain.to_list())
    assert hits["effect_se"].to_list() == pytest.approx(hits["e_distance_se"].to_list())
    assert not (tmp_path / "screen" / "cells.zarr").exists()
    targets = {row["perturbation"]: row["targets_left_out"] for row in hits.iter_rows(named=True)}
    assert targets["REG05"] == "REG05"
    left = hits["targets_left_out"].str.split("+").list.eval(pl.element().filter(pl.element() != "")).list.len()
    whole = hits.with_columns(whole=hits["genes_used"] + left)
    assert set(whole.group_by("context").agg(pl.col("whole").n_unique())["whole"]) == {1}  # a space in each context


def test_a_restart_gives_the_same_table_and_neither_another_measure_nor_the_cells_need_a_block(
    result: RunResult, tiny: Path, write_screen: WriteScreen, listener: Any
) -> None:
    again = run_campaign(write_screen(**population(tiny, "e_distance")), listener)
    assert (again.computed, again.reused) == (0, result.computed)
    assert again.hits.equals(result.hits, null_equal=True)
    share = run_campaign(write_screen(**population(tiny, "state_share")), listener)
    assert share.computed == 0
    assert share.run_id != result.run_id
    cells = share.hits["cells"].to_numpy()
    ends = [
        2 * np.arcsin(np.sqrt((share.hits[name].to_numpy() * cells + 0.375) / (cells + 0.75)))
        for name in ("share_in_state", "share_in_state_control")
    ]
    assert share.hits["score"].to_numpy() == pytest.approx(ends[0] - ends[1])
    spread = run_campaign(write_screen(**population(tiny, "heterogeneity", direction="down")), listener)
    assert spread.computed == 0
    assert spread.hits["score"].to_list() == pytest.approx([-each for each in spread.hits["excess_variance"]])
    asked = population(tiny, "e_distance") | {"estimator": SAMPLED | {"store_cells": True}}
    kept = run_campaign(write_screen(**asked), listener)
    assert (kept.computed, kept.run_id) == (0, result.run_id)
    assert (Path(kept.output) / "cells.zarr").is_dir()


def test_the_null_is_scored_by_the_same_objective(
    tiny_null: Path, write_screen: WriteScreen, tmp_path: Path, listener: Any
) -> None:
    for measure in ("e_distance", "state_share", "heterogeneity"):
        asked = population(tiny_null, measure) | {"model": str(tiny_null / "ensemble"), "contexts": "all_seen"}
        asked["objective"]["group"] = {"perturbation": ["REG04", "REG05"]}
        asked["objective"]["against"] = {"perturbation": "control"}
        found = run_campaign(write_screen(**asked), listener)
        null = pl.read_parquet(tmp_path / "screen" / "null.parquet")
        assert found.complete
        assert found.computed == (0 if measure != "e_distance" else 2 * 27)
        assert null.height == 20
        assert null["score"].n_unique() > 1
        assert set(null["score_unit"]) == set(found.hits["score_unit"])
        assert found.hits["null_blocks"].to_list() == [20] * found.hits.height
        assert found.hits["q_value"].is_between(0, 1).all()
        assert set(found.hits["decision"]) <= {"hit", "not", "undecided"}
        assert found.hits["score_sd"].null_count() == 0


def test_an_allocation_decides_by_drawn_cells(
    tiny: Path, write_screen: WriteScreen, tmp_path: Path, listener: Any
) -> None:
    asked = population(tiny, "e_distance") | {"estimator": SAMPLED | {"shards": 32, "depth_strata": 2}}
    asked |= {"allocation": {"kind": "halving", "top": 1, "first": 8, "factor": 2}, "output": str(tmp_path / "halved")}
    halved = run_campaign(write_screen("halved.yaml", **asked), listener)
    assert halved.complete
    best = halved.hits.row(0, named=True)
    assert (best["allocation"], best["score_unit"]) == ("finalist", "share of the E-distance between the groups")
    assert best["shards"] < best["shards_drawn"] == 32  # those that chose it don't count
    assert halved.hits["shards_drawn"].min() == 8
    again = run_campaign(write_screen("halved.yaml", **asked), listener)
    assert (again.computed, again.reused) == (0, halved.computed)
    assert again.hits.equals(halved.hits, null_equal=True)


def test_who_leads_so_far_has_the_scores_of_the_table(
    result: RunResult, tiny: Path, write_screen: WriteScreen, tmp_path: Path
) -> None:
    planned = plan_campaign(load_campaign(write_screen(**population(tiny, "e_distance"))))
    ranking = PreliminaryRanking(planned, Ledger(open_blobs(f"{tmp_path}/screen/ledger")))
    ranking.look()
    assert ranking.latest is not None
    assert ranking.latest.scored == result.hits.height
    best = result.hits.head(len(ranking.latest.leaders))
    assert [leader.score for leader in ranking.latest.leaders] == best["score"].to_list()
