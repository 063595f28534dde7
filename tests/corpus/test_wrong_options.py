"""Command lines that are none."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

Refused = Callable[..., None]

LINES: dict[str, tuple[str, str]] = {
    "nothing": ("", "lingshu: names no command; `lingshu --help` shows what there is"),
    "an unknown command": (
        "screen screen.yaml",
        "lingshu: no such command 'screen'; `lingshu --help` shows what there is",
    ),
    "a misspelt command": (
        "vaildate screen.yaml",
        "lingshu: no such command 'vaildate'; did you mean 'validate', 'evaluate', 'simulate'; "
        "`lingshu --help` shows what there is",
    ),
    "an unknown option before the command": (
        "--verbose run screen.yaml",
        "lingshu: no such option: --verbose; `lingshu --help` shows what there is",
    ),
    "an unknown option": (
        "run screen.yaml --quick",
        "lingshu run: no such option: --quick; `lingshu run --help` shows what there is",
    ),
    "a misspelt option": (
        "run screen.yaml --replica 2",
        "lingshu run: no such option: --replica (Possible options: --replicas); `lingshu run --help` "
        "shows what there is",
    ),
    "no file": ("run", "lingshu run: missing argument 'campaign'; `lingshu run --help` shows what there is"),
    "two files": (
        "run screen.yaml train.yaml",
        "lingshu run: got unexpected extra argument(s) (train.yaml); `lingshu run --help` shows what there is",
    ),
    "an option without its value": (
        "run screen.yaml --replicas",
        "lingshu: option '--replicas' requires an argument; `lingshu --help` shows what there is",
    ),
    "a number in words": (
        "run screen.yaml --replicas many",
        "lingshu run: invalid value for '--replicas': must be a valid integer; `lingshu run --help` "
        "shows what there is",
    ),
    "no replica": (
        "run screen.yaml --replicas 0",
        "lingshu run: invalid value for '--replicas': must be greater than or equal to 1; `lingshu "
        "run --help` shows what there is",
    ),
    "an unknown backend": (
        "run screen.yaml --backend dask",
        "lingshu run: invalid value for '--backend': 'dask' is not one of 'ray', 'in_process'; "
        "`lingshu run --help` shows what there is",
    ),
    "two replicas in one process": (
        "run screen.yaml --replicas 2",
        "command line (--replicas): compute.replicas: `backend: in_process` has one replica; use ray for more",
    ),
    "an output with credentials": (
        "run screen.yaml --output s3://key:hush@bucket/x",
        "lingshu: invalid value: a user or a password can't stand in a URL; put the credentials in "
        "the environment; `lingshu --help` shows what there is",
    ),
    "half a hit": (
        "hits out --top 1.5",
        "lingshu hits: invalid value for '--top': must be a valid integer; `lingshu hits --help` shows what there is",
    ),
    "an unknown format": (
        "hits out --format xml",
        "lingshu hits: invalid value for '--format': 'xml' is not one of 'table', 'csv', 'json', "
        "'parquet'; `lingshu hits --help` shows what there is",
    ),
    "no output": (
        "embed cells.h5ad model",
        "lingshu embed: missing option '--output' / '-o'; `lingshu embed --help` shows what there is",
    ),
    "a pair without a name": (
        "adapt model cells.h5ad -o new --factor =donor",
        "lingshu adapt: invalid value: --factor '=donor' must be NAME=VALUE; `lingshu adapt --help` "
        "shows what there is",
    ),
    "a value for a flag": (
        "plan screen.yaml --json=yes",
        "lingshu: option '--json' does not take a value; `lingshu --help` shows what there is",
    ),
    "negative workers": (
        "train train.yaml --workers -1",
        "lingshu train: invalid value for '--workers': must be greater than or equal to 0; `lingshu "
        "train --help` shows what there is",
    ),
    "a schedule that there isn't": (
        "card model --schedule linear",
        "lingshu card: invalid value for '--schedule': 'linear' is not one of 'geometric', "
        "'uniform', 'cosine'; `lingshu card --help` shows what there is",
    ),
    "negative guidance": (
        "card model --guidance -1",
        "lingshu card: invalid value for '--guidance': must be greater than or equal to 0; `lingshu "
        "card --help` shows what there is",
    ),
}


@pytest.mark.parametrize(("line", "message"), LINES.values(), ids=LINES)
@pytest.mark.usefixtures("desk")
def test_a_command_line_that_is_none(refused: Refused, line: str, message: str) -> None:
    refused(*line.split(), says=message)


EMPTY = "x.yaml:1: is empty; a campaign is `key: value` lines, `kind:` the first"
PROCESSES: dict[str, tuple[str, bool, str]] = {
    "a campaign": ("validate x.yaml", False, EMPTY),
    "a campaign, with its trace": ("validate x.yaml", True, EMPTY),
    "cells": ("embed none.h5ad model -o new.h5ad", False, "none.h5ad: no such file; check the path"),
}


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(("line", "debug", "message"), PROCESSES.values(), ids=PROCESSES)
def test_a_process_of_its_own(line: str, debug: bool, message: str) -> None:
    """Nothing of Python's own, neither warnings nor a trace, beside the message; with --debug the trace above it."""
    open("x.yaml", "w").close()
    command = [sys.executable, "-m", "screening.cli", *line.split(), *["--debug"] * debug]
    environment = {key: value for key, value in os.environ.items() if key != "LINGSHU_DEBUG"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    if debug:
        assert done.stderr.startswith("Traceback (most recent call last)")
        assert done.stderr.endswith(f"\nerror: {message}\n")
    else:
        assert done.stderr == f"error: {message}\n"
