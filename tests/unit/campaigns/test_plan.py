from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import (
    BudgetError,
    Loaded,
    Plan,
    PlanFileError,
    ScreenSpec,
    SpecError,
    Vocabulary,
    VocabularyError,
    make_plan,
)
from campaigns.digests import canonical_json, digest
from campaigns.plan import PlanInputs, PlannedMember, ensemble_digest
from campaigns.validation import validate
from campaigns.yaml_source import Source

Screen = Callable[..., Loaded[ScreenSpec]]

TARGETS = [f"G{index}" for index in range(6)]
SMALL = Vocabulary.from_json(
    {
        "format": 1,
        "genes": [*TARGETS, "A", "B"],
        "factors": {"donor": ["D1", "D2", "D3"]},
        "contexts": [{"factors": {"donor": f"D{i}"}, "control_cells": 9, "cells": 9} for i in (1, 2, 3)],
        "perturbations": {name: {"type": "genetic", "cells": 9, "doses": []} for name in TARGETS},
        "control": "control",
    }
)


def plan_of(
    targets: list[str],
    donors: list[str],
    *,
    vocabulary: Vocabulary = SMALL,
    model: str = "m",
    members: Any = (),
    **changes: Any,
) -> Plan:
    data: dict[str, Any] = {
        "kind": "screen",
        "name": "small",
        "model": "results/model",
        "contexts": [{"donor": donor} for donor in donors],
        "perturbations": {"genetic": targets},
        "objective": {"kind": "signature", "up": ["A", "B"]},
        "output": "results/screen",
        **changes,
    }
    spec = validate(ScreenSpec, Source("screen.yaml", data))
    return make_plan(
        spec,
        vocabulary,
        model_digest=model,
        control_set_digest=lambda context: digest(context.as_dict()),
        panel_digest="p",
        sampler_version="1",
        members=members,
    )


def ids(plan: Plan) -> set[str]:
    return {block.id for block in plan.blocks}


SOME_TARGETS = st.lists(st.sampled_from(TARGETS), min_size=1, unique=True)
SOME_DONORS = st.lists(st.sampled_from(["D1", "D2", "D3"]), min_size=1, unique=True)


@given(SOME_TARGETS, SOME_DONORS, st.randoms(use_true_random=False))
def test_a_plan_does_not_depend_on_the_order_of_the_file(targets: list[str], donors: list[str], random: Any) -> None:
    plan = plan_of(targets, donors)
    random.shuffle(targets)
    random.shuffle(donors)
    again = plan_of(targets, donors, objective={"kind": "signature", "up": ["B", "A"]})
    assert again.blocks == plan.blocks
    assert again.run_id == plan.run_id


@given(SOME_TARGETS, SOME_DONORS, st.integers(8, 40))
def test_every_shard_is_in_one_block_and_no_name_appears_twice(
    targets: list[str], donors: list[str], shards: int
) -> None:
    plan = plan_of(targets, donors, estimator={"shards": shards})
    assert len(ids(plan)) == len(plan.blocks)
    assert len({planned.key for planned in plan.conditions}) == len(plan.conditions) == len(donors) * (len(targets) + 1)
    for planned in plan.conditions:
        mine = [block for block in plan.blocks if block.condition_key == planned.key]
        covered = [shard for block in mine for shard in range(block.first_shard, block.first_shard + block.n_shards)]
        assert covered == list(range(shards))


@given(SOME_TARGETS, SOME_TARGETS, SOME_DONORS)
def test_more_conditions_leave_the_blocks_as_they_are(first: list[str], more: list[str], donors: list[str]) -> None:
    small, large = plan_of(first, donors[:1]), plan_of(list(dict.fromkeys(first + more)), donors)
    assert ids(small) <= ids(large)


def test_more_shards_leave_the_full_blocks_as_they_are() -> None:
    few, many = plan_of(["G1"], ["D1"]), plan_of(["G1"], ["D1"], estimator={"shards": 24})
    assert ids(few) < ids(many)
    assert few.conditions == many.conditions
    assert few.run_id != many.run_id


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"estimator": {"kind": "sampled"}},
        {"estimator": {"steps": 4}},
        {"estimator": {"schedule": "cosine"}},
        {"estimator": {"guidance": 1}},
        {"estimator": {"depth_strata": 8}},
        {"model": "other"},
    ],
)
def test_whatever_changes_a_result_changes_every_name(changes: dict[str, Any]) -> None:
    changed = plan_of(["G1"], ["D1"], **changes)
    assert not ids(plan_of(["G1"], ["D1"])) & ids(changed)


