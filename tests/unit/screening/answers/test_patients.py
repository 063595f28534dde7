from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from campaigns.conditions import Context
from screening.answers.patients import COLUMNS, OPEN, PARTICULAR, SHARED, SOME, patient_table

Make = Callable[..., Any]
DONORS = ("1", "2", "3")


def contexts(cells: str, donors: tuple[str, ...] = DONORS) -> list[Context]:
    return [Context.of({"cell_type": cells, "donor": donor}) for donor in donors]


def row(cells: str, *scores: float | None) -> dict[str, float | None]:
    return {context.label: score for context, score in zip(contexts(cells), scores, strict=True)}


def patients(screen: Any, known: list[Context]) -> pl.DataFrame:
    return patient_table(*screen, known, "donor")


def test_every_donor_has_a_ranking(decided_screen: Make) -> None:
    screen = decided_screen({"A": row("B", 0.9, 0.1, 0.5) | row("T", 0.5, 0.2, 0.6)})
    table = patients(screen, contexts("B") + contexts("T"))
    first = table.filter(pl.col("donor") == "1")
    assert first["rank_in_donor"].to_list() == [1, 2]
    assert first["cells"].to_list() == ["cell_type=B", "cell_type=T"]
    assert table.filter(pl.col("donor") == "3")["cells"].to_list() == ["cell_type=T", "cell_type=B"]
    assert first["mean_over_donors"][0] == pytest.approx(0.5)
    assert first["deviation"][0] == pytest.approx(0.4)
    assert first["deviation_q"][0] < 0.001
    assert first["score_open"].to_list() == [None, None]


def test_hits_are_shared_or_particular(decided_screen: Make) -> None:
    scores = {"all": (0.5, 0.5, 0.5), "one": (0.5, -0.5, -0.5), "some": (0.5, 0.5, -0.5), "none": (-0.5, -0.4, -0.5)}
    screen = decided_screen({name: row("B", *each) for name, each in scores.items()})
    table = patients(screen, contexts("B")).filter(pl.col("donor") == "1")
    assert dict(table.select("perturbation", "shared").iter_rows()) == {
        **{"all": SHARED, "one": PARTICULAR, "some": SOME, "none": None}
    }
    assert dict(table.select("perturbation", "hit_donors").iter_rows())["some"] == 2


def test_a_donor_without_a_score_leaves_it_open(decided_screen: Make) -> None:
    screen = decided_screen({"A": row("B", 0.5, 0.5, None)})
    table = patients(screen, contexts("B"))
    assert table["shared"].to_list() == [OPEN, OPEN, None]
    assert table["donors"].to_list() == [2, 2, 2]
    assert table["rank_in_donor"].to_list() == [1, 1, None]


def test_what_own_controls_change(decided_screen: Make) -> None:
    opened = {"cell_type=B": 0.4, "cell_type=T": 0.5}
    screen = decided_screen({"A": row("B", 0.9, 0.1, 0.5) | row("T", 0.5, 0.2, 0.6) | opened})
    known = [*contexts("B"), *contexts("T"), Context.of({"cell_type": "B"}), Context.of({"cell_type": "T"})]
    table = patients(screen, known)
    assert table.height == 6
    first = table.row(by_predicate=(pl.col("donor") == "1") & (pl.col("cells") == "cell_type=B"), named=True)
    assert first["score_open"] == pytest.approx(0.4)
    assert first["own_controls_change"] == pytest.approx(0.5)
    assert first["own_controls_se"] == pytest.approx(0.001 * 2**0.5)
    assert first["own_controls_rank_change"] == 1  # second with the donor left open, first with the donor's own
    assert first["decision_open"] == "hit"


def test_the_deviation_has_the_noise_of_all_donors(decided_screen: Make) -> None:
    table = patients(decided_screen({"A": row("B", 0.9, 0.1, 0.5)}), contexts("B"))
    half = (table["deviation_high"] - table["deviation_low"]) / 2
    # Student t of 10 degrees, 95 %: 1.812; σ² (1 - 1/3)² + 2 σ² / 9 = 2/3 σ².
    assert half.to_list() == pytest.approx([1.812 * 0.0508 * (2 / 3) ** 0.5] * 3, rel=0.02)


def test_without_a_null_deviations_have_no_q_value(decided_screen: Make) -> None:
    table = patients(decided_screen({"A": row("B", 0.9, 0.1, 0.5)}, blocks=0), contexts("B"))
    assert table["deviation_q"].to_list() == [None] * 3
    assert set(table["decision"]) == {"undecided"}


def test_columns_are_those_that_are_described_and_the_order_of_rows_changes_nothing(decided_screen: Make) -> None:
    hits, null = decided_screen({"A": row("B", 0.9, 0.2, 0.0), "B": row("B", 0.1, 0.2, 0.9)})
    table = patients((hits, null), contexts("B"))
    assert dict(table.schema) == {name: kind for name, (kind, _) in COLUMNS.items()}
    assert patients((hits.reverse(), null), contexts("B")[::-1]).equals(table, null_equal=True)
