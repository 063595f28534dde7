"""Places where results can't be written, and results that can't be read."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

OUTPUTS: dict[str, tuple[str, str]] = {
    "an unknown scheme": (
        "gopher://host/x",
        "gopher://host/x: gopher:// is no store this engine knows: use s3://, gs:// or az://NAME/prefix, or a folder",
    ),
    "a scheme of another server": (
        "ftp://bucket/x",
        "ftp://bucket/x: ftp:// is no store this engine knows: use s3://, gs:// or az://NAME/prefix, or a folder",
    ),
    "http": (
        "https://host/x",
        "https://host/x: https:// is no store this engine knows: use s3://, gs:// or az://NAME/prefix, or a folder",
    ),
    "no bucket": (
        "s3://",
        "s3://: a store URL reads s3://NAME/prefix, with no credentials, '?', '..' or empty parts in it; "
        "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "no bucket before the prefix": (
        "s3:///prefix",
        "s3:///prefix: a store URL reads s3://NAME/prefix, with no credentials, '?', '..' or empty parts in it; "
        "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "a prefix that leads out": (
        "s3://bucket/../other",
        "s3://bucket/../other: a store URL reads s3://NAME/prefix, with no credentials, '?', '..' or empty parts "
        "in it; credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "an empty part": (
        "s3://bucket//x",
        "s3://bucket//x: a store URL reads s3://NAME/prefix, with no credentials, '?', '..' or empty parts in it; "
        "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "a hash": (
        "s3://bucket/a#b",
        "s3://bucket/a#b: a store URL reads s3://NAME/prefix, with no credentials, '?', '..' or empty parts in it; "
        "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "a host": ("file://host/x", "file://host/x names a host: write file:///folder with three slashes, or a plain path"),
    "below a file": (
        "program.gmt/out",
        "cannot make the folder [...]/program.gmt/out/ledger: Not a directory ([...]). Choose a "
        "folder that you may write.",
    ),
    "a file": (
        "program.gmt",
        "cannot make the folder [...]/program.gmt/ledger: Not a directory ([...]). Choose a folder that you may write.",
    ),
    "the folder of devices": (
        "/dev/null/out",
        "cannot make the folder /dev/null/out/ledger: Not a directory ([...]). Choose a folder that you may write.",
    ),
    "the folder of the kernel": (
        "/proc/out",
        "cannot make the folder /proc/out/ledger: No such file or directory ([...]). Choose a folder "
        "that you may write.",
    ),
    "a name that is too long": (
        "x" * 300,
        "cannot make the folder [...]/[...]/ledger: File name too long ([...]). Choose a folder that you may write.",
    ),
    "chained": (
        "simplecache::s3://bucket/x",
        "simplecache::s3://bucket/x: simplecache::s3:// is no store this engine knows: "
        "use s3://, gs:// or az://NAME/prefix, or a folder",
    ),
}


@pytest.mark.parametrize(("output", "message"), OUTPUTS.values(), ids=OUTPUTS)
def test_a_place_for_results(edited: Edited, refused: Refused, output: str, message: str) -> None:
    edited("screen.yaml", "output: out", f"output: '{output}'")
    refused("run", "screen.yaml", says=message)


@pytest.mark.parametrize("command", ["plan", "status"])
def test_a_place_that_is_only_looked_at(edited: Edited, refused: Refused, command: str) -> None:
    edited("screen.yaml", "output: out", "output: gopher://host/x")
    refused(
        command,
        "screen.yaml",
        says="gopher://host/x: gopher:// is no store this engine knows: "
        "use s3://, gs:// or az://NAME/prefix, or a folder",
    )


def a_folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


RESULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut off": (
        lambda path: path.write_bytes(path.read_bytes()[:-20]) and None,
        "[...]/out/hits.parquet: not a readable Parquet file ([...]); publish again",
    ),
    "empty": (
        lambda path: path.write_bytes(b"") and None,
        "[...]/out/hits.parquet: not a readable Parquet file ([...]); publish again",
    ),
    "a text": (
        lambda path: path.write_text("rank,score\n") and None,
        "[...]/out/hits.parquet: not a readable Parquet file ([...]); publish again",
    ),
    "another table": (
        lambda path: pl.DataFrame({"gene": ["REG04"]}).write_parquet(path),
        "[...]/out/hits.parquet: not a ranked table of a screen: it has no column status, perturbation, context and 9"
        " more; give the `output:` of a campaign that ran",
    ),
    "a column of another type": (
        lambda path: pl.read_parquet(path).cast({"score": pl.String}).write_parquet(path),
        "[...]/out/hits.parquet: not a ranked table of a screen: its column score is String and has to be Float64; give"
        " the `output:` of a campaign that ran",
    ),
    "a folder": (
        a_folder_instead,
        "[...]/out: no hits.parquet here, nor in the folders below, and no Delta table; [...]/out: a campaign that has "
        "not published yet; run the campaign, or give the `output:` of one that ran, or a folder of such",
    ),
}


@pytest.fixture
def results(desk: Path, lingshu: Callable[..., tuple[int, str, str]]) -> Path:
    text = (
        (desk / "screen.yaml")
        .read_text()
        .replace("genetic: all_seen", "genetic: [REG04]")
        .replace("  drug: all_seen\n", "")
    )
    (desk / "screen.yaml").write_text(text)
    assert lingshu("run", "screen.yaml")[0] == 0
    return desk / "out"


@pytest.mark.parametrize(("spoil", "message"), RESULTS.values(), ids=RESULTS)
def test_a_table_of_hits(results: Path, refused: Refused, spoil: Callable[[Path], None], message: str) -> None:
    shutil.rmtree(results / "ledger")  # as in a copy of a few files: where there are versions, these are read
    spoil(results / "hits.parquet")
    refused("hits", "out", says=message)


def test_a_published_table_that_was_changed(results: Path, refused: Refused) -> None:
    (version,) = results.glob("runs/*/*/hits.parquet")
    version.write_bytes(version.read_bytes()[:-20])
    refused(
        "hits",
        "out",
        says="[...]/out/runs/[...]/hits.parquet is not what was published; run the campaign again to publish it anew",
    )


def test_a_context_that_is_not_in_the_table(results: Path, refused: Refused) -> None:
    refused(
        "hits",
        "out",
        "--context",
        "type_9",
        says="no context 'type_9' in these results; there are: cell_type=type_1, cell_type=type_2",
    )


ADDRESSES: dict[str, tuple[str, str]] = {
    "hits of an unknown scheme": (
        "hits gopher://host/x",
        "gopher://host/x: gopher:// is no store this engine knows: use s3://, gs:// or az://NAME/prefix, or a folder",
    ),
    "hits with a password": (
        "hits s3://key:hush@bucket/x",
        "lingshu: invalid value: a user or a password can't stand in a URL; put the credentials in "
        "the environment; `lingshu --help` shows what there is",
    ),
    "hits of no bucket": (
        "hits s3://",
        "s3://: a store URL reads s3://NAME/prefix, with no credentials, '?', '..' or empty parts in it; "
        "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "hits of a host": (
        "hits file://host/x",
        "file://host/x names a host: write file:///folder with three slashes, or a plain path",
    ),
    "describe an unknown scheme": (
        "describe gopher://host/model",
        "gopher://host/model/ensemble.json: can't be read (Protocol not known: gopher); check the "
        "path, and the credentials in the environment",
    ),
    "describe with a password": (
        "describe s3://key:hush@bucket/model",
        "lingshu: invalid value: a user or a password can't stand in a URL; put the credentials in "
        "the environment; `lingshu --help` shows what there is",
    ),
    "embed into an unknown scheme": (
        "embed cells.h5ad model -o gopher://host/new.h5ad",
        "gopher://host/new.h5ad: can't be written (Protocol not known: gopher); correct `output` or "
        "the credentials in the environment",
    ),
    "embed cells of an unknown scheme": (
        "embed gopher://host/cells.h5ad model -o new.h5ad",
        "gopher://host/cells.h5ad: can't be read (Protocol not known: gopher)",
    ),
    "generate into an unknown scheme": (
        "generate model -o gopher://host/new.h5ad --cells 2",
        "gopher://host/new.h5ad: can't be written (Protocol not known: gopher); correct `output` or "
        "the credentials in the environment",
    ),
    "adapt into an unknown scheme": (
        "adapt model cells.h5ad -o gopher://host/adapted",
        "gopher://host/adapted: the checkpoint can't be written there (Protocol not known: gopher); "
        "correct `output:` or the credentials in the environment",
    ),
    "adapt a model of an unknown scheme": (
        "adapt gopher://host/model cells.h5ad -o adapted",
        "gopher://host/model/manifest.json: can't be read (Protocol not known: gopher)",
    ),
    "a card of an unknown scheme": (
        "card gopher://host/model",
        "gopher://host/model/ensemble.json: can't be read (Protocol not known: gopher); check the "
        "path, and the credentials in the environment",
    ),
    "a card of an evaluation of an unknown scheme": (
        "card model --evaluation gopher://host/evaluation",
        "gopher://host/evaluation/evaluation.json: can't be read (Protocol not known: gopher); check "
        "the path, and the credentials in the environment",
    ),
    "train into an unknown scheme": (
        "train train.yaml -o gopher://host/model",
        "gopher://host/model: the checkpoint can't be written there (Protocol not known: gopher); "
        "correct `output:` or the credentials in the environment",
    ),
    "evaluate into an unknown scheme": (
        "evaluate evaluate.yaml -o gopher://host/model",
        "gopher://host/model: gopher:// is no store this engine knows: "
        "use s3://, gs:// or az://NAME/prefix, or a folder",
    ),
}


@pytest.mark.parametrize(("line", "message"), ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.usefixtures("desk")
def test_an_address(refused: Refused, line: str, message: str) -> None:
    refused(*line.split(), says=message)
