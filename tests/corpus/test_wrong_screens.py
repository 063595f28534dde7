"""Screens with a mistake: what stands in place of a line of screen.yaml, and what is said of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

MODEL, CONTEXTS, ESTIMATOR = "model: model", "contexts: {cell_type: all_seen}", "estimator: {shards: 16, depth_strata: 4, steps: 3}"
GENETIC, DRUG = "  genetic: all_seen", "  drug: all_seen"
GENE_SET = "  gene_set: {file: program.gmt, name: SIMULATED_PROGRAM, direction: down}"
KIND, COMPUTE, BUDGET, OUTPUT = "  kind: signature", "compute: {backend: in_process}", "budget: {conditions: 1000}", "output: out"
DATA = "data: {path: cells.h5ad, columns: {perturbation: perturbation, cell_type: cell_type}}"

LINES: dict[str, tuple[str, str, str]] = {
    "a misspelt key": ("seed: 0", "sead: 0", "?"),
    "a key of another kind": ("seed: 0", "training: {epochs: 3}", "?"),
    "no name": ("name: tiny", "", "?"),
    "a name with a slash": ("name: tiny", "name: tiny/one", "?"),
    "a name that is a number": ("name: tiny", "name: 12", "?"),
    "no model": (MODEL, "", "?"),
    "an empty list of models": (MODEL, "model: []", "?"),
    "a model twice": (MODEL, "model: [model, model]", "?"),
    "a model with fields": (MODEL, "model: {path: model}", "?"),
    "no context": (CONTEXTS, "contexts: []", "?"),
    "a word for contexts": (CONTEXTS, "contexts: all", "?"),
    "a misspelt factor": (CONTEXTS, "contexts: {cell_typ: all_seen}", "?"),
    "an unknown cell type": (CONTEXTS, "contexts: {cell_type: type_3}", "?"),
    "all and one": (CONTEXTS, "contexts: {cell_type: [all_seen, type_1]}", "?"),
    "a cell type twice": (CONTEXTS, "contexts: {cell_type: [type_1, type_1]}", "?"),
    "a context as a number": (CONTEXTS, "contexts: {cell_type: 1.5}", "?"),
    "a list of contexts that isn't there": (CONTEXTS, "contexts: {file: none.csv}", "?"),
    "an unknown gene": (GENETIC, "  genetic: [REG04, REG44]", "?"),
    "a bare name": (GENETIC, "  genetic: REG04", "?"),
    "a plus sign too many": (GENETIC, "  genetic: [REG04+]", "?"),
    "a combination with itself": (GENETIC, "  genetic: [REG04+REG04]", "?"),
    "a list in a list": (GENETIC, "  genetic: [[REG04]]", "?"),
    "true": (GENETIC, "  genetic: true", "?"),
    "a drug under genetic": (GENETIC, "  genetic: [DRUG01]", "?"),
    "a gene under drug": (DRUG, "  drug: [REG04]", "?"),
    "nothing at all": (f"{GENETIC}\n{DRUG}", "  genetic: []", "?"),
    "described where nothing is": (f"{GENETIC}\n{DRUG}", "  genetic: all_described", "?"),
    "a type that was never seen": (f"{GENETIC}\n{DRUG}", "  cytokine: all_seen", "?"),
    "an unknown type": (DRUG, "  drugs: all_seen", "?"),
    "a negative dose": (DRUG, "  drug: [{name: DRUG01, doses: [-1]}]", "?"),
    "a dose with its unit": (DRUG, "  drug: [{name: DRUG01, doses: [1 uM]}]", "?"),
    "no dose": (DRUG, "  drug: [{name: DRUG01, doses: []}]", "?"),
    "a misspelt field of a drug": (DRUG, "  drug: [{name: DRUG01, dose: 1}]", "?"),
    "a drug without a name": (DRUG, "  drug: [{doses: [1]}]", "?"),
    "a dose for a gene": (GENETIC, "  genetic: [{name: REG04, doses: [1]}]", "?"),
    "white space in a SMILES": (DRUG, "  drug: [{name: DRUG09, smiles: C C}]", "?"),
    "a structure for a model without": (DRUG, "  drug: [{name: DRUG09, smiles: CCO}]", "?"),
    "no SMILES": (DRUG, "  drug: [{name: DRUG09, smiles: C1CC}]", "?"),
    "the structure of two drugs": (DRUG, "  drug: [{name: DRUG01+DRUG02, smiles: CCO}]", "?"),
    "a library that isn't there": (DRUG, "  drug: {file: none.tsv, name: drug}", "?"),
    "an unknown objective": (KIND, "  kind: sigature", "?"),
    "an objective without kind": (KIND, "", "?"),
    "two sources of genes": (GENE_SET, f"{GENE_SET}\n  up: [REG01]", "?"),
    "no source of genes": (GENE_SET, "", "?"),
    "an unknown direction": (GENE_SET, "  gene_set: {file: program.gmt, name: SIMULATED_PROGRAM, direction: sideways}", "?"),
    "an unknown gene set": (GENE_SET, "  gene_set: {file: program.gmt, name: SIMULATED_PROGRAMME, direction: up}", "?"),
    "a gene-set file that isn't there": (GENE_SET, "  gene_set: {file: none.gmt, name: A, direction: up}", "?"),
    "an unknown gene of a signature": (GENE_SET, "  up: [REG01, REGO2]", "?"),
    "a gene both ways": (GENE_SET, "  up: [REG01, REG02]\n  down: [REG02]", "?"),
    "a reference to the same cells": (
        GENE_SET,
        f"  reference:\n    mode: mimic\n    {DATA}\n    from: {{cell_type: type_1}}\n    to: {{cell_type: type_1}}",
        "?",
    ),
    "a reference by a column without a name": (
        GENE_SET,
        f"  reference:\n    mode: mimic\n    {DATA}\n    from: {{state: a}}\n    to: {{cell_type: type_1}}",
        "?",
    ),
    "a reference without its mode": (GENE_SET, f"  reference:\n    {DATA}\n    from: {{cell_type: a}}\n    to: {{cell_type: b}}", "?"),
    "three shards": (ESTIMATOR, "estimator: {shards: 3}", "?"),
    "shards in words": (ESTIMATOR, "estimator: {shards: many}", "?"),
    "half a shard": (ESTIMATOR, "estimator: {shards: 8.5}", "?"),
    "no steps": (ESTIMATOR, "estimator: {steps: 0}", "?"),
    "negative guidance": (ESTIMATOR, "estimator: {guidance: -1}", "?"),
    "an unknown schedule": (ESTIMATOR, "estimator: {schedule: linear}", "?"),
    "an unknown estimator": (ESTIMATOR, "estimator: {kind: sample}", "?"),
    "no strata": (ESTIMATOR, "estimator: {depth_strata: 0}", "?"),
    "cells of expectations": (ESTIMATOR, "estimator: {store_cells: true}", "?"),
    "yes for true": (ESTIMATOR, "estimator: {kind: sampled, store_cells: yes}", "?"),
    "the published sampler of another kind": (ESTIMATOR, "estimator: {sampler: paper, kind: variance_reduced}", "?"),
    "the published guidance of two types": (ESTIMATOR, "estimator: {sampler: paper}", "?"),
    "a list for a block": (ESTIMATOR, "estimator: [shards, 16]", "?"),
    "a word for a block": (ESTIMATOR, "estimator: default", "?"),
    "a negative seed": ("seed: 0", "seed: -1", "?"),
    "a seed with a fraction": ("seed: 0", "seed: 1.5", "?"),
    "a seed too large": ("seed: 0", "seed: 9223372036854775808", "?"),
    "a seed in words": ("seed: 0", "seed: random", "?"),
    "a budget that is too small": (BUDGET, "budget: {conditions: 5}", "?"),
    "too few cells": (BUDGET, "budget: {cells: 10}", "?"),
    "a budget of nothing": (BUDGET, "budget: {conditions: 0}", "?"),
    "no output": (OUTPUT, "", "?"),
    "an empty output": (OUTPUT, "output: ''", "?"),
    "the model as output": (OUTPUT, "output: model/", "?"),
    "a password in the output": (OUTPUT, "output: s3://key:hush@bucket/x", "?"),
    "a signature in the output": (OUTPUT, "output: s3://bucket/x?X-Amz-Signature=hush", "?"),
    "an output of 5,000 characters": (OUTPUT, "output: " + "x" * 5000, "?"),
    "two replicas in one process": (COMPUTE, "compute: {backend: in_process, replicas: 2}", "?"),
    "a GPU and a half": (COMPUTE, "compute: {gpus_per_replica: 1.5}", "?"),
    "an unknown backend": (COMPUTE, "compute: {backend: dask}", "?"),
    "no backend": (COMPUTE, "compute: null", "?"),
    "an address without Ray": (COMPUTE, "compute: {backend: in_process, address: auto}", "?"),
    "leases of no time": (COMPUTE, "compute: {lease_seconds: 0}", "?"),
    "replicas without number": (COMPUTE, "compute: {replicas: 0}", "?"),
}


@pytest.mark.parametrize(("line", "instead", "message"), LINES.values(), ids=LINES)
def test_a_screen_with_a_mistake(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("screen.yaml", line, instead)
    refused("validate", "screen.yaml", says=message)


BLOCKS: dict[str, tuple[str, str]] = {
    "markers without direction": ("kind: markers\n  genes: [REG01]", "?"),
    "markers with two directions": ("kind: markers\n  genes: {REG01: up}\n  direction: up", "?"),
    "no marker": ("kind: markers\n  genes: {}", "?"),
    "markers that go sideways": ("kind: markers\n  genes: {REG01: left}", "?"),
    "unknown markers": ("kind: markers\n  genes: {REG91: up, REG92: down}", "?"),
    "a state without cells": ("kind: target_state\n  group: {cell_type: type_1}", "?"),
    "a state of every cell": (f"kind: target_state\n  {DATA}\n  group: {{}}", "?"),
    "a state by a column without a name": (f"kind: target_state\n  {DATA}\n  group: {{donor: donor_1}}", "?"),
    "nothing": ("kind: signature\n  up: []", "?"),
    "a list": ("- kind: signature", "?"),
}


@pytest.mark.parametrize(("block", "message"), BLOCKS.values(), ids=BLOCKS)
def test_an_objective_with_a_mistake(desk: Path, refused: Refused, block: str, message: str) -> None:
    text = (desk / "screen.yaml").read_text()
    before, rest = text.split("objective:\n")
    (desk / "screen.yaml").write_text(f"{before}objective:\n  {block}\n{rest[rest.index('estimator:') :]}")
    refused("validate", "screen.yaml", says=message)


FROM_CELLS: dict[str, tuple[str, str]] = {
    "a group that isn't there": (f"{DATA}\n  group: {{cell_type: type_9}}", "?"),
    "cells that aren't there": (f"{DATA.replace('cells', 'none')}\n  group: {{cell_type: type_1}}", "?"),
    "a column that isn't there": (f"{DATA.replace(': cell_type', ': type')}\n  group: {{cell_type: type_1}}", "?"),
}


@pytest.mark.parametrize(("block", "message"), FROM_CELLS.values(), ids=FROM_CELLS)
def test_an_objective_that_the_cells_do_not_carry(desk: Path, refused: Refused, block: str, message: str) -> None:
    text = (desk / "screen.yaml").read_text()
    before, rest = text.split("objective:\n")
    objective = f"objective:\n  kind: target_state\n  {block}\n"
    (desk / "screen.yaml").write_text(f"{before}{objective}{rest[rest.index('estimator:') :]}")
    refused("plan", "screen.yaml", says=message)


def test_a_perturbation_in_a_list_has_the_line_of_the_list(desk: Path, edited: Edited, refused: Refused) -> None:
    (desk / "names.txt").write_text("# targets\nREG04\n\nREG44\n")
    edited("screen.yaml", GENETIC, "  genetic: {file: names.txt}")
    refused("plan", "screen.yaml", says="?")


LISTS: dict[str, tuple[str, bytes, str, str]] = {
    "contexts with an unknown factor": (CONTEXTS, b"cell_typ\ntype_1\n", "contexts: {file: list}", "?"),
    "contexts with an unknown value": (CONTEXTS, b"cell_type\ntype_1\ntype_7\n", "contexts: {file: list}", "?"),
    "contexts with a cell too many": (CONTEXTS, b"cell_type\ntype_1,donor_1\n", "contexts: {file: list}", "?"),
    "no contexts": (CONTEXTS, b"cell_type\n", "contexts: {file: list}", "?"),
    "names in Latin-1": (GENETIC, b"REG04\nREG\xb5\n", "  genetic: {file: list}", "?"),
    "names of nothing": (GENETIC, b"\n# nothing\n", "  genetic: {file: list}", "?"),
    "names that are damaged gzip": (GENETIC, b"\x1f\x8b\x08\x00broken", "  genetic: {file: list}", "?"),
    "a library without the column": (DRUG, b"name\tsmiles\nDRUG01\tCCO\n", "  drug: {file: list, name: drug}", "?"),
    "a library with an unknown drug": (DRUG, b"name\nDRUG01\nDRUG77\n", "  drug: {file: list, name: name}", "?"),
    "a library with a wrong SMILES": (DRUG, b"name\tsmiles\nDRUG77\tC1CC\n", "  drug: {file: list, name: name, smiles: smiles}", "?"),
    "a column of structures alone": (DRUG, b"smiles\nCCO\n", "  drug: {file: list, smiles: smiles}", "?"),
    "a gene set without genes": (GENE_SET, b"A\tabout\n", "  gene_set: {file: list, name: A, direction: up}", "?"),
    "a gene set twice": (GENE_SET, b"A\tx\tREG01\nA\tx\tREG02\n", "  gene_set: {file: list, name: A, direction: up}", "?"),
    "a gene set of another species": (GENE_SET, b"A\tx\tReg01\tReg02\n", "  gene_set: {file: list, name: A, direction: up}", "?"),
    "a gene set of other names": (GENE_SET, b"A\tx\tENSG01\n", "  gene_set: {file: list, name: A, direction: up}", "?"),
    "a gene set that is no text": (GENE_SET, b"\x89PNG\xff\xfe", "  gene_set: {file: list, name: A, direction: up}", "?"),
    "an empty gene-set file": (GENE_SET, b"", "  gene_set: {file: list, name: A, direction: up}", "?"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "content", "instead", "message"), LISTS.values(), ids=LISTS)
def test_a_list_with_a_mistake(
    desk: Path, edited: Edited, refused: Refused, line: str, content: bytes, instead: str, message: str
) -> None:
    (desk / "list").write_bytes(content)
    edited("screen.yaml", line, instead)
    refused("validate", "screen.yaml", says=message)


@pytest.mark.parametrize("command", ["plan", "run", "status"])
def test_other_commands_say_the_same(edited: Edited, refused: Refused, command: str) -> None:
    edited("screen.yaml", GENETIC, "  genetic: [REG04, REG44]")
    refused(command, "screen.yaml", says="?")
