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
    "a misspelt key": (
        TRAINING,
        "trainning: {epochs: 1}",
        "train.yaml:18: trainning: unknown key 'trainning'; nearest: training",
    ),
    "no data": (
        CELLS,
        "",
        "train.yaml:4: data: missing field 'path': The .h5ad file or .zarr store: local path, s3:// "
        "or any fsspec URL; or a list of them, or a pattern such as cells/*.h5ad.",
    ),
    "no file": (CELLS, "  path: []", "train.yaml:5: data.path: must have at least 1 entry"),
    "a file twice": (
        CELLS,
        "  path: [cells.h5ad, cells.h5ad]",
        "train.yaml:5: data.path[1]: 'cells.h5ad' is listed twice",
    ),
    "a rule for genes that there isn't": (
        CELLS,
        f"{CELLS}\n  genes: union",
        "train.yaml:6: data.genes: must be 'same' or 'intersection', not the text 'union'",
    ),
    "no memory": (CELLS, f"{CELLS}\n  memory_gb: 0", "train.yaml:6: data.memory_gb: must be greater than 0, not 0"),
    "maybe in memory": (
        CELLS,
        f"{CELLS}\n  in_memory: maybe",
        "train.yaml:6: data.in_memory: must be 'auto', true or false, not the text 'maybe'",
    ),
    "no column of perturbations": (
        PERTURBATION,
        "",
        "train.yaml:8: data.columns: missing field 'perturbation': What was done to the cell: a "
        "target, a cytokine, a drug, A+B, or the control label; null for an atlas, where nothing was "
        "done to any cell.",
    ),
    "a misspelt column": (
        DONOR,
        "    doner: donor",
        "train.yaml:14: data.context[1]: 'donor' isn't named in data.columns; nearest: doner",
    ),
    "a column that is a number": (DONOR, "    donor: 3", "train.yaml:13: data.columns.donor: must be text, not 3"),
    "a column twice": (
        DONOR,
        "    donor: donor\n    donor: patient",
        "train.yaml:14: data.columns.donor: key 'donor' appears twice, first on line 13; keep one",
    ),
    "an atlas with doses": (
        PERTURBATION,
        "    perturbation: null",
        "train.yaml:10: data.columns.perturbation_type: describes a perturbation, and "
        "columns.perturbation is null; leave this out\n"
        "train.yaml:11: data.columns.dose: describes a perturbation, and columns.perturbation is "
        "null; leave this out",
    ),
    "a part of the context without its column": (
        CONTEXT,
        "  context: [cell_type, tissue]",
        "train.yaml:14: data.context[1]: 'tissue' isn't named in data.columns; known: cell_type, donor",
    ),
    "the perturbation as context": (
        CONTEXT,
        "  context: [cell_type, perturbation]",
        "train.yaml:14: data.context[1]: 'perturbation' describes the perturbation or the depth, not the context",
    ),
    "a part of the context twice": (
        CONTEXT,
        "  context: [donor, donor]",
        "train.yaml:14: data.context[1]: 'donor' is listed twice",
    ),
    "a name of the results as context": (
        CONTEXT,
        "    rank: donor\n  context: [rank]",
        "train.yaml:15: data.context[0]: 'rank' can't be a part of a context: the tables of results "
        "use this name themselves; name the role otherwise, here and in data.columns, such as "
        "`rank_group: donor`",
    ),
    "a control in a list": (
        "  control: control",
        "  control: [control, NT]",
        "train.yaml:7: data.control: must be text, not a list",
    ),
    "hold out by a column without name": (
        HOLD_OUT,
        "hold_out:\n  - {tissue: liver}",
        "train.yaml:16: hold_out[0].tissue: column 'tissue' isn't named in data.columns; named: "
        "perturbation, perturbation_type, dose, cell_type, donor",
    ),
    "hold out everything": (
        HOLD_OUT,
        "hold_out:\n  - {}",
        "train.yaml:16: hold_out[0]: matches every cell; name at least one `column: value`",
    ),
    "hold out a dose in words": (
        HOLD_OUT,
        "hold_out:\n  - {dose: high}",
        "train.yaml:16: hold_out[0].dose: 'high' isn't allowed: a dose is a number",
    ),
    "hold out a donor with a fraction": (
        HOLD_OUT,
        "hold_out:\n  - {donor: 1.5}",
        "train.yaml:16: hold_out[0].donor: 1.5 isn't allowed: put the name into quotes",
    ),
    "hold out nothing of a column": (
        HOLD_OUT,
        "hold_out:\n  - {donor: []}",
        "train.yaml:16: hold_out[0].donor: must have at least 1 entry",
    ),
    "hold out without dashes": (
        HOLD_OUT,
        "hold_out: {donor: donor_1}",
        "train.yaml:15: hold_out: must be a list, not a mapping",
    ),
    "an unknown model": (
        MODEL,
        "model: {kind: gears}",
        "train.yaml:16: model.kind: must be 'lingshu', 'no_change', 'perturbation_mean', "
        "'context_mean', 'additive', 'nearest_context', 'ridge', 'knn', 'low_rank', 'scvi' or 'plugin', not "
        "the text 'gears'",
    ),
    "an unknown configuration": (
        MODEL,
        "model: {configuration: huge}",
        "train.yaml:16: model.configuration: must be 'direct', 'tiny', 'small', 'base' or 'paper', not the text 'huge'",
    ),
    "a setting in words": (
        MODEL,
        "model: {overrides: {pooled_width: wide}}",
        "train.yaml:16: model.overrides.pooled_width: must be a number from 0 to 65,536, true or false",
    ),
    "a baseline with a network": (
        MODEL,
        "model: {kind: additive, overrides: {pooled_width: 3}}",
        "train.yaml:16: model.overrides: additive is a baseline and has no network; leave this out",
    ),
    "a vote for the cell model": (
        MODEL,
        "model: {weighting: cells}",
        "train.yaml:16: model.weighting: lingshu has no use for this; it is for perturbation_mean, "
        "context_mean, additive, ridge, knn",
    ),
    "a baseline that is trained": (
        MODEL,
        "model: {kind: additive}",
        "train.yaml:18: training.epochs: additive is a baseline and isn't trained like the cell "
        "model: it is fitted in one pass; leave this out\n"
        "train.yaml:18: training.device: additive is a baseline and isn't trained like the cell "
        "model: it is fitted in one pass; leave this out",
    ),
    "a baseline without its features": (
        MODEL,
        "model: {kind: ridge}",
        "train.yaml:16: model.kind: ridge predicts from features of perturbations; describe them in "
        "`features:`, or use additive\n"
        "train.yaml:18: training.epochs: ridge is a baseline and isn't trained like the cell model: "
        "it is fitted in one pass; leave this out\n"
        "train.yaml:18: training.device: ridge is a baseline and isn't trained like the cell model: "
        "it is fitted in one pass; leave this out",
    ),
    "no epoch": (
        TRAINING,
        "training: {epochs: 0}",
        "train.yaml:18: training.epochs: must be greater than or equal to 1, not 0",
    ),
    "no minute": (TRAINING, "training: {minutes: 0}", "train.yaml:18: training.minutes: must be greater than 0, not 0"),
    "an empty batch": (
        TRAINING,
        "training: {batch_size: 0}",
        "train.yaml:18: training.batch_size: must be greater than or equal to 1, not 0",
    ),
    "a batch that is a text": (
        TRAINING,
        "training: {batch_size: '64'}",
        "train.yaml:18: training.batch_size: must be a whole number, not the text '64'",
    ),
    "a learning rate of two": (
        TRAINING,
        "training: {learning_rate: 2}",
        "train.yaml:18: training.learning_rate: must be less than or equal to 1, not 2",
    ),
    "a rate that is a text": (
        TRAINING,
        "training: {learning_rate: 1e-3x}",
        "train.yaml:18: training.learning_rate: must be a number, not the text '1e-3x'",
    ),
    "a device that there isn't": (
        TRAINING,
        "training: {device: gpu}",
        "train.yaml:18: training.device: the text 'gpu' isn't allowed: auto, cpu, cuda or cuda:N.",
    ),
    "a batch in more parts than cells": (
        TRAINING,
        "training: {batch_size: 4, accumulate: 8}",
        "train.yaml:18: training.batch_size: a batch of 4 cells can't be cut into 8 parts (workers "
        "0, accumulate 8); raise this, or lower those",
    ),
    "one device for all workers": (
        TRAINING,
        "training: {workers: 2, device: 'cuda:0'}",
        "train.yaml:18: training.device: cuda:0 is one device, and every worker takes its own; write auto or cuda",
    ),
    "an ensemble of one": (
        TRAINING,
        "training: {seeds: 1}",
        "train.yaml:18: training.seeds: must be greater than or equal to 2, not 1",
    ),
    "a seed twice": (TRAINING, "training: {seeds: [1, 1]}", "train.yaml:18: training.seeds[1]: 1 is listed twice"),
    "a seed beside seeds": (
        TRAINING,
        "training: {seed: 3, seeds: [1, 2]}",
        "train.yaml:18: training.seed: `seeds` lists the seed of every member already; leave this out",
    ),
    "all cells for validation": (
        TRAINING,
        "training: {validation_share: 1}",
        "train.yaml:18: training.validation_share: must be less than or equal to 0.5, not 1",
    ),
    "a share in percent": (
        TRAINING,
        "training: {validation_share: 10%}",
        "train.yaml:18: training.validation_share: must be a number, not the text '10%'",
    ),
    "no source of features": (
        FEATURES,
        "features: {}",
        "train.yaml:17: features: lists no source; give one under genetic, cytokine, drug, environment, or leave out",
    ),
    "an unknown source of features": (
        FEATURES,
        "features: {genetic: [{kind: embedding, file: x.npz}]}",
        "train.yaml:17: features.genetic[0].kind: unknown kind 'embedding'; known: table, gene_sets, "
        "links, co_expression, plugin",
    ),
    "a source without its kind": (
        FEATURES,
        "features: {genetic: [{file: x.npz}]}",
        "train.yaml:17: features.genetic[0]: missing field 'kind'; one of table, gene_sets, links, "
        "co_expression, plugin",
    ),
    "a source without its file": (
        FEATURES,
        "features: {genetic: [{kind: table}]}",
        "train.yaml:17: features.genetic[0]: missing field 'file': .parquet with a column of names, "
        "or .npz with the arrays `names` and `features`.",
    ),
    "structures of genes": (
        FEATURES,
        "features: {genetic: [{kind: smiles, file: x.csv}]}",
        "train.yaml:17: features.genetic[0].kind: unknown kind 'smiles'; known: table, gene_sets, links, "
        "co_expression, plugin",
    ),
    "structures twice": (
        FEATURES,
        "features: {drug: [{kind: smiles, file: a}, {kind: smiles, file: b}]}",
        "train.yaml:17: features.drug[1]: is a second source of structures; put all drugs into one file",
    ),
    "sets of no size": (
        FEATURES,
        "features: {genetic: [{kind: gene_sets, file: a.gmt, smallest: 9, largest: 3}]}",
        "train.yaml:17: features.genetic[0].smallest: 9 is more than `largest`, 3: no set would be left",
    ),
    "a source that is no list": (
        FEATURES,
        "features: {genetic: {kind: table, file: a}}",
        "train.yaml:17: features.genetic: must be a list, not a mapping",
    ),
    "a fingerprint of no bit": (
        FEATURES,
        "features: {drug: [{kind: smiles, file: a, bits: 0}]}",
        "train.yaml:17: features.drug[0].bits: must be greater than or equal to 64, not 0",
    ),
    "no output": (
        OUTPUT,
        "",
        "train.yaml:1: missing field 'output': Folder of the checkpoint: local path or s3:// URL.",
    ),
    "a licence that is a number": (
        "licence: simulated",
        "licence: 4.0",
        "train.yaml:20: licence: must be text, not 4.0",
    ),
}


