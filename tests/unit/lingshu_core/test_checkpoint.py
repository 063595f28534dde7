from __future__ import annotations

import ast
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import fsspec
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import lingshu_core
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import (
    CARD,
    CHECKPOINT_FORMAT,
    CONTROLS,
    MANIFEST,
    MODEL_CARD,
    MODEL_CARD_TEXT,
    PRIORS,
    VOCABULARY,
    WEIGHTS,
    Provenance,
    fetch_checkpoint,
    load_checkpoint,
    load_header,
    open_arrays,
    read_arrays,
    save_checkpoint,
)
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.depths import control_depths
from lingshu_core.errors import CheckpointError
from lingshu_core.preparation import TrainingSet
from lingshu_core.prior_genes import LoweredGenes, PriorGenes
from lingshu_core.training import TrainingConfig
from lingshu_core.vocabulary import Vocabulary

FILES = (WEIGHTS, CONTROLS, VOCABULARY, CARD)
Save = Callable[..., str]


@pytest.fixture
def save(trained: Denoiser, vocabulary: Vocabulary, cells: Cells) -> Save:
    """Write a checkpoint; `save(folder, denoiser=trained)` returns the digest."""

    def write(folder: object, denoiser: Denoiser = trained) -> str:
        provenance = Provenance(
            data="cells.h5ad",
            data_digest=cells.digest(),
            cells=len(cells),
            licence="CC-BY-4.0",
            source="a test",
            training=TrainingConfig(),
            history=({"loss": 1.0},),
        )
        return save_checkpoint(str(folder), denoiser, vocabulary, control_depths(cells, vocabulary), provenance)

    return write


