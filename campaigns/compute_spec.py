"""Where a campaign runs: how many replicas, with what, on which cluster. None of it has influence on results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from campaigns.spec import Spec, refuse
from campaigns.yaml_source import FieldPath


class ReplicasSpec(Spec):
    """What screens and evaluations have in common."""

    backend: Literal["ray", "in_process"] = Field(
        default="ray", description="ray: actors on a cluster; in_process: this process."
    )
    replicas: int = Field(default=1, ge=1, le=100_000, description="Copies of the model that work at the same time.")
    gpus_per_replica: float = Field(
        default=0.0, ge=0, le=64, description="GPUs of a replica: 0 for CPU, a fraction, or a whole number."
    )
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads of a replica.")
    address: str | None = Field(
        default=None, min_length=1, description="Address of a Ray cluster; null starts one on this machine."
    )

    @model_validator(mode="after")
    def _check(self) -> ReplicasSpec:
        findings = list(self._findings())
        if findings:
            refuse(*findings)
        return self

    def _findings(self) -> Iterator[tuple[FieldPath, str]]:
        if self.gpus_per_replica > 1 and not self.gpus_per_replica.is_integer():
            yield ("gpus_per_replica",), "more than one GPU has to be a whole number of them"
        if self.backend == "in_process" and self.address is not None:
            yield ("address",), "is the address of a Ray cluster, and `backend` is in_process"
        if self.backend == "in_process" and self.replicas > 1:
            yield ("replicas",), "`backend: in_process` has one replica; use ray for more"


class ComputeSpec(ReplicasSpec):
    """Where the screen runs; has no influence on its results."""

    elastic: bool = Field(
        default=False,
        description="Begin with the replicas that fit on the cluster; the others start when nodes join it.",
    )
    lease_seconds: float = Field(
        default=30.0, gt=0, le=86_400, description="Work handed to a replica at a time, in seconds."
    )
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="`backend: in_process` shows Prometheus metrics at this port of 127.0.0.1; null: nowhere.",
    )

    def _findings(self) -> Iterator[tuple[FieldPath, str]]:
        yield from super()._findings()
        if self.backend == "in_process" and self.elastic:
            yield ("elastic",), "is for a cluster that nodes can join, and `backend` is in_process"
        if self.backend == "ray" and self.metrics_port is not None:
            text = "is for `backend: in_process`; on Ray the metrics port of each node shows them, so leave it out"
            yield ("metrics_port",), text


class EvaluationComputeSpec(ReplicasSpec):
    """Where the evaluation runs; has no influence on its results."""

    replicas: int = Field(default=1, ge=1, le=10_000, description="Units that are trained and scored side by side.")
    gpus_per_replica: float = Field(
        default=0.0, ge=0, le=1, description="GPUs of a replica: 0 for CPU, a fraction, or 1."
    )
    hours: float = Field(
        default=24.0,
        gt=0,
        le=10_000,
        description="A unit (one fold, model and seed) that takes longer counts as lost and is tried again.",
    )
