from __future__ import annotations

import pickle
import re

import pytest

from campaigns import errors
from campaigns.errors import CampaignError, Problem, SpecError, VocabularyError, Where, printable


def test_a_problem_reads_file_line_field_and_text() -> None:
    problem = Where("screen.yaml", 12, "perturbations.genetic[3]").problem("unknown perturbation 'STAT11'")
    assert str(problem) == "screen.yaml:12: perturbations.genetic[3]: unknown perturbation 'STAT11'"


def test_what_is_quoted_stays_on_its_line_and_leaves_the_terminal_alone() -> None:
    assert printable("plain µ text") == "plain µ text"
    problem = Where("a\nb.yaml", 1, "\u202e").problem("key '\x1b[31m' isn't known")
    assert str(problem) == r"a\nb.yaml:1: \u202e: key '\x1b[31m' isn't known"


def test_a_problem_without_line_or_field_leaves_them_out() -> None:
    assert str(Where("screen.yaml").problem("can't be read")) == "screen.yaml: can't be read"


def test_an_error_says_every_problem_on_a_line_and_carries_the_first_place() -> None:
    error = SpecError([Problem("a.yaml", 2, "x", "one"), Problem("a.yaml", 3, "y", "two")])
    assert str(error) == "a.yaml:2: x: one\na.yaml:3: y: two"
    assert (error.file, error.line, error.field) == ("a.yaml", 2, "x")


def test_an_error_shows_the_first_problems_and_holds_all() -> None:
    error = VocabularyError(Problem("a.yaml", line, "x", "wrong") for line in range(100))
    assert len(error.problems) == 100
    assert str(error).splitlines()[-1] == "… and 80 problems more"


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(SpecError([Problem("a.yaml", 2, "x", "one")])))
    assert isinstance(error, SpecError)
    assert error.line == 2


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = set(re.findall(r"\b[A-Z]\w+Error\b", errors.__doc__ or ""))
    real = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, CampaignError)
    }
    assert drawn == real


@pytest.mark.parametrize("name", ["YamlError", "SpecError", "VocabularyError", "PlanError"])
def test_every_error_has_one_root(name: str) -> None:
    assert issubclass(getattr(errors, name), CampaignError)
