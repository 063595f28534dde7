"""What people get wrong: each ends with exit code 2 and one message that says where and what.

More cases, each with its whole message, are in `tests/corpus`.
"""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import safetensors.numpy

Lingshu = Callable[..., tuple[int, str, str]]
WriteYaml = Callable[..., Path]
SpoiltCells = Callable[..., dict[str, Any]]


def refused(answer: tuple[int, str, str], *fragments: str) -> str:
    code, out, err = answer
    assert code == 2, err
    assert err.startswith("error: ")
    assert "Traceback" not in out + err
    assert "a bug" not in err
    for fragment in fragments:
        assert fragment in err
    return err


def line_of(path: Path, text: str) -> str:
    """`file:line` of the first line that holds a text."""
    return f"{path}:{next(i for i, line in enumerate(path.read_text().splitlines(), 1) if text in line)}"


def as_it_is(cells: anndata.AnnData) -> None:
    return None


COLUMNS = {name: name for name in ("perturbation", "perturbation_type", "dose", "cell_type", "donor")}


@pytest.mark.parametrize(
    ("spoil", "changes", "fragments"),
    [
        (
            as_it_is,
            {"columns": COLUMNS | {"donor": "doner"}},
            ["no column 'doner' (data.columns.donor)"],
        ),
        (as_it_is, {"layer": "counts"}, ["layer 'counts' is not in the file"]),
    ],
    ids=["column", "layer"],
)
def test_cells_that_cannot_be_used(
    lingshu: Lingshu,
    write_train: WriteYaml,
    spoilt_cells: SpoiltCells,
    spoil: Callable[[anndata.AnnData], object],
    changes: dict[str, Any],
    fragments: list[str],
) -> None:
    refused(lingshu("train", write_train(data=spoilt_cells(spoil, **changes))), "spoilt.h5ad", *fragments)


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
@pytest.mark.parametrize(
    ("changes", "wrong", "fragments"),
    [
        ({"perturbations": {"genetic": ["REG04", "REG44"]}}, "REG44", ["unknown perturbation 'REG44'", "REG04"]),
        ({"contexts": {"cell_type": "type_3"}}, "type_3", ["'type_3'", "type_1"]),
        ({"contexts": {"cell_typ": "type_1"}}, "cell_typ", ["cell_typ", "cell_type"]),
        ({"objective": {"kind": "signature", "up": ["REG01", "REGO1"]}}, "REGO1", ["gene 'REGO1'", "REG01"]),
        ({"perturbations": {"drug": [{"name": "DRUG01", "doses": [-1]}]}}, "- -1", ["perturbations.drug[0].doses"]),
        ({"perturbations": {"cytokine": "all_seen"}}, "perturbations", ["perturbations"]),
        ({"budget": {"conditions": 5}}, "conditions: 5", ["budget.conditions", "more than the budget of 5"]),
        ({"budget": {"cells": 10}}, "cells: 10", ["budget.cells"]),
        ({"estimater": {}}, "estimater", ["unknown key 'estimater'", "estimator"]),
        ({"estimator": {"shards": 4}}, "shards", ["estimator.shards", "8"]),
        ({"estimator": {"shards": "many"}}, "shards", ["must be a whole number", "'many'"]),
        ({"estimator": {"store_cells": True}}, "store_cells", ["use kind: sampled"]),
    ],
    ids=[
        *("perturbation", "context", "factor", "gene", "dose", "empty grid", "conditions", "cells"),
        *("key", "shards", "type", "cells of expectations"),
    ],
)
def test_a_campaign_with_a_mistake_is_told_its_line(
    lingshu: Lingshu,
    write_screen: WriteYaml,
    command: str,
    changes: dict[str, Any],
    wrong: str,
    fragments: list[str],
) -> None:
    path = write_screen(**changes)
    refused(lingshu(command, path), f"{line_of(path, wrong)}: ", *fragments)


