"""Ten mistakes that newcomers make. The message of each stands in docs/mistakes.md, and is read from there.

``…`` in the page stands for words that differ from place to place.
"""

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import fsspec.implementations.local
import numpy as np
import obstore
import pytest
import torch
from obstore.exceptions import GenericError

from benchmarks.s3_server import S3Server

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]
Lingshu = Callable[..., tuple[int, str, str]]

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
ROW = re.compile(
    r"^\| (?P<mistake>[^|]+) \| (?P<ticks>`+)(?P<says>[^|]+)(?P=ticks) \| (?P<cure>[^|]+) \|$", re.MULTILINE
)
MORE_THAN_ANY_MACHINE_HAS = 1 << 50
PLACE, COLUMN, CONTROL = "  path: cells.h5ad", "    perturbation: perturbation", "  control: control"
TRAINING, COMPUTE = "training: {epochs: 1, device: cpu}", "compute: {backend: in_process}"


def documented(mistake: str) -> str:
    """Return what the page says that the command says."""
    rows = {row["mistake"]: row["says"] for row in ROW.finditer(PAGE.read_text())}
    return rows[mistake].replace("…", "[...]").strip()


def ends_with(said: tuple[int, str, str], mistake: str, exit_code: int = 2) -> None:
    """Check exit code and last line of a command that had more to tell before."""
    code, _, err = said
    pattern = re.escape(f"error: {documented(mistake)}").replace(re.escape("[...]"), ".*")
    assert re.fullmatch(pattern, err.splitlines()[-1]), err.splitlines()[-1]
    assert code == exit_code


@pytest.fixture
def a_full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Leave no space for files whose path matches: the first bytes are written, the rest isn't."""
    pipe_file, put = fsspec.implementations.local.LocalFileSystem.pipe_file, obstore.put

    def fill(pattern: str) -> None:
        def fail_to_pipe(self: Any, path: str, value: bytes, **options: Any) -> None:
            if not re.search(pattern, path):
                return pipe_file(self, path, value, **options)
            pipe_file(self, path, value[:100], **options)
            raise OSError(errno.ENOSPC, "No space left on device")

        def fail_to_put(store: Any, path: str, *arguments: Any, **options: Any) -> Any:
            if not re.search(pattern, path):
                return put(store, path, *arguments, **options)
            # As obstore 0.12 says it on a tmpfs that is full.
            raise GenericError(
                "Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"
            )

        monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "pipe_file", fail_to_pipe)
        monkeypatch.setattr("actors.obstore_blobs.obstore.put", fail_to_put)

    return fill


@pytest.fixture
def one_gene(edited: Edited) -> None:
    """A screen of two conditions."""
    edited("screen.yaml", "  genetic: all_seen", "  genetic: [REG04]")
    edited("screen.yaml", "  drug: all_seen", "")


def no_memory(*_: Any, **__: Any) -> torch.Tensor:
    """Ask for more than there is: torch says so itself."""
    return torch.empty(MORE_THAN_ANY_MACHINE_HAS)


def test_a_wrong_column(edited: Edited, refused: Refused) -> None:
    edited("train.yaml", COLUMN, "    perturbation: gene_target")
    refused("train", "train.yaml", says=documented("A column that isn't in the file"))


def test_log_data_instead_of_counts(desk: Path, refused: Refused) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    cells.X = np.log1p(cells.X.toarray())
    (desk / "cells.h5ad").unlink()
    cells.write_h5ad(desk / "cells.h5ad")
    refused("train", "train.yaml", says=documented("Log-normalised values instead of counts"))


def test_a_typo_in_a_gene(edited: Edited, refused: Refused) -> None:
    edited("screen.yaml", "  genetic: all_seen", "  genetic: [REG04, REG5]")
    for command in ("validate", "plan", "run"):
        refused(command, "screen.yaml", says=documented("A typo in a gene"))


def test_no_control(edited: Edited, refused: Refused) -> None:
    edited("train.yaml", CONTROL, "  control: non-targeting")
    refused("train", "train.yaml", says=documented("No control cells under the label"))


