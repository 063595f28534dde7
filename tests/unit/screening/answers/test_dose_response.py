from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from screening.answers.dose_response import (
    ABOVE,
    BELOW,
    COLUMNS,
    FITTED,
    FLAT,
    NOT_MONOTONE,
    TOO_FEW,
    dose_table,
    shares_left,
)
from screening.deciding.null_table import null_table

DOSES = (0.01, 0.1, 1.0, 10.0)
SCHEMA = {
    **{"perturbation": pl.String, "perturbation_type": pl.String, "context": pl.String, "dose": pl.Float64},
    **{"status": pl.String, "decision": pl.String, "score": pl.Float64, "score_se": pl.Float64},
    **{"score_sd": pl.Float64, "null_sd": pl.Float64, "score_unit": pl.String, "run_id": pl.String},
}
MakeRows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def series() -> MakeRows:
    """Rows of a drug over doses: `series("A", [0.1, 0.3, 0.5, 0.6])`; None is a condition that failed."""

    def make(
        name: str,
        scores: Sequence[float | None],
        doses: Sequence[float] = DOSES,
        context: str = "here",
        decision: str = "undecided",
        **more: Any,
    ) -> list[dict[str, Any]]:
        return [
            {"perturbation": f"{name}@{dose:g}", "perturbation_type": "drug", "context": context, "dose": dose}
            | {"status": "failed" if score is None else "done", "decision": decision, "score": score}
            | {"score_se": 0.01, "score_unit": "u", "run_id": "r", **more}
            for dose, score in zip(doses, scores, strict=True)
        ]

    return make


def table(*rows: list[dict[str, Any]], seed: int = 0) -> pl.DataFrame:
    hits = pl.DataFrame([row for part in rows for row in part], schema=SCHEMA)
    names = {label: label.split("@")[0] for label in hits["perturbation"]}
    found = dose_table(hits, names, seed)
    assert found is not None
    return found


def hill(ec50: float, emax: float = 1.0) -> list[float]:
    return [emax * dose / (dose + ec50) for dose in DOSES]


def test_a_curve_within_the_doses_has_numbers_with_intervals(series: MakeRows) -> None:
    row = table(series("A", hill(0.3))).row(0, named=True)
    assert row["outcome"] == FITTED
    assert row["ec50"] == pytest.approx(0.3, rel=0.05)
    assert row["ec50_low"] < 0.3 < row["ec50_high"]
    assert row["emax_low"] < 1.0 < row["emax_high"]
    assert row["slope_low"] < 1.0 < row["slope_high"]
    assert row["top_score"] == pytest.approx(hill(0.3)[-1], abs=0.03)
    assert (row["doses"], row["lowest_dose"], row["highest_dose"]) == (4, 0.01, 10.0)
    assert row["error_of"] == "Monte Carlo"


@pytest.mark.parametrize(
    ("scores", "outcome", "says"),
    [
        (hill(100.0, 5.0), ABOVE, "above 10"),
        (hill(0.0005), BELOW, "below 0.01"),
        ([0.001, -0.002, 0.0, 0.003], FLAT, "no dose stands out"),
        ([0.0, 0.0, 0.0, 0.0], FLAT, "no dose stands out"),
        ([0.1, 0.9, 0.6, 0.1], NOT_MONOTONE, "isotonic regression"),
        ([None, None, 0.3, 0.5], TOO_FEW, "2 doses and the control, 2 more failed"),
        ([None, None, None, None], TOO_FEW, "0 doses and the control, 4 more failed"),
    ],
)
def test_what_is_no_curve_has_no_ec50_and_says_why(
    series: MakeRows, scores: list[float | None], outcome: str, says: str
) -> None:
    row = table(series("A", scores)).row(0, named=True)
    assert row["outcome"] == outcome
    assert says in row["reason"]
    assert row["ec50"] is row["ec50_low"] is row["emax"] is None


def test_a_falling_curve_is_fitted_and_has_no_rank_of_potency(series: MakeRows) -> None:
    row = table(series("A", hill(0.3, -1.0), decision="hit")).row(0, named=True)
    assert (row["outcome"], row["potency_rank"]) == (FITTED, None)
    assert row["emax"] == pytest.approx(-1.0, rel=0.05)


def test_ranks_are_by_dose_and_by_score_among_what_is_decided(series: MakeRows) -> None:
    found = table(
        series("weak", hill(0.05, 0.5), decision="hit"),
        series("strong", hill(0.5, 2.0), decision="hit"),
        series("unsure", hill(0.01, 3.0)),
        series("strong", hill(0.5, 2.0), context="there", decision="hit"),
    )
    ranks = {
        (row["perturbation"], row["context"]): (row["potency_rank"], row["efficacy_rank"])
        for row in found.iter_rows(named=True)
    }
    assert ranks == {
        ("weak", "here"): (1, 2),
        ("strong", "here"): (2, 1),
        ("unsure", "here"): (None, None),
        ("strong", "there"): (1, 1),
    }