def test_an_unknown_gene_set_is_told_its_line(lingshu: Lingshu, write_screen: WriteYaml, tiny: Path) -> None:
    gene_set = {"file": str(tiny / "program.gmt"), "name": "SIMULATED_PROGRAMME", "direction": "down"}
    path = write_screen(objective={"kind": "signature", "gene_set": gene_set})
    refused(lingshu("validate", path), line_of(path, "PROGRAMME"), "SIMULATED_PROGRAM")
    path = write_screen(objective={"kind": "signature", "gene_set": gene_set | {"file": "nowhere.gmt"}})
    refused(lingshu("run", path), line_of(path, "nowhere.gmt"), "objective.gene_set.file")


@pytest.mark.parametrize("command", ["train", "validate", "plan", "run", "status"])
def test_a_campaign_file_that_is_not_there(lingshu: Lingshu, tmp_path: Path, command: str) -> None:
    refused(lingshu(command, tmp_path / "none.yaml"), "none.yaml")


@pytest.mark.parametrize("command", ["plan", "run", "status"])
def test_a_model_that_is_not_there(lingshu: Lingshu, write_screen: WriteYaml, tmp_path: Path, command: str) -> None:
    answer = lingshu(command, write_screen(model=str(tmp_path / "none")))
    refused(answer, "no checkpoint here", "`lingshu train`")


@pytest.mark.parametrize("name", ["weights.safetensors", "controls.safetensors", "model.json", "vocabulary.json"])
def test_a_checkpoint_that_was_tampered_with(
    lingshu: Lingshu, write_screen: WriteYaml, tiny: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny / "model", folder)
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(bytes(data))
    err = refused(lingshu("run", write_screen(model=str(folder))))
    assert f"{name}: {len(data)} bytes that do not match the manifest" in err
    assert not (tmp_path / "screen" / "hits.parquet").exists()


