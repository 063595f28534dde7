"""A screen that asks for safety: from the file to the published table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from screening.answers.safety import columns_of
from screening.run import run_campaign

WriteScreen = Callable[..., Path]
SAFETY = {"signatures": [{"name": "stress", "up": ["GENE01", "GENE02", "REG04"], "limit": 0.2}]}
ESTIMATOR = {"shards": 8, "depth_strata": 4, "steps": 2}


@pytest.fixture
def with_null(tiny_null: Path) -> dict[str, Any]:
    gene_set = {"file": str(tiny_null / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    return {
        "model": str(tiny_null / "ensemble"),
        "contexts": "all_seen",
        "perturbations": {"genetic": "all_seen"},
        "objective": {"kind": "signature", "gene_set": gene_set},
        "estimator": ESTIMATOR,
    }


def test_the_same_set_as_objective_and_as_side_effect_has_the_same_score_and_null(
    with_null: dict[str, Any], write_screen: WriteScreen, listener: Any, tmp_path: Path
) -> None:
    same = {"signatures": [{"name": "program", "gene_set": with_null["objective"]["gene_set"], "limit": 0.2}]}
    plain = run_campaign(write_screen(**with_null), listener)
    assert not (tmp_path / "screen" / "safety.parquet").exists()
    result = run_campaign(write_screen(**with_null, safety=same), listener)
    assert (result.computed, result.run_id) == (0, plain.run_id)  # the same blocks
    assert result.hits.equals(plain.hits, null_equal=True)
    safety = pl.read_parquet(tmp_path / "screen" / "safety.parquet")
    for own, columns in {"score": "penalty", "score_se": "penalty_se", "score_sd": "penalty_sd"}.items():
        assert safety[f"{columns}[program]"].to_list() == result.hits[own].to_list()
    assert safety["penalty_centre[program]"].to_list() == result.hits["null_centre"].to_list()
    assert (safety["penalty_error[program]"] >= result.hits["null_sd"] - 1e-12).all()
    assert safety["decision"].to_list() == result.hits["decision"].to_list()
    assert "safety.parquet" in result.files


def test_contexts_are_spared_and_the_file_tells_its_columns(
    write_screen: WriteScreen, listener: Any, tmp_path: Path
) -> None:
    asked = {**SAFETY, "spare": [{"cell_type": "type_2"}], "spare_limit": 0.05}
    result = run_campaign(write_screen(estimator=ESTIMATOR, safety=asked), listener)
    file = tmp_path / "screen" / "safety.parquet"
    told = json.loads(pl.read_parquet_metadata(file)["lingshu.columns"])
    assert told == {name: text for name, (_, text) in columns_of(["stress"]).items()}
    safety = pl.read_parquet(file)
    assert list(safety.columns) == list(told)
    there = result.hits.filter(context="cell_type=type_2").select("perturbation", pl.col("score").alias("there"))
    joined = safety.join(there, on="perturbation")
    assert joined["spared_score"].to_list() == joined["there"].to_list()
    assert set(safety["safety"]) <= {"safe", "unsafe", "undecided"}
    assert safety.filter("is_spared")["pareto_layer"].null_count() == safety.height // 2
    assert safety.filter("is_on_front").height > 0


def test_verdicts_stand_beside_the_hits_as_long_as_they_are_asked_for(
    write_screen: WriteScreen, listener: Any, lingshu: Callable[..., Any], tmp_path: Path
) -> None:
    run_campaign(write_screen(estimator=ESTIMATOR, safety=SAFETY), listener)
    code, text, _ = lingshu("hits", tmp_path / "screen", "--top", 2, "--why", 1)
    safety = pl.read_parquet(tmp_path / "screen" / "safety.parquet")
    assert code == 0
    assert "layer" in text.splitlines()[0]
    assert f"{safety['safety'][0]}: {safety['safety_reason'][0]}" in text.replace("\n", " ").replace("  ", " ")
    assert text.count("limit 0.2") <= 1
    assert lingshu("hits", tmp_path / "screen", "--top", 2, "--format", "csv")[1].count("safety") == 0
    run_campaign(write_screen(estimator=ESTIMATOR), listener)  # the older version's copy of the table still lies there
    assert "layer" not in lingshu("hits", tmp_path / "screen")[1]


def test_wrong_safety_is_one_line_with_its_place(write_screen: WriteScreen, lingshu: Callable[..., Any]) -> None:
    wrong = {"signatures": [{"name": "stress", "up": ["GENE99"]}], "spare": [{"cell_type": "type_9"}]}
    code, _, error = lingshu("validate", write_screen(safety=wrong))
    assert code == 2
    assert "screen.yaml:" in error
    assert "safety.signatures[0].up[0]: unknown gene 'GENE99'" in error
    assert "safety.spare[0]: cell_type=type_9 isn't screened" in error
