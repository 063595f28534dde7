"""Trainings with a mistake: what stands in place of a line of train.yaml, and what is said of it."""

from collections.abc import Callable

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

CELLS, CONTEXT, HOLD_OUT = "  path: cells.h5ad", "  context: [cell_type, donor]", "hold_out: []"
MODEL, FEATURES, TRAINING = "model: {configuration: direct}", "features: null", "training: {epochs: 1, device: cpu}"
DONOR, PERTURBATION = "    donor: donor", "    perturbation: perturbation"
OUTPUT = "output: out"

LINES: dict[str, tuple[str, str, str]] = {
    "a misspelt key": (TRAINING, "trainning: {epochs: 1}", "?"),
    "no data": (CELLS, "", "?"),
    "no file": (CELLS, "  path: []", "?"),
    "a file twice": (CELLS, "  path: [cells.h5ad, cells.h5ad]", "?"),
    "a rule for genes that there isn't": (CELLS, f"{CELLS}\n  genes: union", "?"),
    "no memory": (CELLS, f"{CELLS}\n  memory_gb: 0", "?"),
    "maybe in memory": (CELLS, f"{CELLS}\n  in_memory: maybe", "?"),
    "no column of perturbations": (PERTURBATION, "", "?"),
    "a misspelt column": (DONOR, "    doner: donor", "?"),
    "a column that is a number": (DONOR, "    donor: 3", "?"),
    "a column twice": (DONOR, "    donor: donor\n    donor: patient", "?"),
    "an atlas with doses": (PERTURBATION, "    perturbation: null", "?"),
    "a part of the context without its column": (CONTEXT, "  context: [cell_type, tissue]", "?"),
    "the perturbation as context": (CONTEXT, "  context: [cell_type, perturbation]", "?"),
    "a part of the context twice": (CONTEXT, "  context: [donor, donor]", "?"),
    "a name of the results as context": (CONTEXT, "    rank: donor\n  context: [rank]", "?"),
    "a control in a list": ("  control: control", "  control: [control, NT]", "?"),
    "hold out by a column without name": (HOLD_OUT, "hold_out:\n  - {tissue: liver}", "?"),
    "hold out everything": (HOLD_OUT, "hold_out:\n  - {}", "?"),
    "hold out a dose in words": (HOLD_OUT, "hold_out:\n  - {dose: high}", "?"),
    "hold out a donor with a fraction": (HOLD_OUT, "hold_out:\n  - {donor: 1.5}", "?"),
    "hold out nothing of a column": (HOLD_OUT, "hold_out:\n  - {donor: []}", "?"),
    "hold out without dashes": (HOLD_OUT, "hold_out: {donor: donor_1}", "?"),
    "an unknown model": (MODEL, "model: {kind: gears}", "?"),
    "an unknown configuration": (MODEL, "model: {configuration: huge}", "?"),
    "a setting in words": (MODEL, "model: {overrides: {pooled_width: wide}}", "?"),
    "a baseline with a network": (MODEL, "model: {kind: additive, overrides: {pooled_width: 3}}", "?"),
    "a vote for the cell model": (MODEL, "model: {weighting: cells}", "?"),
    "a baseline that is trained": (MODEL, "model: {kind: additive}", "?"),
    "a baseline without its features": (MODEL, "model: {kind: ridge}", "?"),
    "no epoch": (TRAINING, "training: {epochs: 0}", "?"),
    "no minute": (TRAINING, "training: {minutes: 0}", "?"),
    "an empty batch": (TRAINING, "training: {batch_size: 0}", "?"),
    "a batch that is a text": (TRAINING, "training: {batch_size: '64'}", "?"),
    "a learning rate of two": (TRAINING, "training: {learning_rate: 2}", "?"),
    "a rate that is a text": (TRAINING, "training: {learning_rate: 1e-3x}", "?"),
    "a device that there isn't": (TRAINING, "training: {device: gpu}", "?"),
    "a batch in more parts than cells": (TRAINING, "training: {batch_size: 4, accumulate: 8}", "?"),
    "one device for all workers": (TRAINING, "training: {workers: 2, device: 'cuda:0'}", "?"),
    "an ensemble of one": (TRAINING, "training: {seeds: 1}", "?"),
    "a seed twice": (TRAINING, "training: {seeds: [1, 1]}", "?"),
    "a seed beside seeds": (TRAINING, "training: {seed: 3, seeds: [1, 2]}", "?"),
    "all cells for validation": (TRAINING, "training: {validation_share: 1}", "?"),
    "a share in percent": (TRAINING, "training: {validation_share: 10%}", "?"),
    "no source of features": (FEATURES, "features: {}", "?"),
    "an unknown source of features": (FEATURES, "features: {genetic: [{kind: embedding, file: x.npz}]}", "?"),
    "a source without its kind": (FEATURES, "features: {genetic: [{file: x.npz}]}", "?"),
    "a source without its file": (FEATURES, "features: {genetic: [{kind: table}]}", "?"),
    "structures of genes": (FEATURES, "features: {genetic: [{kind: smiles, file: x.csv}]}", "?"),
    "structures twice": (FEATURES, "features: {drug: [{kind: smiles, file: a}, {kind: smiles, file: b}]}", "?"),
    "sets of no size": (FEATURES, "features: {genetic: [{kind: gene_sets, file: a.gmt, smallest: 9, largest: 3}]}", "?"),
    "a source that is no list": (FEATURES, "features: {genetic: {kind: table, file: a}}", "?"),
    "a fingerprint of no bit": (FEATURES, "features: {drug: [{kind: smiles, file: a, bits: 0}]}", "?"),
    "no output": (OUTPUT, "", "?"),
    "a licence that is a number": ("licence: simulated", "licence: 4.0", "?"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "instead", "message"), LINES.values(), ids=LINES)
