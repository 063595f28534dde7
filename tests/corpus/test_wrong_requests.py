"""Requests for cells with a mistake: in generate.yaml, or on the command line."""

from collections.abc import Callable

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

CONTEXT, ASKED, SAMPLER = "context: {cell_type: type_1}", "perturbation: REG04", "sampler: {steps: 3}"
START, ORTHOLOGS, OUTPUT = "start: null", "orthologs: null", "output: new.h5ad"

LINES: dict[str, tuple[str, str, str]] = {
    "no model": (
        "model: model",
        "",
        "generate.yaml:1: missing field 'model': Folder of the checkpoint: local path or s3:// URL.",
    ),
    "no cell": ("cells: 10", "cells: 0", "generate.yaml:5: cells: must be greater than or equal to 1, not 0"),
    "a hundred million cells": (
        "cells: 10",
        "cells: 100000000",
        "generate.yaml:5: cells: must be less than or equal to 10000000, not 100000000",
    ),
    "an unknown factor": (
        CONTEXT,
        "context: {celltype: type_1}",
        "generate.yaml:6: context.celltype: unknown factor of a context 'celltype'; nearest: cell_type",
    ),
    "an unknown cell type": (
        CONTEXT,
        "context: {cell_type: type_3}",
        "generate.yaml:6: context.cell_type: unknown cell_type 'type_3'; nearest: type_2, type_1",
    ),
    "two cell types": (
        CONTEXT,
        "context: {cell_type: [type_1, type_2]}",
        "generate.yaml:6: context.cell_type: must be text, not a list",
    ),
    "contexts by a word that there isn't": (
        "contexts: proportional",
        "contexts: all",
        "generate.yaml:7: contexts: must be 'proportional' or 'unspecified', not the text 'all'",
    ),
    "an unknown gene": (
        ASKED,
        "perturbation: REG44",
        "generate.yaml:8: perturbation: unknown perturbation 'REG44'; nearest: REG04, REG10, REG09",
    ),
    "an unknown half": (
        ASKED,
        "perturbation: REG04+REG44",
        "generate.yaml:8: perturbation: unknown perturbation 'REG44'; nearest: REG04, REG10, REG09",
    ),
    "a gene with itself": (
        ASKED,
        "perturbation: REG04+REG04",
        "generate.yaml:8: perturbation: 'REG04+REG04' has a part twice; a combination joins different perturbations",
    ),
    "a plus sign too many": (
        ASKED,
        "perturbation: REG04++REG05",
        "generate.yaml:8: perturbation: 'REG04++REG05' has an empty part; a combination is written A+B",
    ),
    "a dose of a gene": (
        ASKED,
        "perturbation: REG04@3",
        "generate.yaml:8: perturbation: the model was trained on REG04 without doses; leave `@3` out",
    ),
    "a drug without dose": (
        ASKED,
        "perturbation: DRUG01",
        "generate.yaml:8: perturbation: 'DRUG01' was trained on with doses; write one, such as DRUG01@0.1, DRUG01@1",
    ),
    "a negative dose": (
        ASKED,
        "perturbation: DRUG01@-1",
        "generate.yaml:8: perturbation: the dose of 'DRUG01' must be a positive number, not -1",
    ),
    "a dose in words": (
        ASKED,
        "perturbation: DRUG01@high",
        "generate.yaml:8: perturbation: unknown perturbation 'DRUG01@high'; nearest: DRUG01",
    ),
    "a list of perturbations": (
        ASKED,
        "perturbation: [REG04, REG05]",
        "generate.yaml:8: perturbation: must be text, not a list",
    ),
    "white space in a SMILES": (
        "structures: {}",
        "structures: {X: C C}",
        "generate.yaml:9: structures.X: must be a SMILES without white space, not 'C C'",
    ),
    "an unknown sampler": (
        SAMPLER,
        "sampler: {name: fast}",
        "generate.yaml:10: sampler.name: must be 'screening' or 'paper', not the text 'fast'",
    ),
    "the published sampler with another schedule": (
        SAMPLER,
        "sampler: {name: paper, schedule: uniform, guidance: 2}",
        "generate.yaml:10: sampler.schedule: the published sampler has schedule: cosine; leave "
        "`name: paper` or this out",
    ),
    "the published sampler without guidance": (
        SAMPLER,
        "sampler: {name: paper}",
        "generate.yaml:10: sampler: the published guidance is 2 for genetic and 3 for cytokine "
        "perturbations; say which",
    ),
    "no steps": (
        SAMPLER,
        "sampler: {steps: 0}",
        "generate.yaml:10: sampler.steps: must be greater than or equal to 1, not 0",
    ),
    "start cells without a share": (
        START,
        "start: {path: cells.h5ad}",
        "generate.yaml:11: start: missing field 'keep': Share of each cell's genes that is kept, "
        "chosen at random; the rest is drawn anew.",
    ),
    "a share of two": (
        START,
        "start: {path: cells.h5ad, keep: 2}",
        "generate.yaml:11: start.keep: must be less than or equal to 1, not 2",
    ),
    "a factor from both": (
        START,
        "start: {path: cells.h5ad, keep: 0.5, columns: {cell_type: cell_type}}",
        "generate.yaml:11: start.columns.cell_type: 'cell_type' is stated in `context` for all cells; leave one out",
    ),
    "an unknown factor of the start cells": (
        START,
        "start: {path: cells.h5ad, keep: 0.5, columns: {tissue: tissue}}",
        "generate.yaml:11: start.columns.tissue: unknown factor of a context 'tissue'; known: cell_type, donor, depth",
    ),
    "the start cells as output": (
        START,
        "start: {path: new.h5ad, keep: 0.5}",
        "generate.yaml:15: output: is the file of the start cells; write to another",
    ),
    "orthologs in one column": (
        ORTHOLOGS,
        "orthologs: {file: a.csv, cells: gene, model: gene}",
        "generate.yaml:12: orthologs.model: is the column of the cells' genes too; the two species "
        "have one column each",
    ),
    "genes of the cells without orthologs": (
        "output_genes: model",
        "output_genes: cells",
        "generate.yaml:13: output_genes: `cells` needs `orthologs` to translate by",
    ),
    "an output that is no .h5ad": (
        OUTPUT,
        "output: new.csv",
        "generate.yaml:15: output: 'new.csv' must end with .h5ad: cells are written as one AnnData file",
    ),
    "no output": (OUTPUT, "", "generate.yaml:1: missing field 'output': The .h5ad file to write: local path or URL."),
    "a device that there isn't": (
        "compute: {device: cpu}",
        "compute: {device: tpu}",
        "generate.yaml:16: compute.device: the text 'tpu' isn't allowed: auto, cpu, cuda or cuda:N.",
    ),
}


