"""Room for a local cluster: free ports, a folder with a short name, and what else its nodes have in common."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket

from robonav_ray.errors import UserError
from robonav_ray.launch import namespaces
from robonav_ray.launch.local_state import LAST_PORT, PORTS_PER_NODE, SERVICES, LocalOptions, LocalState, StateFile
from robonav_ray.nodes.private_folder import make_private_folder

FIRST_PORT = 21_000


def check_options(options: LocalOptions) -> None:
    """Raise UserError for what cannot be started on this machine."""
    if not any(group.role == "head" for group in options.groups.values()):
        raise UserError("groups: no node has the role head; one must")
    num_nodes = sum(group.count for group in options.groups.values())
    if options.port_base is not None and options.port_base + PORTS_PER_NODE * num_nodes > LAST_PORT:
        raise UserError(
            f"local.port_base ({options.port_base}): {num_nodes} nodes need {PORTS_PER_NODE} ports each below "
            f"{LAST_PORT}; lower it"
        )
    if options.network == "namespaces":
        namespaces.check_allowed()


def make_place(options: LocalOptions, file: StateFile) -> None:
    """Make what the nodes have in common (bridge, folders, token) and write it down; nothing is left when that
    fails.
    """
    mark, base, bridge = secrets.token_hex(3), free_port_base(options), None
    with contextlib.ExitStack() as undo:
        if options.network == "namespaces":
            bridge = namespaces.make_bridge(mark)
            undo.callback(namespaces.remove_bridge, bridge)
        folder = str(make_private_folder(f"rn-{mark}-", below="250"))  # a node's own is called after its number
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.callback(file.remove)
        file.create()
        file.write(
            LocalState(
                options.name, f"{os.getuid()}-{mark}", folder, base, options.groups, options.environment, bridge=bridge
            )
        )
        undo.pop_all()


def free_port_base(options: LocalOptions) -> int:
    """Return the first port of a row of free blocks; UserError when the ports that were asked for are taken."""
    num_nodes = sum(group.count for group in options.groups.values())
    if options.port_base is not None:
        taken = _taken_port(options.port_base, num_nodes)
        if taken is not None:
            raise UserError(
                f"local.port_base ({options.port_base}): port {taken} is taken; leave the key out, and free ports are "
                "found"
            )
        return options.port_base
    for base in range(FIRST_PORT, LAST_PORT - PORTS_PER_NODE * num_nodes, PORTS_PER_NODE):
        if _taken_port(base, num_nodes) is None:
            return base
    raise UserError(f"no free ports for {num_nodes} nodes between {FIRST_PORT} and {LAST_PORT}: end what uses them")


def _taken_port(base: int, num_nodes: int) -> int | None:
    for index in range(num_nodes):
        for port in range(base + PORTS_PER_NODE * index, base + PORTS_PER_NODE * index + len(SERVICES)):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("0.0.0.0", port))
                except OSError:
                    return port
    return None
