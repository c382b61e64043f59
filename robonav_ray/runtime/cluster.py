"""Finding or starting Ray, with authentication always said explicitly.

Consumes: RuntimeConfig. Produces: a connected driver and what the cluster has. Waits for: Ray to answer, bounded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.errors import UserError
from robonav_ray.runtime.auth import ensure_token
from robonav_ray.runtime.job import current_job
from robonav_ray.runtime.placement import ROLE_LABEL, NodeFacts
from robonav_ray.runtime.probe import ClusterError, check_cluster, connect, split_address
from robonav_ray.runtime.reaper import Reaper

logger = logging.getLogger(__name__)
_OWN_RAY = {
    "object_timeout_milliseconds": 100,
    # What nobody refers to any more leaves the store after this. With Ray's own second, the smallest store (75 MiB) is up to 99 % full
    # of such at 70 MB/s of fragments and batches, with this 12 % (scripts/bench_object_store.py).
    "free_objects_period_milliseconds": 50,
}


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
    """Set what Ray reads from the environment, best before ``ray`` is imported.

    The mode of authentication is always explicit (a value that the user set wins), so that neither a token left over by an earlier
    Ray nor its absence changes how this one starts.
    """
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = config.auth_mode
        if (ray := sys.modules.get("ray")) is not None and not ray.is_initialized():  # a notebook: it has read its environment
            ray._raylet.Config.initialize("")  # as Ray does itself (_private/authentication/authentication_token_setup.py)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the default of the next Ray; silences its warning
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a late call after the end must not start a Ray of its own
    # Calls to parts that are gone are dropped on purpose; who had to know has been told.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    # Small actors share a core on purpose; that there are many is no news.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "PYTHON worker processes have been started")
    # One torch/BLAS thread per process: ranks and workers share the cores by number, not by fighting.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@contextlib.contextmanager
def connected(config: RuntimeConfig) -> Iterator[ClusterFacts]:
    """Join the cluster that there is, or start one; leave it (and stop what was started here) at the end.

    Inside a program that has called ``ray.init`` already (a notebook), its session is used and left as it was.

    Raises:
        ClusterError, AuthError: within 15 s, when a cluster was named but does not answer, or does not let us in.
    """
    prepare_environment(config)
    address, where = _named_address(config)
    job = current_job()
    if job is not None and (warning := job.warning()) is not None:
        logger.warning("%s", warning)
    import ray

    if ray.is_initialized():
        yield look_at_cluster(started_here=False)
        return
    if address in (None, "auto"):
        address = _running_local_cluster() if address is None else _running_local_cluster() or _no_cluster(where)
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address in (None, "local"):
            ensure_token()
            with _on_loopback():
                ray.init(
                    address="local",
                    num_cpus=config.num_cpus,
                    object_store_memory=config.object_store_bytes,
                    include_dashboard=config.dashboard,
                    logging_level=logging.WARNING,
                    log_to_driver=False,  # the panel owns the terminal; what actors print is in Ray's session logs
                    _node_ip_address="127.0.0.1",
                    _system_config=_OWN_RAY,
                )
        else:
            check_cluster(address, where)
            ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        if address in (None, "local"):
            raise ClusterError(f"a local Ray could not be started: {_first_line(error)}; `robonav doctor` looks closer") from None
        raise ClusterError(
            f"{where}: the cluster at {address!r} could not be joined ({_first_line(error)}). Is one of its nodes on this machine? A "
            "driver outside of the cluster's machines is no part of it: submit the run with `robonav submit`"
        ) from None
    except Exception as error:
        if type(error) is not Exception or address not in (None, "local"):
            raise
        # just that is what Ray raises when its node does not come up in time (ray/_private/node.py)
        raise ClusterError(
            f"a local Ray could not be started: {_first_line(error)}; try again when the machine is less busy"
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray has put its own in, which exits without a checkpoint
    reaper = Reaper(_session_folder()) if address in (None, "local") else None
    try:
        yield look_at_cluster(started_here=reaper is not None)
    finally:
        ray.shutdown()
        if reaper is not None:
            reaper.dismiss()


def _session_folder() -> Path:
    """Return the folder in which the processes of the Ray that was started here have their logs."""
    from ray._private import worker

    node: Any = worker._global_node
    return Path(node.get_session_dir_path()).resolve()


def _named_address(config: RuntimeConfig) -> tuple[str | None, str]:
    """Return the address that was asked for (None: any, or a cluster of our own) and the key or variable that says so."""
    if config.address:
        return config.address, "runtime.address"
    return os.environ.get("RAY_ADDRESS") or None, "RAY_ADDRESS"


def _no_cluster(where: str) -> str:
    raise ClusterError(
        f"{where}: auto means the cluster that runs on this machine, and there is none: start one, or leave it out"
    )


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Let what Ray starts meanwhile listen on 127.0.0.1 alone, GCS, raylet and workers included.

    Ray has this for systems whose firewall asks about every port (``_private/services.py``, get_node_ip_address); the variable
    reaches the processes that it starts, the constant those parts of Ray that are imported here already.
    """
    from ray._private import ray_constants

    name, before = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    given = os.environ.get(name)
    if given is None:
        os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if given is None:
            del os.environ[name]


def _running_local_cluster() -> str | None:
    """Return the address of a cluster that `ray start` has running on this machine, if it answers."""
    from ray._private.services import canonicalize_bootstrap_address

    address = canonicalize_bootstrap_address(None)  # pyright: ignore[reportArgumentType]  (its docstring says None)
    if address is None:
        return None
    try:
        connect(*split_address(address, "RAY_ADDRESS"), "RAY_ADDRESS")
    except ClusterError:
        return None  # a stale note of a cluster that is gone
    return address


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
