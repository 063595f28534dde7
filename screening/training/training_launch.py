"""A training in several processes: a Ray cluster for as long as it lasts."""

from __future__ import annotations

from collections.abc import Callable

from actors.cluster import ray_session
from campaigns.training_spec import TrainSpec
from lingshu_core.training import TrainingConfig, TrainingProgress
from screening.training.training_run import TrainingResult


def train_on_cluster(
    spec: TrainSpec, config: TrainingConfig, on_progress: Callable[[TrainingProgress], None] | None = None
) -> TrainingResult:
    """Train with the workers that the spec asks for, on a cluster that runs or on one started here.

    Raises
    ------
    ClusterUnavailable
        If nothing answers at the address, or Ray doesn't start here.
    NotEnoughResources
        If the cluster has fewer CPUs or GPUs than the workers need.
    TrainingLost
        If workers were lost more often than ``restarts`` allows.
    LingshuCoreError
        As one process would raise it.
    """
    with ray_session(spec.training.address, dashboard=False):
        from screening.training.training_workers import (
            train_with_workers,  # imports Ray, which the session has to come before
        )

        return train_with_workers(spec, config, on_progress)
