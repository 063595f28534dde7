import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lingshu_core.checkpoint import load_checkpoint
from lingshu_core.denoiser import CONFIGURATIONS, configuration
from lingshu_core.errors import CheckpointError, ConfigurationError
from screening.models.description import describe_model, nearest_configuration, render_description
from screening.planning.ensemble_file import EnsembleMember, write_ensemble

Lingshu = Callable[..., tuple[int, str, str]]


def test_the_published_configuration_tells_the_published_counts(lingshu: Lingshu) -> None:
    code, text, _ = lingshu("describe", "paper")
    assert code == 0
    lines = {line.split("  ")[0] or line.split()[0]: line for line in text.splitlines()}
    assert "13 blocks, width 640, 10 heads, SwiGLU 2,560" in lines["transformer"]
    assert "32 genes each: 565 tokens" in lines["patches"]
    assert "85,214,080 (85.2M)" in text
    assert "26,214,400 (26.2M)" in text
    assert "direct paths" not in text
    assert "6,553,600 (6.6M)" in lingshu("describe", "paper", "--patch-size", 8)[1]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_can_be_described(name: str) -> None:
    found = describe_model(name, genes=300)
    assert found["genes"] == 300
    assert found["settings"] == CONFIGURATIONS[name].to_json()
    assert found["parameters"]["trained"] == sum(found["parameters"]["by_part"].values())
    assert json.loads(json.dumps(found)) == found
    assert f"configuration {' ' * 9}" in render_description(found) or name in render_description(found)


def test_a_trained_model_tells_where_it_comes_from(tiny: Path, lingshu: Lingshu) -> None:
    checkpoint = load_checkpoint(str(tiny / "model"))
    code, text, _ = lingshu("describe", tiny / "model")
    assert code == 0
    lines = dict(line.strip().split("  ", 1) for line in text.splitlines())
    for label, said in (
        ("digest", checkpoint.digest),
        ("configuration", "direct"),
        ("paths", "bias+tilt+pooled+depth+self"),
        ("transformer", "none"),
        ("data", "cells.h5ad (432 cells"),
        ("licence", "simulated"),
        ("cell_type", "type_1, type_2"),
        ("drug", "2 perturbations"),
        ("trained", "3 epochs, loss"),
        ("training", "learning_rate 0.002"),
        ("versions", "torch "),
    ):
        assert said in lines[label]


def test_json_has_everything(tiny: Path, lingshu: Lingshu) -> None:
    found = json.loads(lingshu("describe", tiny / "model", "--json")[1])
    checkpoint = load_checkpoint(str(tiny / "model"))
    assert found["digest"] == checkpoint.digest
    assert found["genes"] == 40
    assert found["data"]["data_digest"] == checkpoint.card["data_digest"]
    assert found["perturbations"]["genetic"]["REG04+REG08"] == 16
    assert set(found["perturbations"]) == {"genetic", "drug"}
    assert found["contexts"][0]["control_cells"] == 40
    assert found["history"] == checkpoint.card["history"]
    assert found["parameters"]["trained"] == checkpoint.card["parameters"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("papr",), "'papr' is neither a configuration (direct, tiny, small, base, paper) nor the folder of"),
        (("direct", "--patch-size", "8"), "configuration 'direct' has no setting 'patch_size'"),
        (("./nowhere",), "./nowhere: no checkpoint here"),
    ],
)
def test_what_can_not_be_described_is_refused(lingshu: Lingshu, arguments: tuple[str, ...], said: str) -> None:
    code, _, error = lingshu("describe", *arguments)
    assert code == 2
    assert error.count("\n") == 1
    assert said in error


def test_sizes_are_not_for_trained_models(tiny: Path) -> None:
    with pytest.raises(ConfigurationError, match="a trained model has its own"):
        describe_model(str(tiny / "model"), genes=300)


def test_an_ensemble_tells_its_members_and_once_what_they_share(tiny: Path, tmp_path: Path, lingshu: Lingshu) -> None:
    digest = load_checkpoint(str(tiny / "model")).digest
    members = [EnsembleMember(f"member-{i}", i, digest) for i in range(2)]
    for member in members:
        shutil.copytree(tiny / "model", tmp_path / member.folder)
    named = write_ensemble(str(tmp_path), members)
    code, text, _ = lingshu("describe", tmp_path)
    assert code == 0
    assert named in text
    assert f"member-1      seed 1, {digest[:12]}, best validation loss" in text
    assert text.count("licence") == 1
    found = describe_model(str(tmp_path))
    assert [member["folder"] for member in found["members"]] == ["member-0", "member-1"]


def test_what_was_added_later_and_what_describes_perturbations_is_told(tiny: Path, tmp_path: Path) -> None:
    found = describe_model(str(tiny / "model"))
    assert found["adapted"] == []
    origin = {"kind": "gene_sets", "file": "sets.gmt", "sha256": "ab" * 32, "licence": "CC BY", "dimensions": 4}
    step = {"values": {"donor": ["D9"]}, "cells": 40, "data": "d9.h5ad"}
    text = render_description(
        {**found, "described": {"genetic": 70}, "features": [{**origin, "names": 70}], "adapted": [step]}
    )
    assert "gene_sets" in text
    assert "70 names in 4 dimensions sets.gmt (sha256 abababababab, CC BY)" in text
    assert "donor D9, from 40 control cells of d9.h5ad" in text


def test_a_damaged_model_is_not_described(tiny: Path, tmp_path: Path) -> None:
    for each in (tiny / "model").iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes()[: -1 if each.name == "weights.safetensors" else None])
    with pytest.raises(CheckpointError, match="truncated or changed"):
        describe_model(str(tmp_path))


def test_a_model_is_named_after_the_configuration_that_it_differs_least_from() -> None:
    assert nearest_configuration(CONFIGURATIONS["base"]) == ("base", {})
    assert nearest_configuration(configuration("paper", {"patch_size": 8})) == ("paper", {"patch_size": 8})
    changed = replace(CONFIGURATIONS["direct"], condition_rank=32, dropout=0.0)
    assert nearest_configuration(changed) == ("direct", {"condition_rank": 32, "dropout": 0.0})


def test_long_lists_are_cut(tiny: Path) -> None:
    found = describe_model(str(tiny / "model"))
    found["perturbations"] = {"genetic": {f"G{i}": i for i in range(20)}}
    text = render_description(found)
    assert "20 perturbations, 190 cells: G19, G18" in text
    assert "G8 and 8 more" in text
