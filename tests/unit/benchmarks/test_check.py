from __future__ import annotations

import importlib.util
import json

import pytest

from benchmarks.check import STORED, Comparison, compare


@pytest.mark.parametrize(
    ("figure", "stored", "found", "is_lost"),
    [
        ("de_speedup", 23.0, 40.0, False),
        ("de_speedup", 23.0, 18.5, False),
        ("de_speedup", 23.0, 18.3, True),
        ("busy", 0.99, 0.7, True),
        ("overhead", 1.0087, 1.02, False),  # a fifth of a cost this small is noise
        ("overhead", 1.0087, 1.03, True),
        ("overhead", 1.10, 1.11, False),
        ("overhead", 1.10, 1.13, True),
        ("overhead", 1.10, 1.0, False),
    ],
)
def test_a_fifth_may_be_lost_and_no_more(figure: str, stored: float, found: float, is_lost: bool) -> None:
    assert Comparison("any", figure, stored, found).is_loss == is_lost


def test_a_figure_that_was_not_measured_is_told() -> None:
    with pytest.raises(SystemExit, match=r"benchmark 'engine' has no figure 'busy'; it has overhead"):
        compare("engine", {"overhead": 1.0, "busy": 0.9}, {"overhead": 1.0})


def test_what_is_stored_are_figures_of_benchmarks_that_are_there() -> None:
    stored = json.loads(STORED.read_text())
    for name, figures in stored.items():
        assert importlib.util.find_spec(f"benchmarks.{name}") is not None
        assert all(value > 0 for value in figures.values())
