import math

import polars as pl
import pytest

from screening.report.wording import (
    cells_matching,
    context_names,
    count,
    fixed,
    listed,
    number,
    sentence,
    share,
    signed,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.nan, "–"), (0.12345, "0.123"), (-2.0, "−2"), (6.9e-5, "6.9e-05"), (12345.0, "12,345")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text


def test_signs_and_shares() -> None:
    assert (signed(0.5), signed(-0.5), signed(None)) == ("+0.500", "−0.500", "–")
    assert (fixed(0.5), fixed(-0.5), fixed(math.nan)) == ("0.500", "−0.500", "–")
    assert (share(0.1), share(0.025)) == ("10 %", "2.5 %")


def test_amounts_agree_with_their_noun() -> None:
    assert (count(1, "hit"), count(1200, "hit"), count(2, "box", "boxes")) == ("1 hit", "1,200 hits", "2 boxes")


def test_long_lists_are_counted() -> None:
    assert (listed([]), listed(["A"]), listed(["A", "B"])) == ("", "A", "A and B")
    assert listed(list("ABCDEFGH")) == "A, B, C, D, E, F and 2 more"


def test_sentences() -> None:
    assert (sentence("so it is"), sentence("Is it?"), sentence("")) == ("So it is.", "Is it?", "")


def test_cells_in_words() -> None:
    assert cells_matching({}) == "all cells"
    assert cells_matching({"cell_type": ["B", "T"], "donor": "1"}) == "cell_type B or T, donor 1"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["cell_type=B, donor=1", "cell_type=B, donor=2"], ["B · 1", "B · 2"]),
        (["all cells"], ["all cells"]),
        (["a=1", "b=1"], ["a=1", "b=1"]),  # as values alone they would be the same
        (["cell_type=B, naive, donor=1"], ["cell_type=B, naive, donor=1"]),  # a value with a comma
    ],
)
def test_contexts_are_short_and_stay_apart(labels: list[str], names: list[str]) -> None:
    assert context_names(pl.Series(labels)) == dict(zip(labels, names, strict=True))
