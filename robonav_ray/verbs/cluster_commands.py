"""What ``robonav cluster`` does: one function for each verb, which prints and returns an exit code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from rich.table import Table

from robonav_ray.config.load import load_cluster_definition
from robonav_ray.errors import UserError
from robonav_ray.launch.dashboard import NodeFacts, ask_running_jobs
from robonav_ray.launch.derived_files import TARGETS, Target, render, stale_files, write_files
from robonav_ray.launch.local_cluster import LocalCluster, local_clusters
from robonav_ray.launch.local_state import LocalNode
from robonav_ray.launch.secret_files import make_secrets, secret_paths
from robonav_ray.screen import Screen
from robonav_ray.text import command_text
from robonav_ray.verbs.as_json import print_json


def up_command(definition: Path, overrides: Sequence[str], nodes: str | None, console: Screen) -> int:
    """Start the local cluster of a definition, and say how to use it."""
    wanted = load_cluster_definition(definition, [*overrides, *_node_overrides(nodes)])
    begin = time.monotonic()
    with console.status(f"starting the local cluster {wanted.name} ..."):
        cluster = LocalCluster.start(wanted)
        facts = cluster.facts()
    console.print(f"local cluster {cluster.name!r} is up after {time.monotonic() - begin:.0f} s")
    _print_cluster(cluster, facts, console)
    _print_next(cluster, console)
    return 0


def status_command(name: str | None, console: Screen, json: bool = False) -> int:
    """Show the nodes of a local cluster, on ``console`` or as JSON on standard output; 1 when its head does not
    answer.
    """
    if name is None and not local_clusters():
        if json:
            print_json(None)
        console.print("no local cluster runs; `robonav cluster up` starts one")
        return 0
    cluster = LocalCluster.find(_name(name))
    facts = cluster.facts()
    if json:
        jobs = [] if facts is None else ask_running_jobs(cluster.dashboard_url, cluster.token_path)
        about = {
            "name": cluster.name,
            "address": cluster.address,
            "dashboard": cluster.dashboard_url,
            "answers": facts is not None,
        }
        print_json({**about, "nodes": _node_rows(cluster, facts), "jobs": jobs})
        return int(facts is None)
    _print_cluster(cluster, facts, console)
    if facts is None:
        console.print(f"the head does not answer at {cluster.dashboard_url}: `robonav cluster down` ends what is left")
        return 1
    jobs = ask_running_jobs(cluster.dashboard_url, cluster.token_path)
    console.print(f"jobs: {', '.join(jobs) if jobs else 'none run'}")
    return 0


def down_command(name: str | None, force: bool, console: Screen) -> int:
    """End a local cluster whole; UserError while jobs run on it, unless forced."""
    if name is None and not local_clusters():
        console.print("no local cluster runs")
        return 0
    cluster = LocalCluster.find(_name(name))
    jobs = [] if force else ask_running_jobs(cluster.dashboard_url, cluster.token_path)
    if jobs:
        raise UserError(
            f"on cluster {cluster.name!r} run the jobs {', '.join(jobs)}: "
            f"`RAY_AUTH_TOKEN_PATH={command_text(cluster.token_path)} "
            f"{command_text('robonav', 'jobs', 'stop', jobs[0], '--address', cluster.dashboard_url)}` lets one commit "
            "a checkpoint first, --force ends them where they are"
        )
    cluster.stop()
    console.print(f"local cluster {cluster.name!r} has ended; no process, namespace or folder of it is left")
    return 0


def render_command(
    definition: Path, overrides: Sequence[str], target: str, output: Path, check: bool, console: Screen
) -> int:
    """Write the derived files of a target, or say which are stale (1)."""
    if target != "all" and target not in TARGETS:
        raise UserError(f"--target {target!r}: it is one of all, {', '.join(TARGETS)}")
    wanted = load_cluster_definition(definition, overrides)
    files: dict[str, str] = {}
    for one in TARGETS if target == "all" else (target,):
        files |= render(wanted, cast(Target, one))
    if check:
        stale = stale_files(files, output)
        for path in stale:
            console.print(f"stale: {path}")
        console.print(
            "`robonav cluster render` writes them anew" if stale else f"{len(files)} derived files are up to date"
        )
        return 1 if stale else 0
    changed = write_files(files, output)
    for path in changed:
        console.print(f"written: {output / path}")
    console.print(f"{len(files)} files, {len(changed)} of them changed")
    return 0


def secrets_command(definition: Path, console: Screen) -> int:
    """Make the secrets that containers mount, where they are missing."""
    wanted = load_cluster_definition(definition)
    made = make_secrets(wanted)
    for name, path in secret_paths(wanted).items():
        console.print(f"{'made' if name in made else 'kept'}  {name:<16}  {path}")
    return 0


def address_command(name: str | None, console: Screen) -> int:
    """Print the address of a local cluster, for scripts."""
    console.print(LocalCluster.find(_name(name)).address)
    return 0


def add_command(group: str, name: str | None, cluster_name: str | None, console: Screen) -> int:
    """Start one more node."""
    cluster = LocalCluster.find(_name(cluster_name))
    with console.status(f"starting one more node of {group} ..."):
        node = cluster.add_node(group, name)
    console.print(f"node {node.name!r} ({node.ip}) has joined")
    return 0


def kill_command(node: str, cluster_name: str | None, console: Screen) -> int:
    """SIGKILL a node, to see what happens."""
    cluster = LocalCluster.find(_name(cluster_name))
    cluster.kill_node(node)
    console.print(f"node {node!r} is dead; Ray notices within 15 s")
    return 0


def _print_cluster(cluster: LocalCluster, facts: list[NodeFacts] | None, console: Screen) -> None:
    table = Table(
        title=f"{cluster.name}: {cluster.address}", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    numbers = ("CPUs", "GPUs", "pid", "processes")
    for column in ("node", "address", *numbers, "condition"):
        table.add_column(
            column, justify="right" if column in numbers else "left", overflow="fold", no_wrap=column in numbers
        )
    for row in _node_rows(cluster, facts):
        table.add_row(*(f"{value:g}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table, soft_wrap=False)


def _node_rows(cluster: LocalCluster, facts: list[NodeFacts] | None) -> list[dict[str, str | int | float]]:
    """Return of every node what is shown of it, in the order of the table's columns."""
    known = {fact.name: fact for fact in facts or ()}
    rows: list[dict[str, str | int | float]] = []
    for node in cluster.all_nodes:
        fact, count = known.get(node.name), len(cluster.processes(node.name))
        has = fact.resources if fact else {}
        rows.append(
            {
                "node": node.name,
                "address": node.ip,
                "cpus": float(has.get("CPU", 0)),
                "gpus": float(has.get("GPU", 0)),
                "pid": node.pid,
                "processes": count,
                "condition": _condition(node, fact, count, answered=facts is not None),
            }
        )
    return rows


