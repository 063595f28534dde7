"""Take the picture of a report for the README: ``python docs/make_report_image.py [FOLDER [IMAGE]]``, with Chromium.

The folder is that of a screen whose model has a null: the quickstart, trained with
``pseudo_perturbations: {groups: 20}``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from screening.report.page import render_page
from screening.report.source import read_source

IMAGE = Path(__file__).parent / "images" / "report.png"
WIDTH, HEIGHT = 1280, 1010
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-sync")
READY = "const d = arguments[0], w = () => document.documentElement.dataset.ready ? d(1) : setTimeout(w, 10); w();"


def take(page: Path, image: Path) -> None:
    """Open a page in a window of its own and save what is seen first."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
        try:
            browser.get(page.as_uri())
            browser.execute_async_script(READY)
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            image.write_bytes(browser.get_screenshot_as_png())
        finally:
            browser.quit()


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
