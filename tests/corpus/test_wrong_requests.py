"""Requests for cells with a mistake: in generate.yaml, or on the command line."""

from collections.abc import Callable

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

CONTEXT, ASKED, SAMPLER = "context: {cell_type: type_1}", "perturbation: REG04", "sampler: {steps: 3}"
START, ORTHOLOGS, OUTPUT = "start: null", "orthologs: null", "output: new.h5ad"

LINES: dict[str, tuple[str, str, str]] = {
    "no model": ("model: model", "", "?"),
    "no cell": ("cells: 10", "cells: 0", "?"),
    "a hundred million cells": ("cells: 10", "cells: 100000000", "?"),
    "an unknown factor": (CONTEXT, "context: {celltype: type_1}", "?"),
    "an unknown cell type": (CONTEXT, "context: {cell_type: type_3}", "?"),
    "two cell types": (CONTEXT, "context: {cell_type: [type_1, type_2]}", "?"),
    "contexts by a word that there isn't": ("contexts: proportional", "contexts: all", "?"),
    "an unknown gene": (ASKED, "perturbation: REG44", "?"),
    "an unknown half": (ASKED, "perturbation: REG04+REG44", "?"),
    "a gene with itself": (ASKED, "perturbation: REG04+REG04", "?"),
    "a plus sign too many": (ASKED, "perturbation: REG04++REG05", "?"),
    "a dose of a gene": (ASKED, "perturbation: REG04@3", "?"),
    "a drug without dose": (ASKED, "perturbation: DRUG01", "?"),
    "a negative dose": (ASKED, "perturbation: DRUG01@-1", "?"),
    "a dose in words": (ASKED, "perturbation: DRUG01@high", "?"),
    "a list of perturbations": (ASKED, "perturbation: [REG04, REG05]", "?"),
    "white space in a SMILES": ("structures: {}", "structures: {X: C C}", "?"),
    "an unknown sampler": (SAMPLER, "sampler: {name: fast}", "?"),
    "the published sampler with another schedule": (SAMPLER, "sampler: {name: paper, schedule: uniform, guidance: 2}", "?"),
    "the published sampler without guidance": (SAMPLER, "sampler: {name: paper}", "?"),
    "no steps": (SAMPLER, "sampler: {steps: 0}", "?"),
    "start cells without a share": (START, "start: {path: cells.h5ad}", "?"),
    "a share of two": (START, "start: {path: cells.h5ad, keep: 2}", "?"),
    "a factor from both": (START, "start: {path: cells.h5ad, keep: 0.5, columns: {cell_type: cell_type}}", "?"),
    "an unknown factor of the start cells": (START, "start: {path: cells.h5ad, keep: 0.5, columns: {tissue: tissue}}", "?"),
    "the start cells as output": (START, "start: {path: new.h5ad, keep: 0.5}", "?"),
    "orthologs in one column": (ORTHOLOGS, "orthologs: {file: a.csv, cells: gene, model: gene}", "?"),
    "genes of the cells without orthologs": ("output_genes: model", "output_genes: cells", "?"),
    "an output that is no .h5ad": (OUTPUT, "output: new.csv", "?"),
    "no output": (OUTPUT, "", "?"),
    "a device that there isn't": ("compute: {device: cpu}", "compute: {device: tpu}", "?"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "instead", "message"), LINES.values(), ids=LINES)
