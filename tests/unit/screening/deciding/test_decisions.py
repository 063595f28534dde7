from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from campaigns.screen_spec import HitsSpec
from screening.deciding import score_posterior
from screening.deciding.decisions import (
    FAILED,
    HIT,
    NO_NULL,
    NOT,
    REFUSED,
    UNDECIDED,
    decide,
    has_heavy_tails,
    is_judged,
)
from screening.deciding.hits import hit_table
from screening.deciding.null_distribution import NullDistribution

ASKED = HitsSpec()


def rows_of(
    scores: np.ndarray, null: np.ndarray, context: str = "T", cells: tuple[Any, Any] = (30, 30), **changes: Any
) -> list[dict[str, Any]]:
    """Rows of conditions with these scores beside a null with those; `cells` are what they were learned from."""
    own = np.broadcast_to(np.asarray(cells[0], dtype=float), scores.shape)
    found = NullDistribution.of(null, np.broadcast_to(np.asarray(cells[1], dtype=float), null.shape))
    return [
        {
            **{
                "status": "done",
                "perturbation": f"P{i:04d}",
                "context": context,
                "gate": "pass",
                "score": float(score),
            },
            **{"support": "in_vocabulary", "training_cells_all": 9, "score_se": 0.01, "score_sd": 0.1},
            **({} if found is None else {"null_blocks": found.blocks, "null_centre": found.centre}),
            **({} if found is None else {"null_sd": found.sd_of([size])}),
            **({} if found is None else {"minimum_effect": found.minimum_effect([size])}),
            **changes,
        }
        for i, (score, size) in enumerate(zip(scores, own, strict=True))
    ]


def decided(rows: list[dict[str, Any]], asked: HitsSpec = ASKED) -> pl.DataFrame:
    return decide(hit_table(rows, {}), asked, seed=0)


def null(seed: int = 0, blocks: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, blocks)


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals take most of the time, and hits don't need them."""
    monkeypatch.setattr(score_posterior, "DRAWS", 2)
    monkeypatch.setattr(score_posterior, "BURN_IN", 0)


@pytest.mark.usefixtures("few_draws")
def test_where_nothing_is_there_hits_are_as_rare_as_promised() -> None:
    runs, any_hit = 200, 0
    for run in range(runs):
        random, rows = np.random.default_rng([run, 17]), []
        for context in "AB":
            block, spread = random.normal(0, 2), random.uniform(0.5, 2)  # what all cells of a context share
            cells = np.exp(random.uniform(np.log(5), np.log(100), 100))  # few cells say more that isn't so
            sizes = np.quantile(cells, (np.arange(20) + 0.5) / 20)
            scores = random.normal(block, spread * np.sqrt(20 / cells))
            rows += rows_of(scores, random.normal(block, spread * np.sqrt(20 / sizes)), context, (cells, sizes))
        any_hit += HIT in decided(rows)["decision"].to_list()
    assert any_hit <= stats.binom.ppf(0.99, runs, ASKED.fdr)


@pytest.mark.usefixtures("few_draws")
def test_false_hits_among_hits_are_within_the_promise() -> None:
    shares, power = [], []
    for run in range(12):
        random = np.random.default_rng([run, 23])
        truth = np.where(np.arange(2000) < 20, 6.0, 0.0)
        block, sizes = random.normal(0, 2), np.full(60, 30.0)
        nothing = random.normal(block, 1.0, 60)
        found = NullDistribution.of(nothing, sizes)
        assert found is not None
        rows = hit_table(rows_of(random.normal(truth + block, 1.0), nothing), {})
        table = decide(rows, ASKED, 0, found.standardised(nothing, sizes))
        hits = table.filter(pl.col("decision") == HIT)["perturbation"].str.slice(1).cast(pl.Int64).to_numpy()
        shares.append(float((hits >= 20).mean()) if len(hits) else 0.0)
        power.append(float((hits < 20).sum() / 20))
    assert np.mean(shares) <= ASKED.fdr + 2.33 * np.std(shares) / np.sqrt(len(shares))
    assert np.mean(power) > 0.6


