"""Take the picture of a report for the README: ``python docs/make_report_image.py [FOLDER [IMAGE]]``, with Chromium.

The folder is that of a screen whose model has a null: the quickstart, trained with
``pseudo_perturbations: {groups: 20}``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from page_picture import browser

from screening.report.page import render_page
from screening.report.source import read_source

IMAGE = Path(__file__).parent / "images" / "report.png"
WIDTH, HEIGHT = 1280, 1010
READY = "const d = arguments[0], w = () => document.documentElement.dataset.ready ? d(1) : setTimeout(w, 10); w();"


def take(page: Path, image: Path) -> None:
    """Open a page in a window of its own and save what is seen first."""
    with browser(WIDTH, HEIGHT) as opened:
        opened.get(page.as_uri())
        opened.execute_async_script(READY)
        image.write_bytes(opened.get_screenshot_as_png())


def main(arguments: list[str]) -> None:
    """Write ``docs/images/report.png``, or another picture."""
    source = read_source(arguments[0] if arguments else "results/quickstart/screen")
    image = Path(arguments[1]) if len(arguments) > 1 else IMAGE
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(render_page(source), encoding="utf-8")
        take(page, image)
    print(f"{image} ({image.stat().st_size / 1024:.0f} KB)")


if __name__ == "__main__":
    main(sys.argv[1:])