def test_keeping_cells_changes_the_blocks_and_not_the_conditions() -> None:
    drawn = plan_of(["G1"], ["D1"], estimator={"kind": "sampled"})
    kept = plan_of(["G1"], ["D1"], estimator={"kind": "sampled", "store_cells": True})
    assert kept.conditions == drawn.conditions
    assert not ids(kept) & ids(drawn)


def test_name_output_budget_and_compute_change_nothing() -> None:
    changes: dict[str, Any] = {
        "name": "x",
        "output": "s3://b/x",
        "budget": {"cells": 10**6},
        "compute": {"backend": "ray", "replicas": 4},
    }
    changed = plan_of(["G1"], ["D1"], **changes)
    assert changed.run_id == plan_of(["G1"], ["D1"]).run_id


def test_another_objective_is_another_run_on_the_same_blocks() -> None:
    plan, other = plan_of(["G1"], ["D1"]), plan_of(["G1"], ["D1"], objective={"kind": "signature", "down": ["A", "B"]})
    assert other.blocks == plan.blocks
    assert other.run_id != plan.run_id


def test_names_are_those_of_every_version_before() -> None:
    """Results in stores of today go by them: a change here throws every cache away."""
    plan = plan_of(["G1", "G2"], ["D1"])
    assert plan.run_id == "54c1c00f43621361663a09003238edaa18b3b345eb523d84da8223bdb044e441"
    assert plan.conditions[1].key == "71c9709b7a37f14445d4d32575b62cf6029408795a5ae9a9c3ecff6fc3c43c7c"
    assert plan.blocks[1].id == "4308d98c02b53d4d6bc71c6a1aa80c5344c3f07633337e910e9aedacb8023159"


def test_a_block_is_named_by_the_digest_of_its_shards() -> None:
    plan = plan_of(["G1"], ["D1"], estimator={"shards": 20})
    assert [block.id for block in plan.blocks[3:]] == [
        digest({"condition": plan.conditions[1].key, "shards": shards, "cells_per_shard": 16, "store_cells": False})
        for shards in ([0, 8], [8, 8], [16, 4])
    ]
    assert plan.run_id == digest(
        {
            "blocks": sorted(block.id for block in plan.blocks),
            "objective": {"kind": "signature", "exclude_own_targets": True, "up": ["A", "B"], "down": []},
        }
    )


@given(SOME_TARGETS, SOME_DONORS)
def test_a_plan_is_written_line_by_line(targets: list[str], donors: list[str]) -> None:
    plan = plan_of(targets, donors)
    text = plan.to_json()
    assert json.loads(text) == plan.as_json()
    assert text.count(b"\n") == len(plan.conditions) + len(plan.blocks) + 3
    assert Plan.from_json(json.loads(text)) == plan


def test_a_plan_as_json_shares_what_is_the_same() -> None:
    """A million conditions are as many references, not as many copies of their context."""
    first, second, *_ = plan_of(["G1"], ["D1"]).as_json()["conditions"]
    assert first["context"] is second["context"]
    again = Plan.from_json(json.loads(json.dumps(plan_of(["G1"], ["D1"]).as_json())))
    assert again.conditions[0].condition.context is again.conditions[1].condition.context


def test_the_key_is_the_digest_of_all_that_the_result_depends_on() -> None:
    plan = plan_of(["G1"], ["D1"])
    assert plan.conditions[1].key == digest(
        {
            "model": "m",
            "sampler": {
                "version": "1",
                "kind": "variance_reduced",
                "steps": 6,
                "schedule": "geometric",
                "guidance": 0.0,
                "depth_strata": 16,
            },
            "perturbation": [["G1", None]],
            "context": {"donor": "D1"},
            "control_set": digest({"donor": "D1"}),
            "gene_panel": "p",
            "seed": 0,
        }
    )


def test_the_published_sampler_has_the_keys_of_its_values() -> None:
    named = plan_of(["G1"], ["D1"], estimator={"sampler": "paper"})
    written = {"kind": "sampled", "schedule": "cosine", "steps": 3, "guidance": 2.0}
    assert named.run_id == plan_of(["G1"], ["D1"], estimator=written).run_id
    assert named.inputs.estimator == {**written, "depth_strata": 16}


def test_a_prior_is_in_the_keys_only_where_there_is_one() -> None:
    none, with_prior = (plan_of(["G1"], ["D1"], estimator={"prior": prior}) for prior in ("none", "published"))
    assert none == plan_of(["G1"], ["D1"])
    assert "prior" not in none.inputs.estimator
    assert with_prior.inputs.estimator == {**none.inputs.estimator, "prior": "published"}
    assert with_prior.conditions[1].key != none.conditions[1].key


