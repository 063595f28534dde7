"""Evaluations with a mistake: what stands in place of a line of evaluate.yaml, and what is said of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

ENTRY, FEATURES, BASELINES = "  - {name: tilted, training: {epochs: 1}}", "features: null", "baselines: [no_change, additive]"
SPLIT = "split: {kind: combination, folds: 2, minimum_cells: 16, pool: [donor]}"
METRICS, SEEDS, OUTPUT = "metrics: [effects]", "seeds: [0]", "output: out"
ESTIMATOR, COMPUTE = "estimator: {steps: 2, shards: 2, depth_strata: 4, cells: 16}", "compute: {backend: in_process}"

LINES: dict[str, tuple[str, str, str]] = {
    "no model": (f"models:\n{ENTRY}", "models: []", "?"),
    "a model without a name": (ENTRY, "  - {training: {epochs: 1}}", "?"),
    "the name of a baseline": (ENTRY, "  - {name: additive}", "?"),
    "a name twice": (ENTRY, "  - {name: a}\n  - {name: a}", "?"),
    "a checkpoint that is trained": (ENTRY, "  - {name: a, checkpoint: model, training: {epochs: 1}}", "?"),
    "cells of a checkpoint": (ENTRY, "  - {name: a, cells: cells.h5ad, checkpoint: model}", "?"),
    "a misspelt source": (ENTRY, "  - {name: a, chekpoint: model}", "?"),
    "a bare name": (ENTRY, "  - model", "?"),
    "a seed of its own": (ENTRY, "  - {name: a, training: {seed: 3}}", "?"),
    "an ensemble": (ENTRY, "  - {name: a, training: {seeds: 3}}", "?"),
    "workers": (ENTRY, "  - {name: a, training: {workers: 2}}", "?"),
    "epochs of a baseline": (ENTRY, "  - {name: a, model: {kind: additive}, training: {epochs: 3}}", "?"),
    "a baseline without its features": (ENTRY, "  - {name: a, model: {kind: knn}}", "?"),
    "a wrong step of one model": (ENTRY, "  - {name: a, estimator: {steps: 0}}", "?"),
    "an unknown baseline": (BASELINES, "baselines: [mean]", "?"),
    "a word for baselines": (BASELINES, "baselines: some", "?"),
    "a baseline twice": (BASELINES, "baselines: [additive, additive]", "?"),
    "a listed baseline without its features": (BASELINES, "baselines: [ridge]", "?"),
    "no split": (SPLIT, "", "?"),
    "an unknown split": (SPLIT, "split: {kind: random}", "?"),
    "a split without kind": (SPLIT, "split: {folds: 2}", "?"),
    "a split by a column without name": (SPLIT, "split: {kind: unseen_context, factor: tissue}", "?"),
    "a pool that is no part of the context": (SPLIT, "split: {kind: combination, pool: [batch]}", "?"),
    "a pool twice": (SPLIT, "split: {kind: combination, pool: [donor, donor]}", "?"),
    "one fold of all": (SPLIT, "split: {kind: unseen_perturbation, folds: 1}", "?"),
    "folds of a list": (SPLIT, "split: {kind: unseen_perturbation, folds: 2, perturbations: [REG04]}", "?"),
    "a share of nothing": (SPLIT, "split: {kind: donor_perturbation, share: 0}", "?"),
    "eleven parts": (SPLIT, "split: {kind: parts, seen: [11]}", "?"),
    "a similarity of two": (SPLIT, "split: {kind: tanimoto, file: a.csv, threshold: 2}", "?"),
    "scaffolds without structures": (SPLIT, "split: {kind: scaffold}", "?"),
    "unknown families": (SPLIT, "split: {kind: gene_family, families: {kind: clusters}}", "?"),
    "an identity without its column": (
        SPLIT, "split: {kind: gene_family, families: {kind: paralogues, file: a, threshold: 50}}", "?"
    ),
    "a field of another split": (SPLIT, "split: {kind: guide, factor: donor}", "?"),
    "controls of a kind that there isn't": (SPLIT, "split: {kind: combination, controls: all}", "?"),
    "all for calibration": (SPLIT, "split: {kind: combination, calibration: 1}", "?"),
    "one cell": (SPLIT, "split: {kind: combination, minimum_cells: 1}", "?"),
    "no metric": (METRICS, "metrics: []", "?"),
    "an unknown metric": (METRICS, "metrics: [effects, speed]", "?"),
    "a metric twice": (METRICS, "metrics: [effects, effects]", "?"),
    "no seed": (SEEDS, "seeds: []", "?"),
    "a seed twice": (SEEDS, "seeds: [0, 0]", "?"),
    "a bare seed": (SEEDS, "seeds: 0", "?"),
    "too few cells": (ESTIMATOR, "estimator: {cells: 4}", "?"),
    "one shard": (ESTIMATOR, "estimator: {shards: 1}", "?"),
    "no hour": (COMPUTE, "compute: {hours: 0}", "?"),
    "two GPUs a unit": (COMPUTE, "compute: {gpus_per_replica: 2}", "?"),
    "two replicas in one process": (COMPUTE, "compute: {backend: in_process, replicas: 2}", "?"),
    "an atlas": ("    perturbation: perturbation", "    perturbation: null", "?"),
    "a column that nothing uses": ("    donor: donor", "    donor: donor\n    guide: guide", "?"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "instead", "message"), LINES.values(), ids=LINES)
def test_an_evaluation_with_a_mistake(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("evaluate.yaml", line, instead)
    refused("validate", "evaluate.yaml", says=message)


def test_the_results_in_the_folder_of_the_model(edited: Edited, refused: Refused) -> None:
    edited("evaluate.yaml", ENTRY, "  - {name: a, checkpoint: model}")
    edited("evaluate.yaml", OUTPUT, "output: model/")
    refused("validate", "evaluate.yaml", says="?")


AT_WORK: dict[str, tuple[str, str, str]] = {
    "too few cells everywhere": (SPLIT, "split: {kind: combination, minimum_cells: 1000}", "?"),
    "a value that isn't there": (SPLIT, "split: {kind: unseen_context, values: [type_9], minimum_cells: 8}", "?"),
    "a perturbation that isn't there": (SPLIT, "split: {kind: unseen_perturbation, perturbations: [REG44], minimum_cells: 8}", "?"),
    "more folds than values": (SPLIT, "split: {kind: unseen_context, folds: 9, minimum_cells: 8}", "?"),
    "parts where one donor is": (SPLIT, "split: {kind: parts, seen: [7], minimum_cells: 8}", "?"),
    "structures that aren't there": (SPLIT, "split: {kind: scaffold, file: none.csv}", "?"),
    "structures without their column": (SPLIT, "split: {kind: scaffold, file: list, smiles: structure}", "?"),
    "structures that are none": (SPLIT, "split: {kind: tanimoto, file: list, minimum_cells: 8}", "?"),
    "a drug with two structures": (SPLIT, "split: {kind: tanimoto, file: twice, minimum_cells: 8}", "?"),
    "families that aren't there": (SPLIT, "split: {kind: gene_family, families: {kind: table, file: none.csv}}", "?"),
    "families as sets of no set": (SPLIT, "split: {kind: gene_family, families: {kind: gene_sets, file: list}}", "?"),
    "an identity in words": (
        SPLIT, "split: {kind: gene_family, families: {kind: paralogues, file: pairs, identity: identity}}", "?"
    ),
    "a checkpoint that isn't there": (ENTRY, "  - {name: a, checkpoint: none}", "?"),
    "a checkpoint that has seen the answers": (ENTRY, "  - {name: a, checkpoint: model}", "?"),
    "predicted cells that aren't there": (ENTRY, "  - {name: a, cells: none.h5ad}", "?"),
    "a guide column of one guide": ("    donor: donor", "    donor: donor\n    guide: method", "?"),
    "an output below a file": (OUTPUT, "output: cells.h5ad/out", "?"),
    "an output of an unknown scheme": (OUTPUT, "output: gopher://host/out", "?"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "instead", "message"), AT_WORK.values(), ids=AT_WORK)
def test_an_evaluation_that_the_cells_do_not_carry(
    desk: Path, edited: Edited, refused: Refused, line: str, instead: str, message: str
) -> None:
    (desk / "list").write_text("name,smiles\nDRUG01,C1CC\nDRUG02,CCO\n")
    (desk / "twice").write_text("name,smiles\nDRUG01,CC\nDRUG01,CCO\n")
    (desk / "pairs").write_text("gene,paralogue,identity\nREG04,REG05,high\n")
    edited("evaluate.yaml", line, instead)
    if "guide: method" in instead:
        edited("evaluate.yaml", SPLIT, "split: {kind: guide, minimum_cells: 8}")
    refused("evaluate", "evaluate.yaml", says=message)
