"""The page on watching explains every field of a log line, with the words of the code."""

import re
from pathlib import Path

from actors.run_log import FIELDS, FORMATS, LOG

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "watching-a-run.md").read_text(encoding="utf-8")


def test_every_field_of_a_log_line_is_explained() -> None:
    told = set(re.findall(r"`(\w+)`", PAGE.partition("## Logs")[2]))
    assert set(FIELDS) <= told
    assert set(FORMATS) <= told
    assert f"{LOG}=json" in PAGE
