from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import Loaded, ScreenSpec, SpecError, load_screen
from campaigns.screen_spec import (
    DosedListingSpec,
    DosedSpec,
    DrugSpec,
    LibrarySpec,
    ListingSpec,
    MarkersSpec,
    SignatureSpec,
    TargetStateSpec,
)
from campaigns.source import Source, dump_spec
from campaigns.validation import validate
from campaigns.yaml_source import parse_yaml

Load = Callable[..., ScreenSpec]


@pytest.fixture
def load(write: Callable[..., Path], screen_text: str) -> Load:
    def load_changed(old: str = "", new: str = "") -> ScreenSpec:
        assert old in screen_text
        loaded: Loaded[ScreenSpec] = load_screen(write(screen_text.replace(old, new, 1)), {})
        return loaded.spec

    return load_changed


OBJECTIVE = "  kind: signature\n  down: [IRF1, GBP1]\n"
DATA = "data: {path: a.h5ad, columns: {perturbation: p, donor: d}}"
OUTPUT = "output: results/screen\n"


def test_defaults(load: Load) -> None:
    spec = load()
    assert (spec.estimator.kind, spec.estimator.steps, spec.estimator.shards) == ("variance_reduced", 6, 8)
    assert (spec.compute.backend, spec.compute.replicas, spec.compute.lease_seconds) == ("ray", 1, 30.0)
    assert spec.budget.conditions is None
    assert spec.objective.exclude_own_targets


@pytest.mark.parametrize(
    ("text", "contexts"),
    [
        ("all_seen", "all_seen"),
        ("[{donor: D1}, {donor: [D1, 2]}]", ({"donor": ("D1",)}, {"donor": ("D1", "2")})),
        ("{cell_type: all_seen, donor: [D1]}", {"cell_type": ("all_seen",), "donor": ("D1",)}),
        ("{file: contexts.csv}", ListingSpec(file="contexts.csv")),
    ],
)
def test_contexts_are_written_in_four_ways(load: Load, text: str, contexts: object) -> None:
    assert load("contexts: all_seen", f"contexts: {text}").contexts == contexts


@pytest.mark.parametrize(
    ("text", "drugs"),
    [
        ("all_seen", "all_seen"),
        ("all_described", "all_described"),
        ("[Drug_01, 5]", (DrugSpec(name="Drug_01"), DrugSpec(name="5"))),
        ("[{name: Drug_01, doses: [1, 0.5]}]", (DrugSpec(name="Drug_01", doses=(1.0, 0.5)),)),
        ("[{name: Drug_01, doses: all_seen}]", (DrugSpec(name="Drug_01"),)),
        ("[{name: NEW, smiles: CC#N}]", (DrugSpec(name="NEW", smiles="CC#N"),)),
        ("{file: drugs.txt}", LibrarySpec(file="drugs.txt")),
        (
            "{file: l.tsv, name: id, smiles: structure, doses: [1]}",
            LibrarySpec(file="l.tsv", name="id", smiles="structure", doses=(1.0,)),
        ),
    ],
)
def test_drugs_are_written_in_several_ways(load: Load, text: str, drugs: object) -> None:
    assert load("genetic: all_seen", f"drug: {text}").perturbations.drug == drugs


@pytest.mark.parametrize("type", ["cytokine", "environment"])
def test_cytokines_and_environments_are_written_like_drugs(load: Load, type: str) -> None:
    spec = load("genetic: all_seen", f"{type}: [hypoxia, {{name: IFNB1, doses: [1]}}]").perturbations
    assert getattr(spec, type) == (DosedSpec(name="hypoxia"), DosedSpec(name="IFNB1", doses=(1.0,)))
    listed = load("genetic: all_seen", f"{type}: {{file: names.txt, doses: [2]}}").perturbations
    assert getattr(listed, type) == DosedListingSpec(file="names.txt", doses=(2.0,))


