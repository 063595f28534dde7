"""A screen with an allocation, in one process: what it computes and publishes, and what a kill changes (nothing)."""

import json
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from campaigns.errors import PlanError
from campaigns.screen_spec import ScreenSpec
from screening.errors import BlockError
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import open_output, run_campaign
from screening.running.spending import Spending

WriteYaml = Callable[..., Path]
HALVING = {"kind": "halving", "top": 2, "first": 8, "factor": 2}
CERTIFIED = {"kind": "certified", "top": 2, "first": 8, "epsilon": 0.2, "delta": 0.2}
ESTIMATOR = {"shards": 32, "depth_strata": 2, "steps": 2}
KINDS = pytest.mark.parametrize("allocation", [HALVING, CERTIFIED], ids=["halving", "certified"])


def blocks_of(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "ledger" / "commits").glob("*.json")}


@pytest.fixture
def screen(write_screen: WriteYaml, tmp_path: Path) -> Callable[..., Path]:
    """`screen("name", …)`: a campaign whose output is the folder of that name."""
    return lambda name, **changes: write_screen(
        f"{name}.yaml",
        **{
            "contexts": {"cell_type": "type_1"},
            "estimator": ESTIMATOR,
            "output": str(tmp_path / name),
            "allocation": HALVING,
            **changes,
        },
    )


def same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    return one.equals(other, null_equal=True)


@KINDS
def test_a_run_that_was_ended_midway_comes_to_the_same_table(
    screen: Callable[..., Path], tmp_path: Path, allocation: dict[str, Any], stopping_listener: Callable[..., Any]
) -> None:
    calm = run_campaign(screen("calm", allocation=allocation), stopping_listener())
    total = len(blocks_of(tmp_path / "calm"))
    for share in (0.2, 0.8):
        name = f"ended-{share}"
        path = screen(name, allocation=allocation)
        ended = run_campaign(path, stopping_listener(stop_at=int(total * share)))
        assert ended.cancelled == "the test"
        assert not ended.complete
        resumed = run_campaign(path, stopping_listener())
        assert resumed.complete
        assert same(resumed.hits, calm.hits)
        assert blocks_of(tmp_path / name) == blocks_of(tmp_path / "calm")
        assert resumed.computed == total - resumed.reused


def test_halving_computes_less_and_says_how_far_each_condition_came(
    screen: Callable[..., Path], tmp_path: Path, stopping_listener: Callable[..., Any]
) -> None:
    path, listener = screen("halving", contexts={"cell_type": "all_seen"}), stopping_listener()
    result = run_campaign(path, listener)
    hits = result.hits
    planned = plan_campaign(load_campaign(path))
    assert len(blocks_of(tmp_path / "halving")) < 0.8 * len(planned.plan.blocks)
    assert set(hits["status"]) == {"done"}
    words = hits["allocation"].to_list()
    assert words == sorted(words, key=["finalist", "stopped at rung 2", "stopped at rung 1"].index)
    drawn = {"finalist": (32, 16), "stopped at rung 2": (16, 16), "stopped at rung 1": (8, 8)}
    for row in hits.iter_rows(named=True):
        assert (row["shards_drawn"], row["shards"]) == drawn[row["allocation"]]
        assert row["cells"] == row["shards"] * 2
    assert hits["rank"].to_list() == list(range(1, hits.height + 1))
    manifest = json.loads((tmp_path / "halving" / "manifest.json").read_bytes())
    assert manifest["allocation"]["kind"] == "halving"
    assert manifest["allocation"]["outcome"] in listener.said["commit"]
    assert manifest["allocation"]["shards"] == hits["shards_drawn"].sum()


def test_finalists_are_estimated_on_shards_that_did_not_choose_them(
    screen: Callable[..., Path], stopping_listener: Callable[..., Any]
) -> None:
    chosen = run_campaign(screen("chosen"), stopping_listener()).hits.row(0, named=True)
    uniform = run_campaign(screen("uniform", allocation={"kind": "uniform"}), stopping_listener()).hits
    same_one = uniform.filter(
        (pl.col("perturbation") == chosen["perturbation"]) & (pl.col("context") == chosen["context"])
    ).row(0, named=True)
    assert (chosen["shards"], same_one["shards"]) == (16, 32)
    assert chosen["score"] != same_one["score"]
    assert uniform["allocation"].null_count() == uniform.height
    assert chosen["run_id"] != same_one["run_id"]


def test_blocks_of_a_uniform_screen_are_used_again_and_change_nothing(
    screen: Callable[..., Path], tmp_path: Path, stopping_listener: Callable[..., Any]
) -> None:
    cache = str(tmp_path / "cache")
    run_campaign(screen("uniform", allocation={"kind": "uniform"}, cache=cache), stopping_listener())
    shared = run_campaign(screen("shared", cache=cache), stopping_listener())
    assert shared.computed == 0
    assert same(shared.hits, run_campaign(screen("alone"), stopping_listener()).hits)


