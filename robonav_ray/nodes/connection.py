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

import psutil

from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.nodes.auth import own_token
from robonav_ray.nodes.job import current_job
from robonav_ray.nodes.own_ray import own_ray
from robonav_ray.nodes.part_placement import ROLE_LABEL, NodeFacts
from robonav_ray.nodes.probe import ClusterError, check_cluster, connect, split_address

logger = logging.getLogger(__name__)
_OWN_RAY = {
    "object_timeout_milliseconds": 100,
    # An object without a reference leaves the store after this. With Ray's own second, the smallest store (75 MiB) is
    # up to 99 % full of such at 70 MB/s of fragments and batches, with this 12 % (proofs/bench/object_store.py).
    "free_objects_period_milliseconds": 50,
    # Ray has all its workers step back behind its own daemons; ours step back by themselves, each as far as it should
    # (own_processes.py).
    "worker_niceness": 0,
}


@dataclass(frozen=True)
class ClusterFacts:
    """The cluster's resources, and how it was found."""

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
    logs: Path | None = None
    """Where the logs are of a Ray that was started here."""

    def describe(self) -> str:
        """Return one line for people."""
        origin = "started a local Ray" if self.started_here else f"joined Ray at {self.address}"
        if self.logs is not None:
            origin += f" (logs: {self.logs})"
        nodes = "1 node" if self.num_nodes == 1 else f"{self.num_nodes} nodes"
        return f"{origin}: {nodes}, {self.num_cpus:g} CPUs ({self.free_cpus:g} free), {self.num_gpus:g} GPUs"


def prepare_environment(config: RuntimeConfig) -> None:
    """Set what Ray reads from the environment, best before ``ray`` is imported.

    The mode of authentication is always explicit (a value that the user set wins), so that neither a token left over by
    an earlier Ray nor its absence changes how this one starts.
    """
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = config.auth_mode
        # a notebook: Ray has read its environment
        if (ray := sys.modules.get("ray")) is not None and not ray.is_initialized():
            # as Ray does itself (_private/authentication/authentication_token_setup.py)
            ray._raylet.Config.initialize("")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # the default of the next Ray; silences its warning
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
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
    found = (
        _running_local_cluster(any_of_them=(address, where) == ("auto", "RAY_ADDRESS"))
        if address in (None, "auto")
        else None
    )
    if address == "auto" and found is None:
        raise ClusterError(
            f"{where}: auto means the cluster that runs on this machine, and there is none: start one, or leave it out"
        )
    if found is not None:
        address, where = found.address, found.origin
    local = address in (None, "local")
    before, logs = signal.getsignal(signal.SIGTERM), None
    with contextlib.ExitStack() as exits:
        exits.callback(_handle_again, signal.SIGTERM)
        try:
            if local:
                exits.enter_context(own_token())
                logs = exits.enter_context(_own_ray(config))
            else:
                assert address is not None
                check_cluster(address, where)
                exits.callback(ray.shutdown)
                ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
        except UserError as error:
            raise error if found is None else found.refused(error) from None
        except (OSError, RuntimeError, ValueError) as error:
            told = _not_started(error, "`robonav doctor` looks closer") if local else _not_joined(error, where, address)
            raise told if found is None else found.refused(told) from None
        except Exception as error:
            if type(error) is not Exception or not local:
                raise
            # just that is what Ray raises when its node does not come up in time (ray/_private/node.py)
            raise _not_started(error, "try again when the machine is less busy") from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray has put its own in, which exits without a checkpoint
        yield look_at_cluster(started_here=local, logs=logs)


def _handle_again(number: signal.Signals) -> None:
    """Put the handler of a signal in again: Ray's C++ code leaves the system's default behind when it ends, of which
    Python does not know.
    """
    handler = signal.getsignal(number)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(number, handler)