def test_conditions_have_roles_and_labels() -> None:
    plan = plan_of(["G1"], ["D1"])
    assert [(planned.role, planned.label) for planned in plan.conditions] == [
        ("control", "control in donor=D1"),
        ("perturbation", "G1 in donor=D1"),
    ]
    assert plan.n_cells == 2 * 8 * 16


def test_the_payload_holds_what_a_worker_needs() -> None:
    plan = plan_of(["G1+G2"], ["D1"])
    block = plan.blocks[1]
    payload = plan.payload(block)
    data = json.loads(payload)
    assert canonical_json(data) == payload
    assert data == {
        "format": 1,
        "block": block.id,
        "condition_key": block.condition_key,
        "context": {"donor": "D1"},
        "perturbation": [{"name": "G1", "dose": None}, {"name": "G2", "dose": None}],
        "shards": [0, 8],
        "cells_per_shard": 16,
        "estimator": {
            "kind": "variance_reduced",
            "steps": 6,
            "schedule": "geometric",
            "guidance": 0.0,
            "depth_strata": 16,
        },
        "sampler_version": "1",
        "store_cells": False,
        "seed": 0,
        "model": "m",
        "gene_panel": "p",
        "control_set": digest({"donor": "D1"}),
    }


def test_half_a_block_has_a_name_and_a_payload_of_its_own() -> None:
    plan = plan_of(["G1"], ["D1"])
    block = plan.blocks[1]
    half = plan.inputs.block(block.condition_key, 4, 4)
    assert half.id != block.id
    assert json.loads(plan.payload(half))["shards"] == [4, 4]


@given(SOME_TARGETS, SOME_DONORS)
def test_a_plan_survives_its_file(targets: list[str], donors: list[str]) -> None:
    plan = plan_of(targets, donors)
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def _set(*path: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        *way, last, value = path
        for key in way:
            data = data[key]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("format", 2), "isn't a plan of format 1"),
        (_set("conditions", None), "is damaged"),
        (_set("blocks", 0, {}), "is damaged"),
        (_set("seed", 1), "its digests don't fit"),
        (_set("run_id", "x"), "its digests don't fit"),
        (_set("blocks", 0, "n_shards", 4), "its digests don't fit"),
        (_set("conditions", 1, "context", "donor", "D2"), "is damaged"),
        (_set("conditions", 1, "perturbation", "parts", 0, "name", "G2"), "its digests don't fit"),
        (_set("objective", "resolved", "up", ["A"]), "its digests don't fit"),
        (_set("objective", "resolved", None), "its digests don't fit"),
    ],
)
def test_a_plan_that_was_changed_is_refused(change: Callable[[Any], None], said: str) -> None:
    data = copy.deepcopy(plan_of(["G1"], ["D1"]).as_json())
    change(data)
    with pytest.raises(PlanFileError, match=said):
        Plan.from_json(data, "results/plan.json")


@pytest.mark.parametrize("data", [None, [], "x", {}])
def test_what_is_no_plan_is_refused(data: object) -> None:
    with pytest.raises(PlanFileError, match="isn't a plan"):
        Plan.from_json(data)


def test_a_plan_over_budget_is_refused_with_the_excess(screen: Screen, vocabulary: Vocabulary) -> None:
    loaded = screen(extra="budget:\n  conditions: 9\n  cells: 1000\n")
    with pytest.raises(BudgetError) as caught:
        make_plan(
            loaded.spec,
            vocabulary,
            model_digest="m",
            control_set_digest=lambda context: context.label,
            panel_digest="p",
            sampler_version="1",
            source=loaded.source,
        )
    assert [problem.line for problem in caught.value.problems] == [12, 13]
    assert "the plan has 10 conditions (2 contexts x (4 perturbations + control)), 1 more than the budget of 9" in str(
        caught.value
    )
    assert "1,280 cells" in str(caught.value)


def test_problems_of_grid_and_objective_are_told_together(screen: Screen, vocabulary: Vocabulary) -> None:
    loaded = screen(genetic="genetic: [X]", down="[Y]")
    with pytest.raises(VocabularyError) as caught:
        make_plan(
            loaded.spec,
            vocabulary,
            model_digest="m",
            control_set_digest={},
            panel_digest="p",
            sampler_version="1",
            source=loaded.source,
        )
    assert [problem.line for problem in caught.value.problems] == [6, 9]