@pytest.mark.parametrize(("line", "instead", "message"), LINES.values(), ids=LINES)
def test_a_training_with_a_mistake(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("train.yaml", line, instead)
    refused("validate", "train.yaml", says=message)


AT_WORK: dict[str, tuple[str, str, str]] = {
    "a setting that there isn't": (
        MODEL,
        "model: {overrides: {poled_width: 3}}",
        "configuration 'direct' has no setting 'poled_width'; it has condition_rank, pooled_width, "
        "tilt, gene_bias, depth_token, dropout, depth_knots, interaction, self_conditioning",
    ),
    "a setting that is too large": (
        MODEL,
        "model: {overrides: {pooled_width: -1}}",
        "train.yaml:16: model.overrides.pooled_width: must be a number from 0 to 65,536, true or false",
    ),
    "hold out a donor that isn't there": (
        HOLD_OUT,
        "hold_out:\n  - {donor: donor_9}",
        "cells.h5ad: no cell has donor 'donor_9'; there are: donor_1, donor_2",
    ),
    "hold out a dose that isn't there": (
        HOLD_OUT,
        "hold_out:\n  - {dose: 77}",
        "cells.h5ad: no cell has dose '77'; there are: 0.1, 1",
    ),
    "hold out all that was perturbed": (
        HOLD_OUT,
        "hold_out:\n  - {perturbation_type: [genetic, drug]}",
        "hold_out leaves no perturbed cells to train on; hold out less",
    ),
    "hold out all cells": (
        HOLD_OUT,
        "hold_out:\n  - {cell_type: [type_1, type_2]}",
        "hold_out leaves no control cells to train on; hold out less",
    ),
    "a GPU that isn't there": (
        TRAINING,
        "training: {device: cuda}",
        "train.yaml:18: training.device: device 'cuda' was asked for, but torch finds no CUDA device; "
        "use device: auto or cpu",
    ),
    "an output below a file": (
        OUTPUT,
        "output: cells.h5ad/model",
        "cells.h5ad/model: the checkpoint can't be written there ([...]); correct `output:` or the "
        "credentials in the environment",
    ),
    "an output of an unknown scheme": (
        OUTPUT,
        "output: gopher://host/model",
        "gopher://host/model: the checkpoint can't be written there (Protocol not known: gopher); "
        "correct `output:` or the credentials in the environment",
    ),
}


@pytest.mark.parametrize(("line", "instead", "message"), AT_WORK.values(), ids=AT_WORK)
def test_a_training_that_cannot_be_done(
    edited: Edited, refused: Refused, line: str, instead: str, message: str
) -> None:
    edited("train.yaml", line, instead)
    refused("train", "train.yaml", says=message)


OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "an ensemble of one": (
        ("--seeds", "1"),
        "command line (--seeds): training.seeds: must be greater than or equal to 2, not 1",
    ),
    "a negative seed": (
        ("--seed", "-1"),
        "lingshu train: invalid value for '--seed': must be greater than or equal to 0; `lingshu "
        "train --help` shows what there is",
    ),
    "credentials": (
        ("--output", "s3://key:hush@bucket/model"),
        "lingshu: invalid value: a user or a password can't stand in a URL; put the credentials in "
        "the environment; `lingshu --help` shows what there is",
    ),
    "workers of a baseline": (
        ("--workers", "100"),
        "command line (--workers): training.batch_size: a batch of 64 cells can't be cut into 100 "
        "parts (workers 100, accumulate 1); raise this, or lower those",
    ),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=OPTIONS)
@pytest.mark.usefixtures("desk")
def test_an_option_that_does_not_fit_the_training(refused: Refused, options: tuple[str, ...], message: str) -> None:
    refused("train", "train.yaml", *options, says=message)