def test_decisions_and_their_reasons() -> None:
    found = NullDistribution.of(null(), np.full(20, 30.0))
    assert found is not None
    steps = np.array([9.0, 1.6, 0.0, -2.0])
    table = decided(rows_of(found.centre + steps * found.sd_of([30]), null()))
    assert table["decision"].to_list() == [HIT, UNDECIDED, NOT, NOT]
    first, second, third, _ = table["decision_reason"]
    assert "is within 0.1" in first
    assert "is over 0.1" in second or "less than the minimum effect" in second
    assert "90 % interval is under" in third


def test_a_larger_minimum_effect_makes_fewer_hits() -> None:
    scores = np.array([9.0, 6.0, 0.0])
    hits = [
        decided(rows_of(scores, null()), HitsSpec(minimum_effect=least))["decision"].to_list().count(HIT)
        for least in (0.0, 7.0, 20.0)
    ]
    assert hits == [2, 1, 0]


def test_a_smaller_rate_makes_no_more_hits() -> None:
    scores = np.linspace(0, 6, 40)
    hits = [set(_hits(decided(rows_of(scores, null()), HitsSpec(fdr=rate)))) for rate in (0.01, 0.1, 0.3)]
    assert hits[0] <= hits[1] <= hits[2]
    assert len(hits[0]) < len(hits[2])


def _hits(table: pl.DataFrame) -> list[str]:
    return table.filter(pl.col("decision") == HIT)["perturbation"].to_list()


def test_the_order_of_rows_changes_nothing() -> None:
    rows = rows_of(np.random.default_rng(3).normal(1, 2, 25), null())
    table = decide(hit_table(rows, {}), ASKED, seed=5)
    backwards = decide(hit_table(rows, {}).reverse(), ASKED, seed=5).reverse()
    assert backwards.equals(table, null_equal=True)


def test_without_a_null_the_table_is_as_it_was() -> None:
    rows = rows_of(np.array([3.0, 1.0]), np.array([]))
    plain, table = hit_table(rows, {}), decided(rows)
    assert table["decision"].to_list() == [UNDECIDED, UNDECIDED]
    assert set(table["decision_reason"]) == {NO_NULL}
    told = ["decision", "decision_reason"]
    assert table.drop(told).equals(plain.drop(told), null_equal=True)


def test_a_null_of_few_blocks_gives_no_q_value_and_says_so() -> None:
    table = decided(rows_of(np.array([9.0]), null(blocks=12)))
    assert table["q_value"].to_list() == [None]
    assert table["decision"].to_list() == [UNDECIDED]
    assert "has 12 pseudo-perturbations, and q-values need 20" in table["decision_reason"][0]
    assert table["low_90"][0] is not None


def test_pseudo_perturbations_that_all_failed_are_told() -> None:
    rows = rows_of(np.array([9.0]), np.array([]), null_blocks=0)
    assert "has 0 pseudo-perturbations" in decided(rows)["decision_reason"][0]


@pytest.mark.parametrize(
    ("changes", "decision", "reason"),
    [
        ({"status": "failed", "score": None, "reason": "it broke", "null_sd": None}, FAILED, "it broke"),
        ({"gate": "fail"}, REFUSED, "gate: fail"),
        ({"support": "features_only"}, UNDECIDED, "known by features alone"),
        ({"training_cells_all": 0}, UNDECIDED, "parts that were seen apart"),
        ({"null_sd": 0.0}, UNDECIDED, "all pseudo-perturbations score the same"),
    ],
)
def test_what_is_not_judged(changes: dict[str, Any], decision: str, reason: str) -> None:
    table = decided(rows_of(np.array([9.0]), null(), **changes))
    assert table["decision"].to_list() == [decision]
    assert reason in table["decision_reason"][0]


def test_the_null_speaks_of_trained_labels() -> None:
    assert is_judged({"support": "in_vocabulary", "training_cells_all": 1})
    assert not is_judged({"support": "in_vocabulary", "training_cells_all": 0})
    assert not is_judged({"support": "features_only", "training_cells_all": 1})


