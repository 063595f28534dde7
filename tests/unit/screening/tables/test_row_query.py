from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import QueryError
from screening.tables.campaign_rows import marked, together
from screening.tables.row_query import LONGEST, filter_rows, sort_rows

MakeHits = Callable[..., pl.DataFrame]


@pytest.fixture
def rows(make_hits: MakeHits) -> pl.DataFrame:
    """Two campaigns, of which one has a donor; A to D in NK cells, E in B cells."""
    first = make_hits({"A": 0.5, "B": 0.3, "C": None}, extra={"effect[IL2]": 0.25}, cell_type="NK cells", donor="D1")
    second = make_hits({"D": 0.4, "B": 0.1}, cell_type="NK cells")
    third = make_hits({"E": 0.9}, cell_type="B cells")
    tables = [(first, "one"), (second, "two"), (third, "three")]
    return together(marked(table, name, f"file:///{name}") for table, name in tables)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q < 0.015 and context = 'NK cells'", "AD"),
        ("q_value<.015 AND context='cell_type=NK cells, donor=D1'", "A"),
        ("context = 'D1'", "ABC"),
        ("context != 'D1'", "DBE"),
        ("context not in ('D1', 'B cells')", "DB"),
        ("context in ('D1', 'B cells')", "ABCE"),
        ("context like 'B%'", "E"),
        ("context not like '%1'", "DBE"),
        ("not (context = 'D1' or perturbation = 'E')", "DB"),
        ("donor = 'D1'", "ABC"),
        ("score between 0.3 and 5e-1", "ABD"),
        ("score > 0.1 * 2 + 0.15", "ADE"),
        ("-score < -0.45", "AE"),
        ("status <> 'done'", "C"),
        ("score is null", "C"),
        ('"effect[IL2]" > 0 and decision is not null', "AB"),
        ("campaign in ('two', 'three') and decision = 'hit'", "E"),
        ("results ilike '%TWO'", "DB"),
        ("perturbation = 'it''s'", ""),
        ("perturbation = 'x'' or 1=1 --'", ""),
        ("rank % 2 = 0 or false", "BB"),
    ],
)
def test_rows_that_are_asked_for(text: str, expected: str, rows: pl.DataFrame) -> None:
    assert sorted(filter_rows(rows, text)["perturbation"]) == sorted(expected)


HOSTILE = {
    "a query": "score in (select score from rows)",
    "a file": "score in (select * from read_csv('/etc/passwd'))",
    "a file by itself": "read_csv('/etc/passwd')",
    "a function": "count(*) > 1",
    "existence": "exists(select 1)",
    "a second statement": "score > 1; drop table rows",
    "a comment": "score > 1 /* no",
    "a comment to the end": "score > 1 -- and more",
    "a column that is a pattern": '"^.*$" > 1',
    "all columns": "* > 1",
    "a bracket that closes ours": "score > 1) or (score < 1",
    "brackets": "(" * 4_000 + "score > 1" + ")" * 4_000,
    "nots": "not " * 2_000 + "score > 1",
    "length": "score > 1 or " * LONGEST,
    "an alias": "score > 1 name",
    "a text that doesn't end": "context = 'NK",
    "control characters": "score > \x1b[31m1",
    "nothing": "  ",
    "a number": "1",
    "a column": "score",
    "null": "null",
    "half of it": "score > 1 and",
    "text with a number": "score = 'high'",
    "a number with text": "perturbation > 1",
    "a dot": "rows.score > 1",
    "a cast": "score::text = 'x'",
    "a parameter": "score > $1",
    "an array": "score = any(array[1])",
    "double quotes for a text": 'context = "NK cells"',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_everything_else_is_refused_in_a_line(text: str, rows: pl.DataFrame) -> None:
    with pytest.raises(QueryError) as told:
        filter_rows(rows, text)
    assert "\n" not in str(told.value)
    assert "--where" in str(told.value)


PIECES = ["score", "q", "context", "and", "or", "not", "in", "select", "null", "^$", " ", *"()'\"<>=!+-*/%,.;:012\\`"]


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_whatever_is_written_gives_rows_or_one_message(pieces: list[str]) -> None:
    table = pl.DataFrame({"score": [1.0, None], "q_value": [0.1, None], "context": ["a", None]})
    found, told = table, ""
    try:
        found = filter_rows(table, " ".join(pieces))
    except QueryError as error:
        told = str(error)
    assert "\n" not in told
    assert found.columns == table.columns


def test_an_unknown_column_is_told_what_there_is(rows: pl.DataFrame) -> None:
    with pytest.raises(
        QueryError, match=r"unknown column 'qvalue'; nearest: q_value, e_value; there are: campaign, results, ran"
    ):
        filter_rows(rows, "qvalue < 0.05")
    with pytest.raises(QueryError, match=r'"effect\[IL2\]"'):
        filter_rows(rows, "nothing > 1")


def test_a_column_that_older_results_have_not(rows: pl.DataFrame) -> None:
    for text in ("q < 0.1", "q_value < 0.1"):
        with pytest.raises(QueryError, match="have no column q_value yet: an older version made them"):
            filter_rows(rows.drop("q_value"), text)


def test_rows_in_the_order_that_is_asked_for(rows: pl.DataFrame) -> None:
    assert sort_rows(rows, "-score")["perturbation"].to_list() == list("EADBBC")
    assert sort_rows(rows, "q,-score")["perturbation"].to_list() == list("EADBBC")
    assert sort_rows(rows, " perturbation , -campaign")["campaign"].to_list()[1:3] == ["two", "one"]
    for wrong in ("nope", "", "score,", "-"):
        with pytest.raises(QueryError, match="--sort: unknown column"):
            sort_rows(rows, wrong)


def test_a_column_that_is_named_like_a_word_of_the_language(tmp_path: Path, make_hits: MakeHits) -> None:
    rows = make_hits({"A": 0.5}, **{"in": "x", 'say "so"': "y", "q": "z"})
    assert filter_rows(rows, '"in" = \'x\' and "say ""so""" = \'y\' and q = \'z\'').height == 1
