import polars as pl
import pytest

from screening.figures.marks import UNKNOWN
from screening.figures.scored_rows import factors_of, how, label_of, scored_rows, unit_of, values_of

Decided = tuple[pl.DataFrame, pl.DataFrame]


def test_older_tables_are_drawn_too(decided: Decided) -> None:
    old = decided[0].drop("decision", "low_90", "high_90", "rank_low", "null_centre", "steps")
    rows = scored_rows(old)
    assert set(rows["decision"]) == {UNKNOWN}
    assert rows["rank"].to_list() == [1, 2, 3, 4, 5, 6]
    assert how(rows) == "6 scored conditions; variance_reduced; direct"
    assert unit_of(rows) == "mean log1p counts per 10k"


@pytest.mark.parametrize(("contexts", "label"), [(1, "A"), (2, "A · B cells, D1")])
def test_a_label_has_its_context_where_there_are_several(contexts: int, label: str) -> None:
    row: dict[str, object] = {"perturbation": "A", "context": "cell_type=B cells, donor=D1"}
    assert label_of(row, contexts=contexts) == label


def test_factors_are_named_once() -> None:
    assert values_of("all cells") == "all cells"
    assert factors_of(["cell_type=T, donor=1", "cell_type=B, donor=2", "all cells"]) == "cell_type, donor"
