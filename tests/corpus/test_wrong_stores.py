"""Places where results can't be written, and results that can't be read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

OUTPUTS: dict[str, tuple[str, str]] = {
    "an unknown scheme": ("gopher://host/x", "?"),
    "a scheme of another cloud": ("gs://bucket/x", "?"),
    "http": ("https://host/x", "?"),
    "no bucket": ("s3://", "?"),
    "no bucket before the prefix": ("s3:///prefix", "?"),
    "a prefix that leads out": ("s3://bucket/../other", "?"),
    "an empty part": ("s3://bucket//x", "?"),
    "a hash": ("s3://bucket/a#b", "?"),
    "a host": ("file://host/x", "?"),
    "below a file": ("program.gmt/out", "?"),
    "a file": ("program.gmt", "?"),
    "the folder of devices": ("/dev/null/out", "?"),
    "the folder of the kernel": ("/proc/out", "?"),
    "a name that is too long": ("x" * 300, "?"),
    "chained": ("simplecache::s3://bucket/x", "?"),
}


@pytest.mark.parametrize("command", ["plan", "run", "status"])
@pytest.mark.parametrize(("output", "message"), OUTPUTS.values(), ids=OUTPUTS)
def test_a_place_for_results(edited: Edited, refused: Refused, output: str, message: str, command: str) -> None:
    edited("screen.yaml", "output: out", f"output: '{output}'")
    refused(command, "screen.yaml", says=message)


RESULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-20]) and None, "?"),
    "empty": (lambda path: path.write_bytes(b"") and None, "?"),
    "a text": (lambda path: path.write_text("rank,score\n") and None, "?"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()) and None, "?"),
}


@pytest.fixture
def results(desk: Path, lingshu: Callable[..., tuple[int, str, str]]) -> Path:
    text = (desk / "screen.yaml").read_text().replace("genetic: all_seen", "genetic: [REG04]").replace("  drug: all_seen\n", "")
    (desk / "screen.yaml").write_text(text)
    assert lingshu("run", "screen.yaml")[0] == 0
    return desk / "out"


@pytest.mark.parametrize(("spoil", "message"), RESULTS.values(), ids=RESULTS)
def test_a_table_of_hits(results: Path, refused: Refused, spoil: Callable[[Path], None], message: str) -> None:
    spoil(results / "hits.parquet")
    refused("hits", "out", says=message)


def test_a_table_of_something_else(results: Path, refused: Refused) -> None:
    import polars as pl

    pl.DataFrame({"gene": ["A"]}).write_parquet(results / "hits.parquet")
    refused("hits", "out", says="?")
    refused("hits", "out", "--context", "A", says="?")


def test_a_context_that_is_not_in_the_table(results: Path, refused: Refused) -> None:
    refused("hits", "out", "--context", "type_9", says="?")


ADDRESSES: dict[str, tuple[str, str]] = {
    "hits of an unknown scheme": ("hits gopher://host/x", "?"),
    "hits with a password": ("hits s3://key:hush@bucket/x", "?"),
    "hits of no bucket": ("hits s3://", "?"),
    "hits of a host": ("hits file://host/x", "?"),
    "describe an unknown scheme": ("describe gopher://host/model", "?"),
    "describe with a password": ("describe s3://key:hush@bucket/model", "?"),
    "embed into an unknown scheme": ("embed cells.h5ad model -o gopher://host/new.h5ad", "?"),
    "embed cells of an unknown scheme": ("embed gopher://host/cells.h5ad model -o new.h5ad", "?"),
    "generate into an unknown scheme": ("generate model -o gopher://host/new.h5ad --cells 2", "?"),
    "adapt into an unknown scheme": ("adapt model cells.h5ad -o gopher://host/adapted", "?"),
    "adapt a model of an unknown scheme": ("adapt gopher://host/model cells.h5ad -o adapted", "?"),
    "a card of an unknown scheme": ("card gopher://host/model", "?"),
    "a card of an evaluation of an unknown scheme": ("card model --evaluation gopher://host/evaluation", "?"),
    "train into an unknown scheme": ("train train.yaml -o gopher://host/model", "?"),
    "evaluate into an unknown scheme": ("evaluate evaluate.yaml -o gopher://host/model", "?"),
}


@pytest.mark.parametrize(("line", "message"), ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.usefixtures("desk")
def test_an_address(refused: Refused, line: str, message: str) -> None:
    refused(*line.split(), says=message)