def test_a_checkpoint_with_a_pickle_in_it_is_not_opened(
    lingshu: Lingshu, write_screen: WriteYaml, tiny: Path, tmp_path: Path
) -> None:
    import hashlib

    folder = tmp_path / "model"
    shutil.copytree(tiny / "model", folder)
    data = pickle.dumps({"weights": [1.0]})
    (folder / "weights.safetensors").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["weights.safetensors"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    refused(lingshu("run", write_screen(model=str(folder))), "not a safetensors file")


class Bomb:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def a_pickle(folder: Path, bomb: bytes, tiny: Path) -> Path:
    (folder / "model.pkl").write_bytes(bomb)
    return folder / "model.pkl"


def a_torch_file(folder: Path, bomb: bytes, tiny: Path) -> Path:
    with zipfile.ZipFile(folder / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", bomb)
        archive.writestr("archive/version", "3")
    return folder / "model.pt"


def cells(folder: Path, bomb: bytes, tiny: Path) -> Path:
    return tiny / "cells.h5ad"


def weights_alone(folder: Path, bomb: bytes, tiny: Path) -> Path:
    return tiny / "model" / "weights.safetensors"


def a_folder_of_something_else(folder: Path, bomb: bytes, tiny: Path) -> Path:
    for name in ("pytorch_model.bin", "weights.safetensors", "data.pkl", "model.json"):
        (folder / name).write_bytes(bomb)
    return folder


def a_bomb_for_a_manifest(folder: Path, bomb: bytes, tiny: Path) -> Path:
    shutil.copytree(tiny / "model", folder / "model")
    (folder / "model" / "manifest.json").write_bytes(bomb)
    return folder / "model"


def a_bomb_for_weights(folder: Path, bomb: bytes, tiny: Path) -> Path:
    shutil.copytree(tiny / "model", folder / "model")
    (folder / "model" / "weights.safetensors").write_bytes(bomb)
    return folder / "model"


def weights_of_another_model(folder: Path, bomb: bytes, tiny: Path) -> Path:
    shutil.copytree(tiny / "model", folder / "model")
    safetensors.numpy.save_file({"encoder": np.ones((2, 3))}, folder / "model" / "weights.safetensors")
    return folder / "model"


@pytest.mark.parametrize("command", ["describe", "run"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (a_pickle, "no checkpoint here (it is a file, and a model is a folder)"),
        (a_torch_file, "no checkpoint here (it is a file, and a model is a folder)"),
        (cells, "no checkpoint here (it is a file, and a model is a folder)"),
        (weights_alone, "no checkpoint here (it is a file, and a model is a folder)"),
        (a_folder_of_something_else, "no checkpoint here (manifest.json is missing)"),
        (a_bomb_for_a_manifest, "manifest.json: not JSON"),
        (a_bomb_for_weights, "do not match the manifest"),
        (weights_of_another_model, "do not match the manifest"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line_and_never_unpickled(
    lingshu: Lingshu,
    write_screen: WriteYaml,
    tiny: Path,
    tmp_path: Path,
    command: str,
    make: Callable[[Path, bytes, Path], Path],
    said: str,
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    model = make(folder, pickle.dumps(Bomb(tmp_path / "sprung")), tiny)
    answer = lingshu(command, model if command == "describe" else write_screen(model=str(model)))
    err = refused(answer, said, str(model))
    assert err.count("\n") == 1
    assert not (tmp_path / "sprung").exists()


def test_a_bomb_does_spring_when_it_is_unpickled(tmp_path: Path) -> None:
    """The test above would pass with a pickle that does nothing."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_prior_asked_of_a_checkpoint_without_priors(
    lingshu: Lingshu, write_screen: WriteYaml, tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny / "model", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["priors.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    campaign = write_screen(model=str(folder), estimator={"prior": "published"})
    refused(lingshu("plan", campaign), f"{line_of(campaign, 'prior:')}: estimator.prior:", "there is no priors.json")


def test_an_output_that_cannot_be_written(
    lingshu: Lingshu, write_screen: WriteYaml, write_train: WriteYaml, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    below_a_file = str(tmp_path / "file" / "results")
    refused(lingshu("run", write_screen(output=below_a_file)), "Choose a folder that you may write")
    refused(lingshu("train", write_train(output=below_a_file)), below_a_file)


@pytest.mark.s3
def test_a_bucket_that_is_not_there(
    lingshu: Lingshu, write_screen: WriteYaml, write_train: WriteYaml, s3_url: str
) -> None:
    refused(lingshu("run", write_screen(output="s3://no-such-bucket/x")), "the bucket does not exist (NoSuchBucket)")
    refused(lingshu("hits", "s3://no-such-bucket/x"), "NoSuchBucket")
    refused(lingshu("hits", s3_url), "no hits.parquet here")
    refused(lingshu("run", write_screen(model="s3://no-such-bucket/model")), "no checkpoint here")
    data = {"path": "s3://no-such-bucket/cells.h5ad", "columns": COLUMNS}
    refused(lingshu("train", write_train(data=data)), "no such file")


@pytest.mark.s3
def test_wrong_credentials(
    lingshu: Lingshu, write_screen: WriteYaml, write_train: WriteYaml, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    refused(lingshu("run", write_screen(output=s3_url)), "access denied", "AWS_SECRET_ACCESS_KEY")
    refused(lingshu("hits", s3_url), "access denied")
    refused(lingshu("run", write_screen(model=f"{s3_url}/model")), "model")
    refused(
        lingshu("train", write_train(data={"path": f"{s3_url}/cells.h5ad", "columns": COLUMNS})), "access was denied"
    )
    refused(lingshu("train", write_train(output=f"{s3_url}/model")), "can't be written there")
    s3fs.S3FileSystem.clear_instance_cache()


def test_without_any_credentials(
    lingshu: Lingshu, write_screen: WriteYaml, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    for command in ("validate", "plan", "run"):
        refused(lingshu(command, write_screen(model="s3://bucket/model")), "credentials")
    s3fs.S3FileSystem.clear_instance_cache()
