"""Models that can't be used: how they were spoilt, and what is said of them."""

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]
Spoil = Callable[[Path], None]

WEIGHTS, CONTROLS, VOCABULARY, CARD, MANIFEST = (
    "weights.safetensors",
    "controls.safetensors",
    "vocabulary.json",
    "model.json",
    "manifest.json",
)


class Bomb:
    """A pickle that makes a folder when it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("sprung",)


def truncated(name: str) -> Spoil:
    def spoil(model: Path) -> None:
        content = (model / name).read_bytes()
        (model / name).write_bytes(content[: len(content) // 2])

    return spoil


def tampered(name: str) -> Spoil:
    def spoil(model: Path) -> None:
        content = bytearray((model / name).read_bytes())
        content[-3] ^= 1
        (model / name).write_bytes(bytes(content))

    return spoil


def missing(name: str) -> Spoil:
    return lambda model: (model / name).unlink()


def replaced(name: str, content: bytes) -> Spoil:
    """The file is another, and the manifest knows nothing of it."""
    return lambda model: (model / name).write_bytes(content) and None


def signed(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    """The file is another, and the manifest is made to fit."""

    def spoil(model: Path) -> None:
        content = change((model / name).read_bytes())
        (model / name).write_bytes(content)
        manifest = json.loads((model / MANIFEST).read_text())
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (model / MANIFEST).write_text(json.dumps(manifest))

    return spoil


def rewritten(name: str, change: Callable[[dict[str, Any]], Any]) -> Spoil:
    """A JSON file with a change, and the manifest made to fit."""

    def edit(content: bytes) -> bytes:
        data = json.loads(content)
        changed = change(data)
        return json.dumps(data if changed is None else changed).encode()

    return signed(name, edit)


def relisted(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    """The manifest with a change."""

    def spoil(model: Path) -> None:
        manifest = json.loads((model / MANIFEST).read_text())
        changed = change(manifest)
        (model / MANIFEST).write_text(json.dumps(manifest if changed is None else changed))

    return spoil


def reweighed(change: Callable[[dict[str, Any]], Any], name: str = WEIGHTS) -> Spoil:
    """Other arrays, and the manifest made to fit."""

    def edit(content: bytes) -> bytes:
        arrays = safetensors.numpy.load(content)
        changed = change(arrays)
        return safetensors.numpy.save(arrays if changed is None else changed)

    return signed(name, edit)


def without(key: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        del data[key]

    return change


def given(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update(values)


def with_setting(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["configuration"][name] = value

    return change


def fewer_genes(arrays: dict[str, Any]) -> None:
    arrays["gene_order"] = np.argsort(np.argsort(arrays["gene_order"][:30]))


def a_number_too_few(arrays: dict[str, Any]) -> None:
    name = max(arrays, key=lambda each: arrays[each].size)
    arrays[name] = arrays[name][:-1]


def a_torch_file(model: Path) -> None:
    shutil.rmtree(model)
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))


def a_pickle(model: Path) -> None:
    shutil.rmtree(model)
    model.write_bytes(pickle.dumps(Bomb()))


def empty(model: Path) -> None:
    shutil.rmtree(model)
    model.mkdir()


def other_gene(vocabulary: dict[str, Any]) -> None:
    vocabulary["genes"][0] = vocabulary["genes"][1]


def other_context(vocabulary: dict[str, Any]) -> None:
    vocabulary["contexts"] = vocabulary["contexts"][:1]


SPOILT: dict[str, tuple[Spoil, str]] = {
    "nothing": (shutil.rmtree, "?"),
    "an empty folder": (empty, "?"),
    "a pickle": (a_pickle, "?"),
    "a torch file": (a_torch_file, "?"),
    "no manifest": (missing(MANIFEST), "?"),
    "no weights": (missing(WEIGHTS), "?"),
    "no vocabulary": (missing(VOCABULARY), "?"),
    "no card": (missing(CARD), "?"),
    "no controls": (missing(CONTROLS), "?"),
    "truncated weights": (truncated(WEIGHTS), "?"),
    "truncated controls": (truncated(CONTROLS), "?"),
    "a truncated vocabulary": (truncated(VOCABULARY), "?"),
    "a truncated manifest": (truncated(MANIFEST), "?"),
    "an empty manifest": (replaced(MANIFEST, b""), "?"),
    "weights with another bit": (tampered(WEIGHTS), "?"),
    "a vocabulary with another bit": (tampered(VOCABULARY), "?"),
    "a card with another bit": (tampered(CARD), "?"),
    "a pickle for weights": (signed(WEIGHTS, lambda _: pickle.dumps(Bomb())), "?"),
    "a pickle for the manifest": (replaced(MANIFEST, pickle.dumps(Bomb())), "?"),
    "a list for the manifest": (replaced(MANIFEST, b"[1, 2]"), "?"),
    "brackets for the manifest": (replaced(MANIFEST, b"[" * 100_000), "?"),
    "a manifest in Latin-1": (replaced(MANIFEST, b'{"format": "\xb5"}'), "?"),
    "an older format": (relisted(given(format=1)), "?"),
    "a newer format": (relisted(given(format=99)), "?"),
    "a format in words": (relisted(given(format="two")), "?"),
    "a manifest without files": (relisted(without("files")), "?"),
    "a manifest with a list of files": (relisted(given(files=[WEIGHTS])), "?"),
    "a manifest without a sum": (relisted(lambda manifest: manifest["files"][WEIGHTS].pop("sha256") and None), "?"),
    "a sum that is a number": (relisted(lambda manifest: manifest["files"][WEIGHTS].update(sha256=3)), "?"),
    "files that are a number": (relisted(lambda manifest: manifest["files"].update({WEIGHTS: 3})), "?"),
    "weights of nothing": (reweighed(lambda _: {}), "?"),
    "weights of another model": (reweighed(lambda _: {"encoder": np.ones((2, 3))}), "?"),
    "weights of fewer genes": (reweighed(fewer_genes), "?"),
    "weights without an array": (reweighed(without("gene_order")), "?"),
    "weights with an array too many": (reweighed(given(extra=np.ones(3))), "?"),
    "an array that is too short": (reweighed(a_number_too_few), "?"),
    "depths of no context": (reweighed(lambda _: {}, CONTROLS), "?"),
    "depths with a hole": (signed(CONTROLS, lambda content: content[:-9]), "?"),
    "a vocabulary of another format": (rewritten(VOCABULARY, given(format=99)), "?"),
    "a vocabulary without genes": (rewritten(VOCABULARY, without("genes")), "?"),
    "a vocabulary with a gene twice": (rewritten(VOCABULARY, other_gene), "?"),
    "a vocabulary of other contexts": (rewritten(VOCABULARY, other_context), "?"),
    "a vocabulary of one gene": (rewritten(VOCABULARY, given(genes=["A"])), "?"),
    "a vocabulary that is a list": (rewritten(VOCABULARY, lambda _: []), "?"),
    "perturbations that are a list": (rewritten(VOCABULARY, given(perturbations=["REG04"])), "?"),
    "a card without configuration": (rewritten(CARD, without("configuration")), "?"),
    "a setting of a newer version": (rewritten(CARD, with_setting("experts", 8)), "?"),
    "a setting of another kind": (rewritten(CARD, with_setting("condition_rank", "wide")), "?"),
    "another shape": (rewritten(CARD, with_setting("condition_rank", 7)), "?"),
    "an enormous shape": (rewritten(CARD, with_setting("pooled_width", 10**12)), "?"),
    "a card that is a list": (rewritten(CARD, lambda _: []), "?"),
    "an unknown kind of model": (rewritten(CARD, given(model="other")), "?"),
    "a baseline without its kind": (rewritten(CARD, given(model="baseline")), "?"),
    "priors of another kind": (rewritten("priors.json", lambda _: {"format": 1}), "?"),
}


@pytest.fixture
def model(desk: Path) -> Path:
    """A copy of the model, to be spoilt."""
    trained = (desk / "model").resolve()
    (desk / "model").unlink()
    shutil.copytree(trained, desk / "model")
    return desk / "model"


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_a_model_that_cannot_be_used(desk: Path, model: Path, refused: Refused, spoil: Spoil, message: str) -> None:
    spoil(model)
    refused("describe", "./model", says=message)
    assert not (desk / "sprung").exists()


COMMANDS: dict[str, tuple[str, str]] = {
    "validate": ("validate screen.yaml", "?"),
    "plan": ("plan screen.yaml", "?"),
    "run": ("run screen.yaml", "?"),
    "status": ("status screen.yaml", "?"),
    "generate": ("generate generate.yaml", "?"),
    "embed": ("embed cells.h5ad model -o new.h5ad", "?"),
    "adapt": ("adapt model cells.h5ad -o adapted", "?"),
    "card": ("card model --data cells.h5ad", "?"),
}


@pytest.mark.parametrize(("line", "message"), COMMANDS.values(), ids=COMMANDS)
def test_every_command_checks_the_model(model: Path, refused: Refused, line: str, message: str) -> None:
    tampered(VOCABULARY)(model)
    refused(*line.split(), says=message)


BROKEN: dict[str, tuple[bytes, str]] = {
    "cut off": (b'{"format": 1, "gen', "?"),
    "brackets": (b"[" * 100_000, "?"),
    "null": (b"null", "?"),
    "of another kind": (b'{"genes": []}', "?"),
    "binary": (b"\x80\x04\x95", "?"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_validate_without_torch_checks_the_vocabulary(
    model: Path, refused: Refused, content: bytes, message: str
) -> None:
    (model / VOCABULARY).write_bytes(content)
    refused("validate", "screen.yaml", says=message)


ENSEMBLES: dict[str, tuple[Any, str]] = {
    "cut off": (b'{"format": 1, "mem', "?"),
    "of another format": ({"format": 99, "members": []}, "?"),
    "without members": ({"format": 1, "members": [], "digest": ""}, "?"),
    "that leads elsewhere": (
        {"format": 1, "members": [{"folder": "../../etc", "seed": 0, "digest": "0" * 64}], "digest": ""},
        "?",
    ),
    "with a digest that is none": ({"format": 1, "members": [{"folder": "a", "seed": 0, "digest": "x"}], "digest": ""}, "?"),
    "with a seed in words": ({"format": 1, "members": [{"folder": "a", "seed": "x", "digest": "0" * 64}], "digest": ""}, "?"),
    "brackets": (b"[" * 100_000, "?"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), ENSEMBLES.values(), ids=ENSEMBLES)
def test_an_ensemble_that_cannot_be_used(model: Path, refused: Refused, content: Any, message: str) -> None:
    (model / "ensemble.json").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    refused("describe", "./model", says=message)


TOGETHER: dict[str, tuple[Spoil, str]] = {
    "the same model": (lambda model: None, "?"),
    "other genes": (rewritten(VOCABULARY, lambda words: words["genes"].__setitem__(0, "OTHER")), "?"),
    "other cells": (rewritten(CARD, given(data_digest="0" * 64)), "?"),
    "a folder of none": (empty, "?"),
}


@pytest.mark.parametrize(("spoil", "message"), TOGETHER.values(), ids=TOGETHER)
def test_models_that_are_no_ensemble(
    desk: Path, model: Path, edited: Edited, refused: Refused, spoil: Spoil, message: str
) -> None:
    shutil.copytree(model, desk / "other")
    spoil(desk / "other")
    edited("screen.yaml", "model: model", "model: [model, other]")
    refused("plan", "screen.yaml", says=message)
