"""What is asked for with all of its kind and can't be screened is listed, one by one, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from campaigns import Loaded, Plan, ScreenSpec, Vocabulary, make_plan
from campaigns.findings import LeftOut

Screen = Callable[..., Loaded[ScreenSpec]]


def plan_of(loaded: Loaded[ScreenSpec], vocabulary: Vocabulary) -> Plan:
    return make_plan(
        loaded.spec,
        vocabulary,
        model_digest="m",
        control_set_digest=lambda context: context.label,
        panel_digest="p",
        sampler_version="1",
        source=loaded.source,
    )


def test_contexts_with_too_few_controls_are_listed(screen: Screen, vocabulary: Vocabulary) -> None:
    plan = plan_of(screen(), vocabulary)
    assert plan.left_out == (
        LeftOut("context", "cell_type=B cells, donor=D2", "3 control cells in the training data, 5 are needed"),
        LeftOut("context", "cell_type=T cells, donor=D2", "0 control cells in the training data, 5 are needed"),
    )


def test_perturbations_out_of_reach_are_listed(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    methods = {"STAT1": "knockout", "STAT2": "CRISPRi"}
    model = Vocabulary.from_json(
        {**vocabulary_json, "methods": methods, "described": {"genetic": ["STAT1", "MYC", "IRF4"]}}
    )
    plan = plan_of(screen(contexts="[{donor: D1}]", genetic="genetic: all_described"), model)
    assert [(each.kind, each.name) for each in plan.left_out] == [("genetic", "MYC"), ("genetic", "IRF4")]
    assert all("tell no method" in each.reason for each in plan.left_out)


def test_the_file_of_a_plan_keeps_them(screen: Screen, vocabulary: Vocabulary) -> None:
    plan = plan_of(screen(), vocabulary)
    assert Plan.from_json(json.loads(plan.to_json())) == plan
    whole = plan_of(screen(contexts="[{donor: D1, cell_type: all_seen}]"), vocabulary)
    assert whole.left_out == ()
    assert b"left_out" not in whole.to_json()
