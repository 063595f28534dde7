import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from screening.evaluating.evaluation_report import render_report
from screening.evaluating.evaluation_sections import Findings
from screening.evaluating.evaluation_tables import Tables

ODD = "2|3 <b>drug</b>"
VOID = {"meta", "img"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed without being open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def findings(tiny_evaluation: Path) -> Findings:
    tables = Tables(**{name: pl.read_parquet(tiny_evaluation / f"{name}.parquet") for name in Tables.__annotations__})
    runs = tables.runs.with_columns(
        pl.when(pl.col("model") == "additive").then(pl.lit("not run")).otherwise("status").alias("status"),
        pl.when(pl.col("model") == "additive").then(pl.lit(ODD)).otherwise("reason").alias("reason"),
    )
    tables = Tables(tables.scores, tables.summary, tables.comparisons, runs, tables.left_out)
    return Findings("odd", (ODD,), tables, (), "label", checks=("note",))


def test_names_can_not_break_the_page(findings: Findings) -> None:
    markdown, page = render_report(findings)
    assert "<b>drug" not in page
    assert "2|3 &lt;b&gt;drug" in page
    row = next(line for line in markdown.splitlines() if line.startswith("| additive | not run"))
    assert "2\\|3" in row
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []


def test_tables_of_the_markdown_have_as_many_cells_as_columns(findings: Findings) -> None:
    markdown, _ = render_report(findings)
    tables = re.findall(r"((?:^\|.*\|\n)+)", markdown, re.MULTILINE)
    assert len(tables) > 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "\n\n\n\n" not in markdown


def test_both_reports_say_the_same(findings: Findings) -> None:
    markdown, page = render_report(findings)
    numbers = r"-?\d\.\d{3} \[-?\d\.\d{3}, -?\d\.\d{3}\]"
    assert re.findall(numbers, markdown) == re.findall(numbers, page)
    assert len(re.findall(numbers, page)) > 20
