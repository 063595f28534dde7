import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import special

from actors.blobs import open_blobs
from screening.deciding.hits import COLUMNS as HIT_COLUMNS
from screening.errors import ResultsError
from screening.following_up.cell_numbers import cells_per_arm
from screening.following_up.suggestions import COLUMNS, PublishedEffects, SuggestionRequest, propose, read_effects
from screening.objective.objectives import UNITS
from screening.run import run_campaign

SCHEMA = {name: kind for name, (kind, _) in HIT_COLUMNS.items()}
ASKED = SuggestionRequest("results", batch=3)


def row(perturbation: str, **changes: Any) -> dict[str, Any]:
    plain = {"perturbation": perturbation, "context": "cell_type=T", "status": "done", "decision": "undecided"}
    plain |= {"score": 0.5, "score_se": 0.01, "score_sd": 0.2, "score_unit": UNITS["mean"], "effect": 0.25}
    plain |= {"posterior_mean": 0.4, "low_90": 0.1, "high_90": 0.7, "minimum_effect": 0.3, "genes_used": 4}
    return plain | {"training_cells": 0, "training_cells_all": 0, "targets_left_out": ""} | changes


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA)


def effects(*labels: str, variance: float = 0.25) -> PublishedEffects:
    """Each label has an effect of its own direction; the objective has the first two of four genes."""
    values = np.eye(len(labels), 4, dtype=np.float32)
    places = {(label, "cell_type=T"): place for place, label in enumerate(labels)}
    used = np.array([True, True, False, False])
    return PublishedEffects(places, values, np.full_like(values, variance), ("G1", "G2", "G3", "G4"), used)


def test_worth_is_uncertainty_times_relevance_less_what_was_measured() -> None:
    found = propose(table(row("a"), row("b", training_cells=300)), None, ASKED).batch
    relevance = special.ndtr((0.4 - 0.3) / (0.6 / (2 * special.ndtri(0.95))))
    assert found["perturbation"].to_list() == ["a", "b"]
    assert found["worth"].to_list() == pytest.approx([0.2 * relevance, 0.2 * relevance / 4])
    assert "well measured with 300 cells, so it counts 25%" in found["why"][1]
    assert "never measured" in found["why"][0]


def test_cells_in_other_contexts_count_too() -> None:
    found = propose(table(row("a", training_cells_all=300), row("b", training_cells_all=20)), None, ASKED).batch
    assert found["perturbation"].to_list() == ["b", "a"]
    assert found["worth"][0] / found["worth"][1] == pytest.approx(400 / 120)
    assert "thinly measured with 20 cells elsewhere, never here" in found["why"][0]
    assert "well measured with 300 cells elsewhere, never here, so it counts 25%" in found["why"][1]


def test_undecided_come_before_hits_and_refused_never() -> None:
    rows = [row("a", decision="hit", score_sd=9.0), row("b"), row("c", decision="refused"), row("d", status="failed")]
    found = propose(table(*rows), None, ASKED)
    assert found.batch["perturbation"].to_list() == ["b", "a"]
    assert "2 conditions failed or are refused, and are not proposed" in found.notices
    assert "asked for 3, and there are 2 to propose" in found.notices


def test_a_single_model_with_a_null_goes_by_its_posterior() -> None:
    found = propose(table(row("a", score_sd=None)), None, ASKED)
    assert found.batch["disagreement"][0] == pytest.approx(0.6 / (2 * special.ndtri(0.95)))
    assert "there is one model" in found.notices[0]


def test_a_single_model_without_a_null_is_refused() -> None:
    nothing = {"score_sd": None, "posterior_mean": None, "low_90": None, "high_90": None, "minimum_effect": None}
    with pytest.raises(ResultsError, match="one model without a null doesn't tell what it doesn't know"):
        propose(table(row("a", **nothing)), None, ASKED)


def test_without_a_null_the_best_tenth_matters() -> None:
    nothing = {"posterior_mean": None, "low_90": None, "high_90": None, "minimum_effect": None, "decision": None}
    rows = [row(f"p{i}", score=i / 10, **nothing) for i in range(11)]
    found = propose(table(*rows), None, ASKED)
    assert set(found.batch["threshold"]) == {0.9}
    assert found.batch["perturbation"][0] == "p10"
    assert found.batch["expected_low"][0] == pytest.approx(1.0 - special.ndtri(0.95) * np.hypot(0.2, 0.01))
    assert "best tenth" in found.notices[1]


