"""What `deploy/` holds: checked against Ray's own schema, one of the parts of KubeRay's that are used, and by rules."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from screening.cli import app

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SCHEMA = json.loads(Path(__file__).with_name("ray-kubernetes.json").read_text())
MANIFESTS = ("raycluster.yaml", "rayjob.yaml")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def manifest(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "kubernetes" / name).read_text()))


def cluster_of(content: dict[str, Any]) -> dict[str, Any]:
    return dict(content["spec"].get("rayClusterSpec", content["spec"]))


def containers(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_has_known_fields_only(name: str) -> None:
    jsonschema.validate(manifest(name), SCHEMA)


@pytest.mark.parametrize(("path", "value"), [(("spec", "rayVersion"), 2.6), (("spec", "headGroupSpecs"), {})])
def test_the_schema_finds_mistakes(path: tuple[str, str], value: object) -> None:
    content = manifest("raycluster.yaml")
    content[path[0]][path[1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


@pytest.mark.parametrize("name", MANIFESTS)
def test_ray_is_that_of_the_environment(name: str) -> None:
    assert cluster_of(manifest(name))["rayVersion"] == version("ray")


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_pod_has_the_token_and_every_replica_the_store(name: str) -> None:
    content = manifest(name)
    cluster = cluster_of(content)
    everywhere = [*containers(cluster), cluster["autoscalerOptions"]]
    everywhere += content["spec"].get("submitterPodTemplate", {}).get("spec", {}).get("containers", [])
    for each in everywhere:
        values = {entry["name"]: entry for entry in each["env"]}
        assert values["RAY_AUTH_MODE"]["value"] == "token"
        assert values["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "lingshu-ray-token", "key": "token"}
    assert all(each["envFrom"] == [{"secretRef": {"name": "lingshu-store"}}] for each in containers(cluster))


@pytest.mark.parametrize("name", MANIFESTS)
def test_gpus_are_with_the_workers_and_the_autoscaler_has_room(name: str) -> None:
    cluster = cluster_of(manifest(name))
    head, *workers = containers(cluster)
    assert not any("gpu" in resource for resource in head["resources"]["limits"])
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert all(worker["resources"]["limits"]["nvidia.com/gpu"] == 1 for worker in workers)
    assert cluster["enableInTreeAutoscaling"]
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert any("spot" in toleration["key"] for toleration in group["template"]["spec"]["tolerations"])


@pytest.mark.parametrize("name", MANIFESTS)
def test_what_is_mounted_is_there(name: str) -> None:
    cluster = cluster_of(manifest(name))
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        spec = group["template"]["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for each in spec["containers"] for mount in each["volumeMounts"]} == volumes


def test_a_job_runs_a_command_that_exists() -> None:
    words = shlex.split(manifest("rayjob.yaml")["spec"]["entrypoint"])
    assert words[0] == "lingshu"
    assert words[1] in COMMANDS


def test_cluster_yaml_fits_rays_own_schema() -> None:
    place = find_spec("ray.autoscaler")
    assert place is not None
    assert place.origin is not None
    schema = json.loads(Path(place.origin).with_name("ray-schema.json").read_text())
    content = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"max_worker": 3}, schema)
    text = " ".join([*content["head_start_ray_commands"], *content["worker_start_ray_commands"]])
    assert text.count("RAY_AUTH_MODE=token") == text.count("ray start ") == 2


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_image_is_pinned_unprivileged_and_says_its_base() -> None:
    found = instructions()
    kinds = [kind for kind, _ in found]
    known = {"ARG", "FROM", "ENV", "SHELL", "RUN", "USER", "WORKDIR", "COPY", "ENTRYPOINT", "CMD"}
    assert set(kinds) <= known
    assert found[0] == ("ARG", "BASE=python:3.12-slim-bookworm")
    assert found[1] == ("FROM", "${BASE}")
    users = [value for kind, value in found if kind == "USER"]
    assert users == ["lingshu"]
    installs = [value for kind, value in found if kind == "RUN" and "pip install" in value]
    assert all("--constraint source/constraints.txt" in value for value in installs)
    assert installs
    assert all(kinds.index("USER") < place for place, (kind, value) in enumerate(found) if "pip install" in value)
    assert kinds[-2:] == ["ENTRYPOINT", "CMD"]
    assert all(json.loads(value) for _, value in found[-2:])
    hosts = re.findall(r"[\w.-]+\.[a-z]{2,}/", (DEPLOY / "Containerfile").read_text())
    assert [host for host in hosts if host != "nvidia.com/"] == []


def test_the_batch_file_is_shell_that_parses_and_runs_a_command() -> None:
    script = DEPLOY / "slurm" / "lingshu.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert set(re.findall(r"^lingshu (\w+)", text, re.MULTILINE)) == {"run"}
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)", text, re.MULTILINE))
    assert {"nodes", "gpus-per-node", "cpus-per-task", "mem", "time", "signal"} <= set(options)
    (waiting,) = re.findall(r"<<'PYTHON'\n(.*?)^PYTHON$", text, re.MULTILINE | re.DOTALL)
    compile(waiting, "lingshu.sbatch", "exec")
