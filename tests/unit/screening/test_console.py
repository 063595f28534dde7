import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from campaigns.screen_spec import HitsSpec
from lingshu_core.training import TrainingProgress
from screening import console
from screening.deciding.decisions import decide
from screening.deciding.hits import hit_table
from screening.doctor import Check
from screening.evaluating.evaluation_run import EvaluationResult
from screening.evaluating.evaluation_verdict import Verdict
from screening.planning.campaign import PlannedCampaign
from screening.run import RunResult
from screening.training.training_run import TrainingResult
from screening.watching.status import CampaignStatus

DONE = {
    "perturbation": "A",
    "context": "cell_type=T, donor=D1",
    "status": "done",
    "score": 0.5,
    "score_se": 0.01,
    "training_cells": 7,
    "training_cells_all": 9,
    "support": "in_vocabulary",
    "top_up": "G1 +1.00, G2 +0.50",
    "top_down": "",
}
ROWS = [
    DONE,
    DONE | {"perturbation": "B", "score": -0.25, "training_cells": 0},
    DONE | {"perturbation": "A+B", "score": 0.1, "training_cells": 0, "training_cells_all": 0},
    {"perturbation": "C", "context": "cell_type=T", "status": "failed", "reason": "the model gave NaN"},
]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What is printed without a terminal; `screen(width)` starts anew."""
    buffer = io.StringIO()

    def show(*what: object, width: int = 120) -> str:
        plain = Console(file=buffer, width=width, highlight=False)
        monkeypatch.setattr(console, "console", plain)
        for each in what:
            plain.print(each)
        return buffer.getvalue()

    show()
    return show


def lines(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_a_hit_is_a_line_with_rank_score_and_error(screen: Callable[..., str]) -> None:
    text = screen(console.hit_view(hit_table(ROWS, {})))
    first = text.splitlines()[1].split()
    assert first[:5] == ["1", "A", "T,", "D1", "+0.500"]
    assert "0.010" in first
    assert "G1 +1.00" in lines(text, "+0.500")
    assert "G2" not in text


def test_where_it_was_trained_is_said_in_words(screen: Callable[..., str]) -> None:
    text = screen(console.hit_view(hit_table(ROWS, {})))
    assert "7 cells" in lines(text, "+0.500")
    assert "elsewhere" in lines(text, "-0.250")
    assert "parts" in lines(text, "A+B")


def test_an_unseen_part_is_said_in_words(screen: Callable[..., str]) -> None:
    unseen = DONE | {"perturbation": "N", "score": 0.3, "training_cells": 0, "support": "features_only"}
    assert "features" in lines(screen(console.hit_view(hit_table([*ROWS, unseen], {}))), "+0.300")


def test_decisions_and_safety_are_explained_below_the_table(screen: Callable[..., str]) -> None:
    judged = {"null_blocks": 20, "null_centre": 0.0, "null_sd": 0.1, "minimum_effect": 0.2}
    hits = decide(hit_table([row | judged for row in ROWS], {}), HitsSpec(), 0, np.zeros((1, 20)))
    safe = pl.Series(["unsafe", "safe", None, None], dtype=pl.String)
    layers = pl.Series([2, 1, None, None], dtype=pl.Int64)
    hits = hits.with_columns(safety=safe, safety_reason=pl.lit("stress 0.4"), pareto_layer=layers)
    console.print_hits(hits)
    text = screen()
    assert {"safety", "layer"} <= set(text.splitlines()[0].split())
    assert lines(text, "+0.500").split().count("unsafe") == 1
    told = " ".join(text.split("why:")[1].split())
    assert "1 A in cell_type=T, donor=D1:" in told
    assert "unsafe: stress 0.4" in told
    assert hits["decision_reason"][0] in told


def test_without_a_null_and_safety_nothing_is_explained(screen: Callable[..., str]) -> None:
    console.print_hits(hit_table(ROWS, {}))
    text = screen()
    assert "why:" not in text
    assert "layer" not in text


def test_a_table_without_rows_says_so(screen: Callable[..., str]) -> None:
    console.print_hits(hit_table(ROWS, {}).clear())
    assert screen() == "no condition of the table is like that\n"


def test_a_failed_condition_has_no_rank(screen: Callable[..., str]) -> None:
    line = lines(screen(console.hit_view(hit_table(ROWS, {}))), "failed")
    assert line.split() == ["–", "C", "T", "failed"]


def test_a_long_reason_squeezes_nothing_out(screen: Callable[..., str]) -> None:
    rows = [*ROWS[:3], ROWS[3] | {"reason": "word " * 60}]
    text = screen(console.describe_run(RunResult("run", "x", hit_table(rows, {}), 1, 0, 1), top=3))
    assert "A+B" in text
    assert "C in cell_type=T: word word" in text


def test_a_narrow_terminal_leaves_the_genes_out(screen: Callable[..., str]) -> None:
    screen(width=80)
    text = screen(console.hit_view(hit_table(ROWS, {})), width=80)
    assert "G1" not in text
    assert "+0.500" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_run_ends_with_the_best_and_the_failed(screen: Callable[..., str]) -> None:
    result = RunResult("run", "results/x", hit_table(ROWS, {}), 5, 2, 1, {"hits.parquet": {}, "plan.json": {}})
    text = screen(console.describe_run(result, top=1))
    assert "+0.500" in text
    assert "+0.100" not in text
    assert "1 conditions failed" in text
    assert "the model gave NaN" in text
    assert "5 blocks computed, 2 reused" in text
    assert "results in results/x: hits.parquet, plan.json" in text


def test_an_evaluation_ends_with_its_verdict_and_what_failed(screen: Callable[..., str]) -> None:
    verdict = Verdict("m", "undecided", ("wmse",), (), (), "", 0, 0, "label")
    failures = tuple(("m", "fold 1", seed, "out of memory") for seed in range(7))
    result = EvaluationResult("e", "results/e", (verdict,), 3, 2, failures, {"report.html": {}})
    text = " ".join(screen(console.describe_evaluation(result)).split())
    assert text.startswith("m is undecided: no baseline was run")
    assert "failed: m on fold 1, seed 0: out of memory" in text
    assert "and 2 units more 3 units computed, 2 reused, 7 failed" in text
    assert "report in results/e: report.html" in text
    assert not result.complete


def test_training_shows_loss_and_speed(screen: Callable[..., str]) -> None:
    with console.TrainingDisplay() as display:
        for step in range(1, 30):
            display.update(TrainingProgress(step, 30, 0, 0.9, 0.95, 1234.0, 60.0))
    text = screen()
    assert text.splitlines() == ["epoch 1  loss 0.9000  validation 0.9500  1,234 cells/s  step 1/30  60 s left"]


def test_a_training_says_why_it_stopped() -> None:
    result = TrainingResult("results/m", "d" * 64, 1000, 20, 3, 12.0, 0.5, "patience", 7, 2_000_000, "bias+tilt")
    text = console.describe_training(result)
    for part in (
        "1,000 cells, 20 held out",
        "2.0M parameters",
        "resumed at step 7",
        "stopped by patience",
        "dddddddddddd",
    ):
        assert part in text


def test_a_plan_says_how_much_it_is(planned: PlannedCampaign) -> None:
    text = console.describe_plan(planned, CampaignStatus(6, 2, 3, 1, "results/x"))
    assert "3 conditions in 1 contexts, controls included" in text
    assert "192 cells, 576 passes" in text
    assert f"{planned.campaign.spec.estimator.schedule} steps" in text
    assert "6 blocks, 2 of them in results/x already" in text
    assert planned.plan.run_id[:16] in text
    assert "support: all 3 conditions in_vocabulary" in text


def test_guidance_costs_a_second_pass(write_screen: Callable[..., Path]) -> None:
    from screening.planning.campaign import load_campaign, plan_campaign

    planned = plan_campaign(
        load_campaign(write_screen(estimator={"shards": 8, "depth_strata": 4, "steps": 3, "guidance": 1.0}))
    )
    cells = 24 * 8 * 4
    assert f"{cells:,} cells, {cells * 3 * 2:,} passes" in console.describe_plan(
        planned, CampaignStatus(1, 0, 1, 0, "")
    )


@pytest.mark.parametrize(("committed", "word"), [(2, "run the campaign to go on"), (6, "all computed")])
def test_the_status_is_one_sentence(planned: PlannedCampaign, committed: int, word: str) -> None:
    text = console.describe_status(planned, CampaignStatus(6, committed, 3, 1, "x"))
    assert f"{committed} of 6 blocks committed ({round(100 * committed / 6)} %)" in text
    assert word in text


def test_checks_are_marked(screen: Callable[..., str]) -> None:
    checks = [Check("disk", "good", "fine"), Check("gpu", "note", "none"), Check("model", "bad", "gone")]
    text = screen(console.describe_checks(checks))
    assert [line.split()[:2] for line in text.splitlines()] == [["ok", "disk"], ["note", "gpu"], ["bad", "model"]]