def _rewrite(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file and, but for the manifest itself, its entry in the manifest."""
    content = json.loads((folder / name).read_text())
    change(content)
    data = json.dumps(content).encode()
    (folder / name).write_bytes(data)
    if name != MANIFEST:
        entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        _rewrite(folder, MANIFEST, lambda manifest: manifest["files"].update({name: entry}))


@pytest.mark.parametrize("shape", ["small_config", "backbone_config"])
def test_a_model_comes_back_to_the_bit(
    save: Save,
    make_denoiser: Callable[..., Denoiser],
    learning_set: TrainingSet,
    tmp_path: Path,
    shape: str,
    request: pytest.FixtureRequest,
) -> None:
    config: DenoiserConfig = request.getfixturevalue(shape)
    denoiser = make_denoiser(config, noise=0.2)
    save(tmp_path, denoiser)
    denoiser.fold()  # as what is loaded
    again = load_checkpoint(str(tmp_path)).denoiser
    assert again.config == config
    assert not again.training
    assert again.groups == denoiser.groups
    tokens, batch = learning_set.batch(np.arange(6))
    with torch.no_grad():
        for group in denoiser.groups:
            first, second = (each.group_logits(each.features(tokens, batch), group) for each in (denoiser, again))
            assert torch.equal(first, second)


def test_what_stands_beside_the_weights_comes_back(
    save: Save, tmp_path: Path, vocabulary: Vocabulary, cells: Cells, trained: Denoiser
) -> None:
    digest = save(tmp_path)
    for loaded in (load_header(str(tmp_path)), load_checkpoint(str(tmp_path))):
        assert loaded.vocabulary == vocabulary
        assert loaded.digest == digest == hashlib.sha256((tmp_path / MANIFEST).read_bytes()).hexdigest()
        for found, expected in zip(loaded.control_depths, control_depths(cells, vocabulary), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert loaded.card["licence"] == "CC-BY-4.0"
        assert loaded.card["data_digest"] == cells.digest()
        assert loaded.card["paths"] == "bias+tilt+pooled+depth+self"
        assert loaded.card["parameters"] == sum(p.numel() for p in trained.parameters())
        assert loaded.card["history"] == [{"loss": 1.0}]
        assert loaded.card["training"]["ema"] == 0.05
        assert set(loaded.card["versions"]) == {"torch", "numpy", "safetensors", "anndata"}


def test_more_than_ten_contexts_keep_their_depths_apart(
    trained: Denoiser, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    depths = tuple(np.full(2, float(i)) for i in range(12))
    many = replace(vocabulary, contexts=vocabulary.contexts[:1] * 12)
    save_checkpoint(str(tmp_path), trained, many, depths, Provenance("", "", 1, "", "", TrainingConfig()))
    assert [found[0] for found in load_header(str(tmp_path)).control_depths] == list(range(12))


def test_a_header_needs_no_weights(save: Save, tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    assert load_header(str(tmp_path)).card["model"] == "lingshu-cell"


def test_the_digest_names_the_model(save: Save, tmp_path: Path, make_denoiser: Callable[..., Denoiser]) -> None:
    assert save(tmp_path / "a") == save(tmp_path / "b")
    assert save(tmp_path / "c", make_denoiser(seed=1)) != save(tmp_path / "a")


def test_a_checkpoint_may_be_at_a_url(save: Save, memory_url: str, trained: Denoiser) -> None:
    digest = save(f"{memory_url}/model")
    again = load_checkpoint(f"{memory_url}/model")
    assert again.digest == digest
    assert torch.equal(again.denoiser.tilt, trained.tilt)
    with pytest.raises(CheckpointError, match="memory://lingshu-tests/none: no checkpoint here"):
        load_checkpoint(f"{memory_url}/none")


def test_a_fetched_checkpoint_is_the_same_model(save: Save, memory_url: str, tmp_path: Path) -> None:
    digest = save(memory_url)
    assert fetch_checkpoint(memory_url, tmp_path / "copy") == digest
    assert load_checkpoint(str(tmp_path / "copy")).digest == digest


@pytest.mark.parametrize("name", ["../escaped", "a/b", "..", "manifest.json", "ends/"])
def test_a_manifest_with_paths_is_not_fetched(save: Save, tmp_path: Path, name: str) -> None:
    save(str(tmp_path / "model"))
    manifest = json.loads((tmp_path / "model" / MANIFEST).read_text())
    manifest["files"][name] = manifest["files"][WEIGHTS]
    (tmp_path / "model" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"manifest.json lists '.*'; fetch the checkpoint again"):
        fetch_checkpoint(str(tmp_path / "model"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_damaged_weights_are_not_fetched(save: Save, tmp_path: Path) -> None:
    save(str(tmp_path / "model"))
    (tmp_path / "model" / WEIGHTS).write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="do not match the manifest"):
        fetch_checkpoint(str(tmp_path / "model"), tmp_path / "copy")
    assert not (tmp_path / "copy" / MANIFEST).exists()


@pytest.mark.parametrize(("name", "most"), [("vocabulary.json", 2**28), ("controls.safetensors", 2**35)])
def test_a_manifest_cannot_ask_for_any_amount_of_memory(save: Save, tmp_path: Path, name: str, most: int) -> None:
    save(str(tmp_path))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"][name]["size"] = 10**15
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=f"{name}: .* 1,000,000,000,000,000 bytes, and at most {most:,} are read"):
        load_header(str(tmp_path))


def test_the_manifest_is_written_last(save: Save, memory_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = type(fsspec.filesystem("memory"))
    written: list[str] = []
    real = filesystem.pipe_file

    def pipe_file(self: object, path: str, value: bytes, *arguments: object, **options: object) -> object:
        written.append(path.rsplit("/", 1)[-1])
        return real(self, path, value, *arguments, **options)

    monkeypatch.setattr(filesystem, "pipe_file", pipe_file)
    save(memory_url)
    assert written[-1] == MANIFEST
    assert sorted(written[:-1]) == sorted(FILES)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_refused(save: Save, tmp_path: Path, name: str) -> None:
    save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=rf"no checkpoint here \({name} is missing\); train one with"):
        load_checkpoint(str(tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_with_both_sizes(save: Save, tmp_path: Path, name: str) -> None:
    save(tmp_path)
    size = (tmp_path / name).stat().st_size
    os.truncate(tmp_path / name, size - 1)
    with pytest.raises(CheckpointError, match=rf"{name}: {size - 1} bytes .*\({size} bytes were written\): truncated"):
        load_checkpoint(str(tmp_path))


def test_of_a_file_that_is_larger_than_promised_no_more_is_read(save: Save, tmp_path: Path) -> None:
    save(tmp_path)
    size = (tmp_path / WEIGHTS).stat().st_size
    with (tmp_path / WEIGHTS).open("r+b") as file:
        file.truncate(1 << 40)  # a terabyte of nothing, which takes no room on the disk
    with pytest.raises(CheckpointError, match=rf"more bytes that do not match the manifest \({size} bytes were"):
        load_checkpoint(str(tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_tampered_with_is_refused(save: Save, tmp_path: Path, name: str) -> None:
    save(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[-2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"{name}: .*changed since; fetch the checkpoint again"):
        load_checkpoint(str(tmp_path))


@pytest.mark.parametrize("format_", [1, CHECKPOINT_FORMAT + 1, None])
def test_another_format_is_refused(save: Save, tmp_path: Path, format_: int | None) -> None:
    save(tmp_path)
    _rewrite(tmp_path, MANIFEST, lambda manifest: manifest.update(format=format_))
    with pytest.raises(CheckpointError, match=rf"has format {format_}; this version reads format {CHECKPOINT_FORMAT}"):
        load_checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "manifest.json: not JSON"),
        (b"[1]", "manifest.json: not a JSON object"),
        (b'{"format": 2}', "manifest.json does not list weights.safetensors, controls.safetensors"),
        (b'{"format": 2, "files": [1]}', "manifest.json does not list"),
        (
            json.dumps({"format": CHECKPOINT_FORMAT, "files": {name: {} for name in FILES}}).encode(),
            "manifest.json does not list weights.safetensors, controls.safetensors",
        ),
    ],
)
def test_a_damaged_manifest_is_refused(save: Save, tmp_path: Path, content: bytes, said: str) -> None:
    save(tmp_path)
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(str(tmp_path))


def test_a_file_instead_of_a_folder_and_an_unknown_protocol_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"no checkpoint here \(it is a file, and a model is a folder\)"):
        load_checkpoint(str(tmp_path / "model.pt"))
    with pytest.raises(CheckpointError, match="s4://bucket/model"):
        load_checkpoint("s4://bucket/model")


def test_a_pickle_in_the_place_of_weights_is_refused_unread(save: Save, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    save(tmp_path)
    data = pickle.dumps(Trap())
    (tmp_path / WEIGHTS).write_bytes(data)
    entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    _rewrite(tmp_path, MANIFEST, lambda manifest: manifest["files"].update({WEIGHTS: entry}))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(str(tmp_path))
    assert not (tmp_path / "sprung").exists()


def test_weights_of_another_shape_are_refused(
    save: Save, tmp_path: Path, make_denoiser: Callable[..., Denoiser], small_config: DenoiserConfig
) -> None:
    save(tmp_path)
    _rewrite(tmp_path, CARD, lambda card: card["configuration"].update(condition_rank=9))
    with pytest.raises(CheckpointError, match="weights and configuration do not fit together"):
        load_checkpoint(str(tmp_path))
    save(tmp_path, make_denoiser(replace(small_config, pooled_width=0)))
    _rewrite(tmp_path, CARD, lambda card: card["configuration"].update(pooled_width=5))
    with pytest.raises(CheckpointError, match="weights and configuration do not fit together"):
        load_checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["configuration"].update(experts=8),
        lambda card: card.pop("configuration"),
    ],
)
def test_a_configuration_that_this_version_does_not_know_is_refused(
    save: Save, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    save(tmp_path)
    _rewrite(tmp_path, CARD, change)
    with pytest.raises(CheckpointError, match=r"model\.json.*configuration"):
        load_checkpoint(str(tmp_path))


def test_nothing_is_pickled(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise AssertionError("something was pickled")

    for module, names in (
        (pickle, ("dump", "dumps", "load", "loads", "Pickler", "Unpickler")),
        (torch, ("save", "load")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    save(tmp_path)
    load_checkpoint(str(tmp_path))
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert data[8:9] == b"{" if path.suffix == ".safetensors" else data[:1] == b"{"


def test_no_module_of_the_room_imports_pickle_or_loads_with_torch() -> None:
    for path in Path(str(lingshu_core.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not {"pickle", "cloudpickle", "dill", "joblib"} & set(names), path
            if isinstance(node, ast.Attribute) and node.attr in ("load", "save"):
                assert ast.unparse(node.value) != "torch", path


PRIOR = PriorGenes({"STAT1": (LoweredGenes({"cell_type": "B cells", "donor": "D1"}, ("GENE1", "GENE2")),)})


def _save_with_priors(folder: Path, trained: Denoiser, vocabulary: Vocabulary, cells: Cells) -> str:
    provenance = Provenance("", "", 1, "", "", TrainingConfig())
    return save_checkpoint(str(folder), trained, vocabulary, control_depths(cells, vocabulary), provenance, PRIOR)


def test_priors_come_back_and_checkpoints_without_them_still_load(
    save: Save, tmp_path: Path, trained: Denoiser, vocabulary: Vocabulary, cells: Cells
) -> None:
    digest = _save_with_priors(tmp_path, trained, vocabulary, cells)
    assert load_header(str(tmp_path)).priors == load_checkpoint(str(tmp_path)).priors == PRIOR
    assert save(tmp_path) != digest  # over the other one, whose priors.json is not this model's
    assert (tmp_path / PRIORS).exists()
    assert load_header(str(tmp_path)).priors is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), r"priors\.json is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), r"priors\.json: .* truncated or changed"),
        (lambda path: _rewrite(path.parent, PRIORS, lambda found: found.update(format=9)), "has format 9; this"),
        (lambda path: _rewrite(path.parent, PRIORS, lambda found: found.pop("lowered")), "is damaged: KeyError"),
    ],
)
def test_damaged_priors_are_refused(
    tmp_path: Path,
    trained: Denoiser,
    vocabulary: Vocabulary,
    cells: Cells,
    change: Callable[[Path], None],
    said: str,
) -> None:
    _save_with_priors(tmp_path, trained, vocabulary, cells)
    change(tmp_path / PRIORS)
    with pytest.raises(CheckpointError, match=said) as raised:
        load_header(str(tmp_path))
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


def _resign(folder: Path, name: str, data: bytes) -> None:
    """Write a file and its entry in the manifest: the digests are right, and the content isn't a model's."""
    (folder / name).write_bytes(data)
    entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    _rewrite(folder, MANIFEST, lambda manifest: manifest["files"].update({name: entry}))


def test_the_vocabulary_of_another_panel_is_refused(save: Save, tmp_path: Path) -> None:
    save(tmp_path)
    _rewrite(tmp_path, VOCABULARY, lambda found: found["genes"].append("GENE23"))
    with pytest.raises(CheckpointError, match=r"wrong gene panel: the weights are of 23 genes .* has 24"):
        load_checkpoint(str(tmp_path))


def test_controls_of_other_contexts_are_refused(save: Save, tmp_path: Path) -> None:
    save(tmp_path)
    _resign(tmp_path, CONTROLS, safetensors.numpy.save({"0": np.ones(3), "depth": np.ones(3)}))
    with pytest.raises(CheckpointError, match=r"depths of 2 contexts and vocabulary\.json has 4"):
        load_header(str(tmp_path))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"encoder.weight": torch.ones(2, 3), "decoder.weight": torch.ones(3)}, "they hold decoder.weight, encoder"),
        ({}, "they hold nothing"),
        ({"gene_order": torch.arange(23)}, "weights and configuration do not fit together"),
        ({"gene_order": torch.zeros(23, dtype=torch.long)}, "wrong gene panel"),
        ({"gene_order": torch.arange(23), "bias.0": torch.ones(23)}, "weights and configuration do not fit together"),
    ],
)
def test_weights_of_another_kind_of_model_are_refused(
    save: Save, tmp_path: Path, tensors: dict[str, torch.Tensor], said: str
) -> None:
    save(tmp_path)
    _resign(tmp_path, WEIGHTS, safetensors.torch.save(tensors))
    with pytest.raises(CheckpointError, match=said) as raised:
        load_checkpoint(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_numbers_that_numpy_has_not_are_refused(save: Save, tmp_path: Path) -> None:
    save(tmp_path)
    _resign(tmp_path, WEIGHTS, safetensors.torch.save({"gene_order": torch.ones(23, dtype=torch.bfloat16)}))
    with pytest.raises(CheckpointError):
        load_checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    ("card", "stays"), [("own", True), ({"model_digest": "ab" * 32}, False), ({}, False), ("[]", False), ("{", False)]
)
def test_only_the_card_of_this_very_model_stays_beside_it(save: Save, tmp_path: Path, card: Any, stays: bool) -> None:
    digest = save(tmp_path)
    content = {"model_digest": digest} if card == "own" else card
    (tmp_path / MODEL_CARD).write_text(content if isinstance(content, str) else json.dumps(content))
    (tmp_path / MODEL_CARD_TEXT).write_text("words")
    assert save(tmp_path) == digest
    assert (tmp_path / MODEL_CARD).exists() == stays
    assert (tmp_path / MODEL_CARD_TEXT).exists() == stays


def test_a_loaded_model_does_not_hang_on_its_file(save: Save, tmp_path: Path) -> None:
    save(tmp_path)
    denoiser = load_checkpoint(str(tmp_path)).denoiser
    kept = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    with (tmp_path / WEIGHTS).open("r+b") as file:  # as `cp` does, which truncates what it writes over
        file.write(bytes((tmp_path / WEIGHTS).stat().st_size))
    assert all(torch.equal(tensor, kept[name]) for name, tensor in denoiser.state_dict().items())


def test_weights_read_from_a_disk_and_from_elsewhere_are_the_same(save: Save, tmp_path: Path, memory_url: str) -> None:
    assert save(tmp_path) == save(memory_url)
    local, remote = (load_checkpoint(place).denoiser.state_dict() for place in (str(tmp_path), memory_url))
    assert list(local) == list(remote)
    assert all(torch.equal(local[name], remote[name]) for name in local)
    with open_arrays(str(tmp_path), WEIGHTS) as arrays:
        again = read_arrays(memory_url, WEIGHTS)
        assert set(arrays) == set(again)


def test_a_file_that_changes_while_it_is_read_is_refused(save: Save, tmp_path: Path) -> None:
    save(tmp_path)
    size = (tmp_path / WEIGHTS).stat().st_size
    with (
        pytest.raises(CheckpointError, match=rf"{WEIGHTS}: {size} bytes that do not match .* changed since"),
        open_arrays(str(tmp_path), WEIGHTS),
    ):
        (tmp_path / WEIGHTS).write_bytes(bytes(size))
