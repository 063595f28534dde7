"""A pilot on a cluster: one replica, although the campaign has more."""

from collections.abc import Callable
from pathlib import Path

import pytest

from screening.planning.campaign import load_campaign, plan_campaign
from screening.planning.pilot import run_pilot
from screening.watching.status import campaign_status

FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}


@pytest.mark.usefixtures("ray_cluster")
def test_one_replica_measures_and_commits(write_screen: Callable[..., Path]) -> None:
    planned = plan_campaign(load_campaign(write_screen(**FEW, compute={"backend": "ray", "replicas": 64})))
    rates = run_pilot(planned)
    assert rates is not None
    assert rates.opening_seconds is not None
    assert rates.opening_seconds > max(rates.seconds)
    assert rates.source.endswith("on one replica (CPU, ray)")
    assert campaign_status(planned).committed == 4
