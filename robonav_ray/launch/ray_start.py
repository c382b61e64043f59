"""The words of ``ray start`` and the variables around it, the same in every place."""

from __future__ import annotations

import shlex

from robonav_ray.config.cluster import ClusterDefinition, NodeGroupConfig
from robonav_ray.nodes.job import STORAGE

RAY_VARIABLES: dict[str, str] = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A node that has frozen or is cut off is declared dead 8 to 10 s after its last answer; Ray's own settings take a
    # minute.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_JOB_STOP_WAIT_TIME_S": "45",  # `ray job stop` lets a run commit its checkpoint; Ray's own setting is 3 s
    # an object without a reference leaves the object store at once, not after a second
    "RAY_free_objects_period_milliseconds": "50",
    "OMP_NUM_THREADS": "1",  # processes share the cores by number, not by fighting
}


def node_variables(definition: ClusterDefinition) -> dict[str, str]:
    """Return the variables of every node: Ray's, and where a job that names no folder of its own keeps its runs."""
    return RAY_VARIABLES if definition.storage.is_bucket else {**RAY_VARIABLES, STORAGE: definition.storage.url}


def node_labels(name: str, group: NodeGroupConfig) -> dict[str, str]:
    """Return the labels of the nodes of a group, by which a run places its parts."""
    return {"robonav.group": name, "robonav.role": group.role, **group.labels}


def label_text(labels: dict[str, str]) -> str:
    """Return labels as ``--labels`` wants them."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def port_words(definition: ClusterDefinition) -> dict[str, str]:
    """Return the ports of any node, by the names of the options of ``ray start``."""
    ports = definition.ports
    return {
        "node-manager-port": str(ports.node_manager),
        "object-manager-port": str(ports.object_manager),
        "runtime-env-agent-port": str(ports.runtime_env_agent),
        "dashboard-agent-listen-port": str(ports.dashboard_agent),
        "dashboard-agent-grpc-port": str(ports.dashboard_agent_grpc),
        "metrics-export-port": str(ports.metrics),
        "min-worker-port": str(ports.worker_first),
        "max-worker-port": str(ports.worker_last),
    }


def head_words(definition: ClusterDefinition, dashboard_host: str) -> dict[str, str]:
    """Return what only the head is told."""
    ports = definition.ports
    return {
        "port": str(ports.gcs),
        "include-dashboard": "true",
        "dashboard-host": dashboard_host,
        "dashboard-port": str(ports.dashboard),
        "ray-client-server-port": str(ports.client),
    }


def start_command(words: dict[str, str], *, head: bool = False, block: bool = False) -> list[str]:
    """Return ``ray start`` with options."""
    flags = [*(["--head"] if head else []), *(["--block"] if block else []), "--disable-usage-stats"]
    return ["ray", "start", *flags, *(f"--{key}={value}" for key, value in words.items())]


def job_command(definition: ClusterDefinition) -> str:
    """Return the command of the job; submitted again, it goes on where the last one stopped."""
    url = definition.storage.url
    where = (
        [f"checkpoint.storage={url}", "output_dir=/tmp/runs"] if definition.storage.is_bucket else [f"output_dir={url}"]
    )
    words = [
        "robonav",
        "train",
        definition.job.config,
        "--resume",
        "auto",
        f"learner.num_ranks={definition.job.num_ranks}",
        *where,
    ]
    return shlex.join(words)
