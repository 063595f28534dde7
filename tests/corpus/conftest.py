"""A desk for each case: the campaigns of this folder beside the cells and the model that they name.

Paths are relative to it, so that a message can be written down as it is shown.
"""

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CAMPAIGNS = ("screen.yaml", "train.yaml", "evaluate.yaml", "generate.yaml")
SECONDS = 2.0
"""CPU time in which every mistake has to be told."""
PLACE = re.compile(r"\w+\.yaml:\d+: [\w.\[\]]+: ")
"""Where a mistake stands; of words that leave it out, test_places.py says what it is."""
ANYTHING = "[...]"
"""Stands for the words of the system or of a library."""


@pytest.fixture
def desk(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a case."""
    for name in ("cells.h5ad", "program.gmt", "model"):
        (tmp_path / name).symlink_to(tiny / name)
    for name in CAMPAIGNS:
        shutil.copy(HERE / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def edited(desk: Path) -> Callable[[str, str, str], None]:
    """Put something else in place of a line, `edited("screen.yaml", "seed: 0", "sead: 0")`; it has to be there once."""

    def edit(file: str, line: str, instead: str) -> None:
        text = (desk / file).read_text()
        assert text.count(f"{line}\n") == 1, f"{line!r} isn't once in {file}"
        (desk / file).write_text(text.replace(f"{line}\n", f"{instead}\n" if instead else ""))

    return edit


@pytest.fixture
def refused(lingshu: Callable[..., tuple[int, str, str]]) -> Callable[..., None]:
    """Run a command that has to be refused: exit code 2, and this message, soon; `[...]` stands for any words."""

    def check(*arguments: object, says: str) -> None:
        before = time.process_time()
        code, out, err = lingshu(*arguments)
        seconds = time.process_time() - before
        pattern = re.escape(f"{says}\n").replace(re.escape(ANYTHING), ".*")
        pattern = f"error: {pattern}" if PLACE.match(says) else f"error: (?:{PLACE.pattern})?{pattern}"
        assert re.fullmatch(pattern, err), f"said {err}instead of error: {says}"
        assert code == 2
        assert "Traceback" not in out
        assert seconds < SECONDS

    return check
