"""From a campaign file to the published tables."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from campaigns.across_spec import AcrossSpec
from campaigns.conditions import Context
from campaigns.screen_spec import HitsSpec
from screening.answers import pan_context, patients, selective
from screening.answers.across_contexts import PAN_CONTEXT, PATIENTS, SELECTIVE, pan_hits, patient_hits, selective_hits
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


def test_all_tables_have_the_tails_that_are_asked_for(decided_screen: Callable[..., Any]) -> None:
    scores = {name: {f"donor=D{number}": 0.5 * number for number in (1, 2, 3)} for name in ("A", "B")}
    contexts = [Context.of({"donor": f"D{number}"}) for number in (1, 2, 3)]
    found = {}
    for tails in ("learned", "empirical"):
        spec: Any = SimpleNamespace(
            across=AcrossSpec(modes=["pan", "selective", "patient"]), hits=HitsSpec(tails=tails)
        )
        hits, null = decided_screen(scores, tails=tails)
        tables = [make(spec, contexts, hits, null) for make in (pan_hits, selective_hits, patient_hits)]
        found[tails] = [
            table[column] for table, column in zip(tables, ("p_worst", "p_selective", "deviation_q"), strict=True)
        ]
    assert found["empirical"][0].to_list() == pytest.approx([1 / 91] * 2)  # 30 groups in three contexts
    assert all(ranked.min() >= 1 / 91 > learned.min() for learned, ranked in zip(*found.values(), strict=True))
