"""What a local cluster is, written down: a folder per cluster with ``cluster.json`` and the token, so that any process
finds it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.files.plain_files import PlainFileError, open_lock, open_new, read_json
from robonav_ray.launch.namespaces import Bridge
from robonav_ray.launch.processes import Trace

PORTS_PER_NODE = 200
LAST_PORT = 32_767
"""Ephemeral ports begin behind it."""
# The first ports of a node's block; what is behind them is for its worker processes.
SERVICES = (
    "node_manager",
    "object_manager",
    "runtime_env_agent",
    "dashboard_agent",
    "dashboard_agent_grpc",
    "metrics",
    "gcs",
    "dashboard",
    "client",
)


@dataclass(frozen=True)
class LocalGroup:
    """Nodes of one kind on this machine."""

    role: str
    count: int = 1
    num_cpus: int = 1
    num_gpus: int = 0
    object_store_bytes: int = 134_217_728
    memory_bytes: int = 2 << 30
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalOptions:
    """What to start on this machine."""

    name: str
    groups: dict[str, LocalGroup]
    network: str = "loopback"
    """``loopback`` or ``namespaces``."""
    port_base: int | None = None
    """First port; None finds free ones."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the nodes besides those of this process."""

    @property
    def head(self) -> str:
        """Name of the head's group."""
        return next(name for name, group in self.groups.items() if group.role == "head")


@dataclass(frozen=True)
class LocalNode:
    """One Ray node: a session of processes."""

    name: str
    group: str
    index: int
    """Number of its block of ports, and of its namespace."""
    ip: str
    pid: int
    """Leader of its session; 0 before it is started."""
    created_s: float = 0.0
    """When the leader was created (epoch seconds)."""
    condition: str = "up"
    """What was done to it: ``up``, ``frozen``, ``cut`` (off the network) or ``killed``."""


@dataclass(frozen=True)
class LocalState:
    """All of ``cluster.json``."""

    name: str
    mark: str
    folder: str
    """Folder of the nodes' own folders; short, because Ray puts sockets there."""
    port_base: int
    groups: dict[str, LocalGroup]
    environment: dict[str, str]
    nodes: tuple[LocalNode, ...] = ()
    bridge: Bridge | None = None

    @property
    def head(self) -> LocalNode:
        """The head's node, which is the first."""
        return self.nodes[0]

    def port(self, index: int, service: str) -> int:
        """Return the port of a service of node ``index``."""
        return self.port_base + PORTS_PER_NODE * index + SERVICES.index(service)

    def trace(self, node: LocalNode) -> Trace:
        """Return what the processes of ``node`` are known by."""
        return Trace(f"{self.mark}:{node.index}:{node.name}", node.pid, node.created_s)

    def node_folder(self, node: LocalNode) -> Path:
        """Return the folder of ``node``."""
        return Path(self.folder) / str(node.index)

    def changed(self, node: LocalNode) -> LocalState:
        """Return the state with ``node`` in the place of that of its name, or behind the others."""
        others = [node if old.name == node.name else old for old in self.nodes]
        return replace(self, nodes=tuple(others if node in others else [*others, node]))

    def free_index(self) -> int:
        """Return the block of the next node: one that no node had, as long as there is one."""
        used = max((node.index for node in self.nodes), default=-1) + 1
        if self.port_base + PORTS_PER_NODE * (used + 1) <= LAST_PORT and used < 250:
            return used
        taken = {node.index for node in self.nodes if node.condition != "killed"}
        free = [index for index in range(used) if index not in taken]
        if not free:
            raise UserError(f"there are {len(taken)} nodes, and no ports are left for another: lower local.port_base")
        return free[0]


def local_options(definition: ClusterDefinition) -> LocalOptions:
    """Return what the definition says about one machine."""
    groups = {
        name: LocalGroup(
            role=group.role,
            count=group.local.count,
            num_cpus=group.local.num_cpus,
            num_gpus=group.local.num_gpus,
            object_store_bytes=group.local.object_store_bytes,
            memory_bytes=group.local.memory_bytes,
            labels=group.labels,
        )
        for name, group in definition.groups.items()
    }
    return LocalOptions(definition.name, groups, definition.local.network, definition.local.port_base)


def state_root() -> Path:
    """Return the folder of all local clusters of this user."""
    return own_folder() / "clusters"


def own_folder() -> Path:
    """Return where this user's local clusters and secrets lie; UserError where no home is known."""
    try:
        return Path.home() / ".robonav"
    except RuntimeError:
        raise UserError(
            "HOME is not set, and the system knows no home of this user: set HOME to a folder that is yours"
        ) from None


class StateFile:
    """``cluster.json`` of one cluster: read and replaced whole, one writer at a time."""

    def __init__(self, name: str) -> None:
        self.folder = state_root() / name
        self.path = self.folder / "cluster.json"
        self.token_path = self.folder / "token"

    def create(self) -> None:
        """Make the folder (0700) and a token (0600) of 256 random bits."""
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.mkdir(mode=0o700)
        with open_new(self.token_path, 0o600) as file:
            file.write(secrets.token_hex(32).encode())

    def read(self) -> LocalState:
        """Return the state; UserError when there is no such cluster."""
        try:
            data: dict[str, Any] = read_json(self.path)
        except FileNotFoundError:
            raise UserError(
                f"there is no local cluster {self.folder.name!r}; `robonav cluster up` starts one"
            ) from None
        except PlainFileError as error:
            raise UserError(f"{error}; delete the folder once its processes are gone") from None
        try:
            return LocalState(
                **{
                    **data,
                    "groups": {name: LocalGroup(**group) for name, group in data["groups"].items()},
                    "nodes": tuple(LocalNode(**node) for node in data["nodes"]),
                    "bridge": data["bridge"] and Bridge(**data["bridge"]),
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.path}: is not what `robonav cluster up` writes ({error}); delete the folder once its processes "
                "are gone"
            ) from None

    def write(self, state: LocalState) -> None:
        """Replace the file."""
        plain_files.replace(self.path, json.dumps(asdict(state), indent=1))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold off other processes that change the same cluster."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Hold the name while its cluster is started; UserError when another process does."""
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder.parent / f"{self.folder.name}.starting"  # beside the folder, which comes and goes meanwhile
        with open_lock(path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # the process that had it has removed it since we opened it
                held = os.fstat(lock.fileno()).st_nlink == 0
            except BlockingIOError:
                held = True
            if held:
                raise UserError(
                    f"a local cluster {self.folder.name!r} is being started by another process: wait for it, or "
                    "name=OTHER starts another"
                )
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder with the token."""
        shutil.rmtree(self.folder, ignore_errors=True)
