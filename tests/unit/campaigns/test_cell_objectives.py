from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import ScreenSpec, SpecError, Vocabulary, load_screen
from campaigns.cell_objectives import ConnectivitySpec, PopulationSpec
from campaigns.errors import VocabularyError
from campaigns.objective_genes import resolve_objective
from campaigns.plan import make_plan

Load = Callable[..., ScreenSpec]
OBJECTIVE = "  kind: signature\n  down: [IRF1, GBP1]\n"
DATA = "data: {path: a.h5ad, columns: {perturbation: p, donor: d}}"
STATE = f"  kind: population\n  measure: e_distance\n  {DATA}\n  group: {{donor: D1}}\n"
DONORS = [f"{{donor: D{number}}}" for number in (1, 2, 3)]
SAMPLED = "estimator: {kind: sampled}\n"
QUERY = "  kind: connectivity\n  up: [STAT1, STAT2, IRF1]\n"


@pytest.fixture
def load(write: Callable[..., Path], screen_text: str) -> Load:
    def load_with(objective: str, rest: str = "") -> ScreenSpec:
        return load_screen(write(screen_text.replace(OBJECTIVE, objective) + rest), {}).spec

    return load_with


def test_a_population_has_defaults(load: Load) -> None:
    spec = load(f"{STATE.replace('D1}', 'D1, perturbation: control}')}", SAMPLED)
    found = spec.objective
    assert isinstance(found, PopulationSpec)
    assert (found.measure, found.direction, found.against, found.exclude_own_targets) == ("e_distance", "up", (), True)
    assert found.group == {"donor": ("D1",), "perturbation": ("control",)}


@pytest.mark.parametrize("written", [DONORS[1], f"[{DONORS[1]}]"])
def test_one_group_to_hold_it_against_needs_no_list(load: Load, written: str) -> None:
    found = load(f"{STATE}  against: {written}\n  exclude_own_targets: false\n", SAMPLED)
    assert isinstance(found.objective, PopulationSpec)
    assert found.objective.against == ({"donor": ("D2",)},)


def test_blocks_hold_cells_though_nobody_asks_to_keep_them(load: Load, vocabulary: Vocabulary) -> None:
    spec = load(STATE, SAMPLED)
    assert (spec.holds_cells, spec.estimator.store_cells) == (True, False)
    digests = {"model_digest": "", "control_set_digest": lambda context: "", "panel_digest": "", "sampler_version": ""}
    assert make_plan(spec, vocabulary, **digests).inputs.store_cells  # type: ignore[arg-type]
    assert not load(OBJECTIVE, SAMPLED).holds_cells
    assert load(OBJECTIVE, "estimator: {kind: sampled, store_cells: true}\n").holds_cells


WRONG: dict[str, tuple[str, str, str]] = {
    "expectations": (
        STATE,
        "",
        "objective.kind: a population is measured on drawn cells, and variance_reduced draws none; set"
        " `estimator: {kind: sampled}`",
    ),
    "one cell a shard": (
        STATE,
        "estimator: {kind: sampled, depth_strata: 1}\n",
        "estimator.depth_strata: a shard of one cell has no spread, and an objective of kind population needs one;"
        " set 2 at least",
    ),
    "the reference is the start": (
        f"{STATE}  against: {DONORS[0]}\n",
        SAMPLED,
        "objective.against: `group` and `against` are the same cells; nothing lies between them",
    ),
    "a group twice": (
        f"{STATE}  against: [{DONORS[1]}, {DONORS[2]}, {DONORS[1]}]\n",
        SAMPLED,
        "objective.against[2]: is there twice; leave one out",
    ),
    "a column without a name": (
        f"{STATE}  against: [{DONORS[1]}, {{batch: 3}}]\n",
        SAMPLED,
        "objective.against[1].batch: column 'batch' isn't named in data.columns; named: perturbation, donor",
    ),
    "another measure": (
        STATE.replace("e_distance", "mmd"),
        SAMPLED,
        "objective.measure: must be 'e_distance', 'state_share' or 'heterogeneity', not the text 'mmd'",
    ),
    "no query": ("  kind: connectivity\n", "", "objective: needs the genes of the query: `up`, `down` or both"),
    "a short query": (
        f"{QUERY}  down: [CD14, GBP1]\n",
        "",
        "objective.down: has 2 genes, and an enrichment needs 3 at least; for single genes use `kind: markers`",
    ),
    "a gene both ways": (
        f"{QUERY}  down: [CD14, GBP1, STAT1]\n",
        "",
        "objective.down[2]: gene 'STAT1' is under `up` too; it can't go both ways",
    ),
}


@pytest.mark.parametrize(("objective", "rest", "message"), WRONG.values(), ids=WRONG)
def test_what_is_refused(load: Load, objective: str, rest: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        load(objective, rest)
    assert message in str(refused.value)


def test_the_genes_of_a_query_are_looked_up(load: Load, vocabulary: Vocabulary) -> None:
    spec = load(f"{QUERY}  down: [CD14, GBP1, JAK2]\n").objective
    assert isinstance(spec, ConnectivitySpec)
    genes, _ = resolve_objective(spec, vocabulary)
    assert genes is not None
    assert genes.up == ("STAT1", "STAT2", "IRF1")
    assert genes.down == ("CD14", "GBP1", "JAK2")
    with pytest.raises(VocabularyError, match="unknown gene 'STAT3'; nearest: STAT2, STAT1"):
        resolve_objective(spec.model_copy(update={"up": ("STAT3", "STAT1", "STAT2")}), vocabulary)