def test_certified_says_in_or_out_with_an_interval(
    screen: Callable[..., Path], stopping_listener: Callable[..., Any]
) -> None:
    estimator = ESTIMATOR | {"shards": 64}
    hits = run_campaign(screen("certified", allocation=CERTIFIED, estimator=estimator), stopping_listener()).hits
    assert hits["allocation"].head(2).to_list() == ["in", "in"]
    assert set(hits["allocation"]) == {"in", "out"}
    low, high = hits["allocation_low"], hits["allocation_high"]
    assert (low < high).all()
    assert low.head(2).min() >= high.tail(hits.height - 2).max() - 0.2  # type: ignore[operator]


def test_an_ensemble_with_a_null_is_allocated_too(
    tiny_null: Path, screen: Callable[..., Path], stopping_listener: Callable[..., Any]
) -> None:
    objective = {
        "kind": "signature",
        "gene_set": {"file": str(tiny_null / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"},
    }
    path = screen(
        "ensemble",
        model=str(tiny_null / "ensemble"),
        contexts={"cell_type": "all_seen"},
        perturbations={"genetic": "all_seen"},
        objective=objective,
        allocation=HALVING | {"top": 1},
    )
    result = run_campaign(path, stopping_listener())
    assert result.complete
    assert result.hits["allocation"][0] == "finalist"
    assert set(result.hits["members"]) == {2}
    null = pl.read_parquet(path.parent / "ensemble" / "null.parquet")
    assert set(null["shards"]) == {32}


@pytest.mark.parametrize("allocation", [HALVING, CERTIFIED | {"delta": 0.5}], ids=["halving", "certified"])
def test_a_budget_of_cells_is_never_passed(
    screen: Callable[..., Path], tmp_path: Path, allocation: dict[str, Any], stopping_listener: Callable[..., Any]
) -> None:
    conditions = plan_campaign(load_campaign(screen("plan"))).plan.conditions
    controls = sum(each.role == "control" for each in conditions)
    first = 8 if allocation["kind"] == "halving" else 24
    cells = 2 * (controls * 32 + (len(conditions) - controls) * first + 40)
    path = screen("limited", allocation=allocation, budget={"cells": cells})
    listener = stopping_listener()
    result = run_campaign(path, listener)
    used = len(blocks_of(tmp_path / "limited")) * 8 * 2
    assert used <= cells
    assert result.complete
    if allocation["kind"] == "halving":
        assert "the budget has cut its rungs" in listener.said["commit"]


class TickingSpending(Spending):
    """Half a millisecond passes whenever somebody looks at the clock: before the run, before and after each block."""

    def __init__(self, spec: ScreenSpec, earlier_seconds: float = 0.0) -> None:
        looks = count()
        super().__init__(spec, earlier_seconds, lambda: 0.0005 * next(looks))


def test_money_ends_a_run_and_what_is_there_is_published(
    screen: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, stopping_listener: Callable[..., Any]
) -> None:
    monkeypatch.setattr("screening.run.Spending", TickingSpending)
    path = screen("poor", budget={"money": 0.0015 / 3600, "price_per_hour": 1.0})
    result = run_campaign(path, stopping_listener())
    assert "budget.money: 4.16667e-07 is spent" in result.cancelled
    assert result.computed == 1
    assert not result.complete
    assert "budget.money" in result.shortfall
    again = run_campaign(path, stopping_listener())
    assert (again.computed, again.reused) == (0, 1)
    richer = run_campaign(screen("poor"), stopping_listener())
    assert richer.complete


def test_a_certificate_that_can_not_be_had_is_refused(screen: Callable[..., Path]) -> None:
    path = screen("few", allocation=CERTIFIED | {"delta": 1e-6})
    with pytest.raises(PlanError, match=r"takes at least \d+ shards of each, and estimator.shards is 32: raise it"):
        plan_campaign(load_campaign(path))


def test_a_damaged_block_is_told(
    screen: Callable[..., Path], tmp_path: Path, stopping_listener: Callable[..., Any]
) -> None:
    path = screen("damaged")
    run_campaign(path, stopping_listener(stop_at=2))
    _, ledger = open_output(str(tmp_path / "damaged"))
    planned = plan_campaign(load_campaign(path))
    wrong: Sequence[str] = [block.id for block in planned.plan.blocks if block.id not in ledger.committed()]
    for block in wrong:
        ledger.commit(block, b"nothing", replica="replica-9")
    with pytest.raises(BlockError, match="not a block of shards"):
        run_campaign(path, stopping_listener())
