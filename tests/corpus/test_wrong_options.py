"""Command lines that are none."""

from collections.abc import Callable

import pytest

Refused = Callable[..., None]

LINES: dict[str, tuple[str, str]] = {
    "nothing": ("", "?"),
    "an unknown command": ("screen screen.yaml", "?"),
    "a misspelt command": ("vaildate screen.yaml", "?"),
    "an unknown option before the command": ("--verbose run screen.yaml", "?"),
    "an unknown option": ("run screen.yaml --fast", "?"),
    "a misspelt option": ("run screen.yaml --replica 2", "?"),
    "no file": ("run", "?"),
    "two files": ("run screen.yaml train.yaml", "?"),
    "an option without its value": ("run screen.yaml --replicas", "?"),
    "a number in words": ("run screen.yaml --replicas many", "?"),
    "no replica": ("run screen.yaml --replicas 0", "?"),
    "an unknown backend": ("run screen.yaml --backend dask", "?"),
    "two replicas in one process": ("run screen.yaml --replicas 2", "?"),
    "an output with credentials": ("run screen.yaml --output s3://key:hush@bucket/x", "?"),
    "half a hit": ("hits out --top 1.5", "?"),
    "an unknown format": ("hits out --format xml", "?"),
    "no output": ("embed cells.h5ad model", "?"),
    "a pair without a name": ("adapt model cells.h5ad -o new --factor =donor", "?"),
    "a value for a flag": ("plan screen.yaml --json=yes", "?"),
    "negative workers": ("train train.yaml --workers -1", "?"),
    "a schedule that there isn't": ("card model --schedule linear", "?"),
    "negative guidance": ("card model --guidance -1", "?"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "message"), LINES.values(), ids=LINES)
@pytest.mark.usefixtures("desk")
def test_a_command_line_that_is_none(refused: Refused, line: str, message: str) -> None:
    refused(*line.split(), says=message)
