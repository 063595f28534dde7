"""Replicas that ask for a GPU on a machine without one are refused before a cluster is started for them."""

from __future__ import annotations

import os
import sys

from campaigns.compute_spec import ReplicasSpec
from campaigns.errors import SpecError
from campaigns.yaml_source import Source
from lingshu_core.devices import gpu_names


def refuse_missing_gpus(compute: ReplicasSpec, source: Source) -> None:
    """Refuse ``gpus_per_replica`` where replicas will run on this machine, and torch finds no GPU here.

    Of a cluster that is joined only the cluster knows: then its own answer counts.

    Raises
    ------
    SpecError
        With the line of the field.
    """
    if not compute.gpus_per_replica or _is_elsewhere(compute) or gpu_names():
        return
    text = (
        f"{compute.gpus_per_replica:g} asks for a GPU, and torch finds none on this machine; set it to 0 to compute on"
        " the CPU, or give compute.address: a Ray cluster that has GPUs"
    )
    raise SpecError([source.where(("compute", "gpus_per_replica")).problem(text)])


def _is_elsewhere(compute: ReplicasSpec) -> bool:
    if compute.backend == "in_process":
        return False
    connected = "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())
    return bool(compute.address or os.environ.get("RAY_ADDRESS")) or connected
