"""What a user does after a screen: look at the evidence for a hit, and compare with another screen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from screening.notebook.progress_lines import Quiet
from screening.run import run_campaign
from screening.training.training_request import train_model

Lingshu = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def screens(tiny_null: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one/`, `two/` and `up/`: the ensemble, its first member, and the opposite question; 20 groups of a null."""
    folder = tmp_path_factory.mktemp("screens")
    gene_set = {"file": str(tiny_null / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    content: dict[str, Any] = {
        "kind": "screen",
        "name": "tiny",
        "model": str(tiny_null / "ensemble"),
        "contexts": "all_seen",
        "perturbations": {"genetic": "all_seen"},
        "objective": {"kind": "signature", "gene_set": gene_set},
        "estimator": {"shards": 8, "depth_strata": 4, "steps": 2},
        "evidence": {"gene_sets": str(tiny_null / "program.gmt")},
        "compute": {"backend": "in_process"},
    }
    variants: dict[str, dict[str, Any]] = {
        "one": {},
        "two": {"model": str(tiny_null / "ensemble" / "member-0")},
        "up": {"objective": {"kind": "signature", "gene_set": gene_set | {"direction": "up"}}},
    }
    for name, changes in variants.items():
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content | changes | {"output": str(folder / name)}))
        run_campaign(path, Quiet())
    return folder


def test_a_page_of_evidence(screens: Path, lingshu: Lingshu) -> None:
    best = pl.read_parquet(screens / "one" / "hits.parquet").row(0, named=True)
    code, out, _ = lingshu("evidence", screens / "one", best["perturbation"])
    assert code == 0
    for words in (
        "genes that fall most",
        "gene sets",
        "SIMULATED_PROGRAM",
        "what would refute this",
        "between members",
    ):
        assert words in out
    code, out, _ = lingshu("evidence", screens / "one", best["perturbation"], "--context", best["context"], "--json")
    told = json.loads(out)
    assert (code, told["hit"]["rank"], told["evidence"]["has_effects"]) == (0, 1, True)
    assert {item["kind"] for item in told["items"]} >= {"gene_down", "gene_set", "alike_in_effect"}


def test_evidence_is_made_again_to_the_byte(screens: Path) -> None:
    files = ("evidence.parquet", "evidence_items.parquet")
    before = {name: (screens / "one" / name).read_bytes() for name in files}
    assert run_campaign(screens / "one.yaml", Quiet()).computed == 0
    assert {name: (screens / "one" / name).read_bytes() for name in files} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["one", "REG99"], "no perturbation 'REG99'; nearest:"),
        (["one", "REG04", "--context", "type_9"], "no context 'type_9' in these results"),
        (["nowhere", "REG04"], "no such folder"),
    ],
)
def test_wrong_questions_of_evidence(screens: Path, lingshu: Lingshu, arguments: list[str], words: str) -> None:
    code, _, error = lingshu("evidence", screens / arguments[0], *arguments[1:])
    assert code == 2
    assert words in error
    assert error.count("\n") == 1


def test_a_condition_that_none_was_gathered_for(screens: Path, lingshu: Lingshu, tmp_path: Path) -> None:
    content = yaml.safe_load((screens / "one.yaml").read_text()) | {"evidence": {"top": 1}}
    path = tmp_path / "few.yaml"
    path.write_text(
        yaml.safe_dump(content | {"output": str(tmp_path / "few"), "cache": str(screens / "one" / "ledger")})
    )
    hits = run_campaign(path, Quiet()).hits
    code, _, error = lingshu("evidence", tmp_path / "few", hits["perturbation"][-1])
    assert code == 2
    assert "it was gathered for 1 conditions, hits first" in error


def test_two_campaigns_are_compared(screens: Path, lingshu: Lingshu, tmp_path: Path) -> None:
    file = tmp_path / "moved.parquet"
    code, out, _ = lingshu("diff", screens / "one", screens / "two", "--output", file)
    assert code == 0
    for words in ("both ask: SIMULATED_PROGRAM down", "model.digest", "Spearman", "hits:", "why"):
        assert words in out
    assert pl.read_parquet(file).height == pl.read_parquet(screens / "one" / "hits.parquet").height
    code, out, _ = lingshu("diff", screens / "one", screens / "one", "--json", "--top", "1")
    told = json.loads(out)
    assert (code, told["agreement"]["spearman"], told["differences"]) == (0, pytest.approx(1.0), [])
    assert len(told["conditions"]) == 1


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("up", "these are different questions"),
        ("nowhere", "no such folder"),
        (".", "no hits.parquet here"),
    ],
)
def test_what_cannot_be_compared(screens: Path, lingshu: Lingshu, other: str, words: str) -> None:
    code, _, error = lingshu("diff", screens / "one", screens / other)
    assert code == 2
    assert words in error
    assert error.count("\n") == 1


def test_a_perturbation_that_was_never_seen_has_a_nearest_one(
    write_train: Callable[..., Path], write_screen: Callable[..., Path], lingshu: Lingshu, tmp_path: Path
) -> None:
    features = {"genetic": [{"kind": "co_expression", "dimensions": 4}]}
    train_model(write_train(features=features, training={"epochs": 1, "warmup_steps": 5, "device": "cpu"}))
    asked = {"model": str(tmp_path / "model"), "contexts": {"cell_type": "type_1"}}
    estimator = {"shards": 8, "depth_strata": 2, "steps": 1}
    run_campaign(write_screen(**asked, perturbations={"genetic": ["REG04", "REG01"]}, estimator=estimator), Quiet())
    rows = {row["perturbation"]: row for row in pl.read_parquet(tmp_path / "screen" / "evidence.parquet").to_dicts()}
    assert (rows["REG04"]["nearest_trained"], rows["REG04"]["feature_distance"]) == (None, None)
    assert rows["REG01"]["seen"] == "features"
    assert rows["REG01"]["nearest_trained"].startswith("REG")
    assert 0 <= rows["REG01"]["feature_distance"] <= 2
    assert f"the nearest trained perturbation is {rows['REG01']['nearest_trained']}" in rows["REG01"]["refutation"]
    code, out, _ = lingshu("evidence", tmp_path / "screen", "REG01")
    assert code == 0
    assert "most alike by features" in out
    assert "nearest trained REG" in out
