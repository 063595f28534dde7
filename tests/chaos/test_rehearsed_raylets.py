"""`lingshu run --chaos` with `raylet_kill` on a cluster of several nodes: one falls, and the table is a calm one's."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

# In a process of its own: the tests' process is connected to another cluster already. The head node has no CPUs, the
# others one each, so each replica is alone on its node, and one of them has to stay.
DRIVER = """
import json, os, sys
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
from ray.cluster_utils import Cluster
small = {"object_store_memory": 100 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
nodes = [cluster.add_node(num_cpus=1, labels={"lingshu-expendable": "yes"}, **small) for _ in range(2)]
os.environ["RAY_ADDRESS"] = cluster.address
from screening.cli import main
sys.argv = ["lingshu", *json.loads(sys.argv[1])]
try:
    main()
finally:
    living = [node.all_processes["raylet"][0].process.poll() is None for node in nodes]
    print(json.dumps({"living": living}), flush=True)
    cluster.shutdown()
"""


def test_a_killed_raylet_is_a_fault_of_a_rehearsal_and_changes_no_table(
    write_screen: Callable[..., Path],
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    full: bool,
    struck: Any,
) -> None:
    if not full:
        pytest.skip("with CHAOS=full only: tests/integration/test_several_nodes.py kills a raylet")
    path = write_screen(compute={"backend": "ray", "replicas": 2, "lease_seconds": 1})
    chaos = tmp_path / "chaos.yaml"
    # Half of the blocks are slow, so that not all is done before the second replica is up.
    chaos.write_text("kind: chaos\nname: raylets\nworkers: {raylet_kill: 0.5, slow: 0.5}\nslow_seconds: 1\n")
    command = [sys.executable, "-c", DRIVER, json.dumps(["run", str(path), "--chaos", str(chaos)])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["living"].count(False) == 1
    told = " ".join(done.stdout.split())
    met = re.search(r"raylet kill (\d+)[,)]", told)
    spared = re.search(r"spared, raylet kill (\d+): the node was not marked", told)  # the node that is left
    assert met is not None
    assert int(met[1]) == 1
    assert spared is not None
    struck.add("process", {"raylet killed": int(met[1])})

    assert lingshu("run", path, "--output", tmp_path / "calm", "--backend", "in_process", "--replicas", 1)[0] == 0
    for name in ("hits.parquet", "hits.csv"):
        assert (tmp_path / "screen" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
