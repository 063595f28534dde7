from typing import Any

import pytest

from campaigns.compute_spec import ComputeSpec
from campaigns.errors import SpecError
from campaigns.yaml_source import NO_SOURCE
from screening.running import gpu_check
from screening.running.gpu_check import refuse_missing_gpus


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "gpu_names", list)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delitem(gpu_check.sys.modules, "ray", raising=False)


@pytest.mark.parametrize("backend", ["ray", "in_process"])
@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_is_not_here_is_refused(backend: Any) -> None:
    with pytest.raises(SpecError, match=r"gpus_per_replica: 0\.5 asks for a GPU, and torch finds none on this machine"):
        refuse_missing_gpus(ComputeSpec(backend=backend, gpus_per_replica=0.5), NO_SOURCE)


@pytest.mark.usefixtures("no_gpu")
def test_of_a_cluster_that_is_joined_the_cluster_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_missing_gpus(ComputeSpec(gpus_per_replica=1, address="10.0.0.1:6379"), NO_SOURCE)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    refuse_missing_gpus(ComputeSpec(gpus_per_replica=1), NO_SOURCE)


def test_a_gpu_that_is_here_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "gpu_names", lambda: ["a GPU"])
    refuse_missing_gpus(ComputeSpec(gpus_per_replica=1), NO_SOURCE)


@pytest.mark.usefixtures("no_gpu")
def test_the_cpu_is_always_here() -> None:
    refuse_missing_gpus(ComputeSpec(), NO_SOURCE)
