from __future__ import annotations

import pytest

from campaigns.nearest import hint, nearest

GENES = ["STAT1", "STAT2", "JAK2", "IRF1"]


def test_the_most_alike_come_first() -> None:
    assert nearest("STAT11", GENES)[0] == "STAT1"


def test_case_makes_no_difference() -> None:
    assert nearest("jak2", GENES) == ("JAK2",)


@pytest.mark.parametrize(
    ("name", "names", "said"),
    [
        ("STAT11", GENES, "nearest: STAT1, STAT2"),
        ("zzz", GENES, "known: STAT1, STAT2, JAK2, IRF1"),
        ("zzz", [f"gene{i}" for i in range(20)], "and 8 more"),
        ("zzz", [], "none is known"),
    ],
)
def test_a_hint_says_what_could_be_meant(name: str, names: list[str], said: str) -> None:
    assert said in hint(name, names)
