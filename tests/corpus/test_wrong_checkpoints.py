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
    "nothing": (
        shutil.rmtree,
        "./model: no checkpoint here (manifest.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
    "an empty folder": (
        empty,
        "./model: no checkpoint here (manifest.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
    "a pickle": (
        a_pickle,
        "./model: no checkpoint here (it is a file, and a model is a folder); train one with "
        "`lingshu train`, or correct `model:`",
    ),
    "a torch file": (
        a_torch_file,
        "./model: no checkpoint here (it is a file, and a model is a folder); train one with "
        "`lingshu train`, or correct `model:`",
    ),
    "no manifest": (
        missing(MANIFEST),
        "./model: no checkpoint here (manifest.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
    "no weights": (
        missing(WEIGHTS),
        "./model: no checkpoint here (weights.safetensors is missing); train one with `lingshu "
        "train`, or correct `model:`",
    ),
    "no vocabulary": (
        missing(VOCABULARY),
        "./model: no checkpoint here (vocabulary.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
    "no card": (
        missing(CARD),
        "./model: no checkpoint here (model.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
    "no controls": (
        missing(CONTROLS),
        "./model: no checkpoint here (controls.safetensors is missing); train one with `lingshu "
        "train`, or correct `model:`",
    ),
    "truncated weights": (
        truncated(WEIGHTS),
        "./model/weights.safetensors: [...] bytes that do not match the manifest ([...] bytes were "
        "written): truncated or changed since; fetch the checkpoint again",
    ),
    "truncated controls": (
        truncated(CONTROLS),
        "./model/controls.safetensors: 760 bytes that do not match the manifest (1520 bytes were "
        "written): truncated or changed since; fetch the checkpoint again",
    ),
    "a truncated vocabulary": (
        truncated(VOCABULARY),
        "./model/vocabulary.json: 1473 bytes that do not match the manifest (2947 bytes were "
        "written): truncated or changed since; fetch the checkpoint again",
    ),
    "a truncated manifest": (
        truncated(MANIFEST),
        "./model/manifest.json: not JSON ([...]); fetch the checkpoint again",
    ),
    "an empty manifest": (
        replaced(MANIFEST, b""),
        "./model/manifest.json: not JSON ([...]); fetch the checkpoint again",
    ),
    "weights with another bit": (
        tampered(WEIGHTS),
        "./model/weights.safetensors: [...] bytes that do not match the manifest ([...] bytes were "
        "written): truncated or changed since; fetch the checkpoint again",
    ),
    "a vocabulary with another bit": (
        tampered(VOCABULARY),
        "./model/vocabulary.json: 2947 bytes that do not match the manifest (2947 bytes were "
        "written): truncated or changed since; fetch the checkpoint again",
    ),
    "a card with another bit": (
        tampered(CARD),
        "./model/model.json: [...] bytes that do not match the manifest ([...] bytes were written): "
        "truncated or changed since; fetch the checkpoint again",
    ),
    "a pickle for weights": (
        signed(WEIGHTS, lambda _: pickle.dumps(Bomb())),
        "./model/weights.safetensors: not a safetensors file of a model ([...]); fetch the checkpoint again",
    ),
    "a pickle for the manifest": (
        replaced(MANIFEST, pickle.dumps(Bomb())),
        "./model/manifest.json: not JSON ([...]); fetch the checkpoint again",
    ),
    "a list for the manifest": (
        replaced(MANIFEST, b"[1, 2]"),
        "./model/manifest.json: not a JSON object; fetch the checkpoint again",
    ),
    "brackets for the manifest": (
        replaced(MANIFEST, b"[" * 100_000),
        "./model/manifest.json: not JSON ([...]); fetch the checkpoint again",
    ),
    "a manifest in Latin-1": (
        replaced(MANIFEST, b'{"format": "\xb5"}'),
        "./model/manifest.json: not JSON ([...]); fetch the checkpoint again",
    ),
    "an older format": (
        relisted(given(format=1)),
        "./model: the checkpoint has format 1; this version reads format 2: use the version of "
        "lingshu-screen that wrote it, or train again",
    ),
    "a newer format": (
        relisted(given(format=99)),
        "./model: the checkpoint has format 99; this version reads format 2: use the version of "
        "lingshu-screen that wrote it, or train again",
    ),
    "a format in words": (
        relisted(given(format="two")),
        "./model: the checkpoint has format 'two'; this version reads format 2: use the version of "
        "lingshu-screen that wrote it, or train again",
    ),
    "a manifest without files": (
        relisted(without("files")),
        "./model: manifest.json does not list weights.safetensors, controls.safetensors, "
        "vocabulary.json, model.json; fetch the checkpoint again",
    ),
    "a manifest with a list of files": (
        relisted(given(files=[WEIGHTS])),
        "./model: manifest.json does not list weights.safetensors, controls.safetensors, "
        "vocabulary.json, model.json; fetch the checkpoint again",
    ),
    "a manifest without a sum": (
        relisted(lambda manifest: manifest["files"][WEIGHTS].pop("sha256") and None),
        "./model: manifest.json does not list weights.safetensors; fetch the checkpoint again",
    ),
    "a sum that is a number": (
        relisted(lambda manifest: manifest["files"][WEIGHTS].update(sha256=3)),
        "./model: manifest.json does not list weights.safetensors; fetch the checkpoint again",
    ),
    "files that are a number": (
        relisted(lambda manifest: manifest["files"].update({WEIGHTS: 3})),
        "./model: manifest.json does not list weights.safetensors; fetch the checkpoint again",
    ),
    "weights of nothing": (
        reweighed(lambda _: {}),
        "./model/weights.safetensors: not the weights of a cell model (they hold nothing); fetch the checkpoint again",
    ),
    "weights of another model": (
        reweighed(lambda _: {"encoder": np.ones((2, 3))}),
        "./model/weights.safetensors: not the weights of a cell model (they hold encoder); fetch the checkpoint again",
    ),
    "weights of fewer genes": (
        reweighed(fewer_genes),
        "./model: wrong gene panel: the weights are of 30 genes and vocabulary.json has 40; they are "
        "of different models: fetch the checkpoint again",
    ),
    "weights without an array": (
        reweighed(without("gene_order")),
        "./model/weights.safetensors: not the weights of a cell model (they hold bias.0, bias.1, "
        "bias.2); fetch the checkpoint again",
    ),
    "weights with an array too many": (
        reweighed(given(extra=np.ones(3))),
        "./model: weights and configuration do not fit together ([...]); fetch the checkpoint again",
    ),
    "an array that is too short": (
        reweighed(a_number_too_few),
        "./model: weights and configuration do not fit together (Error(s) in loading state_dict for "
        "Denoiser: size mismatch for pooled.inner.weight: copying a param with shape "
        "torch.Size([127, 113]) from checkpoint, the shape in current model is torch.Size([128, 11); "
        "fetch the checkpoint again",
    ),
    "depths of no context": (
        reweighed(lambda _: {}, CONTROLS),
        "./model/controls.safetensors: has the depths of 0 contexts and vocabulary.json has 4 "
        "contexts; they are of different models: fetch the checkpoint again",
    ),
    "depths with a hole": (
        signed(CONTROLS, lambda content: content[:-9]),
        "./model/controls.safetensors: not a safetensors file of a model ([...]); fetch the checkpoint again",
    ),
    "a vocabulary of another format": (
        rewritten(VOCABULARY, given(format=99)),
        "./model/vocabulary.json has format 99; this version reads format 1: train again or use the "
        "version that wrote it",
    ),
    "a vocabulary without genes": (
        rewritten(VOCABULARY, without("genes")),
        "./model/vocabulary.json is damaged: [...]; fetch the checkpoint again",
    ),
    "a vocabulary with a gene twice": (
        rewritten(VOCABULARY, other_gene),
        "./model/vocabulary.json is damaged: [...]; fetch the checkpoint again",
    ),
    "a vocabulary of other contexts": (
        rewritten(VOCABULARY, other_context),
        "./model/controls.safetensors: has the depths of 4 contexts and vocabulary.json has 1 "
        "contexts; they are of different models: fetch the checkpoint again",
    ),
    "a vocabulary of one gene": (
        rewritten(VOCABULARY, given(genes=["A"])),
        "./model: wrong gene panel: the weights are of 40 genes and vocabulary.json has 1; they are "
        "of different models: fetch the checkpoint again",
    ),
    "a vocabulary that is a list": (
        rewritten(VOCABULARY, lambda _: []),
        "./model/vocabulary.json: not a JSON object; fetch the checkpoint again",
    ),
    "perturbations that are a list": (
        rewritten(VOCABULARY, given(perturbations=["REG04"])),
        "./model/vocabulary.json is damaged: [...]; fetch the checkpoint again",
    ),
    "a card without configuration": (
        rewritten(CARD, without("configuration")),
        "./model/model.json: this version can't read its configuration ('configuration'): use the "
        "version of lingshu-screen that wrote it, or train again",
    ),
    "a setting of a newer version": (
        rewritten(CARD, with_setting("experts", 8)),
        "./model/model.json: this version can't read its configuration ([...]): use the version of "
        "lingshu-screen that wrote it, or train again",
    ),
    "a setting of another kind": (
        rewritten(CARD, with_setting("condition_rank", "wide")),
        "./model: weights and configuration do not fit together ([...]); fetch the checkpoint again",
    ),
    "another shape": (
        rewritten(CARD, with_setting("condition_rank", 7)),
        "./model: weights and configuration do not fit together ([...]); fetch the checkpoint again",
    ),
    "an enormous shape": (
        rewritten(CARD, with_setting("pooled_width", 10**12)),
        "./model: weights and configuration do not fit together ([...]); fetch the checkpoint again",
    ),
    "a card that is a list": (
        rewritten(CARD, lambda _: []),
        "./model/model.json: not a JSON object; fetch the checkpoint again",
    ),
    "an unknown kind of model": (
        rewritten(CARD, given(model="other")),
        "./model/model.json: holds a model of the kind 'other', which this version doesn't know; use "
        "the version of lingshu-screen that wrote it",
    ),
    "a baseline without its kind": (
        rewritten(CARD, given(model="baseline")),
        "./model: a baseline of version None, and this version of lingshu-screen predicts by version "
        "1: fit it again with `lingshu train`",
    ),
    "priors of another kind": (
        rewritten("priors.json", lambda _: {"format": 1}),
        "./model/priors.json is damaged: [...]; fetch the checkpoint again",
    ),
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
    "validate": ("validate screen.yaml", "model/vocabulary.json: is damaged ([...]); fetch the checkpoint again"),
    "plan": (
        "plan screen.yaml",
        "model/vocabulary.json: 2947 bytes that do not match the manifest (2947 bytes were written): "
        "truncated or changed since; fetch the checkpoint again",
    ),
    "run": (
        "run screen.yaml",
        "model/vocabulary.json: 2947 bytes that do not match the manifest (2947 bytes were written): "
        "truncated or changed since; fetch the checkpoint again",
    ),
    "status": (
        "status screen.yaml",
        "model/vocabulary.json: 2947 bytes that do not match the manifest (2947 bytes were written): "
        "truncated or changed since; fetch the checkpoint again",
    ),
    "generate": (
        "generate generate.yaml",
        "model/vocabulary.json: 2947 bytes that do not match the manifest (2947 bytes were written): "
        "truncated or changed since; fetch the checkpoint again",
    ),
    "embed": (
        "embed cells.h5ad model -o new.h5ad",
        "model/vocabulary.json: 2947 bytes that do not match the manifest (2947 bytes were written): "
        "truncated or changed since; fetch the checkpoint again",
    ),
    "adapt": (
        "adapt model cells.h5ad -o adapted",
        "model/vocabulary.json: 2947 bytes that do not match the manifest (2947 bytes were written): "
        "truncated or changed since; fetch the checkpoint again",
    ),
    "card": (
        "card model --data cells.h5ad",
        "model/vocabulary.json: 2947 bytes that do not match the manifest (2947 bytes were written): "
        "truncated or changed since; fetch the checkpoint again",
    ),
}


@pytest.mark.parametrize(("line", "message"), COMMANDS.values(), ids=COMMANDS)
def test_every_command_checks_the_model(model: Path, refused: Refused, line: str, message: str) -> None:
    tampered(VOCABULARY)(model)
    refused(*line.split(), says=message)


BROKEN: dict[str, tuple[bytes, str]] = {
    "cut off": (b'{"format": 1, "gen', "model/vocabulary.json: is damaged ([...]); fetch the checkpoint again"),
    "brackets": (
        b"[" * 100_000,
        "model/vocabulary.json: is damaged (it is nested too deep); fetch the checkpoint again",
    ),
    "null": (b"null", "model/vocabulary.json: is damaged (it holds null); fetch the checkpoint again"),
    "of another kind": (
        b'{"genes": []}',
        "model/vocabulary.json: format: isn't a vocabulary of format 1; train the model again",
    ),
    "binary": (b"\x80\x04\x95", "model/vocabulary.json: is damaged ([...]); fetch the checkpoint again"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_validate_without_torch_checks_the_vocabulary(
    model: Path, refused: Refused, content: bytes, message: str
) -> None:
    (model / VOCABULARY).write_bytes(content)
    refused("validate", "screen.yaml", says=message)


ENSEMBLES: dict[str, tuple[Any, str]] = {
    "cut off": (
        b'{"format": 1, "mem',
        "./model/ensemble.json: is damaged ([...]); run `lingshu train` again, which trains no "
        "member that is there already",
    ),
    "of another format": (
        {"format": 99, "members": []},
        "./model/ensemble.json: isn't an ensemble of format 1; use the version of lingshu-screen that wrote it",
    ),
    "without members": (
        {"format": 1, "members": [], "digest": ""},
        "./model/ensemble.json: is damaged (its digest doesn't fit its members); run `lingshu train` "
        "again, which trains no member that is there already",
    ),
    "that leads elsewhere": (
        {"format": 1, "members": [{"folder": "../../etc", "seed": 0, "digest": "0" * 64}], "digest": ""},
        "./model/ensemble.json: is damaged (ValueError: '../../etc' isn't allowed); run `lingshu "
        "train` again, which trains no member that is there already",
    ),
    "with a digest that is none": (
        {"format": 1, "members": [{"folder": "a", "seed": 0, "digest": "x"}], "digest": ""},
        "./model/ensemble.json: is damaged (ValueError: 'x' isn't allowed); run `lingshu train` "
        "again, which trains no member that is there already",
    ),
    "with a seed in words": (
        {"format": 1, "members": [{"folder": "a", "seed": "x", "digest": "0" * 64}], "digest": ""},
        "./model/ensemble.json: is damaged ([...]); run `lingshu train` again, which trains no "
        "member that is there already",
    ),
    "brackets": (
        b"[" * 100_000,
        "./model/ensemble.json: is damaged (it is nested too deep); run `lingshu train` again, which "
        "trains no member that is there already",
    ),
}


@pytest.mark.parametrize(("content", "message"), ENSEMBLES.values(), ids=ENSEMBLES)
def test_an_ensemble_that_cannot_be_used(model: Path, refused: Refused, content: Any, message: str) -> None:
    (model / "ensemble.json").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    refused("describe", "./model", says=message)


TOGETHER: dict[str, tuple[Spoil, str]] = {
    "the same model": (
        lambda model: None,
        "screen.yaml:4: model[1]: other is the same model as model; every member has to be trained by itself",
    ),
    "other genes": (
        rewritten(VOCABULARY, lambda words: words["genes"].__setitem__(0, "OTHER")),
        "screen.yaml:4: model[1]: the gene panel of other isn't that of model; members of an "
        "ensemble are trained on the same cells, as `lingshu train --seeds` does",
    ),
    "other cells": (
        rewritten(CARD, given(data_digest="0" * 64)),
        "screen.yaml:4: model[1]: the training data of other isn't that of model; members of an "
        "ensemble are trained on the same cells, as `lingshu train --seeds` does",
    ),
    "a folder of none": (
        empty,
        "other: no checkpoint here (manifest.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), TOGETHER.values(), ids=TOGETHER)
def test_models_that_are_no_ensemble(
    desk: Path, model: Path, edited: Edited, refused: Refused, spoil: Spoil, message: str
) -> None:
    shutil.copytree(model, desk / "other")
    spoil(desk / "other")
    edited("screen.yaml", "model: model", "model: [model, other]")
    refused("plan", "screen.yaml", says=message)
