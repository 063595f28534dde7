"""Shards by a precision: the rule alone, and a screen in one process."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from screening.allocating.allocation import tier
from screening.allocating.precision import CONFIDENCE, GROWTH, Precision
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import run_campaign

SETTINGS = {"precision": 0.1, "first": 8, "most": 512, "unit": 8}


def effects_of(scatter: list[float], shards: int = 512, seed: int = 0) -> np.ndarray:
    """Effects of all shards of some conditions, (conditions, shards)."""
    return np.random.default_rng(seed).normal(size=(len(scatter), shards)) * np.array(scatter)[:, None]


def play(effects: np.ndarray, order: np.random.Generator | None = None, **changes: Any) -> Precision:
    """Give a precision what it wants, block by block, in the order of the conditions or in another one."""
    found = Precision(len(effects), **(SETTINGS | changes))
    given = np.zeros(len(effects), dtype=np.int64)
    while len(open_ := np.flatnonzero(found.wanted() > given)):
        place = int(open_[0] if order is None else order.choice(open_))
        stop = min(given[place] + 8, found.most)
        found.observe(place, effects[place, given[place] : stop])
        given[place] = stop
    return found


def bound_of(effects: np.ndarray) -> float:
    freedom = len(effects) - 1
    spread = float(np.std(effects, ddof=1))
    return spread * float(np.sqrt(freedom / stats.chi2.ppf(1 - CONFIDENCE, freedom) / len(effects)))


def test_each_condition_gets_shards_by_its_own_scatter() -> None:
    effects = effects_of([0.0, 0.05, 0.5, 1.0])
    found = play(effects)
    drawn = found.wanted().tolist()
    assert drawn[:2] == [8, 8]
    assert 24 <= drawn[2] < drawn[3] < 200
    for place, shards in enumerate(drawn):
        verdict = found.verdict(place)
        assert verdict is not None
        assert (verdict.word, verdict.first, verdict.stop) == ("within precision", 0, shards)
        assert bound_of(effects[place, :shards]) <= 0.1
        assert verdict.estimate == pytest.approx(effects[place, :shards].mean())


def test_a_few_shards_decide_nothing_large() -> None:
    found = Precision(1, **SETTINGS)  # type: ignore[arg-type]
    found.observe(0, effects_of([1.0])[0, :8])
    assert found.wanted().tolist() == [8 * GROWTH]


def test_at_its_cap_a_condition_says_why_it_is_not_precise_and_a_failed_one_holds_nobody_up() -> None:
    found = play(effects_of([5.0, 0.1]), most=60)
    assert found.wanted().tolist() == [60, 8]
    worst = found.verdict(0)
    assert worst is not None
    assert worst.word == "over precision: estimator.shards"
    assert tier(worst.word) == tier("within precision") == 0
    failing = Precision(2, **SETTINGS, budget=600)  # type: ignore[arg-type]
    failing.fail(0)
    failing.observe(1, effects_of([1.0])[0, :8])
    assert failing.wanted().tolist() == [8, 32]
    assert failing.verdict(0) is None


def test_a_budget_serves_first_what_lacks_least_and_the_others_say_so() -> None:
    found = play(effects_of([2.0, 0.25, 0.05]), budget=60)
    assert found.wanted().sum() <= 60
    words = [verdict.word for place in range(3) if (verdict := found.verdict(place))]
    assert words == ["over precision: budget", "within precision", "within precision"]
    assert (
        play(effects_of([2.0, 0.25, 0.05]), budget=3 * 512).wanted().tolist()
        == play(effects_of([2.0, 0.25, 0.05])).wanted().tolist()
    )


@given(
    scatter=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
    budget=st.none() | st.integers(48, 400),
)
@settings(max_examples=25, deadline=None)
def test_decisions_do_not_depend_on_the_order_in_which_blocks_come(
    scatter: list[float], seed: int, budget: int | None
) -> None:
    effects = effects_of(scatter, 128, seed)
    calm = play(effects, most=128, budget=budget)
    other = play(effects, np.random.default_rng(seed), most=128, budget=budget)
    assert calm.wanted().tolist() == other.wanted().tolist()
    assert [calm.verdict(i) for i in range(len(scatter))] == [other.verdict(i) for i in range(len(scatter))]
    assert budget is None or calm.wanted().sum() <= max(budget, 8 * len(scatter))


def test_nine_of_ten_are_within_whatever_luck_their_scatter_had() -> None:
    true = np.full(400, 0.5)  # takes 25 shards for a standard error of 0.1
    found = play(effects_of(true.tolist(), seed=3))
    errors = true / np.sqrt(found.wanted())
    assert (errors <= 0.1).mean() >= CONFIDENCE
    means = np.array([found.scores.mean(place, 0, int(found.wanted()[place])) for place in range(400)])
    assert abs(means.mean()) < 4 * means.std() / 20


@pytest.fixture
def screen(tiny_null: Path, write_screen: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """`screen("name", …)`: a campaign with a null whose output is the folder of that name."""
    gene_set = {"file": str(tiny_null / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    return lambda name, **estimator: write_screen(
        f"{name}.yaml",
        model=str(tiny_null / "ensemble" / "member-0"),
        contexts={"cell_type": "type_1"},
        perturbations={"genetic": "all_seen"},
        objective={"kind": "signature", "gene_set": gene_set},
        estimator={"kind": "sampled", "depth_strata": 2, "steps": 2, "precision": 0.025, "shards": 32} | estimator,
        output=str(tmp_path / name),
    )


def test_a_run_that_was_ended_midway_comes_to_the_same_table(
    screen: Callable[..., Path], stopping_listener: Callable[..., Any], tmp_path: Path
) -> None:
    calm = run_campaign(screen("calm"), listener := stopping_listener())
    hits = calm.hits
    manifest = json.loads((tmp_path / "calm" / "manifest.json").read_bytes())
    facts = manifest["allocation"]
    assert (facts["kind"], facts["precision"], facts["shards"]) == ("precision", 0.025, hits["shards_drawn"].sum())
    assert facts["outcome"] in listener.said["commit"]
    assert facts["standard_error"]["largest"] == pytest.approx(hits["effect_se"].max())
    assert hits["shards"].to_list() == hits["shards_drawn"].to_list()
    assert hits["shards"].n_unique() > 1
    within = hits.filter(pl.col("allocation") == "within precision")
    over = hits.filter(pl.col("allocation") != "within precision")
    assert (within["effect_se"] < 0.025).all()
    assert set(over["shards"]) <= {32}
    assert set(over["allocation"]) <= {"over precision: estimator.shards"}
    assert hits["score"].to_list() == sorted(hits["score"], reverse=True)
    assert hits["e_value"].null_count() == hits.height  # nobody was chosen for a score
    null = pl.read_parquet(tmp_path / "calm" / "null.parquet")
    assert null["shards"].min() < 32  # type: ignore[operator]

    interactions = pl.read_parquet(tmp_path / "calm" / "interactions.parquet")
    assert interactions["interaction"].null_count() == 0  # parts with other numbers of shards are compared all the same

    total = calm.computed
    path = screen("ended")
    ended = run_campaign(path, stopping_listener(stop_at=total // 2))
    assert not ended.complete
    resumed = run_campaign(path, stopping_listener())
    assert resumed.complete
    assert resumed.hits.equals(hits, null_equal=True)
    assert resumed.computed == total - resumed.reused

    plan = plan_campaign(load_campaign(screen("calm"))).plan
    assert plan.run_id == hits["run_id"][0]
    assert re.fullmatch(r"precision: [\w ,:.]+", str(facts["outcome"]))
