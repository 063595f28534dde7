"""A screen by connectivity, with a null, from the file to the published tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from screening.answers.connectivity_table import COLUMNS
from screening.run import run_campaign

WriteScreen = Callable[..., Path]


def asked(folder: Path, **objective: Any) -> dict[str, Any]:
    program = (folder / "program.gmt").read_text().split("\t")[2:]
    query = {"down": [gene.strip() for gene in program if gene.strip()], "up": ["REG07", "GENE01", "GENE02"]}
    return {
        "model": str(folder / "ensemble"),
        "contexts": "all_seen",
        "perturbations": {"genetic": "all_seen"},
        "objective": {"kind": "connectivity", **query, **objective},
        "estimator": {"shards": 8, "depth_strata": 4, "steps": 2},
    }


def test_conditions_are_ranked_judged_and_put_beside_one_another(
    tiny_null: Path, write_screen: WriteScreen, tmp_path: Path, listener: Any
) -> None:
    found = run_campaign(write_screen(**asked(tiny_null)), listener)
    assert found.complete
    assert set(found.hits["score_unit"]) == {"weighted connectivity score"}
    assert found.hits["score"].is_between(-1, 1).all()
    assert (found.hits["score_se"] > 0).any()
    assert found.hits["null_blocks"].to_list() == [20] * found.hits.height
    assert set(found.hits["decision"]) <= {"hit", "not", "undecided"}
    place = tmp_path / "screen" / "connectivity.parquet"
    table = pl.read_parquet(place)
    assert table["wcs"].to_list() == found.hits["score"].to_list()
    assert table["compendium"].to_list() == [5] * 6
    assert table["tau"].abs().max() == pytest.approx(100)
    told = json.loads(pl.read_parquet_metadata(place)["lingshu.columns"])
    assert told == {name: meaning for name, (_, meaning) in COLUMNS.items()}
    swapped = asked(tiny_null)
    swapped["objective"] |= {"up": swapped["objective"]["down"], "down": swapped["objective"]["up"]}
    other = run_campaign(write_screen(**swapped), listener)
    assert other.computed == 0
    opposite = dict(zip(other.hits["perturbation"], other.hits["score"], strict=True))
    for name, score in zip(found.hits["perturbation"], found.hits["score"], strict=True):
        assert opposite[name] == pytest.approx(-score, abs=1e-12)


def test_reference_profiles_can_be_the_compendium(
    tiny_null: Path, write_screen: WriteScreen, tmp_path: Path, listener: Any, lingshu: Callable[..., Any]
) -> None:
    genes = [*(f"REG{n:02d}" for n in range(1, 11)), *(f"GENE{n:02d}" for n in range(1, 31))]
    values = np.random.default_rng(0).normal(size=(30, 40))
    columns = {gene: values[:, place] for place, gene in enumerate(genes)}
    pl.DataFrame({"signature": [f"s{n}" for n in range(30)], **columns}).write_parquet(tmp_path / "profiles.parquet")
    path = write_screen(**asked(tiny_null, compendium=str(tmp_path / "profiles.parquet")))
    found = run_campaign(path, listener)
    table = pl.read_parquet(tmp_path / "screen" / "connectivity.parquet")
    assert found.complete
    assert table["compendium"].to_list() == [30] * 6
    assert table["tau"].null_count() == 0
    path = write_screen(**asked(tiny_null, compendium=str(tmp_path / "none.parquet")))
    code, _, shown = lingshu("plan", path)
    assert code == 2
    assert "none.parquet: no such file" in shown


def test_a_query_of_most_genes_is_refused(
    tiny_null: Path, write_screen: WriteScreen, lingshu: Callable[..., Any]
) -> None:
    genes = [f"GENE{place:02d}" for place in range(1, 25)]
    path = write_screen(**asked(tiny_null, up=genes, down=[]))
    code, _, shown = lingshu("plan", path)
    assert code == 2
    assert "the query has 24 of the model's 40 genes" in shown
