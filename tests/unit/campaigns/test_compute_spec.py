from typing import Any

import pytest
from pydantic import ValidationError

from campaigns.compute_spec import ComputeSpec, EvaluationComputeSpec, ReplicasSpec

BOTH = (ComputeSpec, EvaluationComputeSpec)


@pytest.mark.parametrize("spec", BOTH)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"backend": "in_process", "address": "127.0.0.2:6379"}, "is the address of a Ray cluster"),
        ({"backend": "in_process", "replicas": 2}, "`backend: in_process` has one replica"),
        ({"replicas": 0}, "greater than or equal to 1"),
        ({"threads": 0}, "greater than or equal to 1"),
    ],
)
def test_what_can_not_be_is_refused_in_both(spec: type[ReplicasSpec], content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        spec.model_validate(content)


def test_a_screen_may_take_several_gpus_a_replica_but_no_part_of_a_second() -> None:
    assert ComputeSpec(gpus_per_replica=2).gpus_per_replica == 2
    with pytest.raises(ValidationError, match="whole number"):
        ComputeSpec(gpus_per_replica=1.5)
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        EvaluationComputeSpec(gpus_per_replica=2)


def test_nothing_joins_one_process() -> None:
    with pytest.raises(ValidationError, match="nodes can join"):
        ComputeSpec(backend="in_process", elastic=True)


@pytest.mark.parametrize("spec", BOTH)
def test_all_findings_are_told_at_once(spec: type[ReplicasSpec]) -> None:
    with pytest.raises(ValidationError) as caught:
        spec.model_validate({"backend": "in_process", "replicas": 2, "address": "auto"})
    assert "address of a Ray cluster" in str(caught.value)
    assert "has one replica" in str(caught.value)


def test_a_port_for_metrics_is_for_a_run_without_ray() -> None:
    assert ComputeSpec(backend="in_process", metrics_port=9464).metrics_port == 9464
    with pytest.raises(ValidationError, match="metrics port of each node shows them"):
        ComputeSpec(metrics_port=9464)
    with pytest.raises(ValidationError, match="less than or equal to 65535"):
        ComputeSpec(backend="in_process", metrics_port=100_000)