def test_no_bucket(desk: Path, s3_url: str, refused: Refused) -> None:
    refused("run", "screen.yaml", "--output", "s3://no-such-bucket/out", says=documented("A bucket that isn't there"))


@pytest.mark.parametrize("wrong", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials(
    desk: Path, s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch, lingshu: Lingshu, wrong: str
) -> None:
    monkeypatch.setenv(wrong, "not-the-one-of-the-bucket")
    said = lingshu("run", "screen.yaml", "--output", f"s3://{s3_server.bucket}/out")
    ends_with(said, "Wrong credentials")
    assert "not-the-one-of-the-bucket" not in said[1] + said[2]


def test_no_gpu_for_replicas(edited: Edited, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # a cluster of other tests would be asked first
    edited("screen.yaml", COMPUTE, "compute: {gpus_per_replica: 1}")
    for command in (["run"], ["plan", "--pilot"]):
        refused(*command, "screen.yaml", says=documented("A GPU for replicas, on a machine without"))


def test_no_gpu_for_training(edited: Edited, refused: Refused) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    edited("train.yaml", TRAINING, "training: {device: cuda}")
    refused("train", "train.yaml", says=documented("A GPU for training, on a machine without"))


def test_too_large_a_batch(edited: Edited, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    edited("train.yaml", TRAINING, "training: {epochs: 1, device: cpu, batch_size: 128}")
    monkeypatch.setattr("lingshu_core.training.draw_times", no_memory)
    refused("train", "train.yaml", says=documented("Too large a batch in training"))


@pytest.mark.usefixtures("one_gene")
def test_too_large_a_shard(desk: Path, lingshu: Lingshu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingshu_core.predictor.estimate_shard", no_memory)
    ends_with(lingshu("run", "screen.yaml"), "Too many cells at a time in a screen", exit_code=3)


def test_a_full_disk_in_training(desk: Path, lingshu: Lingshu, a_full_disk: Callable[[str], None]) -> None:
    a_full_disk(r"training_state-\d+\.safetensors")
    ends_with(lingshu("train", "train.yaml"), "A full disk in training")
    assert not list((desk / "out").iterdir()), "what is cut off takes the space that is missing"


def test_a_full_disk_at_the_checkpoint(
    desk: Path, lingshu: Lingshu, a_full_disk: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_full_disk(r"out/weights\.safetensors")
    ends_with(lingshu("train", "train.yaml"), "A full disk at the checkpoint")
    monkeypatch.undo()
    monkeypatch.chdir(desk)
    code, out, _ = lingshu("train", "train.yaml")
    assert code == 0
    assert "resumed" in out, "nothing is trained again"


@pytest.mark.usefixtures("one_gene")
def test_a_full_disk_at_a_commit_and_at_publication(
    desk: Path, lingshu: Lingshu, a_full_disk: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_full_disk(r"ledger/data/|^data/")
    ends_with(lingshu("run", "screen.yaml"), "A full disk in a run")
    a_full_disk(r"hits\.parquet")
    ends_with(lingshu("run", "screen.yaml"), "A full disk at publication")
    monkeypatch.undo()
    monkeypatch.chdir(desk)
    code, out, _ = lingshu("run", "screen.yaml")
    assert code == 0, "the same command goes on"
    assert "predict   0 blocks, 8 are there already" in out


def test_an_old_checkpoint(desk: Path, refused: Refused) -> None:
    files = {path.name: path.read_bytes() for path in (desk / "model").iterdir()}
    (desk / "model").unlink()
    (desk / "model").mkdir()
    files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | {"format": 1}).encode()
    for name, content in files.items():
        (desk / "model" / name).write_bytes(content)
    refused("run", "screen.yaml", says=documented("A checkpoint of an old version"))


def test_every_line_of_the_page_is_tried() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")][2:]
    rows = [row["mistake"] for row in ROW.finditer(PAGE.read_text())]
    tried = Path(__file__).read_text()
    assert len(rows) == len(lines), "a line that isn't: mistake, message, cure"
    assert [row for row in rows if f'"{row}"' not in tried] == []