def test_control_sets_can_come_by_label(screen: Screen, vocabulary: Vocabulary) -> None:
    loaded = screen(contexts="[{donor: D1}]")
    plan = make_plan(
        loaded.spec,
        vocabulary,
        model_digest="m",
        control_set_digest={"donor=D1": "c"},
        panel_digest="p",
        sampler_version="1",
    )
    assert list(plan.control_sets.values()) == ["c"]


def test_the_last_block_is_the_only_short_one() -> None:
    inputs = PlanInputs("m", "p", "1", {"depth_strata": 16}, False, 0)
    assert [(b.first_shard, b.n_shards) for b in inputs.blocks("key", 19)] == [(0, 8), (8, 8), (16, 3)]


DESCRIBED = Vocabulary.from_json(
    {
        **SMALL.to_json(),
        "perturbations": {**SMALL.to_json()["perturbations"], "D": {"type": "drug", "cells": 9, "doses": []}},
        "described": {"genetic": ["G1", "NEW"]},
        "structures": True,
    }
)
BY_STRUCTURE: dict[str, Any] = {"perturbations": {"drug": [{"name": "X", "smiles": "CCO"}]}}


def test_keys_do_not_depend_on_what_else_the_model_could_be_asked() -> None:
    assert plan_of(["G1"], ["D1"], vocabulary=DESCRIBED).blocks == plan_of(["G1"], ["D1"]).blocks


def test_the_plan_says_what_each_condition_rests_on() -> None:
    plan = plan_of(["G1", "NEW"], ["D1"], vocabulary=DESCRIBED)
    found = {planned.condition.perturbation.label: planned.support for planned in plan.conditions}
    assert found == {"control": "in_vocabulary", "G1": "in_vocabulary", "NEW": "features_only"}
    assert plan.features_only == 1
    stored = json.loads(json.dumps(plan.as_json()))
    assert [each["support"] for each in stored["conditions"]] == list(found.values())
    assert Plan.from_json(stored) == plan


def test_a_plan_of_before_support_was_told_still_reads() -> None:
    plan = plan_of(["G1"], ["D1"])
    stored = json.loads(json.dumps(plan.as_json()))
    for each in stored["conditions"]:
        del each["support"]
    assert Plan.from_json(stored) == plan


def test_a_structure_is_in_the_key_and_goes_to_the_worker() -> None:
    plan = plan_of([], ["D1"], vocabulary=DESCRIBED, **BY_STRUCTURE)
    other = plan_of([], ["D1"], vocabulary=DESCRIBED, perturbations={"drug": [{"name": "X", "smiles": "CCN"}]})
    assert plan.conditions[0] == other.conditions[0]
    assert plan.conditions[1].key != other.conditions[1].key
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan
    payload = json.loads(plan.payload(plan.blocks[1]))
    assert payload["perturbation"] == [{"name": "X", "dose": None, "smiles": "CCO"}]
    assert json.loads(plan.payload(plan.blocks[0]))["perturbation"] == []


def test_a_structure_that_was_changed_in_a_stored_plan_is_found_out() -> None:
    stored = json.loads(json.dumps(plan_of([], ["D1"], vocabulary=DESCRIBED, **BY_STRUCTURE).as_json()))
    stored["conditions"][1]["perturbation"]["parts"][0]["smiles"] = "CCN"
    with pytest.raises(PlanFileError, match="it was changed after it was planned"):
        Plan.from_json(stored)


def ensemble_of(names: str, targets: list[str], **changes: Any) -> Plan:
    members = [PlannedMember(name, digest(name)) for name in names]
    model = ensemble_digest(member.digest for member in members)
    return plan_of(targets, ["D1"], model=model, members=members, **changes)


def test_an_ensembles_blocks_are_those_of_its_members() -> None:
    plan = ensemble_of("abc", ["G0", "G1"])
    alone = [plan_of(["G0", "G1"], ["D1"], model=digest(name)) for name in "abc"]
    assert ids(plan) == ids(alone[0]) | ids(alone[1]) | ids(alone[2])
    assert len(plan.blocks) == 3 * len(alone[0].blocks)
    assert len(plan.conditions) == len(alone[0].conditions)
    assert plan.n_cells == 3 * alone[0].n_cells
    payloads = {block.id: single.payload(block) for single in alone for block in single.blocks}
    assert {block.id: plan.payload(block) for block in plan.blocks} == payloads


