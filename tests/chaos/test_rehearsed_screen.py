"""`lingshu run --chaos` over Ray: a real screen under every fault gives the files of a calm one, byte by byte."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.cluster import RaySession
from actors.fault_plan import WORKER_FAULTS
from actors.faulty_blobs import FAULTS

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]
CHAOS = {
    "kind": "chaos",
    "name": "all",
    "workers": dict.fromkeys(("exit", "kill", "hang", "nan", "slow", "raise", "out_of_memory"), 0.08),
    "store": {"409": 0.1, "412": 0.1, "403": 0.05, "503": 0.03, "500": 0.03, "lost_answer": 0.03, "429": 0.03}
    | {"truncated_body": 0.1, "slow_body": 0.1},
    "slow_seconds": 0.2,
    "deadline_seconds": 10,
}


def test_a_rehearsed_screen_ends_as_a_calm_one(
    ray_cluster: RaySession,
    write_screen: Callable[..., Path],
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    full: bool,
    struck: Any,
) -> None:
    if not full:
        pytest.skip("with CHAOS=full only: tests/unit/screening/running/test_rehearsal.py runs one in process")
    (tmp_path / "chaos.yaml").write_text(yaml.safe_dump(CHAOS))
    path = write_screen(compute={"backend": "ray", "replicas": 2, "lease_seconds": 2})
    code, out, err = lingshu("run", path, "--chaos", tmp_path / "chaos.yaml")
    assert (code, err) == (0, "")
    told = " ".join(out.split()).partition("faults have struck (")[2].partition(")")[0]
    met = {fault: int(times) for fault, _, times in (each.rpartition(" ") for each in told.split(", "))}
    struck.add("worker", {fault: times for fault, times in met.items() if fault in WORKER_FAULTS})
    struck.add("store", {fault: times for fault, times in met.items() if fault in FAULTS})
    assert len(met) >= 10

    calm = write_screen("calm.yaml", output=str(tmp_path / "calm"))
    assert lingshu("run", calm)[0] == 0
    for name in ("hits.parquet", "hits.csv"):
        assert (tmp_path / "screen" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
