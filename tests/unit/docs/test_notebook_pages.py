import json
import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Markdown of every notebook, as the docs show it."""
    pytest.importorskip("mkdocs", reason="mkdocs of the extra `docs` is not installed")
    markdown = runpy.run_path(str(DOCS / "notebook_pages.py"))["markdown"]
    return {path.stem: markdown(json.loads(path.read_text(encoding="utf-8")), path.stem) for path in NOTEBOOKS}


def test_a_page_has_text_code_and_the_notebook_itself(pages: dict[str, str]) -> None:
    assert set(pages) == {"first-screen", "one-hit"}
    page = pages["first-screen"]
    assert page.startswith("# A first screen\n")
    assert "```python\nscreen.plot.rank()\n```\n\n![rank()](../images/notebooks/first-screen-" in page
    assert "[Download the notebook](first-screen.ipynb)" in page


def test_every_plot_has_its_picture_and_no_picture_is_left_over(pages: dict[str, str]) -> None:
    used = {name for page in pages.values() for name in re.findall(r"images/notebooks/([\w.-]+)", page)}
    assert used == {path.name for path in (DOCS / "images" / "notebooks").glob("*.png")}
    plots = [len(re.findall(r"^screen\.plot\.", page, re.MULTILINE)) for page in pages.values()]
    assert len(used) == sum(plots), "run `python docs/make_notebook_images.py` to draw them anew"


def test_links_of_a_notebook_lead_to_pages(pages: dict[str, str]) -> None:
    links = {link for page in pages.values() for link in re.findall(r"\]\(([\w./-]+\.md)", page)}
    made = {path.with_suffix(".md").name for path in NOTEBOOKS}
    assert not [link for link in links if link not in made and not (DOCS / "notebooks" / link).exists()]