def test_blocks_come_member_by_member() -> None:
    plan = ensemble_of("abc", ["G0", "G1", "G2"])
    models = [json.loads(plan.payload(block))["model"] for block in plan.blocks]
    assert models == sorted(models)
    assert len(set(models)) == 3


def test_the_order_of_the_members_changes_nothing() -> None:
    plan = ensemble_of("abc", ["G0"])
    again = ensemble_of("cab", ["G0"])
    assert (again.run_id, again.blocks, again.conditions) == (plan.run_id, plan.blocks, plan.conditions)
    assert len({ensemble_of("ab", ["G0"]).run_id, plan.run_id, plan_of(["G0"], ["D1"]).run_id}) == 3


def test_a_condition_of_an_ensemble_has_a_key_for_each_member() -> None:
    plan = ensemble_of("abc", ["G0"])
    for planned in plan.conditions:
        assert len({planned.key, *planned.keys}) == 4
        assert all(plan.condition(key) == planned.condition for key in planned.keys)
    assert [planned.keys for planned in plan_of(["G0"], ["D1"]).conditions] == [
        (planned.key,) for planned in plan_of(["G0"], ["D1"]).conditions
    ]


def test_an_ensembles_plan_survives_its_file() -> None:
    plan = ensemble_of("abc", ["G0", "G1"])
    stored = json.loads(json.dumps(plan.as_json()))
    assert Plan.from_json(stored).as_json() == plan.as_json()
    stored["members"][0]["digest"] = digest("other")
    with pytest.raises(PlanFileError, match="its digests don't fit"):
        Plan.from_json(stored)


def test_a_single_models_plan_says_nothing_of_members() -> None:
    stored = plan_of(["G0"], ["D1"]).as_json()
    assert "members" not in stored
    assert all("member_keys" not in condition for condition in stored["conditions"])


def test_the_cells_of_all_members_are_in_the_budget() -> None:
    assert ensemble_of("abc", ["G0"], budget={"cells": 768}).n_cells == 768
    with pytest.raises(BudgetError, match="x shards x depth_strata x 3 members"):
        ensemble_of("abc", ["G0"], budget={"cells": 767})


HALVING = {"kind": "halving", "top": 2}
WIDE = {"shards": 32, "depth_strata": 4}


def test_an_allocation_names_another_run_of_the_same_blocks() -> None:
    uniform = plan_of(["G0", "G1"], ["D1"], estimator=WIDE)
    halving = plan_of(["G0", "G1"], ["D1"], estimator=WIDE, allocation=HALVING)
    assert halving.blocks == uniform.blocks
    assert halving.run_id != uniform.run_id
    assert plan_of(["G0", "G1"], ["D1"], estimator=WIDE, allocation={"kind": "uniform"}).run_id == uniform.run_id
    assert "allocation" not in uniform.as_json()
    again = Plan.from_json(json.loads(halving.to_json()))
    assert again == halving
    assert again.allocation == {"kind": "halving", "top": 2, "first": 8, "factor": 4}


def test_an_allocation_keeps_within_a_budget_that_a_whole_screen_would_pass() -> None:
    # control and 4 conditions, 5 x 32 x 4 = 640 cells in all; at least 32 x 4 + 4 x 8 x 4 = 256
    plan = plan_of(TARGETS[:4], ["D1"], estimator=WIDE, allocation=HALVING, budget={"cells": 300})
    assert plan.allocation is not None
    assert plan.allocation["budget_shards"] == 300 // 4 - 32
    passes = plan_of(
        TARGETS[:4], ["D1"], estimator=WIDE | {"steps": 5}, allocation=HALVING, budget={"cells": 640, "passes": 1_500}
    )
    assert passes.allocation is not None
    assert passes.allocation["budget_shards"] == 1_500 // 20 - 32
    with pytest.raises(BudgetError, match="at least 256 cells"):
        plan_of(TARGETS[:4], ["D1"], estimator=WIDE, allocation=HALVING, budget={"cells": 255})


def test_passes_of_a_whole_screen_are_limited_too() -> None:
    settings = WIDE | {"steps": 5, "guidance": 1.0}
    plan_of(["G0"], ["D1"], estimator=settings, budget={"passes": 2_560})
    with pytest.raises(BudgetError, match="the plan has 2,560 passes"):
        plan_of(["G0"], ["D1"], estimator=settings, budget={"passes": 2_559})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"allocation": HALVING}, "nothing is left to halving: raise it"),
        ({"budget": {"gpu_hours": 2}}, "compute.gpus_per_replica is 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        plan_of(["G0"], ["D1"], **changes)
