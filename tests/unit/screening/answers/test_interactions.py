from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.conditions import Context, Perturbation
from screening.answers.interactions import (
    ADDITIVE,
    ANTAGONISM,
    COLUMNS,
    SYNERGY,
    UNDECIDED,
    Difference,
    ModelFacts,
    additive_difference,
    bliss_difference,
    called,
    interaction_table,
)
from screening.objective.combination_scores import CombinationScore

SHARE = "share of the difference"
MakeScore = Callable[..., CombinationScore]
HERE = Context.of({"cell_type": "T cells"})
NETWORK = ModelFacts("bias+tilt", is_baseline=False)


@pytest.fixture
def combination() -> MakeScore:
    """Scores of A+B, A and B: `combination(0.5, (0.2, 0.2), own=0.01)`; all share the noise of the shards."""

    def make(
        whole: float, parts: tuple[float, ...], own: float = 0.0, members: int = 1, label: str = "", seed: int = 0
    ) -> CombinationScore:
        rng = np.random.default_rng(seed)
        shared = rng.normal(0.0, 0.1, (members, 8))
        names = label or "+".join("ABCDE"[: len(parts)])
        # What all conditions share is in their difference as often as parts exceed the whole; here it scales with each.
        return CombinationScore(
            Perturbation.parse(names, "genetic"),
            HERE,
            whole * (1 + shared) + own * rng.normal(size=(members, 8)),
            np.stack([part * (1 + shared) for part in parts]),
        )

    return make


def hits(unit: str = "control standard deviations", cells: int = 0, minimum: float | None = None) -> pl.DataFrame:
    row = {"perturbation": "A+B", "context": HERE.label, "training_cells_all": cells, "minimum_effect": minimum}
    schema = {"training_cells_all": pl.Int64, "minimum_effect": pl.Float64}
    return pl.DataFrame([row | {"score_unit": unit, "run_id": "r"}], schema_overrides=schema)


def test_noise_that_all_conditions_share_cancels(combination: MakeScore) -> None:
    difference = additive_difference(combination(0.5, (0.2, 0.3)))
    assert difference.mean == pytest.approx(0.0, abs=1e-12)
    assert difference.error < 1e-12
    assert combination(0.5, (0.2, 0.3)).whole.std() > 0.02


@pytest.mark.parametrize(
    ("whole", "own", "expected"),
    [(1.0, 0.01, SYNERGY), (0.1, 0.01, ANTAGONISM), (0.51, 0.001, ADDITIVE), (0.6, 0.3, UNDECIDED)],
)
def test_the_class_is_where_the_interval_lies(combination: MakeScore, whole: float, own: float, expected: str) -> None:
    table = interaction_table([combination(whole, (0.2, 0.3), own=own)], hits(), NETWORK)
    assert table is not None
    assert table["class"].to_list() == [expected]


def test_the_row_adds_up_and_says_what_it_rests_on(combination: MakeScore) -> None:
    table = interaction_table([combination(1.0, (0.2, 0.3), own=0.01)], hits(), NETWORK)
    assert table is not None
    row = table.row(0, named=True)
    assert row["interaction"] == pytest.approx(row["score"] - row["expected"])
    assert row["interaction_low"] < row["interaction"] < row["interaction_high"]
    assert row["margin"] == pytest.approx(0.1 * row["score"])
    assert (row["parts"], row["origin"], row["interaction_sd"]) == (2, "counts", None)
    assert "no learned interaction" in row["class_reason"]
    assert row["part_scores"].startswith("A 0.2")
    assert row["expected_bliss"] is None  # no share


def test_the_minimum_effect_of_null_or_campaign_is_a_margin(combination: MakeScore) -> None:
    scores = [combination(1.0, (0.2, 0.3), own=0.01)]
    for table in (
        interaction_table(scores, hits(minimum=2.0), NETWORK),
        interaction_table(scores, hits(), ModelFacts("bias", is_baseline=False, minimum_effect=2.0)),
    ):
        assert table is not None
        assert table["class"].to_list() == [ADDITIVE]
        assert table["margin"].to_list() == [2.0]


