"""Starts a Ray cluster on this machine, or joins one that runs.

Loopback only, where the platform allows it: on Linux the node takes 127.0.0.2, because Ray replaces 127.0.0.1 by the
machine's outside address. Ray's own ports still listen on all interfaces, which is why the token is the default.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.errors import ClusterUnavailable
from actors.own_token import own_token
from actors.redaction import without_secrets

Auth = Literal["token", "disabled"]
# Results go to the object store of the ledger, never through Ray's: the smallest that works is enough.
OBJECT_STORE_BYTES = 128 * 2**20
CONNECT_SECONDS = 5.0
END_SECONDS = 30.0
"""How long the processes of a cluster may take to end when it is stopped."""
# Ray prints a paragraph on the user's terminal for every process that dies, and a page for a raylet; the pool reports
# each death in a line.
SILENCED_RAYLET_LINES = "worker died or was killed|workers were killed|actor is dead|Raylet is terminated"


@dataclass(frozen=True, slots=True)
class RaySession:
    """A Ray cluster that this process is connected to.

    Attributes
    ----------
    dashboard_url
        Of the dashboard, or None if there is none.
    started_here
        Whether it ends with this session.
    """

    address: str
    dashboard_url: str | None
    started_here: bool


@contextmanager
def ray_session(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    dashboard: bool = True,
    auth: Auth | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Iterator[RaySession]:
    """Connect this process to a cluster for as long as the context lasts.

    Parameters
    ----------
    address
        Of a running cluster, or `auto`; without one, `RAY_ADDRESS` counts, and without that a cluster is started on
        this machine and stopped at the end. A process that is connected already stays so.
    num_cpus, num_gpus
        Of a cluster that is started; by default what the machine has.
    dashboard
        Whether a cluster that is started serves a dashboard on 127.0.0.1.
    auth
        `token` or `disabled`; by default what `RAY_AUTH_MODE` says, otherwise `token` for a cluster that is started
        and whatever the environment has a token for when joining. Ray settles this once in a process: a second
        session has to use the same mode, and gets the same token.
    metadata
        What Ray shows of the job that this process is; what `ray job submit` was given goes before it.

    Raises
    ------
    ClusterUnavailable
        Nothing answers at the address, or Ray does not start here.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    connected = _is_connected()
    if not connected:
        _set_environment(auth, joining=bool(address))
    import ray  # after the environment is set, which Ray reads when it is imported

    if address and not connected:
        _check_answers(address)
    options = {"address": address} if address else _local_options(num_cpus, num_gpus, dashboard)
    context = _connect(ray, options | _job_config(ray, metadata or {}))
    # An actor is told the port of a dashboard that may be another cluster's.
    inside = ray.get_runtime_context().get_actor_id() is not None
    url = f"http://{context.dashboard_url}" if context.dashboard_url and not inside else None
    try:
        yield RaySession(context.address_info["address"], url, started_here=not (connected or address))
    finally:
        if not connected:
            started = _started_processes()
            ray.shutdown()
            _wait_for_end(started)


def _started_processes() -> list["subprocess.Popen[bytes]"]:
    """List the processes of a cluster that was started here; none, where Ray's internals are not as in Ray 2.60."""
    try:
        from ray._private.worker import _global_node

        return (
            []
            if _global_node is None
            else [each.process for kind in _global_node.all_processes.values() for each in kind]
        )
    except (ImportError, AttributeError):
        return []


def _wait_for_end(processes: Iterable["subprocess.Popen[bytes]"]) -> None:
    """Wait until processes have ended that were killed.

    Ray gives each a second, which is too short on a busy machine: then the cluster would outlive its session for a
    moment, and Python would warn of a process that nobody has waited for.
    """
    until = time.monotonic() + END_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):  # it hangs in the kernel: nothing can be done about it here
            process.wait(max(0.0, until - time.monotonic()))


def _check_answers(address: str) -> None:
    """Refuse at once where nothing listens; Ray itself would wait for many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # `auto`
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterUnavailable(
            f"no Ray cluster at {address}: {error}. Check the address (`ray status` on the head node names it), or "
            "leave it out to start a cluster here"
        ) from error
    _check_is_ray(address, f"{host}:{port}")


def _check_is_ray(address: str, place: str) -> None:
    """Refuse at once what is no Ray cluster, or asks for another token; Ray itself would try for half a minute or two.

    The call is the one with which every connection begins. These are Ray's internals: where they are not as they were
    in Ray 2.60, Ray's own patience decides.
    """
    try:
        import grpc  # type: ignore[import-untyped]
        import ray
        from ray._private.grpc_utils import init_grpc_channel
        from ray.core.generated.gcs_service_pb2 import GetClusterIdRequest
        from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
    except ImportError:
        return
    try:
        with init_grpc_channel(place) as channel:
            NodeInfoGcsServiceStub(channel).GetClusterId(GetClusterIdRequest(), timeout=CONNECT_SECONDS)
    except ray.exceptions.RayError as error:  # no token is to be found
        raise ClusterUnavailable(
            f"no token for the Ray cluster at {address}: RAY_AUTH_MODE is token; set RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH as where it was started"
        ) from error
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise ClusterUnavailable(
                f"the Ray cluster at {address} asks for its token, and got none or another one. Set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as where it was started"
            ) from error
        raise ClusterUnavailable(
            f"what listens at {address} is no Ray cluster, or one that is stuck ({error.code().name}). Check the "
            "address (`ray status` on the head node names it; it is not that of the dashboard)"
        ) from error


def _connect(ray: Any, options: dict[str, Any]) -> Any:
    try:
        return ray.init(log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        where = f"at {options['address']}" if options["address"] != "local" else "on this machine"
        reason = without_secrets(" ".join(str(error).split()))[:300]
        raise ClusterUnavailable(
            f"no Ray cluster {where}: {reason}. Check the address, RAY_AUTH_MODE and RAY_AUTH_TOKEN, "
            "or run in one process without a cluster"
        ) from error


def _local_options(num_cpus: int | None, num_gpus: int | None, dashboard: bool) -> dict[str, Any]:
    loopback = {"_node_ip_address": "127.0.0.2"} if sys.platform == "linux" else {}
    return {
        "address": "local",
        "num_cpus": num_cpus,
        "num_gpus": num_gpus,
        "include_dashboard": dashboard,
        "dashboard_host": "127.0.0.1",
        "object_store_memory": OBJECT_STORE_BYTES,
        **loopback,
    }


def _job_config(ray: Any, metadata: Mapping[str, str]) -> dict[str, Any]:
    return {"job_config": ray.job_config.JobConfig(metadata=dict(metadata))} if metadata else {}


def _is_connected() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def _set_environment(auth: Auth | None, joining: bool) -> None:
    before = os.environ.get("RAY_AUTH_MODE")
    mode = auth or before or _default_auth(joining)
    if "ray" in sys.modules and mode != (before or "disabled"):
        raise ClusterUnavailable(
            f"Ray was imported in this process with RAY_AUTH_MODE={before or '(not set)'}, which it keeps; this "
            f"session needs '{mode}'. Set RAY_AUTH_MODE={mode} before Ray is imported, or import Ray after the session"
        )
    os.environ["RAY_AUTH_MODE"] = mode
    if mode == "token" and not joining and not _has_token():
        os.environ["RAY_AUTH_TOKEN"] = own_token()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", SILENCED_RAYLET_LINES)


def _default_auth(joining: bool) -> Auth:
    return "disabled" if joining and not _has_token() else "token"


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").exists()