@pytest.mark.parametrize(("line", "instead", "message"), LINES.values(), ids=LINES)
def test_a_request_with_a_mistake(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("generate.yaml", line, instead)
    refused("validate", "generate.yaml", says=message)


AT_WORK: dict[str, tuple[str, str, str]] = {
    "a structure for a model without": (
        "structures: {}",
        "structures: {X: CCO}",
        "the model can't read structures, and knows no drug 'X'; train it with `features: {drug: [{kind: smiles, …}]}`",
    ),
    "start cells that aren't there": (
        START,
        "start: {path: none.h5ad, keep: 0.5}",
        "none.h5ad: no such file; check the path",
    ),
    "start cells without the column": (
        START,
        "start: {path: cells.h5ad, keep: 0.5, where: {tissue: liver}}",
        "cells.h5ad: obs has no column 'tissue'; columns are: perturbation, perturbation_type, "
        "method, cell_type, donor, batch, dose",
    ),
    "start cells without the value": (
        START,
        "start: {path: cells.h5ad, keep: 0.5, where: {donor: donor_9}}",
        "cells.h5ad: no cell has donor 'donor_9'; there are: donor_1, donor_2",
    ),
    "start cells without the layer": (
        START,
        "start: {path: cells.h5ad, keep: 0.5, layer: raw}",
        "cells.h5ad: layer 'raw' is not in the file; layers are: none",
    ),
    "start cells that are a model": (
        START,
        "start: {path: model/weights.safetensors, keep: 0.5}",
        "model/weights.safetensors: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "orthologs that aren't there": (
        ORTHOLOGS,
        "orthologs: {file: none.csv, cells: a, model: b}",
        "none.csv: no such file; check the path of the orthologs",
    ),
    "orthologs without the column": (
        ORTHOLOGS,
        "orthologs: {file: program.gmt, cells: a, model: b}",
        "program.gmt: no column 'a'; columns are: "
        "SIMULATED_PROGRAM\\tsimulated\\tGENE03\\tGENE08\\tGENE09\\tGENE10\\tGENE15\\tGENE16\\tGENE23\\tGENE24",
    ),
    "a model that isn't there": (
        "model: model",
        "model: none",
        "none: no checkpoint here (manifest.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
    "an output below a file": (
        OUTPUT,
        "output: program.gmt/new.h5ad",
        "program.gmt/new.h5ad: can't be written ([...]); correct `output` or the credentials in the environment",
    ),
    "a GPU that isn't there": (
        "compute: {device: cpu}",
        "compute: {device: cuda}",
        "device 'cuda' was asked for, but torch finds no CUDA device; use device: auto or cpu",
    ),
}


@pytest.mark.parametrize(("line", "instead", "message"), AT_WORK.values(), ids=AT_WORK)
def test_a_request_that_cannot_be_done(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("generate.yaml", line, instead)
    refused("generate", "generate.yaml", says=message)


OPTIONS: dict[str, tuple[str, str]] = {
    "no output": (
        "generate model",
        "command line: missing field 'output': The .h5ad file to write: local path or URL.",
    ),
    "an output that is no .h5ad": (
        "generate model -o new.csv",
        "command line: output: 'new.csv' must end with .h5ad: cells are written as one AnnData file",
    ),
    "a context without value": (
        "generate model -o new.h5ad --context cell_type",
        "lingshu generate: invalid value: --context 'cell_type' must be NAME=VALUE; `lingshu "
        "generate --help` shows what there is",
    ),
    "an unknown context": (
        "generate model -o new.h5ad --context cell_type=type_9",
        "command line: context.cell_type: unknown cell_type 'type_9'; nearest: type_2, type_1",
    ),
    "an unknown gene": (
        "generate model -o new.h5ad --perturbation REG44",
        "command line: perturbation: unknown perturbation 'REG44'; nearest: REG04, REG10, REG09",
    ),
    "a schedule that there isn't": (
        "generate model -o new.h5ad --schedule linear",
        "command line: sampler.schedule: must be 'geometric', 'uniform' or 'cosine', not the text 'linear'",
    ),
    "a choice of start cells without any": (
        "generate model -o new.h5ad --where donor=donor_1",
        "command line: start: missing field 'path': The .h5ad file with the cells: raw counts.\n"
        "command line: start: missing field 'keep': Share of each cell's genes that is kept, chosen "
        "at random; the rest is drawn anew.",
    ),
    "start cells without a share": (
        "generate model -o new.h5ad --from cells.h5ad",
        "command line: start: missing field 'keep': Share of each cell's genes that is kept, chosen "
        "at random; the rest is drawn anew.",
    ),
    "white space in a SMILES": (
        "generate model -o new.h5ad --smiles X=C=C --perturbation X",
        "the model can't read structures, and knows no drug 'X'; train it with `features: {drug: [{kind: smiles, …}]}`",
    ),
    "a file of another kind": (
        "generate screen.yaml -o new.h5ad",
        "screen.yaml:2: kind: this is a `kind: screen` file and a `kind: generate` file is wanted; use `lingshu run`",
    ),
    "adapt to nothing new": (
        "adapt model cells.h5ad -o adapted --where perturbation=control",
        "the model was trained on 40 control cells of type_1, donor_1; leave them out here",
    ),
    "adapt to cells that aren't there": ("adapt model none.h5ad -o adapted", "none.h5ad: no such file; check the path"),
    "adapt by a column that isn't there": (
        "adapt model cells.h5ad -o adapted --factor donor=patient",
        "cells.h5ad: obs has no column 'patient'; columns are: perturbation, perturbation_type, "
        "method, cell_type, donor, batch, dose",
    ),
    "adapt by a factor that isn't there": (
        "adapt model cells.h5ad -o adapted --factor tissue=donor",
        "--factor tissue: the model has no context factor 'tissue'; it has: cell_type, donor",
    ),
    "adapt into the model": (
        "adapt model cells.h5ad -o model --where perturbation=control",
        "model: is the model itself, which stays as it is; give another --output",
    ),
    "embed cells that aren't there": ("embed none.h5ad model -o new.h5ad", "none.h5ad: no such file; check the path"),
    "embed with cells for a model": (
        "embed cells.h5ad cells.h5ad -o new.h5ad",
        "cells.h5ad: no checkpoint here (it is a file, and a model is a folder); train one with "
        "`lingshu train`, or correct `model:`",
    ),
    "embed a layer that isn't there": (
        "embed cells.h5ad model -o new.h5ad --layer raw",
        "cells.h5ad: layer 'raw' is not in the file; layers are: none",
    ),
    "embed by hidden states without a transformer": (
        "embed cells.h5ad model -o new.h5ad --kind hidden",
        "the representation 'hidden' needs a model with a transformer",
    ),
    "embed into the cells": (
        "embed cells.h5ad model -o cells.h5ad",
        "cells.h5ad: is the file of the cells itself; write to another with --output",
    ),
    "embed with orthologs without columns": (
        "embed cells.h5ad model -o new.h5ad --orthologs a.csv",
        "lingshu embed: invalid value: --orthologs needs --cells-column and --model-column, two "
        "columns of the table; `lingshu embed --help` shows what there is",
    ),
    "a card of no model": (
        "card none --data cells.h5ad",
        "none: no checkpoint here (manifest.json is missing); train one with `lingshu train`, or correct `model:`",
    ),
    "a card of no cells": (
        "card model --data none.h5ad",
        "none.h5ad: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
    "a card by a column that isn't there": (
        "card model --data cells.h5ad --column donor=patient",
        "cells.h5ad: obs has no column 'patient' (data.columns.donor); columns are: perturbation, "
        "perturbation_type, method, cell_type, donor, batch, dose; name it with --column "
        "ROLE=COLUMN, or a layer with --layer",
    ),
    "a card of no evaluation": (
        "card model --evaluation none",
        "none/evaluation.json: no results of an evaluation here; give the `output:` of one that ran",
    ),
    "describe nothing": (
        "describe results/none",
        "results/none: no checkpoint here (manifest.json is missing); train one with `lingshu "
        "train`, or correct `model:`",
    ),
    "describe a word": (
        "describe hughe",
        "'hughe' is neither a configuration (direct, tiny, small, base, paper) nor the folder of a checkpoint",
    ),
    "describe cells": (
        "describe cells.h5ad",
        "cells.h5ad: no checkpoint here (it is a file, and a model is a folder); train one with "
        "`lingshu train`, or correct `model:`",
    ),
    "the genes of a checkpoint": (
        "describe model --genes 10",
        "model: --genes and --patch-size are for a configuration (direct, tiny, small, base, paper); "
        "a trained model has its own",
    ),
    "hits of nothing": ("hits none", "none: no such folder; give the `output:` of a campaign that ran"),
    "hits of a model": (
        "hits model",
        "[...]/model: no hits.parquet here, nor in the folders below, and no Delta table; run the campaign, or give "
        "the `output:` of one that ran, or a folder of such",
    ),
    "hits of a file": ("hits program.gmt", "program.gmt: no such folder; give the `output:` of a campaign that ran"),
    "simulate into a file": ("simulate program.gmt", "program.gmt: File exists"),
    "simulate with a negative seed": (
        "simulate sim --seed -1",
        "lingshu simulate: invalid value for '--seed': must be greater than or equal to 0; `lingshu "
        "simulate --help` shows what there is",
    ),
    "a doctor of nothing": ("doctor none.yaml", "not all is well: see campaign above"),
}


@pytest.mark.parametrize(("line", "message"), OPTIONS.values(), ids=OPTIONS)
@pytest.mark.usefixtures("desk")
def test_a_command_that_cannot_be_done(refused: Refused, line: str, message: str) -> None:
    refused(*line.split(), says=message)