def test_a_training_with_a_mistake(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("train.yaml", line, instead)
    refused("validate", "train.yaml", says=message)


AT_WORK: dict[str, tuple[str, str, str]] = {
    "a setting that there isn't": (MODEL, "model: {overrides: {poled_width: 3}}", "?"),
    "a setting that is too large": (MODEL, "model: {overrides: {pooled_width: -1}}", "?"),
    "hold out a donor that isn't there": (HOLD_OUT, "hold_out:\n  - {donor: donor_9}", "?"),
    "hold out a dose that isn't there": (HOLD_OUT, "hold_out:\n  - {dose: 77}", "?"),
    "hold out all that was perturbed": (HOLD_OUT, "hold_out:\n  - {perturbation_type: [genetic, drug]}", "?"),
    "hold out all cells": (HOLD_OUT, "hold_out:\n  - {cell_type: [type_1, type_2]}", "?"),
    "a GPU that isn't there": (TRAINING, "training: {device: cuda}", "?"),
    "an output below a file": (OUTPUT, "output: cells.h5ad/model", "?"),
    "an output of an unknown scheme": (OUTPUT, "output: gopher://host/model", "?"),
}


@pytest.mark.parametrize(("line", "instead", "message"), AT_WORK.values(), ids=AT_WORK)
def test_a_training_that_cannot_be_done(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("train.yaml", line, instead)
    refused("train", "train.yaml", says=message)


OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "an ensemble of one": (("--seeds", "1"), "?"),
    "a negative seed": (("--seed", "-1"), "?"),
    "credentials": (("--output", "s3://key:hush@bucket/model"), "?"),
    "workers of a baseline": (("--workers", "100"), "?"),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=OPTIONS)
@pytest.mark.usefixtures("desk")
def test_an_option_that_does_not_fit_the_training(refused: Refused, options: tuple[str, ...], message: str) -> None:
    refused("train", "train.yaml", *options, says=message)
