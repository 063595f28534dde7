"""A screen with a model that has a null: from training to the published table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import polars as pl
import pytest
import yaml

from lingshu_core.checkpoint import load_header
from screening.deciding.null_distribution import NullDistribution
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import RunResult, run_campaign
from screening.training.training_request import train_model

WriteScreen = Callable[..., Path]


def asked(folder: Path, **changes: Any) -> dict[str, Any]:
    gene_set = {"file": str(folder / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    return {
        "model": str(folder / "ensemble"),
        "contexts": "all_seen",
        "perturbations": {"genetic": "all_seen"},
        "objective": {"kind": "signature", "gene_set": gene_set},
        "estimator": {"shards": 8, "depth_strata": 4, "steps": 2},
        **changes,
    }


@pytest.fixture
def result(tiny_null: Path, write_screen: WriteScreen, listener: Any) -> RunResult:
    return run_campaign(write_screen(**asked(tiny_null)), listener)


def test_the_null_is_beside_the_ranked_table_and_not_in_it(
    result: RunResult, tmp_path: Path, lingshu: Callable[..., Any]
) -> None:
    null = pl.read_parquet(tmp_path / "screen" / "null.parquet")
    assert null["perturbation"].to_list() == [f"null-{i:02d}" for i in range(1, 21)]
    assert set(null["status"]) == {"done"}
    assert set(null["training_cells"]) == {12}
    assert null["score"].n_unique() == 20
    assert result.hits["perturbation"].str.starts_with("null").sum() == 0
    assert "null.parquet" in result.files
    effects = anndata.read_h5ad(tmp_path / "screen" / "effects.h5ad")
    assert not effects.obs["perturbation"].str.startswith("null").any()
    manifest = json.loads((tmp_path / "screen" / "manifest.json").read_text())
    (told,) = manifest["null"]
    single = result.hits.filter(~pl.col("perturbation").str.contains("+", literal=True))
    assert told["blocks"] == 20
    assert single["null_centre"].to_list() == pytest.approx([told["centre"]] * single.height)
    expected = NullDistribution.of(null["score"].to_numpy(), null["training_cells_all"].to_numpy().astype(float))
    assert expected is not None
    assert single["minimum_effect"][0] == pytest.approx(expected.minimum_effect([12]), rel=0.05)
    assert manifest["conditions"] == result.hits.height == 6
    code, shown, _ = lingshu("hits", tmp_path / "screen")
    assert code == 0
    assert "decision" in shown


def test_every_row_is_decided_with_a_reason(result: RunResult) -> None:
    assert set(result.hits["decision"]) <= {"hit", "not", "undecided"}
    assert not result.hits["decision_reason"].has_nulls()
    assert result.hits["q_value"].is_between(0, 1).all()
    assert (result.hits["low_90"] < result.hits["high_90"]).all()
    assert (result.hits["rank_low"] <= result.hits["rank_high"]).all()
    assert result.hits["score_sd"].null_count() == 0


def test_a_second_run_decides_the_same_and_another_rate_needs_no_block(
    result: RunResult, tiny_null: Path, write_screen: WriteScreen, listener: Any
) -> None:
    again = run_campaign(write_screen(**asked(tiny_null)), listener)
    assert again.hits.equals(result.hits, null_equal=True)
    strict = run_campaign(write_screen(**asked(tiny_null, hits={"fdr": 0.1, "minimum_effect": 1e6})), listener)
    assert (strict.computed, strict.run_id) == (0, result.run_id)
    assert "hit" not in set(strict.hits["decision"])


def test_the_plan_has_the_null_in_every_context(
    tiny_null: Path, write_screen: WriteScreen, lingshu: Callable[..., Any]
) -> None:
    path = write_screen(**asked(tiny_null))
    plan = plan_campaign(load_campaign(path)).plan
    assert [planned.role for planned in plan.conditions] == ["control", *["null"] * 20, *["perturbation"] * 6]
    assert "27 conditions, 1 of them controls and 20 of the null" in lingshu("validate", path)[1]


def test_nobody_can_ask_for_a_pseudo_perturbation(
    tiny_null: Path, write_screen: WriteScreen, lingshu: Callable[..., Any]
) -> None:
    path = write_screen(**asked(tiny_null, perturbations={"genetic": ["null-01"]}))
    code, _, error = lingshu("validate", path)
    assert code == 2
    assert "'null-01' is a pseudo-perturbation" in error


def test_describe_tells_of_the_null(tiny_null: Path, lingshu: Callable[..., Any]) -> None:
    shown = lingshu("describe", tiny_null / "ensemble")[1]
    assert "20 pseudo-perturbations, 240 of the control cells" in shown
    assert "null-01" not in shown


def test_members_share_their_groups(tiny_null: Path) -> None:
    first, second = (load_header(str(tiny_null / "ensemble" / f"member-{i}")).vocabulary for i in range(2))
    assert first == second
    assert first.contexts[0].pseudo_cells == {f"null-{i:02d}": 12 for i in range(1, 21)}


def test_a_model_without_a_null_decides_nothing(write_screen: WriteScreen, listener: Any, tmp_path: Path) -> None:
    few = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04"]}}
    found = run_campaign(write_screen(**few), listener)
    assert found.hits["decision"].to_list() == ["undecided"]
    assert "train with `pseudo_perturbations`" in found.hits["decision_reason"][0]
    assert not (tmp_path / "screen" / "null.parquet").exists()


def test_cells_on_disk_have_the_same_groups(tiny_null: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((tiny_null / "train.yaml").read_text())
    content["data"]["in_memory"] = False
    content["training"] |= {"seeds": None, "epochs": 1}
    content["output"] = str(tmp_path / "model")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(content))
    trained = train_model(tmp_path / "train.yaml")
    assert "240 of 480 control cells" in trained.notices[0]
    expected = load_header(str(tiny_null / "ensemble" / "member-0")).vocabulary
    assert load_header(trained.output).vocabulary == expected
