"""Take a picture of Ray's dashboard while a screen runs: ``python docs/make_dashboard_image.py URL [IMAGE [PAGE]]``.

The URL is the one that `lingshu run` prints. Without a page, that of the actors is taken, where the names are that the
run gave its processes. The browser is given our token, for which Ray's page would ask.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from page_picture import browser

from actors.own_token import own_token

IMAGE = Path(__file__).parent / "images" / "ray-dashboard.png"
WIDTH, HEIGHT = 1600, 560
COOKIE = "ray-authentication-token"
FILLED_SECONDS = 12.0  # the page asks the cluster for its rows after it has opened, every few seconds


def take(address: str, image: Path) -> None:
    """Open a page in a window of its own, wait until it has its rows, and save what is seen."""
    with browser(WIDTH, HEIGHT) as opened:
        opened.get(address)
        opened.add_cookie({"name": COOKIE, "value": own_token()})
        opened.refresh()
        time.sleep(FILLED_SECONDS)
        image.write_bytes(opened.get_screenshot_as_png())


def main(arguments: list[str]) -> None:
    """Write ``docs/images/ray-dashboard.png``, or another picture."""
    image = Path(arguments[1]) if len(arguments) > 1 else IMAGE
    take(f"{arguments[0]}/#/{arguments[2] if len(arguments) > 2 else 'actors'}", image)
    print(f"{image} ({image.stat().st_size / 1024:.0f} KB)")


if __name__ == "__main__":
    main(sys.argv[1:])