def _condition(node: LocalNode, fact: NodeFacts | None, num_processes: int, *, answered: bool) -> str:
    alive = "unknown to Ray" if fact is None else "alive" if fact.is_alive else "dead"
    ray_says = alive if answered else "head silent"
    if node.condition == "killed":
        return f"killed ({ray_says})"
    if num_processes == 0:
        return f"gone ({ray_says})"
    return ray_says if node.condition == "up" else f"{node.condition} ({ray_says})"


def _print_next(cluster: LocalCluster, console: Screen) -> None:
    lines = [
        f"dashboard  {cluster.dashboard_url}  (asks for the token)",
        f"token      {cluster.token_path}  (mode 0600)",
        "",
        "A driver on this machine joins with",
        "  export RAY_AUTH_MODE=token",
        f"  export RAY_AUTH_TOKEN_PATH={command_text(cluster.token_path)}",
        f"  export RAY_ADDRESS={command_text(cluster.address)}",
        "  robonav train configs/run/quick.yaml",
        "A job runs its driver on the head:",
        f"  {command_text('robonav', 'submit', 'configs/run/quick.yaml', '--address', cluster.dashboard_url)}",
        "",
        "robonav cluster status | add GROUP | kill NODE | down",
    ]
    console.print("\n".join(lines))


def _node_overrides(text: str | None) -> list[str]:
    """Return ``rollout=2,learner=0`` as overrides."""
    answers: list[str] = []
    for part in (text or "").split(",") if text else ():
        group, equals, count = part.strip().partition("=")
        if not equals or not count.isdigit():
            raise UserError(f"--nodes {text!r}: write nodes per group, for instance rollout=2,learner=0")
        answers.append(f"groups.{group}.local.count={count}")
    return answers


def _name(name: str | None) -> str:
    """Return ``name``, which may be written as for `robonav cluster up` (``name=lab``), or that of the only cluster."""
    names = local_clusters()
    if name is not None:
        name = name.removeprefix("name=")
        if names and name not in names:
            raise UserError(f"there is no local cluster {name!r}; there is {', '.join(names)}")
        return name
    if len(names) != 1:
        raise UserError(
            f"there are {len(names)} local clusters ({', '.join(names)}): name one"
            if names
            else "no local cluster runs"
        )
    return names[0]
