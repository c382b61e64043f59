"""``robonav cluster``: one cluster definition, started here or written down for elsewhere; ``launch/`` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.verbs.as_json import Json

cluster_app = typer.Typer(
    no_args_is_help=True,
    help="One definition from a laptop to many nodes: start it here, or derive the files that start it elsewhere.",
    epilog="Examples:\n\n`robonav cluster up`\n\n"
    "`robonav cluster up --nodes rollout=2,learner=1 local.network=namespaces`\n\n"
    "`robonav cluster status`\n\n`robonav cluster down`",
)

Definition = Annotated[Path, typer.Option(help="The cluster definition.")]
DEFINITION = Path("cluster/cluster.yaml")
ClusterName = Annotated[str | None, typer.Argument(help="Name of the local cluster (default: the only one).")]
OfCluster = Annotated[str | None, typer.Option("--cluster", help="Name of the local cluster (default: the only one).")]


@cluster_app.command(
    "up",
    epilog="Examples:\n\n`robonav cluster up`\n\n`robonav cluster up --nodes rollout=2,learner=0`\n\n"
    '`sudo "$(command -v robonav)" cluster up local.network=namespaces`\n\n'
    "`robonav cluster up name=second groups.rollout.local.num_cpus=4`",
)
def cluster_up(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[section.key=value ...]", help="Overrides of the definition.")
    ] = None,
    definition: Definition = DEFINITION,
    nodes: Annotated[str | None, typer.Option(help="Nodes per group on this machine: `rollout=2,learner=0`.")] = None,
) -> None:
    """Start the cluster on this machine, as real Ray nodes with token authentication; returns when all of them
    answer.
    """
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.cluster_commands import up_command

    raise typer.Exit(up_command(definition, overrides or (), nodes, make_screen()))


@cluster_app.command(
    "render",
    epilog="Examples:\n\n`robonav cluster render`\n\n"
    "`robonav cluster render --target kuberay --output /tmp/derived kuberay.namespace=lab`\n\n"
    "`robonav cluster render --check`",
)
def cluster_render(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[section.key=value ...]", help="Overrides of the definition.")
    ] = None,
    definition: Definition = DEFINITION,
    target: Annotated[str, typer.Option(help="`local`, `compose`, `ray-up`, `kuberay` or `all`.")] = "all",
    output: Annotated[
        Path, typer.Option(help="Directory below which they are written (default: the repository).")
    ] = Path(),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say which files are stale, and exit with 1.")
    ] = False,
) -> None:
    """Derive what starts the same cluster elsewhere: docker compose, `ray up` on machines and clouds, KubeRay."""
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.cluster_commands import render_command

    raise typer.Exit(render_command(definition, overrides or (), target, output, check, make_screen()))


@cluster_app.command("secrets", epilog="Example: `robonav cluster secrets && docker compose up --build --detach`")
def cluster_secrets(definition: Definition = DEFINITION) -> None:
    """Make the secrets that docker compose mounts (mode 0600): Ray's token, MLflow's and Grafana's passwords; keeps
    what is there.
    """
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.cluster_commands import secrets_command

    raise typer.Exit(secrets_command(definition, make_screen()))


@cluster_app.command("address", epilog="Example: `export RAY_ADDRESS=$(robonav cluster address)`")
def cluster_address(name: ClusterName = None) -> None:
    """Print the address of a local cluster."""
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.cluster_commands import address_command

    raise typer.Exit(address_command(name, make_screen()))


@cluster_app.command("status", epilog="Example: `robonav cluster status`")
def cluster_status(name: ClusterName = None, json: Json = False) -> None:
    """Show the nodes of a local cluster: alive or dead, what they offer, their processes, and the jobs that run."""
    from robonav_ray.verbs.as_json import screen_beside
    from robonav_ray.verbs.cluster_commands import status_command

    raise typer.Exit(status_command(name, screen_beside(json), json))


@cluster_app.command("down", epilog="Example: `robonav cluster down`")
def cluster_down(
    name: ClusterName = None,
    force: Annotated[bool, typer.Option("--force", help="Also while jobs run; they end without a checkpoint.")] = False,
) -> None:
    """End a local cluster whole, dead and frozen nodes included, and see to it that nothing is left."""
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.cluster_commands import down_command

    raise typer.Exit(down_command(name, force, make_screen()))


@cluster_app.command("add", epilog="Example: `robonav cluster add rollout`")
def cluster_add(
    group: Annotated[str, typer.Argument(help="Group of the definition.")],
    name: Annotated[str | None, typer.Option(help="Name of the node (default: GROUP-NUMBER).")] = None,
    cluster: OfCluster = None,
) -> None:
    """Start one more node of a local cluster."""
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.cluster_commands import add_command

    raise typer.Exit(add_command(group, name, cluster, make_screen()))


@cluster_app.command("kill", epilog="Example: `robonav cluster kill rollout-1`")
def cluster_kill(node: Annotated[str, typer.Argument(help="Name of the node.")], cluster: OfCluster = None) -> None:
    """Kill a node of a local cluster as a power cut does, to see the run survive it."""
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.cluster_commands import kill_command

    raise typer.Exit(kill_command(node, cluster, make_screen()))
