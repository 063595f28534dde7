"""Evaluations with a mistake: what stands in place of a line of evaluate.yaml, and what is said of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

ENTRY, FEATURES, BASELINES = (
    "  - {name: tilted, training: {epochs: 1}}",
    "features: null",
    "baselines: [no_change, additive]",
)
SPLIT = "split: {kind: combination, folds: 2, minimum_cells: 16, pool: [donor]}"
METRICS, SEEDS, OUTPUT = "metrics: [effects]", "seeds: [0]", "output: out"
ESTIMATOR, COMPUTE = "estimator: {steps: 2, shards: 2, depth_strata: 4, cells: 16}", "compute: {backend: in_process}"

LINES: dict[str, tuple[str, str, str]] = {
    "no model": (f"models:\n{ENTRY}", "models: []", "evaluate.yaml:13: models: must have at least 1 entry"),
    "a model without a name": (
        ENTRY,
        "  - {training: {epochs: 1}}",
        "evaluate.yaml:14: models[0]: missing field 'name': Name in all tables: letters, digits, . _ -",
    ),
    "the name of a baseline": (
        ENTRY,
        "  - {name: additive}",
        "evaluate.yaml:14: models[0].name: 'additive' is the name of a baseline; choose another",
    ),
    "a name twice": (
        ENTRY,
        "  - {name: a}\n  - {name: a}",
        "evaluate.yaml:15: models[1].name: 'a' is listed twice; choose another",
    ),
    "a checkpoint that is trained": (
        ENTRY,
        "  - {name: a, checkpoint: model, training: {epochs: 1}}",
        "evaluate.yaml:14: models[0].training: an entry with `checkpoint` is trained already, or "
        "only its cells are known; leave this out",
    ),
    "cells of a checkpoint": (
        ENTRY,
        "  - {name: a, cells: cells.h5ad, checkpoint: model}",
        "evaluate.yaml:14: models[0].cells: an entry with `checkpoint` is trained already, or only "
        "its cells are known; leave this out",
    ),
    "a misspelt source": (
        ENTRY,
        "  - {name: a, chekpoint: model}",
        "evaluate.yaml:14: models[0].chekpoint: unknown key 'chekpoint'; nearest: checkpoint",
    ),
    "a bare name": (
        ENTRY,
        "  - model",
        "evaluate.yaml:14: models[0]: must be {name, model, training}, {name, checkpoint} or {name, "
        "cells}, not the text 'model'",
    ),
    "a seed of its own": (
        ENTRY,
        "  - {name: a, training: {seed: 3}}",
        "evaluate.yaml:14: models[0].training.seed: an evaluation trains with its own `seeds`; leave this out",
    ),
    "an ensemble": (
        ENTRY,
        "  - {name: a, training: {seeds: 3}}",
        "evaluate.yaml:14: models[0].training.seeds: an evaluation trains with its own `seeds`; leave this out",
    ),
    "workers": (
        ENTRY,
        "  - {name: a, training: {workers: 2}}",
        "evaluate.yaml:14: models[0].training.workers: units of an evaluation train side by side, "
        "each in one process; raise compute.replicas instead",
    ),
    "epochs of a baseline": (
        ENTRY,
        "  - {name: a, model: {kind: additive}, training: {epochs: 3}}",
        "evaluate.yaml:14: models[0].training.epochs: additive is a baseline and isn't trained like "
        "the cell model: it is fitted in one pass; leave this out",
    ),
    "a baseline without its features": (
        ENTRY,
        "  - {name: a, model: {kind: knn}}",
        "evaluate.yaml:14: models[0]: knn predicts from features of perturbations; give `features`",
    ),
    "a wrong step of one model": (
        ENTRY,
        "  - {name: a, estimator: {steps: 0}}",
        "evaluate.yaml:14: models[0].estimator.steps: must be greater than or equal to 1, not 0",
    ),
    "an unknown baseline": (
        BASELINES,
        "baselines: [mean]",
        "evaluate.yaml:16: baselines[0]: must be 'no_change', 'perturbation_mean', 'context_mean', "
        "'additive', 'nearest_context', 'ridge', 'knn', 'low_rank' or 'scvi', not the text 'mean'",
    ),
    "a word for baselines": (
        BASELINES,
        "baselines: some",
        "evaluate.yaml:16: baselines: must be all, or a list of no_change, perturbation_mean, "
        "context_mean, additive, nearest_context, ridge, knn, low_rank, scvi, not the text 'some'",
    ),
    "a baseline twice": (
        BASELINES,
        "baselines: [additive, additive]",
        "evaluate.yaml:16: baselines[1]: 'additive' is listed twice",
    ),
    "a listed baseline without its features": (
        BASELINES,
        "baselines: [ridge]",
        "evaluate.yaml:16: baselines[0]: ridge predicts from features of perturbations; write "
        "`features`, or leave it out",
    ),
    "no split": (SPLIT, "", "evaluate.yaml:1: missing field 'split': What is held out, and hence what is asked."),
    "an unknown split": (
        SPLIT,
        "split: {kind: random}",
        "evaluate.yaml:17: split.kind: unknown kind 'random'; known: unseen_perturbation, "
        "combination, unseen_context, double_unseen, donor_perturbation, parts, scaffold, tanimoto, "
        "gene_family, batch, replicate, guide",
    ),
    "a split without kind": (
        SPLIT,
        "split: {folds: 2}",
        "evaluate.yaml:17: split: missing field 'kind'; one of unseen_perturbation, combination, "
        "unseen_context, double_unseen, donor_perturbation, parts, scaffold, tanimoto, gene_family, "
        "batch, replicate, guide",
    ),
    "a split by a column without name": (
        SPLIT,
        "split: {kind: unseen_context, factor: tissue}",
        "evaluate.yaml:17: split.factor: 'tissue' isn't named in data.columns; named: perturbation, "
        "perturbation_type, dose, cell_type, donor",
    ),
    "a pool that is no part of the context": (
        SPLIT,
        "split: {kind: combination, pool: [batch]}",
        "evaluate.yaml:17: split.pool[0]: 'batch' is no part of the context; parts: cell_type, donor",
    ),
    "a pool twice": (
        SPLIT,
        "split: {kind: combination, pool: [donor, donor]}",
        "evaluate.yaml:17: split.pool[1]: 'donor' is listed twice",
    ),
    "one fold of all": (
        SPLIT,
        "split: {kind: unseen_perturbation, folds: 1}",
        "evaluate.yaml:17: split.folds: must be greater than or equal to 2, not 1",
    ),
    "folds of a list": (
        SPLIT,
        "split: {kind: unseen_perturbation, folds: 2, perturbations: [REG04]}",
        "evaluate.yaml:17: split.folds: `perturbations` lists what is held out, in one fold; leave one of the two out",
    ),
    "a share of nothing": (
        SPLIT,
        "split: {kind: donor_perturbation, share: 0}",
        "evaluate.yaml:17: split.share: must be greater than 0, not 0",
    ),
    "eleven parts": (
        SPLIT,
        "split: {kind: parts, seen: [11]}",
        "evaluate.yaml:17: split.seen[0]: must be less than or equal to 10, not 11",
    ),
    "a similarity of two": (
        SPLIT,
        "split: {kind: tanimoto, file: a.csv, threshold: 2}",
        "evaluate.yaml:17: split.threshold: must be less than or equal to 1, not 2",
    ),
    "scaffolds without structures": (
        SPLIT,
        "split: {kind: scaffold}",
        "evaluate.yaml:17: split: missing field 'file': Structures of the drugs as .csv, .tsv (also .gz) or .parquet.",
    ),
    "unknown families": (
        SPLIT,
        "split: {kind: gene_family, families: {kind: clusters}}",
        "evaluate.yaml:17: split.families.kind: unknown kind 'clusters'; nearest: stems",
    ),
    "an identity without its column": (
        SPLIT,
        "split: {kind: gene_family, families: {kind: paralogues, file: a, threshold: 50}}",
        "evaluate.yaml:17: split.families.threshold: needs the column of the identities; name it with `identity`",
    ),
    "a field of another split": (
        SPLIT,
        "split: {kind: guide, factor: donor}",
        "evaluate.yaml:17: split.factor: unknown key 'factor'; known: seed, minimum_cells, controls, "
        "calibration, pool, kind, column, folds",
    ),
    "controls of a kind that there isn't": (
        SPLIT,
        "split: {kind: combination, controls: all}",
        "evaluate.yaml:17: split.controls: must be 'halved' or 'shared', not the text 'all'",
    ),
    "all for calibration": (
        SPLIT,
        "split: {kind: combination, calibration: 1}",
        "evaluate.yaml:17: split.calibration: must be less than 1, not 1",
    ),
    "one cell": (
        SPLIT,
        "split: {kind: combination, minimum_cells: 1}",
        "evaluate.yaml:17: split.minimum_cells: must be greater than or equal to 2, not 1",
    ),
    "no metric": (METRICS, "metrics: []", "evaluate.yaml:18: metrics: must have at least 1 entry"),
    "an unknown metric": (
        METRICS,
        "metrics: [effects, speed]",
        "evaluate.yaml:18: metrics[1]: must be 'effects', 'realism', 'uncertainty', 'cell_eval' or "
        "'cell_eval2', not the text 'speed'",
    ),
    "a metric twice": (
        METRICS,
        "metrics: [effects, effects]",
        "evaluate.yaml:18: metrics[1]: 'effects' is listed twice",
    ),
    "no seed": (SEEDS, "seeds: []", "evaluate.yaml:20: seeds: must have at least 1 entry"),
    "a seed twice": (SEEDS, "seeds: [0, 0]", "evaluate.yaml:20: seeds[1]: 0 is listed twice"),
    "a bare seed": (SEEDS, "seeds: 0", "evaluate.yaml:20: seeds: must be a list, not 0"),
    "too few cells": (
        ESTIMATOR,
        "estimator: {cells: 4}",
        "evaluate.yaml:19: estimator.cells: must be greater than or equal to 16, not 4",
    ),
    "one shard": (
        ESTIMATOR,
        "estimator: {shards: 1}",
        "evaluate.yaml:19: estimator.shards: must be greater than or equal to 2, not 1",
    ),
    "no hour": (COMPUTE, "compute: {hours: 0}", "evaluate.yaml:22: compute.hours: must be greater than 0, not 0"),
    "two GPUs a unit": (
        COMPUTE,
        "compute: {gpus_per_replica: 2}",
        "evaluate.yaml:22: compute.gpus_per_replica: must be less than or equal to 1, not 2",
    ),
    "two replicas in one process": (
        COMPUTE,
        "compute: {backend: in_process, replicas: 2}",
        "evaluate.yaml:22: compute.replicas: `backend: in_process` has one replica; use ray for more",
    ),
    "an atlas": (
        "    perturbation: perturbation",
        "    perturbation: null",
        "evaluate.yaml:8: data.columns.perturbation_type: describes a perturbation, and "
        "columns.perturbation is null; leave this out\n"
        "evaluate.yaml:9: data.columns.dose: describes a perturbation, and columns.perturbation is "
        "null; leave this out",
    ),
    "a column that nothing uses": (
        "    donor: donor",
        "    donor: donor\n    guide: guide",
        "evaluate.yaml:12: data.columns.guide: 'guide' is used neither in `context` nor to choose "
        "cells; known: perturbation, perturbation_type, method, dose, cell_type, donor, batch, depth",
    ),
}


@pytest.mark.parametrize(("line", "instead", "message"), LINES.values(), ids=LINES)
def test_an_evaluation_with_a_mistake(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("evaluate.yaml", line, instead)
    refused("validate", "evaluate.yaml", says=message)


def test_the_results_in_the_folder_of_the_model(edited: Edited, refused: Refused) -> None:
    edited("evaluate.yaml", ENTRY, "  - {name: a, checkpoint: model}")
    edited("evaluate.yaml", OUTPUT, "output: model/")
    refused(
        "validate",
        "evaluate.yaml",
        says="evaluate.yaml:21: output: is the folder of a model; give the results one of their own",
    )


AT_WORK: dict[str, tuple[str, str, str]] = {
    "too few cells everywhere": (
        SPLIT,
        "split: {kind: combination, minimum_cells: 1000}",
        "split (combination, factor: cell_type): nothing can be asked here: not asked for lack of "
        "cells: DRUG01 in type_1: 8 perturbed and 40 control cells of 1000, REG04 in type_1: 8 "
        "perturbed and 40 control cells of 1000, REG04+REG09 in type_1: 8 perturbed and 40 control "
        "cells of 1000, REG05 in type_1: 8 perturbed and 40 control cells of 1000, REG08 in type_1: "
        "8 perturbed and 40 control cells of 1000, DRUG01 in type_2: 8 perturbed and 40 control "
        "cells of 1000, REG04 in type_2: 8 perturbed and 40 control cells of 1000, REG04+REG09 in "
        "type_2: 8 perturbed and 40 control cells of 1000, REG05 in type_2: 8 perturbed and 40 "
        "control cells of 1000, REG08 in type_2: 8 perturbed and 40 control cells of 1000; not "
        "asked, because nowhere else is anything perturbed in this way: REG10 in type_1, DRUG02 in "
        "type_2, REG04+REG08 in type_2, REG09 in type_2; take another kind or factor, or lower "
        "minimum_cells. Columns of the data and their values: cell_type: type_1, type_2; donor: "
        "donor_1, donor_2",
    ),
    "a value that isn't there": (
        SPLIT,
        "split: {kind: unseen_context, values: [type_9], minimum_cells: 8}",
        "split (unseen_context, factor: cell_type): no cell has the value 'type_9'; there are: type_1, type_2",
    ),
    "a perturbation that isn't there": (
        SPLIT,
        "split: {kind: unseen_perturbation, perturbations: [REG44], minimum_cells: 8}",
        "split: perturbations: 'REG44' is not in the data; there are: DRUG01, DRUG02, REG04, REG05, "
        "REG08, REG09, REG10",
    ),
    "more folds than values": (
        SPLIT,
        "split: {kind: unseen_context, folds: 9, minimum_cells: 8}",
        "split: values with enough cells are type_1, type_2: 2 can't be dealt to 9 folds; set folds "
        "to at most 2, or lower minimum_cells so that more can be asked",
    ),
    "parts where one donor is": (
        SPLIT,
        "split: {kind: parts, seen: [7], minimum_cells: 8}",
        "split (parts): nothing can be asked here: no combination can be asked with 7 parts seen: 2 "
        "parts of the combinations are there by themselves; take another kind or factor, or lower "
        "minimum_cells. Columns of the data and their values: cell_type: type_1, type_2; donor: "
        "donor_1, donor_2",
    ),
    "structures that aren't there": (
        SPLIT,
        "split: {kind: scaffold, file: none.csv}",
        "none.csv: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
    "structures without their column": (
        SPLIT,
        "split: {kind: scaffold, file: list, smiles: structure}",
        "list: there is no column 'structure' (smiles); columns are: name, smiles",
    ),
    "structures that are none": (
        SPLIT,
        "split: {kind: tanimoto, file: list, minimum_cells: 8}",
        "list: 'DRUG01': 'C1CC' is no valid SMILES: it can't be parsed",
    ),
    "a drug with two structures": (
        SPLIT,
        "split: {kind: tanimoto, file: twice, minimum_cells: 8}",
        "twice:3: 'DRUG01' has a second smiles; keep one row of each name",
    ),
    "families that aren't there": (
        SPLIT,
        "split: {kind: gene_family, families: {kind: table, file: none.csv}}",
        "none.csv: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
    "families as sets of no set": (
        SPLIT,
        "split: {kind: gene_family, families: {kind: gene_sets, file: list}}",
        "list:1: isn't a GMT line: name, description and genes, separated by tabs",
    ),
    "an identity in words": (
        SPLIT,
        "split: {kind: gene_family, families: {kind: paralogues, file: pairs, identity: identity}}",
        "pairs:2: 'high' in column 'identity' is no percentage",
    ),
    "a checkpoint that isn't there": (
        ENTRY,
        "  - {name: a, checkpoint: none}",
        "none: no checkpoint here (manifest.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
    "a checkpoint that has seen the answers": (
        ENTRY,
        "  - {name: a, checkpoint: model}",
        "a, fold 'fold 1': 4 combinations of cell_type and perturbation that are asked are trained "
        "on, 48 cells (DRUG01 in type_1, donor_1, DRUG01 in type_1, donor_2, REG08 in type_1, "
        "donor_1, REG08 in type_1, donor_2); train on what the split leaves, or hold this out too\n"
        "a, fold 'fold 2': 10 combinations of cell_type and perturbation that are asked are trained "
        "on, 96 cells (DRUG01 in type_2, donor_1, DRUG01 in type_2, donor_2, REG04 in type_1, "
        "donor_1, REG04 in type_1, donor_2, REG04+REG08 in type_2, donor_1, …); train on what the "
        "split leaves, or hold this out too\n"
        "a: it was trained on all cells of the data: 192 cells of it are asked, or effects are "
        "measured by them (cell_000001, cell_000003, cell_000007, cell_000010, cell_000011, …); "
        "train it within the evaluation, or hold them out of its training",
    ),
    "predicted cells that aren't there": (
        ENTRY,
        "  - {name: a, cells: none.h5ad}",
        "none.h5ad: can't be read ([...]); check the path",
    ),
    "a guide column of one guide": (
        "    donor: donor",
        "    donor: donor\n    guide: method",
        "split (guide, column: guide): nothing can be asked here: not asked, because they have one "
        "guide only: DRUG01, DRUG02, REG04, REG04+REG08, REG04+REG09, REG05, REG08, REG09, REG10; "
        "take another kind or factor, or lower minimum_cells. Columns of the data and their values: "
        "cell_type: type_1, type_2; donor: donor_1, donor_2; guide: inhibitor, knockdown, knockout, "
        "none",
    ),
    "an output below a file": (
        OUTPUT,
        "output: cells.h5ad/out",
        "cannot make the folder [...]/cells.h5ad/out/ledger: Not a directory ([...]). Choose a "
        "folder that you may write.",
    ),
    "an output of an unknown scheme": (
        OUTPUT,
        "output: gopher://host/out",
        "[...]gopher:// is no store this engine knows: use s3://, gs:// or az://NAME/prefix, or a folder",
    ),
}


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