def test_the_three_objectives(load: Load) -> None:
    reference = f"  kind: signature\n  reference: {{mode: reverse, {DATA}, from: {{donor: 1}}, to: {{donor: 2}}}}\n"
    signature = load(OBJECTIVE, reference).objective
    assert isinstance(signature, SignatureSpec)
    assert signature.reference is not None
    assert (signature.reference.start, signature.reference.to) == ({"donor": ("1",)}, {"donor": ("2",)})
    target = load(OBJECTIVE, f"  kind: target_state\n  {DATA}\n  group: {{perturbation: control}}\n").objective
    assert isinstance(target, TargetStateSpec)
    markers = load(OBJECTIVE, "  kind: markers\n  genes: {CD14: up, IRF1: down}\n").objective
    assert isinstance(markers, MarkersSpec)
    assert markers.directions == {"CD14": "up", "IRF1": "down"}
    listed = load(OBJECTIVE, "  kind: markers\n  genes: [CD14, IRF1]\n  direction: down\n").objective
    assert isinstance(listed, MarkersSpec)
    assert listed.directions == {"CD14": "down", "IRF1": "down"}


def test_specs_cannot_be_changed(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("model: results/model\n", "", 1, "missing field 'model': Folder of the checkpoint"),
        ("contexts: all_seen", "context: all_seen", 1, "missing field 'contexts'"),
        ("contexts: all_seen", "contexts: all", 4, "contexts: must be all_seen, a list of contexts, a product of"),
        ("contexts: all_seen", "contexts: []", 4, "contexts: is empty"),
        ("contexts: all_seen", "contexts: [3]", 4, "contexts[0]: must be a mapping"),
        ("contexts: all_seen", "contexts: [{donor: 1.5}]", 4, "contexts[0].donor: must be text, not 1.5"),
        ("contexts: all_seen", "contexts: [{donor: [a, all_seen]}]", 4, "contexts[0].donor: all_seen already means"),
        ("contexts: all_seen", "contexts: {donor: [a, a]}", 4, "contexts.donor[1]: 'a' is listed twice"),
        ("contexts: all_seen", "contexts: {file: a.csv, donor: x}", 4, "contexts.donor: unknown key 'donor'"),
        ("genetic: all_seen", "genetic: []", 5, "perturbations: selects nothing to screen"),
        (
            "genetic: all_seen",
            "genetic: STAT1",
            6,
            "genetic: must be all_seen, all_described, a list of names, or file: names.txt,",
        ),
        (
            "genetic: all_seen",
            "genetic: [STAT1, {name: X}]",
            6,
            "perturbations.genetic[1]: must be text, not a mapping",
        ),
        ("genetic: all_seen", "drug: [{name: X, doses: [0]}]", 6, "drug[0].doses[0]: must be greater than 0, not 0"),
        ("genetic: all_seen", "drug: [{name: X, doses: []}]", 6, "drug[0].doses: must have at least 1 entry"),
        (
            "genetic: all_seen",
            "drug: [{name: X, doses: 1.0}]",
            6,
            "doses: must be all_seen or a list of numbers, not 1.0",
        ),
        ("genetic: all_seen", "drug: [{doses: [1]}]", 6, "perturbations.drug[0]: missing field 'name'"),
        ("genetic: all_seen", "chemical: [X]", 6, "perturbations.chemical: unknown key 'chemical'"),
        (
            "  kind: signature\n",
            "",
            7,
            "objective: missing field 'kind'; one of signature, target_state, markers, population, connectivity",
        ),
        ("kind: signature", "kind: signatur", 8, "objective.kind: unknown kind 'signatur'; nearest: signature"),
        ("down: [IRF1, GBP1]", "up: []", 7, "objective: needs exactly one source of genes and has 0"),
        ("down: [IRF1, GBP1]", "down: [A]\n  gene_set: {file: a, name: b, direction: up}", 7, "exactly one source"),
        ("down: [IRF1, GBP1]", "down: [A]\n  up: [B, A]", 9, "objective.down[0]: gene 'A' is under `up` too"),
        ("down: [IRF1, GBP1]", "gene_set: {file: a, name: b}", 9, "missing field 'direction': up: look for"),
        ("down: [IRF1, GBP1]", "genes: [A]", 9, "objective.genes: unknown key 'genes'"),
        (OBJECTIVE, "  kind: markers\n  genes: [A]\n", 9, "objective.genes: a list of genes needs `direction: up`"),
        (
            OBJECTIVE,
            "  kind: markers\n  genes: {A: upp}\n",
            9,
            "objective.genes.A: must be 'up' or 'down', not the text",
        ),
        (OBJECTIVE, "  kind: markers\n  genes: {A: up}\n  direction: up\n", 10, "every gene has its own direction"),
        (
            OBJECTIVE,
            f"  kind: target_state\n  {DATA}\n  group: {{batch: 1}}\n",
            10,
            "objective.group.batch: column 'batch'",
        ),
        (
            OBJECTIVE,
            f"  kind: signature\n  reference: {{mode: mimic, {DATA}, from: {{donor: 1}}, to: {{donor: 1}}}}\n",
            9,
            "objective.reference.to: `from` and `to` are the same cells",
        ),
        (
            OBJECTIVE,
            f"  kind: signature\n  reference: {{mode: mimic, {DATA}, to: {{donor: 1}}}}\n",
            9,
            "objective.reference: missing field 'from': Cells that the change starts from.",
        ),
        (
            OUTPUT,
            OUTPUT + "estimator: {shards: 7}\n",
            11,
            "estimator.shards: must be greater than or equal to 8, not 7",
        ),
        (OUTPUT, OUTPUT + "estimator: {store_cells: true}\n", 11, "estimator.store_cells: variance_reduced draws no"),
        (
            OUTPUT,
            OUTPUT + "estimator: {schedule: linear}\n",
            11,
            "estimator.schedule: must be 'geometric', 'uniform' or",
        ),
        (OUTPUT, OUTPUT + "budget: {cells: 0}\n", 11, "budget.cells: must be greater than or equal to 1, not 0"),
        (OUTPUT, OUTPUT + "compute: {gpus_per_replica: 1.5}\n", 11, "compute.gpus_per_replica: more than one GPU"),
        (
            OUTPUT,
            OUTPUT + "compute: {backend: in_process, replicas: 2}\n",
            11,
            "compute.replicas: `backend: in_process`",
        ),
        (
            OUTPUT,
            OUTPUT + "compute: {backend: in_process, address: a}\n",
            11,
            "compute.address: is the address of a Ray",
        ),
        (
            OUTPUT,
            OUTPUT + "compute: {backend: in_process, elastic: true}\n",
            11,
            "compute.elastic: is for a cluster that nodes can join",
        ),
        (
            "genetic: all_seen",
            "drug: [{name: A+B, smiles: CCO}]",
            6,
            "drug[0].smiles: is the structure of one drug; list each by itself",
        ),
        ("genetic: all_seen", "drug: [{name: A, smiles: C C}]", 6, "drug[0].smiles: must be a SMILES without"),
        ("genetic: all_seen", "drug: [{name: A, smiles: ''}]", 6, "drug[0].smiles: must be a SMILES"),
        ("genetic: all_seen", "cytokine: [{name: A, smiles: CCO}]", 6, "cytokine[0].smiles: unknown key 'smiles'"),
        ("genetic: all_seen", "genetic: [{name: A, doses: [1]}]", 6, "genetic[0]: must be text"),
        ("genetic: all_seen", "drug: {file: a.tsv, smiles: s}", 6, "smiles: is a column of a table; say which one"),
        ("genetic: all_seen", "drug: {file: a.tsv, nam: s}", 6, "unknown key 'nam'; nearest: name"),
        ("genetic: all_seen", "cytokine: {file: a.tsv, name: s}", 6, "unknown key 'name'"),
        ("contexts: all_seen", "contexts: all_described", 4, "contexts: must be 'all_seen'"),
        ("genetic: all_seen", "drug: [{name: A, doses: all_described}]", 6, "doses: must be 'all_seen'"),
        ("output: results/screen", "output: results/model/", 10, "output: is the model's folder"),
        ("output: results/screen", "output: s3://k:secret@b/x", 10, "output: a user or a password can't stand in"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_field(load: Load, old: str, new: str, line: int, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(old, new)
    assert any(said in str(problem) and problem.line == line for problem in caught.value.problems), caught.value
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("type_", "strength"), [("genetic", 2.0), ("cytokine", 3.0)])
def test_the_published_sampler_stands_in_for_what_is_left_out(load: Load, type_: str, strength: float) -> None:
    spec = load("  genetic: all_seen", f"  {type_}: all_seen\nestimator: {{sampler: paper, depth_strata: 32}}")
    found = spec.estimator
    assert (found.kind, found.schedule, found.steps, found.guidance) == ("sampled", "cosine", 3, strength)
    assert (found.depth_strata, found.shards) == (32, 8)


def test_single_values_of_the_published_sampler_can_be_set(load: Load) -> None:
    spec = load(OUTPUT, OUTPUT + "estimator: {sampler: paper, steps: 256, guidance: 0}\n")
    assert (spec.estimator.steps, spec.estimator.guidance, spec.estimator.schedule) == (256, 0.0, "cosine")
    both = "  genetic: all_seen\n  drug: all_seen\nestimator: {sampler: paper, guidance: 1.5, kind: sampled}"
    assert load("  genetic: all_seen", both).estimator.guidance == 1.5


def test_the_published_sampler_is_written_out_and_read_again(load: Load) -> None:
    spec = load(OUTPUT, OUTPUT + "estimator: {sampler: paper}\n")
    assert validate(ScreenSpec, Source("again.yaml", parse_yaml(dump_spec(spec).encode(), "again.yaml").data)) == spec


@pytest.mark.parametrize(
    ("types", "estimator", "line", "said"),
    [
        ("genetic: all_seen", "kind: variance_reduced", 7, "estimator.kind: the published sampler has kind: sampled"),
        ("genetic: all_seen", "schedule: uniform", 7, "estimator.schedule: the published sampler has schedule: cosine"),
        ("{genetic: all_seen, cytokine: all_seen}", "steps: 3", 7, "this screen has genetic and cytokine: set"),
        ("drug: all_seen", "steps: 3", 7, "2 for genetic, 3 for cytokine perturbations, and this screen has drug"),
    ],
)
def test_what_the_published_sampler_is_not_is_refused(
    load: Load, types: str, estimator: str, line: int, said: str
) -> None:
    types = types.strip("{}").replace(", ", "\n  ")
    changed = f"  {types}\nestimator: {{sampler: paper, {estimator}}}"
    with pytest.raises(SpecError) as caught:
        load("  genetic: all_seen", changed)
    assert any(
        said in str(problem) and problem.line == line + types.count("\n") for problem in caught.value.problems
    ), caught.value


@pytest.mark.parametrize(
    ("text", "models"), [("results/model", ("results/model",)), ("[a, s3://b/c]", ("a", "s3://b/c")), ("[a]", ("a",))]
)
def test_a_model_is_one_folder_or_a_list(load: Load, text: str, models: tuple[str, ...]) -> None:
    assert load("model: results/model", f"model: {text}").models == models


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "model: must have at least 1 entry"),
        ("[a, a]", "model[1]: 'a' is listed twice"),
        ("[a, 3]", "model[1]: must be text, not 3"),
        ("{a: b}", "model: must be the folder of a checkpoint or of an ensemble, or a list of checkpoints"),
        ("[a, 'https://u:p@h/x']", "model[1]: a user or a password can't stand in a URL"),
        ("[a, results/screen]", "output: is the model's folder"),
    ],
)
def test_a_model_that_is_none_is_refused(load: Load, text: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        load("model: results/model", f"model: {text}")
    assert said in str(raised.value)
