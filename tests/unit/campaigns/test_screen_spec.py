from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import Loaded, ScreenSpec, SpecError, load_screen
from campaigns.screen_spec import DosedSpec, ListingSpec, MarkersSpec, SignatureSpec, TargetStateSpec

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
        ("[Drug_01, 5]", (DosedSpec(name="Drug_01"), DosedSpec(name="5"))),
        ("[{name: Drug_01, doses: [1, 0.5]}]", (DosedSpec(name="Drug_01", doses=(1.0, 0.5)),)),
        ("[{name: Drug_01, doses: all_seen}]", (DosedSpec(name="Drug_01"),)),
        ("{file: drugs.txt}", ListingSpec(file="drugs.txt")),
    ],
)
def test_drugs_are_written_in_several_ways(load: Load, text: str, drugs: object) -> None:
    assert load("genetic: all_seen", f"drug: {text}").perturbations.drug == drugs


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
            "genetic: must be all_seen, a list of names, or file: names.txt, not",
        ),
        (
            "genetic: all_seen",
            "genetic: [STAT1, {name: X}]",
            6,
            "perturbations.genetic[1]: must be text, not a mapping",
        ),
        ("genetic: all_seen", "drug: [{name: X, doses: [0]}]", 6, "drug[0].doses[0]: must be greater than 0, not 0"),
        ("genetic: all_seen", "drug: [{name: X, doses: []}]", 6, "drug[0].doses: must have at least 1 entries"),
        (
            "genetic: all_seen",
            "drug: [{name: X, doses: 1.0}]",
            6,
            "doses: must be all_seen or a list of numbers, not 1.0",
        ),
        ("genetic: all_seen", "drug: [{doses: [1]}]", 6, "perturbations.drug[0]: missing field 'name'"),
        ("genetic: all_seen", "chemical: [X]", 6, "perturbations.chemical: unknown key 'chemical'"),
        ("  kind: signature\n", "", 7, "objective: missing field 'kind'; one of signature, target_state, markers"),
        ("kind: signature", "kind: signatur", 7, "objective: unknown kind 'signatur'; nearest: signature"),
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
        ("output: results/screen", "output: results/model/", 10, "output: is the model's folder"),
        ("output: results/screen", "output: s3://k:secret@b/x", 10, "output: a user or a password can't stand in"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_field(load: Load, old: str, new: str, line: int, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(old, new)
    assert any(said in str(problem) and problem.line == line for problem in caught.value.problems), caught.value
    assert "secret" not in str(caught.value)
