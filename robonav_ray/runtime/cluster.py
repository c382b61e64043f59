"""Finding or starting Ray, with authentication always said explicitly.

Consumes: RuntimeConfig. Produces: a connected driver and what the cluster has. Waits for: Ray to answer, bounded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.errors import UserError
from robonav_ray.runtime.placement import ROLE_LABEL, NodeFacts


class ClusterError(UserError):
    """No usable cluster: cannot be reached, or too small; the message says what to do."""


@dataclass(frozen=True)
class ClusterFacts:
    """What the cluster has, and how we came to it."""

    address: str
    started_here: bool
    num_nodes: int
    num_cpus: float
    num_gpus: float
    free_cpus: float
    memory_bytes: int
    """Memory of all nodes, as Ray counts it."""
    nodes: tuple[NodeFacts, ...] = ()
    """What each living node has free; empty where parts are not to be placed one by one."""

    def describe(self) -> str:
        """Return one line for people."""
        origin = "started a local Ray" if self.started_here else f"joined Ray at {self.address}"
        nodes = "1 node" if self.num_nodes == 1 else f"{self.num_nodes} nodes"
        return f"{origin}: {nodes}, {self.num_cpus:g} CPUs ({self.free_cpus:g} free), {self.num_gpus:g} GPUs"


def prepare_environment(config: RuntimeConfig) -> None:
    """Set what Ray reads from the environment; must run before ``ray`` is imported.

    The mode of authentication is always explicit (a value that the user set wins), so that neither a token left over by an earlier
    Ray nor its absence changes how this one starts.
    """
    os.environ.setdefault("RAY_AUTH_MODE", config.auth_mode)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the default of the next Ray; silences its warning
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a late call after the end must not start a Ray of its own
    # Small actors share a core on purpose; that there are many is no news.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "PYTHON worker processes have been started")
    # One torch/BLAS thread per process: ranks and workers share the cores by number, not by fighting.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def ensure_token() -> None:
    """Make sure that a token exists where Ray looks for it, readable by the owner only."""
    if os.environ["RAY_AUTH_MODE"].lower() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if path.is_file() and path.read_text(encoding="utf-8").strip():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(uuid.uuid4().hex)


@contextlib.contextmanager
def connected(config: RuntimeConfig) -> Iterator[ClusterFacts]:
    """Join the cluster that there is, or start one; leave it (and stop what was started here) at the end.

    Raises:
        ClusterError: when a cluster was named but does not answer.
    """
    prepare_environment(config)
    import ray

    given = config.address or os.environ.get("RAY_ADDRESS")
    address = given or _running_local_cluster()
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address is None:
            ensure_token()
            ray.init(
                address="local",
                num_cpus=config.num_cpus,
                object_store_memory=config.object_store_bytes,
                include_dashboard=config.dashboard,
                logging_level=logging.WARNING,
                log_to_driver=False,  # the panel owns the terminal; what actors print is in Ray's session logs
                _system_config={"object_timeout_milliseconds": 100},
            )
        else:
            ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address is None:
            raise ClusterError(f"a local Ray could not be started: {_first_line(error)}; `robonav doctor` looks closer") from None
        where = "runtime.address" if config.address else "RAY_ADDRESS"
        raise ClusterError(
            f"{where}: no Ray cluster answers at {address!r} ({_first_line(error)}). Is it up (`ray status`), and does "
            f"RAY_AUTH_MODE={os.environ['RAY_AUTH_MODE']} with its token fit it? Without an address a local one is started"
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray has put its own in, which exits without a checkpoint
    try:
        yield look_at_cluster(started_here=address is None)
    finally:
        ray.shutdown()


def _running_local_cluster() -> str | None:
    """Return the address of a cluster that `ray start` has running on this machine, if it answers."""
    from ray._private.services import canonicalize_bootstrap_address

    address = canonicalize_bootstrap_address(None)  # pyright: ignore[reportArgumentType]  (its docstring says None)
    if address is None:
        return None
    import socket

    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2.0):
            return address
    except OSError:
        return None  # a stale note of a cluster that is gone


def look_at_cluster(started_here: bool) -> ClusterFacts:
    """Return what the connected cluster has now."""
    import ray

    nodes = look_at_nodes()
    total, free = ray.cluster_resources(), ray.available_resources()
    return ClusterFacts(
        address=ray.get_runtime_context().gcs_address,
        started_here=started_here,
        num_nodes=len(nodes),
        num_cpus=total.get("CPU", 0.0),
        num_gpus=total.get("GPU", 0.0),
        free_cpus=free.get("CPU", 0.0),
        memory_bytes=int(total.get("memory", 0.0)),
        nodes=nodes,
    )


def look_at_nodes() -> tuple[NodeFacts, ...]:
    """Return what each living node has free, the driver's first, then by address and id; one question to the head."""
    import ray
    from ray._private.state import available_resources_per_node

    mine = ray.get_runtime_context().get_node_id()
    free = available_resources_per_node()
    nodes = [
        NodeFacts(
            node_id=node["NodeID"],
            address=node["NodeManagerAddress"],
            cpus=free[node["NodeID"]].get("CPU", 0.0),
            gpus=free[node["NodeID"]].get("GPU", 0.0),
            role=node.get("Labels", {}).get(ROLE_LABEL, ""),
            is_driver=node["NodeID"] == mine,
            total_cpus=node["Resources"].get("CPU", 0.0),
            total_gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] in free
    ]
    return tuple(sorted(nodes, key=lambda node: (not node.is_driver, node.address, node.node_id)))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
