import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from campaigns.findings import LeftOut
from screening.planning.block_rates import BlockRates
from screening.planning.campaign import load_campaign, plan_campaign
from screening.planning.plan_text import MOST_CONTEXTS, describe_view, duration
from screening.planning.plan_view import PlanView, view_plan

WriteScreen = Callable[..., Path]


def shown(view: PlanView, width: int = 140) -> str:
    out = io.StringIO()
    for part in describe_view(view, "screen.yaml"):
        Console(file=out, width=width).print(part)
    return out.getvalue()


@pytest.fixture
def view(write_screen: WriteScreen) -> PlanView:
    return view_plan(plan_campaign(load_campaign(write_screen())), None)


def test_the_grid_counts_every_condition_once(view: PlanView) -> None:
    assert [row.context for row in view.contexts] == ["cell_type=type_1", "cell_type=type_2"]
    assert [(row.type, row.names, row.doses, row.perturbations) for row in view.types] == [
        ("drug", 2, 2, 4),
        ("genetic", 7, 0, 7),
    ]
    for row in view.contexts:
        assert row.conditions == 12
        assert row.seen + row.elsewhere + row.parts + row.features_only == 11
        assert (row.blocks, row.there, row.cells, row.passes) == (24, 0, 12 * 16 * 4, 12 * 16 * 4 * 3)
        assert row.control_cells > 0
    assert view.totals["conditions"] == 24


def test_the_words_have_the_numbers(view: PlanView) -> None:
    text = shown(view)
    assert "2 contexts × (11 perturbations [2 drug × 2 doses, 7 genetic] + control) = 24 conditions" in text
    assert "together" in text
    assert "refused" not in text
    assert "expected: not known" in text
    assert "`lingshu plan screen.yaml --pilot`" in text


def test_json_holds_the_same(view: PlanView) -> None:
    told = json.loads(json.dumps(view.as_json()))
    assert [row["context"] for row in told["grid"]["contexts"]] == [row.context for row in view.contexts]
    assert told["grid"]["totals"] == view.totals
    assert told["status"] == {"blocks": 48, "committed": 0}
    assert (told["refused"], told["expected"]) == ([], None)


def test_a_combination_of_parts_that_were_seen_is_told_apart(write_screen: WriteScreen) -> None:
    path = write_screen(perturbations={"genetic": ["REG09+REG10", "REG04+REG08"]})
    rows = view_plan(plan_campaign(load_campaign(path)), None).contexts
    assert [row.parts for row in rows] == [1, 1]
    assert all(row.seen + row.elsewhere == 1 for row in rows)


def test_contexts_without_controls_are_refused_with_the_reason(write_screen: WriteScreen, tiny: Path) -> None:
    planned = plan_campaign(load_campaign(write_screen()))
    plan = planned.plan
    object.__setattr__(plan, "left_out", (LeftOut("context", "cell_type=rare", "2 control cells, 5 are needed"),) * 6)
    text = shown(view_plan(planned, None))
    assert "refused: 6" in text
    assert "2 control cells, 5 are needed" in text
    assert "and 2 more" in text


def test_what_is_expected_is_a_range(write_screen: WriteScreen) -> None:
    rates = BlockRates((10.0, 20.0), 30.0, "a pilot of 2 blocks")
    text = " ".join(shown(view_plan(plan_campaign(load_campaign(write_screen())), rates)).split())
    assert "expected: 6.9 min to 20 min for 48 blocks on 1 replica" in text
    assert "measured: 8 to 25 s a block, a pilot of 2 blocks" in text


def test_a_long_grid_is_cut(view: PlanView) -> None:
    rows = view.contexts * MOST_CONTEXTS
    text = shown(PlanView(rows, view.types, (), view.status, None, 0))
    assert f"and {MOST_CONTEXTS} contexts more; --json has all" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (59, "59 s"), (240, "4 min"), (3 * 3600, "3 h"), (5e5, "5.8 d")]
)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
