"""Where the run under test lives: several Ray nodes on this machine that the suite started, or the Ray that the run
starts itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

from robonav_ray.errors import UserError

ATTEMPTS = 3


class SiteError(RuntimeError):
    """Something could not be done to the nodes; the message says why."""


class Site(Protocol):
    """The nodes, and what can be done to them."""

    environment: dict[str, str]
    """What the command needs in its environment to find it."""
    address: str | None
    """``ip:port`` for those who want to look into the cluster; None when it ends with the run."""
    head: str | None
    """Node that is never broken: Ray's own control plane, and the driver, live there."""

    def roots(self) -> dict[str, int]:
        """Return the pid of every node's first process, by name."""
        ...

    def act(self, action: str, node: str | None) -> str | None:
        """Do ``add_node``, ``kill_node``, ``freeze_node``, ``thaw_node``, ``partition`` or ``heal``; return the name of
        a new node.
        """
        ...

    def stop(self) -> None:
        """End everything that was started."""
        ...


class OwnRay:
    """The run starts a Ray of its own, as `robonav train` does on a laptop; there are no nodes to break."""

    def __init__(self, driver: Callable[[], int | None]) -> None:
        """``driver`` returns the pid of the command while it runs."""
        self._driver = driver
        self.environment: dict[str, str] = {}
        self.address: str | None = None
        self.head: str | None = None

    def roots(self) -> dict[str, int]:
        """Everything is below the driver."""
        pid = self._driver()
        return {} if pid is None else {"driver": pid}

    def act(self, action: str, node: str | None) -> str | None:
        """Refused: one machine is one node."""
        raise ValueError(f"{action} needs a cluster of several nodes: say --nodes 2 or more")

    def stop(self) -> None:
        """Ray ends with the driver."""


class Nodes:
    """A ``LocalCluster``: real Ray nodes, each with processes of its own."""

    def __init__(self, cluster: Any, driver: Callable[[], int | None]) -> None:
        """``cluster`` runs; ``driver`` returns the pid of the command while it runs."""
        self._cluster, self._driver = cluster, driver
        self.address: str | None = cluster.address
        self.head: str | None = cluster.nodes[0].name
        self._group = cluster.nodes[-1].group
        self.environment = {
            "RAY_ADDRESS": cluster.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(cluster.token_path)
        }  # fmt: skip

    def roots(self) -> dict[str, int]:
        """The nodes that are up, and the driver."""
        pid = self._driver()
        return {node.name: node.pid for node in self._cluster.nodes} | ({} if pid is None else {"driver": pid})

    def act(self, action: str, node: str | None) -> str | None:
        """Passed on to the cluster."""
        if action == "add_node":
            return _persistently(lambda: self._cluster.add_node("cpu")).name
        doing = {
            "kill_node": self._cluster.kill_node,
            "freeze_node": self._cluster.freeze_node,
            "thaw_node": self._cluster.thaw_node,
            "partition": self._cluster.partition,
            "heal": self._cluster.heal,
        }[action]
        try:
            doing(node)
        except UserError as error:
            raise SiteError(f"{action} {node}: {error}") from error
        return None

    def stop(self) -> None:
        """End the cluster."""
        self._cluster.stop()


def open_site(num_nodes: int, cpus: int, namespaces: bool, first_port: int, driver: Callable[[], int | None]) -> Site:
    """Start ``num_nodes`` Ray nodes of ``cpus`` logical CPUs each, with ports from ``first_port`` on; 0: none, the run
    has its own.
    """
    if num_nodes == 0:
        return OwnRay(driver)
    from robonav_ray.launch.local_cluster import LocalCluster, LocalGroup, LocalOptions

    groups = {"head": LocalGroup("head", 1, cpus), "cpu": LocalGroup("worker", num_nodes - 1, cpus)}
    options = LocalOptions(
        f"chaos-{os.getpid()}", groups, "namespaces" if namespaces else "loopback", port_base=first_port or None
    )
    return Nodes(_persistently(lambda: LocalCluster.start(options)), driver)


def _persistently(start: Callable[[], Any]) -> Any:
    """Return what ``start`` returns; a machine at its limit may be too slow for Ray's own patience, so a few times."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return start()
        except UserError as error:
            if attempt == ATTEMPTS:
                raise SiteError(f"nothing came up in {ATTEMPTS} attempts: {error}") from error