def test_a_request_with_a_mistake(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("generate.yaml", line, instead)
    refused("validate", "generate.yaml", says=message)


AT_WORK: dict[str, tuple[str, str, str]] = {
    "a structure for a model without": ("structures: {}", "structures: {X: CCO}", "?"),
    "start cells that aren't there": (START, "start: {path: none.h5ad, keep: 0.5}", "?"),
    "start cells without the column": (START, "start: {path: cells.h5ad, keep: 0.5, where: {tissue: liver}}", "?"),
    "start cells without the value": (START, "start: {path: cells.h5ad, keep: 0.5, where: {donor: donor_9}}", "?"),
    "start cells without the layer": (START, "start: {path: cells.h5ad, keep: 0.5, layer: raw}", "?"),
    "start cells that are a model": (START, "start: {path: model/weights.safetensors, keep: 0.5}", "?"),
    "orthologs that aren't there": (ORTHOLOGS, "orthologs: {file: none.csv, cells: a, model: b}", "?"),
    "orthologs without the column": (ORTHOLOGS, "orthologs: {file: program.gmt, cells: a, model: b}", "?"),
    "a model that isn't there": ("model: model", "model: none", "?"),
    "an output below a file": (OUTPUT, "output: program.gmt/new.h5ad", "?"),
    "a GPU that isn't there": ("compute: {device: cpu}", "compute: {device: cuda}", "?"),
}


@pytest.mark.parametrize(("line", "instead", "message"), AT_WORK.values(), ids=AT_WORK)
def test_a_request_that_cannot_be_done(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("generate.yaml", line, instead)
    refused("generate", "generate.yaml", says=message)


OPTIONS: dict[str, tuple[str, str]] = {
    "no output": ("generate model", "?"),
    "an output that is no .h5ad": ("generate model -o new.csv", "?"),
    "a context without value": ("generate model -o new.h5ad --context cell_type", "?"),
    "an unknown context": ("generate model -o new.h5ad --context cell_type=type_9", "?"),
    "an unknown gene": ("generate model -o new.h5ad --perturbation REG44", "?"),
    "a schedule that there isn't": ("generate model -o new.h5ad --schedule linear", "?"),
    "a choice of start cells without any": ("generate model -o new.h5ad --where donor=donor_1", "?"),
    "start cells without a share": ("generate model -o new.h5ad --from cells.h5ad", "?"),
    "white space in a SMILES": ("generate model -o new.h5ad --smiles X=C=C --perturbation X", "?"),
    "a file of another kind": ("generate screen.yaml -o new.h5ad", "?"),
    "adapt to nothing new": ("adapt model cells.h5ad -o adapted --where perturbation=control", "?"),
    "adapt to cells that aren't there": ("adapt model none.h5ad -o adapted", "?"),
    "adapt by a column that isn't there": ("adapt model cells.h5ad -o adapted --factor donor=patient", "?"),
    "adapt by a factor that isn't there": ("adapt model cells.h5ad -o adapted --factor tissue=donor", "?"),
    "adapt into the model": ("adapt model cells.h5ad -o model --where perturbation=control", "?"),
    "embed cells that aren't there": ("embed none.h5ad model -o new.h5ad", "?"),
    "embed with cells for a model": ("embed cells.h5ad cells.h5ad -o new.h5ad", "?"),
    "embed a layer that isn't there": ("embed cells.h5ad model -o new.h5ad --layer raw", "?"),
    "embed by hidden states without a transformer": ("embed cells.h5ad model -o new.h5ad --kind hidden", "?"),
    "embed into the cells": ("embed cells.h5ad model -o cells.h5ad", "?"),
    "embed with orthologs without columns": ("embed cells.h5ad model -o new.h5ad --orthologs a.csv", "?"),
    "a card of no model": ("card none --data cells.h5ad", "?"),
    "a card of no cells": ("card model --data none.h5ad", "?"),
    "a card by a column that isn't there": ("card model --data cells.h5ad --column donor=patient", "?"),
    "a card of no evaluation": ("card model --evaluation none", "?"),
    "describe nothing": ("describe results/none", "?"),
    "describe a word": ("describe hughe", "?"),
    "describe cells": ("describe cells.h5ad", "?"),
    "the genes of a checkpoint": ("describe model --genes 10", "?"),
    "hits of nothing": ("hits none", "?"),
    "hits of a model": ("hits model", "?"),
    "hits of a file": ("hits program.gmt", "?"),
    "simulate into a file": ("simulate program.gmt", "?"),
    "simulate with a negative seed": ("simulate sim --seed -1", "?"),
    "a doctor of nothing": ("doctor none.yaml", "?"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "message"), OPTIONS.values(), ids=OPTIONS)
@pytest.mark.usefixtures("desk")
def test_a_command_that_cannot_be_done(refused: Refused, line: str, message: str) -> None:
    refused(*line.split(), says=message)
