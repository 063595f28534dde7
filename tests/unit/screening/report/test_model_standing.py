from collections.abc import Callable

from screening.report.model_standing import model_standing
from screening.report.source import CardFound, ReportSource


def test_gates_by_context_worst_first(source: Callable[..., ReportSource]) -> None:
    assert model_standing(source()).gates == (
        ("B cells", (("fail", 1), ("not measured", 2))),
        ("T cells", (("not measured", 3),)),
    )


def test_a_card_in_a_few_lines(source: Callable[..., ReportSource]) -> None:
    content = {
        "limits": ["Whether its cells look like real ones was not measured."],
        "gates": [{"verdict": "pass"}, {"verdict": "fail"}],
        "privacy": None,
        "scores": {"verdict": "better than every baseline"},
        "data": {"cells": 1000, "genes": 40, "held_out": [], "licence": "CC BY 4.0", "source": "GEO"},
    }
    (card,) = model_standing(source(cards={"m": CardFound(content)})).cards
    assert card.limits == ("Whether its cells look like real ones was not measured.",)
    assert dict(card.facts) == {
        "Gates": "1 pass, 1 fail",
        "Evaluation": "better than every baseline",
        "Data": "1,000 cells, 40 genes; held out: nothing",
        "Licence": "CC BY 4.0; source: GEO",
    }


def test_why_there_is_none(source: Callable[..., ReportSource]) -> None:
    (card,) = model_standing(source()).cards
    assert (card.reason, card.limits, card.facts) == ("the model had no card", (), ())
