import re
from collections.abc import Callable
from html.parser import HTMLParser

import polars as pl
import pytest

from screening.report.page import render_page
from screening.report.plots import Plot
from screening.report.source import ReportSource

VOID = {"meta", "img", "input"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed without being open; keeps ids and what leads outside."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src") and value:
                (self.links if value.startswith("#") else self.outside).append(value[:5])
                if value.startswith("#"):
                    self.links[-1] = value[1:]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put one made-up plot in the place of those that take seconds."""
    monkeypatch.setattr("screening.report.page.plots", lambda _: [Plot("Ranks", "as `drawn`", "PHN2Zy8+")])


@pytest.fixture
def page(source: Callable[..., ReportSource], undrawn: None) -> str:
    return render_page(source())


def without_script(page: str) -> str:
    return re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)


def test_names_can_not_break_the_page(page: str, hostile: str) -> None:
    assert hostile not in page
    assert without_script(page).count("&lt;script&gt;alert(1)&lt;/script&gt;&#34;&amp;&#39;") == 3
    assert page.count("<script") == page.count("</script>") == 2


def test_the_page_is_whole_and_leads_nowhere_else(page: str) -> None:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert set(parser.links) <= set(parser.ids)
    assert set(parser.outside) == {"data:"}
    assert '<html lang="en">' in page
    assert "default-src &#39;none&#39;" in page


def test_every_part_is_there(page: str) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", without_script(page)))
    for words in (
        "Which perturbations lower the 2 genes of INTERFERON",
        "2 of 6 conditions are hits",
        "What this doesn’t say",
        "not medical advice",
        "It is refuted if nothing happens.",
        "no shard could be computed",
        "its gate fails",
        "22 November 2026, 03:40 UTC",
        "T = 6 geometric steps, w = 0",
        "The model had no card.",
        "As drawn.",
    ):
        assert words in text


def test_the_same_results_are_the_same_page(source: Callable[..., ReportSource]) -> None:
    assert render_page(source()) == render_page(source())


def test_a_table_that_is_cut_says_so(source: Callable[..., ReportSource], undrawn: None) -> None:
    assert "the best 2 of 6 rows, every hit among them" in render_page(source(), 1)


def test_results_with_nothing_beside_the_table(source: Callable[..., ReportSource], hits: pl.DataFrame) -> None:
    page = render_page(source(tables={}, hits=hits.filter(pl.col("status") != "done"), manifest={"null": []}))
    assert 'id="evidence"' not in page
    assert "1 condition, ranked but not tested" in page
    assert "there is nothing to draw" in page.lower()