def test_a_table_of_an_earlier_version_will_do() -> None:
    early = table(row("a"), row("b")).drop("decision", "minimum_effect", "posterior_mean", "low_90", "high_90")
    assert propose(early, None, ASKED).batch.height == 2


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [row(f"p{i:02d}", score_sd=0.1 + i % 5 / 10) for i in range(20)]
    some = effects("p01", "p07", "p13")
    first, second = propose(table(*rows), some, ASKED), propose(table(*rows[::-1]), some, ASKED)
    assert first.batch.equals(second.batch, null_equal=True)
    assert first.batch["perturbation"].n_unique() == 3


def test_the_like_of_what_was_chosen_waits() -> None:
    rows = [row("a", score_sd=0.3), row("b", score_sd=0.29), row("c", score_sd=0.1)]
    published = effects("a", "b", "c")
    published.effects[1] = published.effects[0]
    found = propose(table(*rows), published, ASKED).batch
    assert found["perturbation"].to_list() == ["a", "c", "b"]
    assert found["nearest"].to_list() == [None, "a in cell_type=T", "a in cell_type=T"]
    assert found["distance"].to_list() == [None, pytest.approx(2**-0.5), pytest.approx(0.0)]
    assert found["distance_by"].to_list() == [None, "effects", "effects"]


def test_conditions_without_effects_are_spread_by_labels_and_that_is_said() -> None:
    found = propose(table(row("a"), row("b")), effects("a"), ASKED)
    assert found.batch["distance_by"].to_list() == [None, "labels"]
    assert "effects.h5ad has no effects of 1 of 2 conditions; these are spread by labels" in found.notices
    assert "spread by labels: there are no predicted effects" in propose(table(row("a")), None, ASKED).notices[-1]


def test_cells_are_those_of_both_arms_together() -> None:
    # The score 0.5 is an effect of 0.25, so a control cell varies by 0.5; expected are 0.4 of it.
    alone = propose(table(row("a")), None, ASKED).batch
    assert alone["cells_per_arm"].to_list() == [cells_per_arm(0.4, 1.0)]
    assert alone["cells_per_arm_least"].to_list() == [cells_per_arm(0.4, 0.5)]
    both = propose(table(row("a")), effects("a", variance=0.75), ASKED).batch
    assert both["cells_per_arm"].to_list() == [cells_per_arm(0.2, np.sqrt((0.25 + 0.75) / 2))]


def test_a_share_of_a_difference_has_no_number_of_cells() -> None:
    found = propose(table(row("a", score_unit=UNITS["share"])), None, ASKED).batch
    assert found["cells_per_arm"].to_list() == [None]


def test_nothing_to_learn_is_said() -> None:
    with pytest.raises(ResultsError, match="sure of every condition"):
        propose(table(row("a", score_sd=0.0)), None, ASKED)
    with pytest.raises(ResultsError, match="no condition is left"):
        propose(table(row("a", status="failed")), None, ASKED)


def test_from_a_screen_to_the_lab(
    tiny_null: Path, write_screen: Callable[..., Path], listener: Any, lingshu: Callable[..., Any], tmp_path: Path
) -> None:
    gene_set = {"file": str(tiny_null / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    asked: dict[str, Any] = {"model": str(tiny_null / "ensemble"), "contexts": "all_seen"}
    asked |= {"perturbations": {"genetic": "all_seen"}, "objective": {"kind": "signature", "gene_set": gene_set}}
    run_campaign(write_screen(**asked, estimator={"shards": 8, "depth_strata": 4, "steps": 2}), listener)
    place, file = tmp_path / "screen", tmp_path / "lab" / "next.csv"
    code, shown, _ = lingshu("suggest", place, "--batch", 3, "--out", file)
    assert code == 0
    assert "uncertainty: the spread of the score between members" in shown
    written = pl.read_csv(file)
    assert list(written.columns) == list(COLUMNS)
    assert written["distance_by"].to_list() == [None, "effects", "effects"]
    code, shown, _ = lingshu("suggest", place, "--batch", 3, "--json")
    told = json.loads(shown)
    assert [each["perturbation"] for each in told["batch"]] == written["perturbation"].to_list()
    assert set(told["columns"]) == set(COLUMNS)


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--batch", 0), "'--batch'"), (("--minimum-effect", "nan"), "must be a finite number"), ((), "no such folder")],
)
def test_what_is_asked_wrongly_is_told(
    lingshu: Callable[..., Any], tmp_path: Path, options: tuple[object, ...], said: str
) -> None:
    code, _, error = lingshu("suggest", tmp_path / "none", *options)
    assert code == 2
    assert said in error


def test_effects_may_be_absent_and_not_damaged(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path))
    assert read_effects(blobs) is None
    (tmp_path / "effects.h5ad").write_bytes(b"no HDF5")
    with pytest.raises(ResultsError, match="not readable as effects of a screen"):
        read_effects(blobs)
