"""From the definition to the files that start the same cluster elsewhere.

Every file is a pure function of the definition, so that ``robonav cluster render --check`` tells whether what is
committed is stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.files.plain_files import read_text, replace
from robonav_ray.launch.compose import compose_file, grafana_source, prometheus_file
from robonav_ray.launch.grafana import dashboard, dashboard_provider
from robonav_ray.launch.kuberay import ray_cluster, ray_job, storage
from robonav_ray.launch.ray_up import aws_file, gcp_file, onprem_file

Target = Literal["local", "compose", "ray-up", "kuberay"]
TARGETS: tuple[Target, ...] = get_args(Target)

HEADER = "Derived from cluster/cluster.yaml by `robonav cluster render`; do not edit."

_LOCAL = """\
#!/usr/bin/env bash
# {header}
# Starts the cluster on this machine and makes the calling shell a driver's: `source cluster/local.sh`.
# `robonav cluster down` ends it.
robonav cluster up --definition "$(dirname "${{BASH_SOURCE[0]}}")/cluster.yaml" "$@" || return 2>/dev/null || exit
robonav_cluster={name}
for robonav_word in "$@"; do case "$robonav_word" in name=*) robonav_cluster="${{robonav_word#name=}}" ;; esac; done
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN_PATH="$HOME/.robonav/clusters/$robonav_cluster/token"
RAY_ADDRESS="$(robonav cluster address "$robonav_cluster")"
export RAY_AUTH_TOKEN_PATH RAY_ADDRESS
unset robonav_cluster robonav_word
"""


def render(definition: ClusterDefinition, target: Target) -> dict[str, str]:
    """Return the derived files of a target: path relative to the repository, and text."""
    if target == "local":
        return {"cluster/local.sh": _LOCAL.format(header=HEADER, name=definition.name)}
    if target == "compose":
        return {
            "docker-compose.yml": _yaml(
                compose_file(definition), "Secrets first: `robonav cluster secrets`. Then: docker compose up."
            ),
            "cluster/compose/prometheus.yml": _yaml(prometheus_file(definition)),
            "cluster/compose/grafana/datasources/prometheus.yml": _yaml(grafana_source(definition)),
            "cluster/compose/grafana/dashboards/provider.yml": _yaml(dashboard_provider()),
            "cluster/compose/grafana/dashboards/robonav.json": json.dumps(dashboard(HEADER), indent=1) + "\n",
        }
    if target == "ray-up":
        return {
            "cluster/ray-up/onprem.yaml": _yaml(onprem_file(definition), "ray up cluster/ray-up/onprem.yaml"),
            "cluster/ray-up/aws.yaml": _yaml(aws_file(definition), "ray up cluster/ray-up/aws.yaml"),
            "cluster/ray-up/gcp.yaml": _yaml(gcp_file(definition), "ray up cluster/ray-up/gcp.yaml"),
        }
    return {
        "cluster/kuberay/storage.yaml": _yaml(
            storage(definition), "Once: kubectl apply -f cluster/kuberay/storage.yaml"
        ),
        "cluster/kuberay/raycluster.yaml": _yaml(
            ray_cluster(definition), "kubectl apply -f cluster/kuberay/raycluster.yaml"
        ),
        "cluster/kuberay/rayjob.yaml": _yaml(ray_job(definition), "kubectl create -f cluster/kuberay/rayjob.yaml"),
    }


def stale_files(files: dict[str, str], root: Path) -> list[str]:
    """Return the paths under ``root`` that are missing or differ from what they should be."""
    return [
        path
        for path, text in files.items()
        if not (root / path).is_file() or read_text(root / path, follow=True, errors="replace") != text
    ]


def write_files(files: dict[str, str], root: Path) -> list[str]:
    """Write what is missing or differs; return those paths."""
    changed = stale_files(files, root)
    for path in changed:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(target, files[path])
        target.chmod(0o755 if path.endswith(".sh") else 0o644)
    return changed


class _Dumper(yaml.SafeDumper):
    """Lists stand two deeper than their key, long texts in one piece, nothing as anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _text)


def _yaml(data: dict[str, Any] | list[dict[str, Any]], use: str = "") -> str:
    """Return a YAML text; a list is written as several documents."""
    head = f"# {HEADER}\n" + (f"# {use}\n" if use else "")
    documents = data if isinstance(data, list) else [data]
    return head + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=160, allow_unicode=True)
