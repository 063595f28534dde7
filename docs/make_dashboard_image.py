"""Take a picture of Ray's dashboard while a screen runs: ``python docs/make_dashboard_image.py URL [IMAGE [PAGE]]``.

The URL is the one that `lingshu run` prints. Without a page, that of the actors is taken, where the names are that the
run gave its processes. The browser is given our token, for which Ray's page would ask.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from actors.own_token import own_token

IMAGE = Path(__file__).parent / "images" / "ray-dashboard.png"
WIDTH, HEIGHT = 1600, 560
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-sync")
COOKIE = "ray-authentication-token"
FILLED_SECONDS = 12.0  # the page asks the cluster for its rows after it has opened, every few seconds


def take(address: str, image: Path) -> None:
    """Open a page in a window of its own, wait until it has its rows, and save what is seen."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
        try:
            browser.get(address)
            browser.add_cookie({"name": COOKIE, "value": own_token()})
            browser.refresh()
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            time.sleep(FILLED_SECONDS)
            image.write_bytes(browser.get_screenshot_as_png())
        finally:
            browser.quit()


def main(arguments: list[str]) -> None:
    """Write ``docs/images/ray-dashboard.png``, or another picture."""
    image = Path(arguments[1]) if len(arguments) > 1 else IMAGE
    take(f"{arguments[0]}/#/{arguments[2] if len(arguments) > 2 else 'actors'}", image)
    print(f"{image} ({image.stat().st_size / 1024:.0f} KB)")


if __name__ == "__main__":
    main(sys.argv[1:])
