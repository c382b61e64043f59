"""Several Ray nodes on this machine, as real processes that can be killed, frozen, cut off and added.

Each node is ``ray start --block`` in a session of its own, with its own folder and ports, token authentication, and an
address of its own: on the loopback, or in a network namespace. What is known of it stands in a file, so that another
process goes on where this one ended.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.config.cluster.places import NAME
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import open_writing, read_lines
from robonav_ray.launch import namespaces
from robonav_ray.launch.dashboard import NodeFacts, ask_nodes
from robonav_ray.launch.local_places import check_options, make_place
from robonav_ray.launch.local_state import (
    LocalGroup,
    LocalNode,
    LocalOptions,
    StateFile,
    local_options,
    state_root,
)
from robonav_ray.launch.node_start import start_command, start_environment
from robonav_ray.launch.processes import Trace, find_processes, kill_processes, signal_processes

__all__ = ["LocalCluster", "LocalGroup", "LocalNode", "LocalOptions", "local_options"]

# Linux answers on all of 127.0.0.0/8, so each node has an address of its own; of 127.0.0.1 itself Ray makes the
# machine's outer address.
LOOPBACK_NET = "127.77.0"


class LocalCluster:
    """A cluster on this machine. ``with LocalCluster.start(...) as cluster:`` stops it at the end."""

    def __init__(self, name: str) -> None:
        self._file = StateFile(name)
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._state = self._file.read()

    @classmethod
    def start(cls, what: ClusterDefinition | LocalOptions, timeout_s: float = 120.0) -> LocalCluster:
        """Start all nodes and return when all of them answer; nothing is left behind when that fails.

        Raises:
            UserError: when a cluster of the name runs or is being started, ports are taken, namespaces are not allowed,
                files cannot be made, or a node does not come up.
        """
        options = local_options(what) if isinstance(what, ClusterDefinition) else what
        check_options(options)
        file = StateFile(options.name)
        try:
            with file.starting():
                _clear_remains(file)
                make_place(options, file)
                cluster = cls(options.name)
                try:
                    cluster._start_all(options, timeout_s)
                except BaseException:
                    cluster.stop()
                    raise
        except OSError as error:
            raise UserError(
                f"the local cluster {options.name!r} cannot be started ({error}): HOME and TMPDIR must be folders that "
                "can be written to, with room"
            ) from error
        return cluster

    @classmethod
    def find(cls, name: str) -> LocalCluster:
        """Return the cluster that another process started; UserError when there is none of that name."""
        return cls(name)

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return self._state.name

    @property
    def address(self) -> str:
        """``ip:port`` of the head, for RAY_ADDRESS and ``runtime.address``."""
        return f"{self._state.head.ip}:{self._state.port(0, 'gcs')}"

    @property
    def dashboard_url(self) -> str:
        """URL of the dashboard, and of ``ray job submit``."""
        return f"http://{self._state.head.ip}:{self._state.port(0, 'dashboard')}"

    @property
    def token_path(self) -> Path:
        """File with the token, mode 0600."""
        return self._file.token_path

    @property
    def nodes(self) -> list[LocalNode]:
        """Every node that was not killed, the head first."""
        return [node for node in self._state.nodes if node.condition != "killed"]

    @property
    def all_nodes(self) -> list[LocalNode]:
        """Every node there was, the killed ones included."""
        return list(self._state.nodes)

    def node(self, name: str) -> LocalNode:
        """Return the node of that name; UserError when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise UserError(
            f"cluster {self.name!r} has no node {name!r}; its nodes are {', '.join(n.name for n in self.nodes)}"
        )

    def driver_environment(self) -> dict[str, str]:
        """Return the variables with which a driver or `ray job` command on this machine reaches the cluster."""
        return {"RAY_ADDRESS": self.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_path)}

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the live processes of a node, workers and drivers on it included."""
        return find_processes([self._state.trace(next(n for n in self._state.nodes if n.name == name))])

    def facts(self) -> list[NodeFacts] | None:
        """Return what Ray knows of the nodes; None when the head does not answer."""
        return ask_nodes(self.dashboard_url, self.token_path)

    def add_node(self, group: str, name: str | None = None, timeout_s: float = 120.0) -> LocalNode:
        """Start one more node of a group, and return when it answers."""
        node = self._launch(group, name)
        try:
            self._wait_for([node], timeout_s)
        except BaseException:
            self.kill_node(node.name)
            raise
        return node

    def kill_node(self, name: str) -> None:
        """SIGKILL every process of the node at once, as a power cut does; its namespace goes too."""
        node = self.node(name)
        self._end(node)
        self._set(replace(node, condition="killed"))

    def freeze_node(self, name: str) -> None:
        """SIGSTOP every process of the node: it neither answers nor closes a connection."""
        signal_processes([self._state.trace(self.node(name))], signal.SIGSTOP)
        self._set(replace(self.node(name), condition="frozen"))

    def thaw_node(self, name: str) -> None:
        """SIGCONT every process of the node. Ray ends a node that it has declared dead meanwhile."""
        signal_processes([self._state.trace(self.node(name))], signal.SIGCONT)
        self._set(replace(self.node(name), condition="up"))

    def partition(self, name: str) -> None:
        """Take the node's network away; UserError without namespaces, or for the head."""
        self._set_link(name, up=False)

    def heal(self, name: str) -> None:
        """Give the node's network back."""
        self._set_link(name, up=True)

    def stop(self) -> None:
        """End every process, namespace and folder of the cluster; RuntimeError names what could not be ended."""
        with contextlib.suppress(UserError):  # the file may be gone, the processes not
            self._state = self._file.read()
        left = [f"process {process.pid}" for process in kill_processes(self._traces())]
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5.0)
        if self._state.bridge:
            left += [f"interface or namespace {name}" for name in namespaces.remove_bridge(self._state.bridge)]
        shutil.rmtree(self._state.folder, ignore_errors=True)
        if left:
            raise RuntimeError(f"cluster {self.name!r} could not be ended whole; still there: {', '.join(left)}")
        self._file.remove()

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_all(self, options: LocalOptions, timeout_s: float) -> None:
        head = self._launch(options.head, "head")
        self._wait_for([head], timeout_s)
        workers = [
            self._launch(name, None)
            for name, group in options.groups.items()
            if name != options.head
            for _ in range(group.count)
        ]
        self._wait_for(workers, timeout_s)

    def _launch(self, group: str, name: str | None) -> LocalNode:
        """Start the processes of one node and write it down, before and after, so that no one loses sight of it."""
        with self._file.locked():
            self._state = before = self._file.read()
            node = self._new_node(group, name)
            self._state = before.changed(node)
            try:
                self._file.write(self._state)
                node = self._start_process(node)
                self._state = before.changed(node)
                self._file.write(self._state)
            except BaseException as error:
                self._end(node)
                self._state = before
                with contextlib.suppress(OSError):  # a full disk: the node stays written down, without processes
                    self._file.write(before)
                if isinstance(error, OSError):
                    raise UserError(
                        f"node {node.name!r} of cluster {self.name!r} cannot be started: {error}"
                    ) from error
                raise
        return node

    def _new_node(self, group: str, name: str | None) -> LocalNode:
        """Return a node that is not started yet; UserError for a group or name that it cannot have."""
        state, bridge = self._state, self._state.bridge
        if group not in state.groups:
            raise UserError(f"cluster {self.name!r} has no group {group!r}; its groups are {', '.join(state.groups)}")
        if name is None:
            name = f"{group}-{sum(node.group == group for node in state.nodes) + 1}"
        elif not re.fullmatch(NAME, name):
            raise UserError(f"{name!r} is no name of a node: up to 31 small letters, digits and '-', a letter first")
        if any(node.name == name for node in state.nodes):
            raise UserError(f"cluster {self.name!r} has or had a node {name!r}: take another name")
        if state.nodes and state.groups[group].role == "head":
            raise UserError(f"cluster {self.name!r} has its head; another group can be added to")
        index = state.free_index()
        return LocalNode(name, group, index, bridge.address(index) if bridge else f"{LOOPBACK_NET}.{index + 1}", 0)

    def _start_process(self, node: LocalNode) -> LocalNode:
        """Make the node's namespace and folder, and start the leader of its processes."""
        if self._state.bridge and node.index:
            namespaces.add_namespace(self._state.bridge, node.index)
        folder = self._state.node_folder(node)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_writing(Path(self._state.folder) / f"{node.name}.log") as log:
            child = subprocess.Popen(
                start_command(self._state, node, self.address),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder,
                env=start_environment(self._state, node, self.token_path),
            )
        self._children[child.pid] = child
        return replace(node, pid=child.pid, created_s=psutil.Process(child.pid).create_time())

    def _end(self, node: LocalNode) -> None:
        """Leave nothing of the node: processes, namespace, folder."""
        kill_processes([self._state.trace(node)])
        self._reap(node.pid)
        if self._state.bridge and node.index:
            namespaces.remove_namespace(self._state.bridge, node.index)
        shutil.rmtree(self._state.node_folder(node), ignore_errors=True)

    def _wait_for(self, nodes: Sequence[LocalNode], timeout_s: float) -> None:
        """Return when Ray counts all of ``nodes`` among the living."""
        end, missing = time.monotonic() + timeout_s, {node.name for node in nodes}
        while True:
            missing -= {fact.name for fact in self.facts() or () if fact.is_alive}
            if not missing:
                return
            for node in nodes:
                code = self._children[node.pid].poll()
                if code is not None:
                    raise UserError(
                        f"node {node.name!r} of cluster {self.name!r} ended at its start (exit code {code}):\n"
                        f"{self._tail(node)}"
                    )
            if time.monotonic() > end:
                first = next(node for node in nodes if node.name in missing)
                raise UserError(
                    f"cluster {self.name!r}: {', '.join(sorted(missing))} did not answer within {timeout_s:g} s; the "
                    f"last lines of {first.name}:\n"
                    f"{self._tail(first)}"
                )
            time.sleep(0.3)

    def _tail(self, node: LocalNode) -> str:
        path = Path(self._state.folder) / f"{node.name}.log"
        lines = deque(read_lines(path), 12) if path.is_file() else ()
        return "\n".join(
            f"  {line}" for line in (line.decode(errors="replace").rstrip() for line in lines) if line.strip()
        )

    def _set(self, node: LocalNode) -> None:
        with self._file.locked():
            self._state = self._file.read().changed(node)
            self._file.write(self._state)

    def _set_link(self, name: str, *, up: bool) -> None:
        node, bridge = self.node(name), self._state.bridge
        if bridge is None:
            raise UserError(f"cluster {self.name!r} has no network to cut: start it with local.network=namespaces")
        if node.index == 0:
            raise UserError("the head cannot be cut off: its address is on this machine's own bridge")
        namespaces.set_link(bridge, node.index, up)
        self._set(replace(node, condition="up" if up else "cut"))

    def _traces(self) -> list[Trace]:
        return [self._state.trace(node) for node in self._state.nodes]

    def _reap(self, pid: int) -> None:
        child = self._children.pop(pid, None)
        if child is not None:
            child.wait(timeout=10.0)


def local_clusters() -> list[str]:
    """Return the names of the clusters that are written down for this user."""
    return sorted(path.parent.name for path in state_root().glob("*/cluster.json"))


def _clear_remains(file: StateFile) -> None:
    """Remove what a cluster of this name left that was not stopped; UserError when it runs."""
    if not file.path.is_file():
        file.remove()
        return
    old = LocalCluster(file.folder.name)
    if find_processes(old._traces()):
        raise UserError(
            f"a local cluster {old.name!r} runs: `robonav cluster status` shows it, "
            "`robonav cluster down` ends it, name=OTHER starts another"
        )
    old.stop()
