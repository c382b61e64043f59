"""How the processes of one node of a local cluster are started: the words of ``ray start`` and the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from robonav_ray.launch import namespaces
from robonav_ray.launch.local_state import PORTS_PER_NODE, SERVICES, LocalNode, LocalState
from robonav_ray.launch.processes import MARK
from robonav_ray.launch.ray_start import RAY_VARIABLES
from robonav_ray.nodes.job import STORAGE

_NOT_INHERITED = ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_ID", "RAY_RAYLET_PID", "RAY_NODE_ID", MARK)
_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def start_command(state: LocalState, node: LocalNode, address: str) -> list[str]:
    """Return the command that starts the node's processes; ``address`` is the head's, ``ip:port``."""
    group = state.groups[node.group]
    first_worker_port = state.port(node.index, SERVICES[-1]) + 1
    labels = {"robonav.group": node.group, "robonav.role": group.role, **group.labels}
    words: dict[str, object] = {
        "node-name": node.name,
        "node-ip-address": node.ip,
        "temp-dir": state.node_folder(node),
        "num-cpus": group.num_cpus,
        "num-gpus": group.num_gpus,
        "memory": group.memory_bytes,
        "object-store-memory": group.object_store_bytes,
        "labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "node-manager-port": state.port(node.index, "node_manager"),
        "object-manager-port": state.port(node.index, "object_manager"),
        "runtime-env-agent-port": state.port(node.index, "runtime_env_agent"),
        "dashboard-agent-listen-port": state.port(node.index, "dashboard_agent"),
        "dashboard-agent-grpc-port": state.port(node.index, "dashboard_agent_grpc"),
        "metrics-export-port": state.port(node.index, "metrics"),
        "min-worker-port": first_worker_port,
        "max-worker-port": state.port_base + PORTS_PER_NODE * (node.index + 1) - 1,
    }
    if node.index == 0:
        words |= {
            "port": state.port(0, "gcs"),
            "include-dashboard": "true",
            "dashboard-host": node.ip,
            "dashboard-port": state.port(0, "dashboard"),
            "ray-client-server-port": state.port(0, "client"),
        }
    else:
        words |= {"address": address}
    inside = namespaces.in_namespace(state.bridge, node.index) if state.bridge and node.index else []
    start = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--block",
        "--disable-usage-stats",
        "--log-color=false",
    ]
    return [
        *inside,
        *start,
        *(["--head"] if node.index == 0 else []),
        *(f"--{key}={value}" for key, value in words.items()),
    ]


def start_environment(state: LocalState, node: LocalNode, token_path: Path) -> dict[str, str]:
    """Return the variables that the node's processes get."""
    bridge = state.bridge
    interface = (bridge.name if node.index == 0 else namespaces.INTERFACE) if bridge else _LOOPBACK
    return {
        **{key: value for key, value in os.environ.items() if key not in _NOT_INHERITED},
        **state.environment,
        **RAY_VARIABLES,
        "PATH": with_own_programs(os.environ.get("PATH", os.defpath)),
        STORAGE: os.environ.get(STORAGE) or str(Path.cwd()),  # jobs keep their runs where the cluster was started
        MARK: state.trace(node).mark,
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        # Ray notes there which cluster is this host's; a driver elsewhere must not join it unasked
        "RAY_TMPDIR": state.folder,
        "GLOO_SOCKET_IFNAME": interface,
        "NCCL_SOCKET_IFNAME": interface,
    }


def with_own_programs(path: str) -> str:
    """Return ``path`` with the folder of this Python's programs in front: jobs say `robonav`, whether or not its venv
    was activated.
    """
    own = str(Path(sys.executable).parent)
    return os.pathsep.join([own, *(folder for folder in path.split(os.pathsep) if folder != own)])