def heavy_screen(
    run: int, contexts: str, blocks: int, conditions: int, freedom: float = 5
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """A screen of nothing with the tails of a Student t, and its standardised blocks."""
    random, rows, standardised = np.random.default_rng([run, 29]), [], []
    sizes = np.full(blocks, 30.0)
    for context in contexts:
        null_scores = random.standard_t(freedom, blocks)
        found = NullDistribution.of(null_scores, sizes)
        assert found is not None
        standardised.append(found.standardised(null_scores, sizes))
        rows += rows_of(random.standard_t(freedom, conditions), null_scores, context)
    return rows, np.array(standardised)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("contexts", ["A", "ABCD"])
def test_tails_that_few_blocks_do_not_show_make_no_more_hits_than_promised(contexts: str) -> None:
    runs, found = 60, {"learned": 0, "normal": 0}
    for run in range(runs):
        rows, blocks = heavy_screen(run, contexts, 20, 400 // len(contexts))
        for tails in found:
            table = decide(hit_table(rows, {}), HitsSpec(tails=tails), 0, blocks)
            found[tails] += HIT in table["decision"].to_list()
    assert found["learned"] <= stats.binom.ppf(0.99, runs, ASKED.fdr)
    assert found["normal"] > stats.binom.ppf(0.99, runs, ASKED.fdr)


@pytest.mark.usefixtures("few_draws")
def test_reasons_name_tails_that_were_asked_for() -> None:
    rows, blocks = heavy_screen(3, "ABCDEFGH", 40, 10, freedom=3)
    told = {
        tails: decide(hit_table(rows, {}), HitsSpec(tails=tails), 0, blocks)["decision_reason"][0]
        for tails in ("learned", "normal", "empirical")
    }
    assert "blocks" not in told["learned"]
    assert "those of the 320 blocks are heavier" in told["normal"]
    assert "rank among 320 blocks" in told["empirical"]


def test_ranks_are_no_smaller_than_the_blocks_allow() -> None:
    rows, blocks = heavy_screen(3, "A", 20, 10)
    rows[0]["score"] = 1e6
    table = decide(hit_table(rows, {}), HitsSpec(tails="empirical"), 0, blocks)
    assert table["p_null"][0] == pytest.approx(1 / 21)


def test_where_sampling_was_adaptive_e_values_decide() -> None:
    table = hit_table(rows_of(np.array([30.0, 3.0, 0.0, 0.0]), null(blocks=60)), {})
    fixed = decide(table, ASKED, 0)
    stopped = decide(table, ASKED, 0, adaptive=np.array([False, True, False, False]))
    assert fixed["e_value"].null_count() == fixed.height
    assert stopped["e_value"].null_count() == 0
    assert stopped["p_null"].equals(fixed["p_null"])
    assert (stopped["q_value"] >= fixed["q_value"]).all()
    assert stopped["decision"][0] == HIT
    assert decide(table, ASKED, 0, adaptive=np.zeros(4, dtype=bool)).equals(fixed, null_equal=True)


def test_normal_blocks_are_not_taken_for_heavy_ones() -> None:
    random = np.random.default_rng(1)
    assert sum(has_heavy_tails(random.normal(size=100)) for _ in range(200)) <= 8
    assert not has_heavy_tails(np.full(5, 3.0))


def test_a_condition_of_few_cells_needs_a_higher_score() -> None:
    sizes = np.geomspace(5, 200, 40)
    found = rows_of(np.full(2, 5.0), np.random.default_rng(3).normal(0, np.sqrt(20 / sizes)), "T", ([6, 150], sizes))
    table = decided(found).sort("perturbation")
    assert table["p_null"][0] > 3 * table["p_null"][1]
    assert table["null_sd"][0] > 2 * table["null_sd"][1]


def test_intervals_are_as_wide_as_the_wider_of_null_and_model() -> None:
    narrow = decided(rows_of(np.zeros(12), null(), score_sd=0.1))
    wide = decided(rows_of(np.zeros(12), null(), score_sd=5.0))
    width = [float((table["high_90"] - table["low_90"]).mean() or 0) for table in (narrow, wide)]
    assert width[1] > 1.5 * width[0]


def test_where_nothing_stands_out_the_null_alone_excludes_nothing() -> None:
    found = NullDistribution.of(null(), np.full(20, 30.0))
    assert found is not None
    rows = rows_of(found.centre + np.array([0.4, 0.0, -0.3]) * found.sd_of([30]), null())
    table = decided(rows)
    assert set(table["decision"]) == {UNDECIDED}
    assert "nothing in this screen stands out" in table["decision_reason"][0]
    named = decide(hit_table(rows, {}), HitsSpec(minimum_effect=2.0 * found.minimum_effect([30])), 0)
    assert set(named["decision"]) == {NOT}
