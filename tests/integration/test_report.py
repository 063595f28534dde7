"""A report as its readers have it: in a real browser, from real results, from a bucket; and what goes wrong."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from actors.blobs import open_blobs
from screening.notebook.progress_lines import Quiet
from screening.report.page import render_page
from screening.report.source import ReportSource, read_source
from screening.run import run_campaign

HOSTILE = '<script>document.title="harmed"</script><img src=x onerror=alert(1)>'
LONG = "a perturbation of a name that is longer than a telephone is wide and has-no-place-to-break" * 2
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900"),
)
CONTRAST = """
const linear = (v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c.slice(0, 3);
  }
  return [255, 255, 255];
};
const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (walk.nextNode()) {
  const text = walk.currentNode.data, e = walk.currentNode.parentElement;
  if (!text.trim() || e.closest("script, style, noscript, svg") || !e.checkVisibility()) continue;
  seen += 1;
  const style = getComputedStyle(e), size = parseFloat(style.fontSize);
  const [a, b] = [light(parse(style.color)), light(ground(e))].sort((x, y) => y - x);
  const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
  if ((a + .05) / (b + .05) < least) found.push([e.className, text.slice(0, 30), (a + .05) / (b + .05)]);
}
return [seen, found];
"""
READY = "const d = arguments[0], w = () => document.documentElement.dataset.ready ? d(1) : setTimeout(w, 10); w();"


@pytest.fixture(scope="module")
def results(tiny_null: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A screen of an ensemble with a null, in both contexts and with a side effect."""
    folder = tmp_path_factory.mktemp("reported")
    gene_set = {"file": str(tiny_null / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    content: dict[str, Any] = {
        "kind": "screen",
        "name": "tiny",
        "model": str(tiny_null / "ensemble"),
        "contexts": "all_seen",
        "perturbations": {"genetic": "all_seen"},
        "objective": {"kind": "signature", "gene_set": gene_set},
        "safety": {"signatures": [{"name": "harm", "up": ["GENE01", "GENE02", "GENE03"], "limit": 0.5}]},
        "estimator": {"shards": 8, "depth_strata": 4, "steps": 2},
        "compute": {"backend": "in_process"},
        "output": str(folder / "results"),
    }
    (folder / "screen.yaml").write_text(yaml.safe_dump(content))
    run_campaign(folder / "screen.yaml", Quiet())
    return folder / "results"


def with_more(source: ReportSource) -> ReportSource:
    """Add a second context, one condition of every decision, and names that do harm or have no end."""
    hits = source.hits
    other = hits.with_columns(context=pl.lit("cell_type=other"))
    names = pl.when(pl.col("rank") == 1).then(pl.lit(HOSTILE)).when(pl.col("rank") == 2).then(pl.lit(LONG))
    words = ["hit", "undecided", "not", "refused", "failed"]
    both = pl.concat([hits, other]).with_columns(
        perturbation=names.otherwise(pl.col("perturbation")),
        rank=pl.int_range(1, pl.len() + 1),
        decision=pl.Series([words[place % 5] for place in range(2 * hits.height)]),
    )
    failed = pl.col("decision") == "failed"
    both = both.with_columns(
        status=pl.when(failed).then(pl.lit("failed")).otherwise("status"),
        reason=pl.when(failed).then(pl.lit(f"it was {HOSTILE}")).otherwise("reason"),
        **{name: pl.when(failed).then(None).otherwise(name) for name in ("rank", "score", "q_value", "posterior_mean")},
    )
    tables = {
        name: table.with_columns(perturbation=names.otherwise(pl.col("perturbation")))
        if "rank" in table.columns
        else table
        for name, table in source.tables.items()
    }
    return dataclasses.replace(source, campaign=dataclasses.replace(source.campaign, hits=both), tables=tables)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's Chromium without a window."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no browser: chromium and chromedriver are not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield opened
    finally:
        opened.quit()


class Reader:
    """Does in a page what a person does."""

    def __init__(self, browser: Any, page: Path) -> None:
        self.browser = browser
        browser.get("about:blank")
        for kind in ("browser", "performance"):  # what the browser's own first page asked for
            browser.get_log(kind)
        browser.get(page.as_uri())
        browser.execute_async_script(READY)

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def cells(self, column: int) -> list[str]:
        """Return what stands in a column, row by row."""
        script = "return [...document.querySelectorAll('#hits tbody tr')].map(r => r.cells[arguments[0]]?.textContent)"
        return [str(text) for text in self.run(script, column)]

    def fill(self, name: str, text: str) -> None:
        """Type into the search, or choose in a filter, and wait for the table."""
        event = "input" if name == "search" else "change"
        script = """const [name, text, event, done] = arguments, box = document.getElementById(name);
            const before = document.getElementById('found').textContent;
            box.value = text; box.dispatchEvent(new Event(event, {bubbles: true}));
            setTimeout(() => done(before), 400);"""
        self.browser.execute_async_script(script, name, text, event)

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def emulate(self, width: int, scheme: str) -> None:
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_the_page_in_a_browser(results: Path, browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    source = with_more(read_source(str(results)))
    page.write_text(render_page(source), encoding="utf-8")
    reader = Reader(browser, page)
    check_sorting_and_filters(reader, source.hits)
    check_keyboard(reader)
    check_details(reader, source.hits)
    for scheme in ("light", "dark"):
        reader.emulate(1280, scheme)
        seen, low = reader.run(CONTRAST)
        assert seen > 200
        assert low == [], scheme
    check_phone(reader)
    check_nothing_is_asked_for(browser, page)


def check_sorting_and_filters(reader: Reader, hits: pl.DataFrame) -> None:
    found = "return document.getElementById('found').textContent"
    assert reader.run(found) == f"{hits.height} conditions"
    assert reader.cells(1)[:3] == ["1", "2", "3"]
    script = """[...document.querySelectorAll('#hits thead th')].find(head => head.textContent === 'Score')
        .querySelector('[role=button]').click()"""
    for ascending in (False, True):
        reader.run(script)
        reader.browser.execute_async_script("setTimeout(arguments[0], 200)")
        scores = [float(text.replace("−", "-")) for text in reader.cells(5) if text != "–"]
        assert scores == sorted(scores, reverse=not ascending)
        assert len(set(scores)) > 1
    reader.fill("filter-context", "other")
    assert set(reader.cells(3)) == {"other"}
    reader.fill("filter-decision", "hit")
    assert set(reader.cells(4)) == {"hit"}
    of_both = hits.filter((pl.col("context") == "cell_type=other") & (pl.col("decision") == "hit")).height
    assert reader.run(found) == f"{of_both} of {hits.height} conditions"
    reader.run("document.getElementById('clear').click()")
    reader.fill("search", "<script>")
    assert reader.cells(2) == [HOSTILE] * hits.filter(pl.col("perturbation") == HOSTILE).height
    reader.fill("search", "no such thing")
    assert "No condition fits" in reader.cells(0)[0]
    reader.run("document.getElementById('clear').click()")
    assert reader.run(found) == f"{hits.height} conditions"
    assert reader.run("return document.title") == "tiny"


def check_keyboard(reader: Reader) -> None:
    """Walk with the tabulator: skip link, contents, search, filters, and sort by the keyboard."""
    from selenium.webdriver.common.keys import Keys

    reader.run("document.activeElement.blur(); scrollTo(0, 0)")
    reader.browser.execute_cdp_cmd("Page.bringToFront", {})
    reader.run("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    visited = []
    for _ in range(30):
        reader.keys(Keys.TAB)
        name, ring, label = reader.run(
            """const e = document.activeElement, s = getComputedStyle(e);
            return [e.className + '#' + e.id, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2,
                e.getAttribute('aria-label') || '']"""
        )
        assert ring, name
        visited.append(f"{name} {label}")
        if label.startswith("Score: "):
            break
    assert visited[0].startswith("skip#")
    for wanted in ("#search", "#filter-context", "#filter-decision", "#clear", "Score: "):
        assert any(wanted in each for each in visited), wanted
    reader.keys(Keys.ENTER)
    reader.browser.execute_async_script("setTimeout(arguments[0], 200)")
    sorted_by = "return document.querySelector('#hits th[aria-sort]').textContent"
    assert reader.run(sorted_by) == "Score"
    reader.run("document.getElementById('clear').click()")


def check_details(reader: Reader, hits: pl.DataFrame) -> None:
    best = hits.filter(pl.col("rank") == 1).row(0, named=True)
    reader.fill("search", "<script>")
    reader.run("document.querySelector('#hits .more').click()")
    assert best["decision_reason"] in reader.run("return document.querySelector('.detail').textContent")
    assert reader.run("return document.querySelector('#hits .more').getAttribute('aria-expanded')") == "true"
    reader.run("document.querySelector('.detail a').click()")
    reader.browser.execute_async_script("setTimeout(arguments[0], 300)")
    opened = reader.run("return document.querySelector('details[open]').textContent")
    assert HOSTILE in opened
    assert "What would refute it" in opened
    assert reader.run("return document.images.length") >= 4
    assert reader.run("return [...document.images].every(i => i.complete && i.naturalWidth > 100 && i.alt.length > 20)")
    reader.run("document.getElementById('clear').click()")


def check_phone(reader: Reader) -> None:
    """Nothing is wider than a telephone but what scrolls in a box of its own."""
    reader.emulate(375, "light")
    reader.run("for (const e of document.querySelectorAll('details')) e.open = true")
    assert reader.run("return document.documentElement.scrollWidth") <= 375
    box = """const box = document.querySelector('#hits-box .dt-layout-table');
        return [box.scrollWidth > box.clientWidth, box.tabIndex]"""
    assert reader.run(box) == [True, 0]
    assert reader.run("return parseFloat(getComputedStyle(document.body).fontSize)") >= 16


def check_nothing_is_asked_for(browser: Any, page: Path) -> None:
    """The page itself is all that was loaded, and nobody complained: no error, nothing that the policy refused."""
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    blocked = browser.execute_async_script(
        """const done = arguments[0]; addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective));
        fetch('http://127.0.0.1:9/').catch(() => setTimeout(() => done('nothing'), 500));"""
    )
    assert blocked == "connect-src"


def test_the_command(results: Path, lingshu: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    code, out, err = lingshu("report", results, "--output", page)
    assert (code, err) == (0, "")
    assert "one file that needs no network" in " ".join(out.split())
    assert "Which perturbations lower the 8 genes of SIMULATED_PROGRAM" in page.read_text(encoding="utf-8")
    for arguments, words in (
        ((tmp_path / "nowhere",), "no such folder; give the `output:` of a campaign that ran"),
        ((tmp_path,), "no hits.parquet here"),
        ((results, "--output", tmp_path / "no" / "r.html"), "No such file or directory"),
        ((results, "--rows", "0"), "--rows"),
        ((results, "--output", tmp_path), "directory"),
    ):
        code, out, err = lingshu("report", *arguments)
        assert code == 2, arguments
        assert words in err
        assert err.count("\n") == 1


def test_from_a_bucket(results: Path, s3_url: str) -> None:
    here, there = read_source(str(results)), open_blobs(s3_url)
    for path in results.iterdir():
        if path.is_file():
            there.put(path.name, path.read_bytes())
    found = read_source(s3_url)
    assert found.hits.equals(here.hits)
    assert found.tables.keys() == here.tables.keys()
    assert here.created
    assert found.created == ""  # the copy has no ledger
