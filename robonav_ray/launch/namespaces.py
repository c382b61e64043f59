"""Network namespaces: nodes on one machine with an address of their own, which can be cut off (Linux, root).

A bridge on the machine carries the head's address, so that drivers on the machine reach it; each other node has a
namespace, joined to the bridge by a pair of virtual interfaces.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from robonav_ray.errors import UserError

INTERFACE = "eth0"
"""Name of a node's interface inside its namespace."""
_NET = ipaddress.ip_network("10.200.0.0/16")


@dataclass(frozen=True)
class Bridge:
    """A bridge with the network 10.200.N.0/24; the head has .1, node number i has .(i + 1)."""

    tag: str
    """Up to 6 characters, unique on the machine; part of every interface's name (15 characters at most)."""
    number: int

    @property
    def name(self) -> str:
        """Interface of the bridge."""
        return f"rn{self.tag}br"

    def address(self, index: int) -> str:
        """Return the address of node ``index``; 0 is the head."""
        return f"10.200.{self.number}.{index + 1}"

    def namespace(self, index: int) -> str:
        """Return the namespace of node ``index``."""
        return f"robonav-{self.tag}-{index}"

    def link(self, index: int) -> str:
        """Return the end of the node's link that is on the machine."""
        return f"rn{self.tag}v{index}"


def check_allowed() -> None:
    """Raise UserError where this machine or user cannot make network namespaces."""
    instead = "take local.network=loopback, which needs no rights"
    if sys.platform != "linux" or shutil.which("ip") is None:
        raise UserError(f"local.network is namespaces, which needs Linux with the command `ip` (iproute2): {instead}")
    if os.geteuid() != 0:
        raise UserError(f"local.network is namespaces, which only root may make: run it as root, or {instead}")


def make_bridge(tag: str) -> Bridge:
    """Make a bridge on a network that nothing on this machine uses."""
    taken = [
        ipaddress.ip_network(f"{item['local']}/{item['prefixlen']}", strict=False)
        for link in json.loads(_ip("-j", "addr").stdout or "[]")
        for item in link.get("addr_info", ())
        if item.get("family") == "inet"
    ]
    first = int(tag, 16) % 250
    for number in [*range(first, 255), *range(first)]:
        net = ipaddress.ip_network(f"10.200.{number}.0/24")
        if not any(net.overlaps(other) for other in taken):
            break
    else:
        raise UserError(
            f"local.network is namespaces, but all of {_NET} is in use on this machine: take local.network=loopback"
        )
    bridge = Bridge(tag, number)
    with _undo_on_error(bridge):
        _ip("link", "add", bridge.name, "type", "bridge")
        _ip("addr", "add", f"{bridge.address(0)}/24", "dev", bridge.name)
        _ip("link", "set", bridge.name, "up")
    return bridge


def add_namespace(bridge: Bridge, index: int) -> None:
    """Make the namespace of node ``index``, with its address, joined to the bridge."""
    space, link, peer = bridge.namespace(index), bridge.link(index), f"rn{bridge.tag}p{index}"
    _ip("netns", "add", space)
    _ip("link", "add", link, "type", "veth", "peer", "name", peer)
    _ip("link", "set", peer, "netns", space)
    _ip("link", "set", link, "master", bridge.name, "up")
    _ip("-n", space, "link", "set", peer, "name", INTERFACE)
    _ip("-n", space, "addr", "add", f"{bridge.address(index)}/24", "dev", INTERFACE)
    _ip("-n", space, "link", "set", INTERFACE, "up")
    _ip("-n", space, "link", "set", "lo", "up")
    _ip("-n", space, "route", "add", "default", "via", bridge.address(0))


def set_link(bridge: Bridge, index: int, up: bool) -> None:
    """Cut node ``index`` off, or join it again; its processes go on running either way."""
    _ip("link", "set", bridge.link(index), "up" if up else "down")


def remove_namespace(bridge: Bridge, index: int) -> None:
    """Remove the namespace of node ``index`` and its link; nothing happens when they are gone."""
    _ip("netns", "del", bridge.namespace(index), check=False)
    _ip("link", "del", bridge.link(index), check=False)


def remove_bridge(bridge: Bridge) -> list[str]:
    """Remove the bridge and every namespace and link that bears its tag; return the names of what could not be
    removed.
    """
    spaces, links = _left_of(bridge)
    for space in spaces:
        _ip("netns", "del", space, check=False)
    for link in links:
        _ip("link", "del", link, check=False)
    return [name for names in _left_of(bridge) for name in names]


def in_namespace(bridge: Bridge, index: int) -> list[str]:
    """Return the words that run a command inside the namespace of node ``index``."""
    return ["ip", "netns", "exec", bridge.namespace(index)]


def _left_of(bridge: Bridge) -> tuple[list[str], list[str]]:
    spaces = [line.split()[0] for line in _ip("netns", "list", check=False).stdout.splitlines() if line.strip()]
    links = [link["ifname"] for link in json.loads(_ip("-j", "link").stdout or "[]")]
    return (
        [space for space in spaces if space.startswith(f"robonav-{bridge.tag}-")],
        [link for link in links if link.startswith(f"rn{bridge.tag}")],
    )


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=20)
    if check and done.returncode != 0:
        raise UserError(
            f"local.network is namespaces, but `ip {' '.join(words)}` failed: {done.stderr.strip()}; take "
            "local.network=loopback where the machine does not allow it"
        )
    return done


@contextlib.contextmanager
def _undo_on_error(bridge: Bridge) -> Iterator[None]:
    try:
        yield
    except BaseException:
        remove_bridge(bridge)
        raise