def test_the_null_and_the_members_widen_the_intervals(series: MakeRows) -> None:
    sure = table(series("A", hill(0.3))).row(0, named=True)
    unsure = table(series("A", hill(0.3), null_sd=0.1, score_sd=0.05)).row(0, named=True)
    assert unsure["error_of"] == "Monte Carlo, members, null"
    assert unsure["emax_high"] - unsure["emax_low"] > sure["emax_high"] - sure["emax_low"]


def blocks_of(power: float) -> pl.DataFrame:
    """Pseudo-perturbations in one context whose noise goes as a power of their cells, by quantiles of the normal."""
    cells = np.tile(np.geomspace(5, 500, 60), 2)
    signs = np.repeat([1.0, -1.0], 60)
    rows = [
        {"perturbation": f"null-{place:03d}", "context": "here", "status": "done"}
        | {"training_cells_all": round(number), "score": float(sign * number ** (power / 2))}
        for place, (number, sign) in enumerate(zip(cells, signs, strict=True))
    ]
    return null_table(rows, [])


def test_what_is_left_of_an_effect_is_read_off_the_null() -> None:
    # Of many cells the variance is 1 / n and all is left; of few it is n, and next to nothing.
    assert shares_left(blocks_of(-1.0))["here"] == pytest.approx(1.0, abs=0.05)
    assert shares_left(blocks_of(0.0))["here"] == pytest.approx(0.5, abs=0.01)
    assert shares_left(blocks_of(1.0))["here"] == 0.1
    assert shares_left(None) == {}


def test_a_null_is_shared_out_over_doses_and_grows_with_what_is_held_down(series: MakeRows) -> None:
    rows = series("A", hill(0.3), null_sd=0.1)
    hits = pl.DataFrame(rows, schema=SCHEMA)
    names = dict.fromkeys(hits["perturbation"], "A")
    held = {power: dose_table(hits, names, 0, blocks_of(power)) for power in (-1.0, 0.0)}
    errors = {power: found["error"][0] for power, found in held.items() if found is not None}
    assert errors[-1.0] == pytest.approx(0.1 * 2, rel=0.05)  # four doses
    assert errors[0.0] == pytest.approx(0.1 * 2 * np.sqrt(2), rel=0.05)


def test_intervals_hold_where_errors_are_what_they_are_said_to_be(series: MakeRows) -> None:
    random, held, bounded = np.random.default_rng(0), [], []
    for run in range(150):
        ec50 = float(np.exp(random.uniform(np.log(0.03), np.log(3.0))))
        noise = random.normal(0.0, 0.06, 4)
        row = table(series("A", list(np.array(hill(ec50)) + noise), score_se=0.06), seed=run).row(0, named=True)
        if row["outcome"] == FITTED:
            held.append((row["ec50_low"] or 0.0) <= ec50 <= (row["ec50_high"] or np.inf))
            bounded.append(row["ec50_bounded"] == (None not in (row["ec50_low"], row["ec50_high"])))
    assert len(held) > 120
    assert 0.84 <= np.mean(held) <= 0.98
    assert all(bounded)


def test_doses_that_do_not_hold_an_ec50_leave_the_interval_open(series: MakeRows) -> None:
    row = table(series("A", hill(8.0), score_se=0.05)).row(0, named=True)
    assert row["outcome"] == FITTED
    assert (row["ec50_high"], row["ec50_bounded"]) == (None, False)
    assert row["ec50_low"] < row["ec50"]


def test_the_order_of_rows_changes_nothing(series: MakeRows) -> None:
    rows = [*series("A", hill(0.3)), *series("B", [0.1, 0.5, 0.3, 0.4], null_sd=0.1), *series("C", hill(30.0))]
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    assert table(rows).equals(table(shuffled))


def test_a_screen_without_doses_has_no_such_table() -> None:
    rows = [{"perturbation": "STAT1", "context": "here", "status": "done", "score": 1.0}]
    assert dose_table(pl.DataFrame(rows, schema=SCHEMA), {}, 0) is None


def test_every_column_has_a_meaning_and_its_type(series: MakeRows) -> None:
    found = table(series("A", hill(0.3)))
    assert dict(found.schema) == {name: kind for name, (kind, _) in COLUMNS.items()}
