import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "monitoring.md"


def test_the_files_that_it_names_are_there() -> None:
    named = set(re.findall(r"deploy/monitoring/(\w+\.\w+)", PAGE.read_text(encoding="utf-8")))
    there = {path.name for path in (PAGE.parents[1] / "deploy" / "monitoring").iterdir() if path.is_file()}
    assert named == there
