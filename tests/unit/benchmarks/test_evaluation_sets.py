from __future__ import annotations

import pytest

from benchmarks.evaluation_sets import METRICS, SEEDS, SETS, Set, baselines
from campaigns.evaluation_spec import BASELINES


@pytest.mark.parametrize("each", SETS, ids=lambda each: each.name)
def test_a_set_is_an_evaluation_with_the_metrics_and_seeds_of_the_table(each: Set) -> None:
    spec = each.evaluation().spec
    assert (spec.metrics, spec.seeds, spec.compute.backend) == (METRICS, SEEDS, "in_process")
    assert spec.output == f"results/benchmarks/evaluation/{each.name}"
    assert [*(entry.name for entry in spec.models), *spec.baselines, "replicate"] == each.names()
    assert spec.models[0].name == "lingshu"
    # Intervals go over something that the scores have: a column, or a factor of the context that questions name.
    assert each.unit in {"perturbation", *set(spec.data.factors) - set(spec.split.pool)}


def test_sets_have_names_of_their_own() -> None:
    assert len({each.name for each in SETS}) == len(SETS)


def test_only_the_set_with_features_asks_baselines_of_features() -> None:
    asked = {each.name: set(each.evaluation().spec.baselines) for each in SETS}
    assert {name for name, found in asked.items() if {"ridge", "knn"} & found} == {"papalexi-targets"}


def test_scvi_is_asked_where_it_is_wanted() -> None:
    assert "scvi" not in baselines(True, scvi=False)
    assert baselines(True, scvi=True) == BASELINES
    assert SETS[0].names(scvi=True).count("scvi") == 1
