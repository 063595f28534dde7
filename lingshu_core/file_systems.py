"""Which extra brings the file system of a URL, for the message when it isn't installed."""

from __future__ import annotations

EXTRAS = {"gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure", "adl": "azure"}


def extra_hint(url: str) -> str:
    """Return what to install to reach a URL, to be put behind a message; empty where no extra of ours helps."""
    extra = EXTRAS.get(url.partition("://")[0])
    return f"; pip install 'lingshu-screen[{extra}]', on every node" if extra else ""
