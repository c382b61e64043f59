"""The door: the verbs (``verbs/``, one file each), put together into one command.

Exit codes: 0 done, 1 failed, 2 your input is wrong (one message says what and where), 75 stopped before the end:
resume.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from robonav_ray import __version__
from robonav_ray.verbs import (
    ablate,
    cluster,
    compare,
    config,
    doctor,
    env,
    evaluate,
    jobs,
    play,
    plot,
    registry,
    report,
    runs,
    submit,
    track,
    train,
    tune,
)
from robonav_ray.verbs.ab_testing import ab, fleet
from robonav_ray.verbs.deployment import export, serve
from robonav_ray.verbs.exit_codes import end_with_code
from robonav_ray.verbs.maps.map import map_app
from robonav_ray.verbs.pipelines import pipeline
from robonav_ray.verbs.self_play import league

app = typer.Typer(
    name="robonav",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Distributed reinforcement learning for mobile-robot navigation, on Ray.",
)
for verb in (train, evaluate, compare, ab, ablate, report, export, serve, play, plot, track, submit, doctor):
    app.add_typer(verb.app)
for name, group in (
    ("config", config.config_app),
    ("env", env.env_app),
    ("map", map_app),
    ("tune", tune.tune_app),
    ("pipeline", pipeline.pipeline_app),
    ("runs", runs.runs_app),
    ("registry", registry.registry_app),
    ("league", league.league_app),
    ("jobs", jobs.jobs_app),
    ("fleet", fleet.fleet_app),
    ("cluster", cluster.cluster_app),
):
    app.add_typer(group, name=name)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"robonav_ray {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; see ``verbs/exit_codes.py`` for how it ends."""
    end_with_code(partial(app, prog_name="robonav"))  # also of `python -m robonav_ray`, whose shell completes `robonav`


if __name__ == "__main__":
    main()