def test_members_that_disagree_leave_it_undecided(combination: MakeScore) -> None:
    agreed = combination(1.0, (0.2, 0.3), own=0.01, members=3)
    torn = CombinationScore(agreed.perturbation, HERE, agreed.whole + np.array([[-0.6], [0.0], [0.6]]), agreed.parts)
    for found, expected in ((agreed, SYNERGY), (torn, UNDECIDED)):
        table = interaction_table([found], hits(), NETWORK)
        assert table is not None
        assert table["class"].to_list() == [expected]
        assert "Monte Carlo and members" in table["class_reason"][0]


def test_bliss_of_two_and_of_three_parts(combination: MakeScore) -> None:
    two = bliss_difference(combination(0.44, (0.2, 0.3)))
    three = bliss_difference(combination(0.5, (0.2, 0.3, 0.1)))
    assert two is not None
    assert three is not None
    assert two.mean == pytest.approx(0.44 - 0.44, abs=0.02)
    assert three.mean == pytest.approx(0.5 - (1 - 0.8 * 0.7 * 0.9), abs=0.02)


@given(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(-0.01, 0.01))
def test_bliss_error_is_that_of_small_shifts(first: float, second: float, shift: float) -> None:
    steps = np.linspace(-shift, shift, 8)[None]
    parts = np.stack([first + 0.05 + steps, second + 0.05 - steps])
    exact = 1.0 - np.prod(1.0 - parts, axis=0)  # the combination is what Bliss expects, in every shard
    found = CombinationScore(Perturbation.parse("A+B", "genetic"), HERE, exact, parts)
    difference = bliss_difference(found)
    assert difference is not None
    assert abs(difference.mean) < 2e-4
    assert difference.error < 2e-4


def test_what_is_outside_of_shares_has_no_bliss(combination: MakeScore) -> None:
    assert bliss_difference(combination(0.5, (-0.1, 0.3))) is None
    assert bliss_difference(combination(1.4, (0.7, 0.6))) is None
    table = interaction_table([combination(0.44, (0.2, 0.3))], hits(SHARE), NETWORK)
    assert table is not None
    assert table["expected_bliss"][0] == pytest.approx(0.44, abs=0.03)


def test_what_failed_is_undecided_with_its_reason() -> None:
    empty = CombinationScore(
        Perturbation.parse("A+B", "genetic"), HERE, np.empty((0, 0)), np.empty((0, 0, 0)), "A: it broke"
    )
    table = interaction_table([empty], hits(), NETWORK)
    assert table is not None
    assert table.select("class", "class_reason", "score").row(0) == (UNDECIDED, "A: it broke", None)


@pytest.mark.parametrize(
    ("model", "cells", "origin", "says"),
    [
        (ModelFacts("backbone", is_baseline=False), 0, "backbone", "never seen in training"),
        (ModelFacts("additive", is_baseline=True), 0, "baseline", "never seen in training"),
        (ModelFacts("bias+backbone", is_baseline=False), 30, "backbone", "beside a margin"),
    ],
)
def test_the_origin_is_the_models(
    combination: MakeScore, model: ModelFacts, cells: int, origin: str, says: str
) -> None:
    table = interaction_table([combination(1.0, (0.2, 0.3), own=0.01)], hits(cells=cells), model)
    assert table is not None
    assert table["origin"].to_list() == [origin]
    assert says in table["class_reason"][0]


@given(st.floats(-5, 5), st.floats(0, 2), st.floats(0, 1))
def test_classes_are_symmetric(mean: float, error: float, margin: float) -> None:
    mirror = {SYNERGY: ANTAGONISM, ANTAGONISM: SYNERGY, ADDITIVE: ADDITIVE, UNDECIDED: UNDECIDED}
    there, back = (Difference(sign * mean, error, None, 8) for sign in (1, -1))
    assert called(back, margin) == mirror[called(there, margin)]


def test_without_combinations_there_is_no_table() -> None:
    assert interaction_table([], hits(), NETWORK) is None


def test_columns_are_in_their_order_and_the_largest_first(combination: MakeScore) -> None:
    table = interaction_table(
        [combination(0.5, (0.2, 0.3)), combination(1.5, (0.2, 0.3), label="A+C")], hits(), NETWORK
    )
    assert table is not None
    assert dict(table.schema) == {name: kind for name, (kind, _) in COLUMNS.items()}
    assert table["perturbation"].to_list() == ["A+C", "A+B"]
