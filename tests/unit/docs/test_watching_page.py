"""The page on watching names every event, field and log field, with the words of the code."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from actors.run_log import FIELDS, FORMATS, LOG

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "watching-a-run.md").read_text(encoding="utf-8")


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_event_tables", DOCS / "make_event_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_events_and_their_fields_are_those_of_the_code() -> None:
    make = maker()
    told = PAGE.partition(make.BEGIN)[2].partition(make.END)[0].strip()
    assert told == make.tables(), "run `python docs/make_event_tables.py` to write the tables anew"


def test_every_field_of_a_log_line_is_explained() -> None:
    told = set(re.findall(r"`(\w+)`", PAGE.partition("## Logs")[2]))
    assert set(FIELDS) <= told
    assert set(FORMATS) <= told
    assert f"{LOG}=json" in PAGE
