"""Screens with a mistake: what stands in place of a line of screen.yaml, and what is said of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]

MODEL, CONTEXTS, ESTIMATOR = (
    "model: model",
    "contexts: {cell_type: all_seen}",
    "estimator: {shards: 16, depth_strata: 4, steps: 3}",
)
GENETIC, DRUG = "  genetic: all_seen", "  drug: all_seen"
GENE_SET = "  gene_set: {file: program.gmt, name: SIMULATED_PROGRAM, direction: down}"
KIND, COMPUTE, BUDGET, OUTPUT = (
    "  kind: signature",
    "compute: {backend: in_process}",
    "budget: {conditions: 1000}",
    "output: out",
)
DATA = "data: {path: cells.h5ad, columns: {perturbation: perturbation, cell_type: cell_type}}"

LINES: dict[str, tuple[str, str, str]] = {
    "a factor that no context names": (
        "seed: 0",
        "across: {factor: donor}",
        "screen.yaml:14: across.factor: nothing can be compared: no context of the screen names a factor 'donor', they"
        " name cell_type; name it in `contexts`, as in `donor: all_seen`, or name another factor here",
    ),
    "patients without donors": (
        "seed: 0",
        "across: {factor: cell_type, modes: [patient]}",
        "screen.yaml:14: across: the mode patient needs two donors or more: no context of the screen names a factor"
        " 'donor', they name cell_type; name it in `contexts`, as in `donor: all_seen`, or name another factor here",
    ),
    "an unknown mode across contexts": (
        "seed: 0",
        "across: {modes: [all]}",
        "screen.yaml:14: across.modes[0]: must be 'pan', 'selective' or 'patient', not the text 'all'",
    ),
    "a misspelt key": ("seed: 0", "sead: 0", "screen.yaml:14: sead: unknown key 'sead'; nearest: seed"),
    "a key of another kind": (
        "seed: 0",
        "training: {epochs: 3}",
        "screen.yaml:14: training: unknown key 'training'; known: kind, name, model, contexts, "
        "perturbations, objective, estimator, allocation, hits, evidence, safety, seed and 6 more",
    ),
    "no name": ("name: tiny", "", "screen.yaml:1: missing field 'name': Name of the campaign: letters, digits, . _ -"),
    "a name with a slash": (
        "name: tiny",
        "name: tiny/one",
        "screen.yaml:3: name: the text 'tiny/one' isn't allowed: Name of the campaign: letters, digits, . _ -",
    ),
    "a name that is a number": ("name: tiny", "name: 12", "screen.yaml:3: name: must be text, not 12"),
    "no model": (
        MODEL,
        "",
        "screen.yaml:1: missing field 'model': Folder of the checkpoint or the ensemble, or a list "
        "of checkpoints: local paths or s3:// URLs.",
    ),
    "an empty list of models": (MODEL, "model: []", "screen.yaml:4: model: must have at least 1 entry"),
    "a model twice": (MODEL, "model: [model, model]", "screen.yaml:4: model[1]: 'model' is listed twice"),
    "a model with fields": (
        MODEL,
        "model: {path: model}",
        "screen.yaml:4: model: must be the folder of a checkpoint or of an ensemble, or a list of "
        "checkpoints, not a mapping",
    ),
    "no context": (
        CONTEXTS,
        "contexts: []",
        "screen.yaml:5: contexts: is empty; list at least one context or write all_seen",
    ),
    "a word for contexts": (
        CONTEXTS,
        "contexts: all",
        "screen.yaml:5: contexts: must be all_seen, a list of contexts, a product of factors, or "
        "file: contexts.csv, not the text 'all'",
    ),
    "a misspelt factor": (
        CONTEXTS,
        "contexts: {cell_typ: all_seen}",
        "screen.yaml:5: contexts.cell_typ: unknown factor of a context 'cell_typ'; nearest: cell_type",
    ),
    "an unknown cell type": (
        CONTEXTS,
        "contexts: {cell_type: type_3}",
        "screen.yaml:5: contexts.cell_type: unknown cell_type 'type_3'; nearest: type_2, type_1",
    ),
    "all and one": (
        CONTEXTS,
        "contexts: {cell_type: [all_seen, type_1]}",
        "screen.yaml:5: contexts.cell_type: all_seen already means every value; leave the others out",
    ),
    "a cell type twice": (
        CONTEXTS,
        "contexts: {cell_type: [type_1, type_1]}",
        "screen.yaml:5: contexts.cell_type[1]: 'type_1' is listed twice",
    ),
    "a context as a number": (
        CONTEXTS,
        "contexts: {cell_type: 1.5}",
        "screen.yaml:5: contexts.cell_type: must be text, not 1.5",
    ),
    "a list of contexts that isn't there": (
        CONTEXTS,
        "contexts: {file: none.csv}",
        "screen.yaml:5: contexts.file: none.csv can't be read: No such file or directory; a relative "
        "path starts from the working directory",
    ),
    "an unknown gene": (
        GENETIC,
        "  genetic: [REG04, REG44]",
        "screen.yaml:7: perturbations.genetic[1]: unknown perturbation 'REG44'; nearest: REG04, "
        "REG10, REG09; the model has no features of genetic perturbations, so only seen ones can be "
        "asked; train it with `features:`",
    ),
    "a bare name": (
        GENETIC,
        "  genetic: REG04",
        "screen.yaml:7: perturbations.genetic: must be all_seen, all_described, a list of names, or "
        "file: names.txt, not the text 'REG04'",
    ),
    "a plus sign too many": (
        GENETIC,
        "  genetic: [REG04+]",
        "screen.yaml:7: perturbations.genetic[0]: 'REG04+' has an empty part; a combination is written A+B",
    ),
    "a combination with itself": (
        GENETIC,
        "  genetic: [REG04+REG04]",
        "screen.yaml:7: perturbations.genetic[0]: 'REG04+REG04' has a part twice; a combination "
        "joins different perturbations",
    ),
    "a list in a list": (
        GENETIC,
        "  genetic: [[REG04]]",
        "screen.yaml:7: perturbations.genetic[0]: must be text, not a list",
    ),
    "true": (
        GENETIC,
        "  genetic: true",
        "screen.yaml:7: perturbations.genetic: must be all_seen, all_described, a list of names, or "
        "file: names.txt, not true",
    ),
    "a drug under genetic": (
        GENETIC,
        "  genetic: [DRUG01]",
        "screen.yaml:7: perturbations.genetic[0]: 'DRUG01' is a drug perturbation in this model; "
        "list it under perturbations.drug",
    ),
    "a gene under drug": (
        DRUG,
        "  drug: [REG04]",
        "screen.yaml:8: perturbations.drug[0]: 'REG04' is a genetic perturbation in this model; list "
        "it under perturbations.genetic",
    ),
    "nothing at all": (
        f"{GENETIC}\n{DRUG}",
        "  genetic: []",
        "screen.yaml:6: perturbations: selects nothing to screen; write genetic: all_seen, or name perturbations",
    ),
    "described where nothing is": (
        f"{GENETIC}\n{DRUG}",
        "  genetic: all_described",
        "screen.yaml:6: perturbations: the grid is empty, no perturbations are left: "
        "perturbations.genetic: the model has no features of genetic perturbations, so only seen "
        "ones can be asked; train it with `features:`; name others or train on other cells",
    ),
    "a type that was never seen": (
        f"{GENETIC}\n{DRUG}",
        "  cytokine: all_seen",
        "screen.yaml:6: perturbations: the grid is empty, no perturbations are left: "
        "perturbations.cytokine: the model has seen no cytokine perturbation; name others or train "
        "on other cells",
    ),
    "an unknown type": (
        DRUG,
        "  drugs: all_seen",
        "screen.yaml:8: perturbations.drugs: unknown key 'drugs'; nearest: drug",
    ),
    "a negative dose": (
        DRUG,
        "  drug: [{name: DRUG01, doses: [-1]}]",
        "screen.yaml:8: perturbations.drug[0].doses[0]: must be greater than 0, not -1",
    ),
    "a dose with its unit": (
        DRUG,
        "  drug: [{name: DRUG01, doses: [1 uM]}]",
        "screen.yaml:8: perturbations.drug[0].doses[0]: must be a number, not the text '1 uM'",
    ),
    "no dose": (
        DRUG,
        "  drug: [{name: DRUG01, doses: []}]",
        "screen.yaml:8: perturbations.drug[0].doses: must have at least 1 entry",
    ),
    "a misspelt field of a drug": (
        DRUG,
        "  drug: [{name: DRUG01, dose: 1}]",
        "screen.yaml:8: perturbations.drug[0].dose: unknown key 'dose'; nearest: doses",
    ),
    "a drug without a name": (
        DRUG,
        "  drug: [{doses: [1]}]",
        "screen.yaml:8: perturbations.drug[0]: missing field 'name': Name of the perturbation, or "
        "A+B; all parts get the dose.",
    ),
    "a dose for a gene": (
        GENETIC,
        "  genetic: [{name: REG04, doses: [1]}]",
        "screen.yaml:7: perturbations.genetic[0]: must be text, not a mapping",
    ),
    "white space in a SMILES": (
        DRUG,
        "  drug: [{name: DRUG09, smiles: C C}]",
        "screen.yaml:8: perturbations.drug[0].smiles: must be a SMILES without white space, not 'C C'",
    ),
    "a structure for a model without": (
        DRUG,
        "  drug: [{name: DRUG09, smiles: CCO}]",
        "screen.yaml:8: perturbations.drug[0].smiles: a drug is given by structure (DRUG09), and the "
        "model can't read structures; train it with `features:` of `smiles`, or screen drugs that it "
        "knows",
    ),
    "no SMILES": (
        DRUG,
        "  drug: [{name: DRUG09, smiles: C1CC}]",
        "screen.yaml:8: perturbations.drug[0].smiles: a drug is given by structure (DRUG09), and the "
        "model can't read structures; train it with `features:` of `smiles`, or screen drugs that it "
        "knows",
    ),
    "the structure of two drugs": (
        DRUG,
        "  drug: [{name: DRUG01+DRUG02, smiles: CCO}]",
        "screen.yaml:8: perturbations.drug[0].smiles: is the structure of one drug; list each by "
        "itself with its `smiles`, and A+B without",
    ),
    "a library that isn't there": (
        DRUG,
        "  drug: {file: none.tsv, name: drug}",
        "screen.yaml:8: perturbations.drug.file: none.tsv can't be read: No such file or directory; "
        "a relative path starts from the working directory",
    ),
    "an unknown objective": (
        KIND,
        "  kind: sigature",
        "screen.yaml:10: objective.kind: unknown kind 'sigature'; nearest: signature",
    ),
    "an objective without kind": (
        KIND,
        "",
        "screen.yaml:9: objective: missing field 'kind'; one of signature, target_state, markers, population, "
        "connectivity, plugin",
    ),
    "two sources of genes": (
        GENE_SET,
        f"{GENE_SET}\n  up: [REG01]",
        "screen.yaml:9: objective: needs exactly one source of genes and has 2: `up`/`down`, `gene_set` or `reference`",
    ),
    "no source of genes": (
        GENE_SET,
        "",
        "screen.yaml:9: objective: needs exactly one source of genes and has 0: `up`/`down`, `gene_set` or `reference`",
    ),
    "an unknown direction": (
        GENE_SET,
        "  gene_set: {file: program.gmt, name: SIMULATED_PROGRAM, direction: sideways}",
        "screen.yaml:11: objective.gene_set.direction: must be 'up' or 'down', not the text 'sideways'",
    ),
    "an unknown gene set": (
        GENE_SET,
        "  gene_set: {file: program.gmt, name: SIMULATED_PROGRAMME, direction: up}",
        "screen.yaml:11: objective.gene_set.name: unknown gene set 'SIMULATED_PROGRAMME' in "
        "program.gmt; nearest: SIMULATED_PROGRAM",
    ),
    "a gene-set file that isn't there": (
        GENE_SET,
        "  gene_set: {file: none.gmt, name: A, direction: up}",
        "screen.yaml:11: objective.gene_set.file: none.gmt can't be read: No such file or directory; "
        "a relative path starts from the working directory",
    ),
    "an unknown gene of a signature": (
        GENE_SET,
        "  up: [REG01, REGO2]",
        "screen.yaml:11: objective.up[1]: unknown gene 'REGO2'; nearest: REG02, REG10, REG09",
    ),
    "a gene both ways": (
        GENE_SET,
        "  up: [REG01, REG02]\n  down: [REG02]",
        "screen.yaml:12: objective.down[0]: gene 'REG02' is under `up` too; it can't go both ways",
    ),
    "a reference to the same cells": (
        GENE_SET,
        f"  reference:\n    mode: mimic\n    {DATA}\n    from: {{cell_type: type_1}}\n    to: {{cell_type: type_1}}",
        "screen.yaml:15: objective.reference.to: `from` and `to` are the same cells; their difference is nothing",
    ),
    "a reference by a column without a name": (
        GENE_SET,
        f"  reference:\n    mode: mimic\n    {DATA}\n    from: {{state: a}}\n    to: {{cell_type: type_1}}",
        "screen.yaml:14: objective.reference.from.state: column 'state' isn't named in data.columns; "
        "named: perturbation, cell_type",
    ),
    "a reference without its mode": (
        GENE_SET,
        f"  reference:\n    {DATA}\n    from: {{cell_type: a}}\n    to: {{cell_type: b}}",
        "screen.yaml:11: objective.reference: missing field 'mode': mimic: look for the same change; "
        "reverse: for its opposite.",
    ),
    "three shards": (
        ESTIMATOR,
        "estimator: {shards: 3}",
        "screen.yaml:13: estimator.shards: must be greater than or equal to 8, not 3",
    ),
    "shards in words": (
        ESTIMATOR,
        "estimator: {shards: many}",
        "screen.yaml:13: estimator.shards: must be a whole number, not the text 'many'",
    ),
    "half a shard": (
        ESTIMATOR,
        "estimator: {shards: 8.5}",
        "screen.yaml:13: estimator.shards: must be a whole number, not 8.5",
    ),
    "no steps": (
        ESTIMATOR,
        "estimator: {steps: 0}",
        "screen.yaml:13: estimator.steps: must be greater than or equal to 1, not 0",
    ),
    "negative guidance": (
        ESTIMATOR,
        "estimator: {guidance: -1}",
        "screen.yaml:13: estimator.guidance: must be greater than or equal to 0, not -1",
    ),
    "an unknown schedule": (
        ESTIMATOR,
        "estimator: {schedule: linear}",
        "screen.yaml:13: estimator.schedule: must be 'geometric', 'uniform' or 'cosine', not the text 'linear'",
    ),
    "an unknown estimator": (
        ESTIMATOR,
        "estimator: {kind: sample}",
        "screen.yaml:13: estimator.kind: must be 'variance_reduced' or 'sampled', not the text 'sample'",
    ),
    "no strata": (
        ESTIMATOR,
        "estimator: {depth_strata: 0}",
        "screen.yaml:13: estimator.depth_strata: must be greater than or equal to 1, not 0",
    ),
    "cells of expectations": (
        ESTIMATOR,
        "estimator: {store_cells: true}",
        "screen.yaml:13: estimator.store_cells: variance_reduced draws no cells that could be kept; use kind: sampled",
    ),
    "yes for true": (
        ESTIMATOR,
        "estimator: {kind: sampled, store_cells: yes}",
        "screen.yaml:13: estimator.store_cells: must be true or false, not the text 'yes'",
    ),
    "the published sampler of another kind": (
        ESTIMATOR,
        "estimator: {sampler: paper, kind: variance_reduced}",
        "screen.yaml:13: estimator.kind: the published sampler has kind: sampled; leave `sampler: paper` or this out",
    ),
    "the published guidance of two types": (
        ESTIMATOR,
        "estimator: {sampler: paper}",
        "screen.yaml:13: estimator.sampler: the published guidance is 2 for genetic, 3 for cytokine "
        "perturbations, and this screen has genetic and drug: set estimator.guidance, or screen the "
        "types one by one",
    ),
    "a list for a block": (
        ESTIMATOR,
        "estimator: [shards, 16]",
        "screen.yaml:13: estimator: must be a mapping (key: value lines), not a list",
    ),
    "a word for a block": (
        ESTIMATOR,
        "estimator: default",
        "screen.yaml:13: estimator: must be a mapping (key: value lines), not the text 'default'",
    ),
    "a negative seed": ("seed: 0", "seed: -1", "screen.yaml:14: seed: must be greater than or equal to 0, not -1"),
    "a seed with a fraction": ("seed: 0", "seed: 1.5", "screen.yaml:14: seed: must be a whole number, not 1.5"),
    "a seed too large": (
        "seed: 0",
        "seed: 9223372036854775808",
        "screen.yaml:14: seed: 9223372036854775808 is too large or no finite number; put it into "
        "quotes if it is a name",
    ),
    "a seed in words": (
        "seed: 0",
        "seed: random",
        "screen.yaml:14: seed: must be a whole number, not the text 'random'",
    ),
    "a budget that is too small": (
        BUDGET,
        "budget: {conditions: 5}",
        "screen.yaml:15: budget.conditions: the plan has 24 conditions (2 contexts x (11 "
        "perturbations + control)), 19 more than the budget of 5; screen less or raise the budget",
    ),
    "too few cells": (
        BUDGET,
        "budget: {cells: 10}",
        "screen.yaml:15: budget.cells: the plan has 1,536 cells (24 conditions x shards x "
        "depth_strata), 1,526 more than the budget of 10; screen less or raise the budget",
    ),
    "a budget of nothing": (
        BUDGET,
        "budget: {conditions: 0}",
        "screen.yaml:15: budget.conditions: must be greater than or equal to 1, not 0",
    ),
    "no output": (OUTPUT, "", "screen.yaml:1: missing field 'output': Folder of the results: local path or s3:// URL."),
    "an empty output": (
        OUTPUT,
        "output: ''",
        "screen.yaml:16: output: must have at least 1 character, not the text ''",
    ),
    "the model as output": (
        OUTPUT,
        "output: model/",
        "screen.yaml:16: output: is the model's folder; give the results one of their own",
    ),
    "a password in the output": (
        OUTPUT,
        "output: s3://key:hush@bucket/x",
        "screen.yaml:16: output: a user or a password can't stand in a URL; put the credentials in the environment",
    ),
    "a signature in the output": (
        OUTPUT,
        "output: s3://bucket/x?X-Amz-Signature=hush",
        "screen.yaml:16: output: a URL can't have a query string (?…), it may hold a signature or a "
        "token; leave it out and put the credentials in the environment",
    ),
    "an output of 5,000 characters": (
        OUTPUT,
        "output: " + "x" * 5000,
        "screen.yaml:16: output: must have at most 4096 characters, not a text of 5000 characters",
    ),
    "two replicas in one process": (
        COMPUTE,
        "compute: {backend: in_process, replicas: 2}",
        "screen.yaml:17: compute.replicas: `backend: in_process` has one replica; use ray for more",
    ),
    "a GPU and a half": (
        COMPUTE,
        "compute: {gpus_per_replica: 1.5}",
        "screen.yaml:17: compute.gpus_per_replica: more than one GPU has to be a whole number of them",
    ),
    "an unknown backend": (
        COMPUTE,
        "compute: {backend: dask}",
        "screen.yaml:17: compute.backend: must be 'ray' or 'in_process', not the text 'dask'",
    ),
    "no backend": (COMPUTE, "compute: null", "screen.yaml:17: compute: must be a mapping (key: value lines), not null"),
    "an address without Ray": (
        COMPUTE,
        "compute: {backend: in_process, address: auto}",
        "screen.yaml:17: compute.address: is the address of a Ray cluster, and `backend` is in_process",
    ),
    "leases of no time": (
        COMPUTE,
        "compute: {lease_seconds: 0}",
        "screen.yaml:17: compute.lease_seconds: must be greater than 0, not 0",
    ),
    "replicas without number": (
        COMPUTE,
        "compute: {replicas: 0}",
        "screen.yaml:17: compute.replicas: must be greater than or equal to 1, not 0",
    ),
}


@pytest.mark.parametrize(("line", "instead", "message"), LINES.values(), ids=LINES)
def test_a_screen_with_a_mistake(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("screen.yaml", line, instead)
    refused("validate", "screen.yaml", says=message)


BLOCKS: dict[str, tuple[str, str]] = {
    "markers without direction": (
        "kind: markers\n  genes: [REG01]",
        "screen.yaml:11: objective.genes: a list of genes needs `direction: up` or `direction: down`",
    ),
    "markers with two directions": (
        "kind: markers\n  genes: {REG01: up}\n  direction: up",
        "screen.yaml:12: objective.direction: every gene has its own direction already; leave this out",
    ),
    "no marker": ("kind: markers\n  genes: {}", "screen.yaml:11: objective.genes: must have at least 1 entry"),
    "markers that go sideways": (
        "kind: markers\n  genes: {REG01: left}",
        "screen.yaml:11: objective.genes.REG01: must be 'up' or 'down', not the text 'left'",
    ),
    "unknown markers": (
        "kind: markers\n  genes: {REG91: up, REG92: down}",
        "screen.yaml:11: objective.genes.REG91: unknown gene 'REG91'; nearest: REG10, REG09, REG01\n"
        "screen.yaml:11: objective.genes.REG92: unknown gene 'REG92'; nearest: REG09, REG02, REG10",
    ),
    "a state without cells": (
        "kind: target_state\n  group: {cell_type: type_1}",
        "screen.yaml:9: objective: missing field 'data': The real cells.",
    ),
    "a state of every cell": (
        f"kind: target_state\n  {DATA}\n  group: {{}}",
        "screen.yaml:12: objective.group: matches every cell; name at least one `column: value`",
    ),
    "a state by a column without a name": (
        f"kind: target_state\n  {DATA}\n  group: {{donor: donor_1}}",
        "screen.yaml:12: objective.group.donor: column 'donor' isn't named in data.columns; named: "
        "perturbation, cell_type",
    ),
    "a population without drawn cells": (
        f"kind: population\n  measure: e_distance\n  {DATA}\n  group: {{cell_type: type_1}}",
        "screen.yaml:10: objective.kind: a population is measured on drawn cells, and variance_reduced draws none; set "
        "`estimator: {kind: sampled}`",
    ),
    "a population that is its own start": (
        f"kind: population\n  measure: e_distance\n  {DATA}\n  group: {{cell_type: type_1}}\n"
        "  against: {cell_type: type_1}",
        "screen.yaml:14: objective.against: `group` and `against` are the same cells; nothing lies between them",
    ),
    "an unknown gene of a query": (
        "kind: connectivity\n  up: [REG01, REG02, REG91]",
        "screen.yaml:11: objective.up[2]: unknown gene 'REG91'; nearest: REG10, REG09, REG01",
    ),
    "nothing": (
        "kind: signature\n  up: []",
        "screen.yaml:9: objective: needs exactly one source of genes and has 0: `up`/`down`, `gene_set` or `reference`",
    ),
    "a list": ("- kind: signature", "screen.yaml:9: objective: must be a mapping (key: value lines), not a list"),
}


@pytest.mark.parametrize(("block", "message"), BLOCKS.values(), ids=BLOCKS)
def test_an_objective_with_a_mistake(desk: Path, refused: Refused, block: str, message: str) -> None:
    text = (desk / "screen.yaml").read_text()
    before, rest = text.split("objective:\n")
    (desk / "screen.yaml").write_text(f"{before}objective:\n  {block}\n{rest[rest.index('estimator:') :]}")
    refused("validate", "screen.yaml", says=message)


FROM_CELLS: dict[str, tuple[str, str]] = {
    "a group that isn't there": (
        f"{DATA}\n  group: {{cell_type: type_9}}",
        "cells.h5ad: no cell has cell_type 'type_9'; there are: type_1, type_2",
    ),
    "cells that aren't there": (
        f"{DATA.replace('cells', 'none')}\n  group: {{cell_type: type_1}}",
        "none.h5ad: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
    "a column that isn't there": (
        f"{DATA.replace(': cell_type', ': type')}\n  group: {{cell_type: type_1}}",
        "cells.h5ad: obs has no column 'type' (data.columns.cell_type); columns are: perturbation, "
        "perturbation_type, method, cell_type, donor, batch, dose",
    ),
}


@pytest.mark.parametrize(("block", "message"), FROM_CELLS.values(), ids=FROM_CELLS)
def test_an_objective_that_the_cells_do_not_carry(desk: Path, refused: Refused, block: str, message: str) -> None:
    text = (desk / "screen.yaml").read_text()
    before, rest = text.split("objective:\n")
    objective = f"objective:\n  kind: target_state\n  {block}\n"
    (desk / "screen.yaml").write_text(f"{before}{objective}{rest[rest.index('estimator:') :]}")
    refused("plan", "screen.yaml", says=message)


POPULATIONS: dict[str, tuple[str, str]] = {
    "a population that isn't there": (
        "group: {perturbation: REG44}",
        "cells.h5ad: no cell has perturbation 'REG44'; there are: [...]",
    ),
    "a population of too few cells": (
        "group: {perturbation: REG10}",
        "cells.h5ad: a group has 16 cells; at least 20 are needed",
    ),
    "a population that its start is in": (
        "group: {cell_type: type_1}",
        "cells.h5ad: a cell is in `group` and in what it is held against; make them disjoint",
    ),
    "a population that a context is": (
        "group: {cell_type: type_1, perturbation: control}",
        "objective: cell_type=type_1 is the reference already; leave it out of `contexts`",
    ),
}


@pytest.mark.parametrize(("group", "message"), POPULATIONS.values(), ids=POPULATIONS)
def test_a_population_that_the_cells_do_not_carry(desk: Path, refused: Refused, group: str, message: str) -> None:
    before, rest = (desk / "screen.yaml").read_text().split("objective:\n")
    rest = rest[rest.index("estimator:") :].replace("{shards:", "{kind: sampled, shards:")
    objective = f"objective:\n  kind: population\n  measure: state_share\n  {DATA}\n  {group}\n"
    (desk / "screen.yaml").write_text(f"{before}{objective}{rest}")
    refused("plan", "screen.yaml", says=message)


def test_a_perturbation_in_a_list_has_the_line_of_the_list(desk: Path, edited: Edited, refused: Refused) -> None:
    (desk / "names.txt").write_text("# targets\nREG04\n\nREG44\n")
    edited("screen.yaml", GENETIC, "  genetic: {file: names.txt}")
    refused(
        "plan",
        "screen.yaml",
        says="names.txt:4: unknown perturbation 'REG44'; nearest: REG04, REG10, REG09; the model has "
        "no features of genetic perturbations, so only seen ones can be asked; train it with "
        "`features:`",
    )


LISTS: dict[str, tuple[str, bytes, str, str]] = {
    "contexts with an unknown factor": (
        CONTEXTS,
        b"cell_typ\ntype_1\n",
        "contexts: {file: list}",
        "list:2: unknown factor of a context 'cell_typ'; nearest: cell_type",
    ),
    "contexts with an unknown value": (
        CONTEXTS,
        b"cell_type\ntype_1\ntype_7\n",
        "contexts: {file: list}",
        "list:3: unknown cell_type 'type_7'; nearest: type_2, type_1",
    ),
    "contexts with a cell too many": (
        CONTEXTS,
        b"cell_type\ntype_1,donor_1\n",
        "contexts: {file: list}",
        "list:2: has more cells than the header's 1",
    ),
    "no contexts": (
        CONTEXTS,
        b"cell_type\n",
        "contexts: {file: list}",
        "screen.yaml:5: contexts: the grid is empty, no contexts are left: nothing is selected; name "
        "others or train on other cells",
    ),
    "names in Latin-1": (GENETIC, b"REG04\nREG\xb5\n", "  genetic: {file: list}", "list:2: isn't UTF-8 text"),
    "names of nothing": (
        GENETIC,
        b"\n# nothing\n",
        "  genetic: {file: list}",
        "screen.yaml:7: perturbations.genetic.file: list lists nothing; give it a name on every "
        "line, or leave genetic out",
    ),
    "names that are damaged gzip": (
        GENETIC,
        b"\x1f\x8b\x08\x00broken",
        "  genetic: {file: list}",
        "screen.yaml:7: perturbations.genetic.file: list is damaged gzip: [...]",
    ),
    "a library without the column": (
        DRUG,
        b"name\tsmiles\nDRUG01\tCCO\n",
        "  drug: {file: list, name: drug}",
        "screen.yaml:8: perturbations.drug.name: list has no column 'drug'; known: name, smiles",
    ),
    "a library with an unknown drug": (
        DRUG,
        b"name\nDRUG01\nDRUG77\n",
        "  drug: {file: list, name: name}",
        "list:3: unknown perturbation 'DRUG77'; nearest: DRUG02, DRUG01; the model has no features "
        "of drug perturbations, so only seen ones can be asked; train it with `features:`",
    ),
    "a library with a wrong SMILES": (
        DRUG,
        b"name\tsmiles\nDRUG77\tC1CC\n",
        "  drug: {file: list, name: name, smiles: smiles}",
        "list:2: a drug is given by structure (DRUG77), and the model can't read structures; train "
        "it with `features:` of `smiles`, or screen drugs that it knows",
    ),
    "a column of structures alone": (
        DRUG,
        b"smiles\nCCO\n",
        "  drug: {file: list, smiles: smiles}",
        "screen.yaml:8: perturbations.drug.smiles: is a column of a table; say which one has the names, too: `name: …`",
    ),
    "a gene set without genes": (
        GENE_SET,
        b"A\tabout\n",
        "  gene_set: {file: list, name: A, direction: up}",
        "screen.yaml:11: objective.gene_set.file: list:1: isn't a GMT line: name, description and "
        "genes, separated by tabs",
    ),
    "a gene set twice": (
        GENE_SET,
        b"A\tx\tREG01\nA\tx\tREG02\n",
        "  gene_set: {file: list, name: A, direction: up}",
        "screen.yaml:11: objective.gene_set.file: list:2: gene set 'A' appears twice, first on line 1",
    ),
    "a gene set of another species": (
        GENE_SET,
        b"A\tx\tReg01\tReg02\n",
        "  gene_set: {file: list, name: A, direction: up}",
        "screen.yaml:11: objective.gene_set.name: list:1: none of the 2 genes of 'A' is among the "
        "model's 40; 2 would be if upper and lower case were the same: is the set for another "
        "species?",
    ),
    "a gene set of other names": (
        GENE_SET,
        b"A\tx\tENSG01\n",
        "  gene_set: {file: list, name: A, direction: up}",
        "screen.yaml:11: objective.gene_set.name: list:1: none of the 1 genes of 'A' is among the "
        "model's 40; the set has 'ENSG01', the model 'GENE01': use the same kind of names",
    ),
    "a gene set that is no text": (
        GENE_SET,
        b"\x89PNG\xff\xfe",
        "  gene_set: {file: list, name: A, direction: up}",
        "screen.yaml:11: objective.gene_set.file: list: isn't UTF-8 text; give a .gmt or .gmt.gz file",
    ),
    "an empty gene-set file": (
        GENE_SET,
        b"",
        "  gene_set: {file: list, name: A, direction: up}",
        "screen.yaml:11: objective.gene_set.name: unknown gene set 'A' in list; none is known",
    ),
}


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
    refused(
        command,
        "screen.yaml",
        says="screen.yaml:7: perturbations.genetic[1]: unknown perturbation 'REG44'; nearest: REG04, "
        "REG10, REG09; the model has no features of genetic perturbations, so only seen ones can "
        "be asked; train it with `features:`",
    )