@contextlib.contextmanager
def _own_ray(config: RuntimeConfig) -> Iterator[Path]:
    """Start a Ray for this process alone, on loopback; yields the folder of its logs."""
    with contextlib.ExitStack() as exits:
        with _on_loopback():
            logs = exits.enter_context(
                own_ray(
                    keep_logs=config.keep_ray_logs,
                    num_cpus=config.num_cpus,
                    object_store_memory=config.object_store_bytes,
                    include_dashboard=config.dashboard,
                    logging_level=logging.WARNING,
                    log_to_driver=False,  # the panel owns the terminal; what actors print is in Ray's session logs
                    _node_ip_address="127.0.0.1",
                    _system_config=_OWN_RAY,
                )
            )
        yield logs


def _not_started(error: Exception, advice: str) -> ClusterError:
    reason = "; ".join([_first_line(error), *getattr(error, "__notes__", [])])
    return ClusterError(
        f"a local Ray could not be started: {reason}; {advice}, runtime.keep_ray_logs=true keeps Ray's logs"
    )


def _not_joined(error: Exception, where: str, address: str | None) -> ClusterError:
    return ClusterError(
        f"{where}: the cluster at {address!r} could not be joined ({_first_line(error)}). Is one of its nodes on this "
        "machine? A driver outside of the cluster's machines is no part of it: submit the run with `robonav submit`"
    )


def _named_address(config: RuntimeConfig) -> tuple[str | None, str]:
    """Return the address that was asked for (None: any, or a cluster of our own) and the key or variable that says
    so.
    """
    if config.address:
        return config.address, "runtime.address"
    return os.environ.get("RAY_ADDRESS") or None, "RAY_ADDRESS"


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Let what Ray starts meanwhile listen on 127.0.0.1 alone, GCS, raylet and workers included.

    Ray has this for systems whose firewall asks about every port (``_private/services.py``, get_node_ip_address); the
    variable reaches the processes that it starts, the constant those parts of Ray that are imported here already.
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


@dataclass(frozen=True)
class _Found:
    """A cluster that was not named, but that runs on this machine."""

    address: str
    origin: str
    """How it was found, for people."""

    def refused(self, error: UserError) -> ClusterError:
        """Return why it cannot be joined, with both ways out."""
        return ClusterError(f"{error}; or have a Ray of your own, beside it, with runtime.address=local")


def _running_local_cluster(*, any_of_them: bool = False) -> _Found | None:
    """Return the cluster that `ray start` has running on this machine, if it answers.

    Args:
        any_of_them: Whether one that ``ray.init`` has started will do, where there is no other.

    Raises:
        ClusterError: When it is another user's, who could have put it there to be told our token.
    """
    from ray._common.utils import get_ray_address_file

    note = Path(get_ray_address_file(None))
    try:
        owner, address = note.lstat().st_uid, plain_files.read_text(note, 4096).strip()
        connect(*split_address(address, "RAY_ADDRESS"), "RAY_ADDRESS")
    except (OSError, ClusterError):  # none, none that Ray has written, or a stale one of a cluster that is gone
        addresses = _addresses_of_raylets() if any_of_them else []
        return (
            _Found(addresses[0], f"the Ray that was found running on this machine at {addresses[0]}")
            if addresses
            else None
        )
    found = _Found(address, f"the Ray cluster that runs on this machine at {address} (noted in {note})")
    if owner not in (0, os.geteuid()):
        raise found.refused(
            ClusterError(
                f"{found.origin} is another user's (uid {owner}): if you are to join it, take its token from them and "
                f"say runtime.address={address}"
            )
        )
    return found


def _addresses_of_raylets() -> list[str]:
    """Return the heads that this user's raylets on this machine say they belong to."""
    found: set[str] = set()
    for process in psutil.process_iter(["uids", "cmdline"]):
        uids, words = process.info["uids"], process.info["cmdline"]
        if uids is not None and uids.effective == os.geteuid() and words and os.path.basename(words[0]) == "raylet":
            found |= {word.removeprefix("--gcs-address=") for word in words if word.startswith("--gcs-address=")}
    return sorted(found)


def look_at_cluster(started_here: bool, logs: Path | None = None) -> ClusterFacts:
    """Return what the connected cluster has now; ``logs`` are those of a Ray that was started here."""
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
        logs=logs,
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
