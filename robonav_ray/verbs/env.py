"""``robonav env``: what an environment's observations and actions mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from robonav_ray.verbs.arguments import Overrides, split_arguments
from robonav_ray.verbs.as_json import Json, print_json

if TYPE_CHECKING:
    from robonav_ray.worlds.env_table import EnvTable

env_app = typer.Typer(no_args_is_help=True, help="Look at an environment.")


@env_app.command(
    "show",
    epilog="Examples:\n\n`robonav env show`\n\n`robonav env show env.world.lidar.num_beams=72`\n\n"
    "`robonav env show runs/NAME --json`",
)
def env_show(arguments: Overrides = None, json: Json = False) -> None:
    """Print which number of an observation is what, in which unit, and what each action does; of a config or of a run's
    directory.
    """
    from robonav_ray.config.load import load_run_config
    from robonav_ray.runs.run_directory import open_run
    from robonav_ray.runs.task import describe_task

    path, overrides = split_arguments(arguments)
    config = (
        open_run(path).resumed_config(overrides)
        if path is not None and path.is_dir()
        else load_run_config(path, overrides)
    )
    table = describe_task(config).table
    if json:
        print_json(table.to_dict())
    else:
        _print_table(table)


def _print_table(table: EnvTable) -> None:
    from rich.table import Table

    from robonav_ray.screen import make_screen
    from robonav_ray.worlds.env_table import OBSERVATION_COLUMNS

    screen = make_screen(soft_wrap=False)
    size = table.observation[-1].last + 1
    for title, columns, rows in (
        (f"{table.env_id}: an observation is {size} numbers", OBSERVATION_COLUMNS, table.observation_cells()),
        (f"an action is one of {len(table.actions)}", ("action", *table.command), table.action_cells()),
    ):
        shown = Table(box=None, pad_edge=False, header_style="dim")
        for column in columns:
            is_number = column == "number" or len(columns) < len(OBSERVATION_COLUMNS)
            shown.add_column(column, justify="right" if is_number else "left", overflow="fold")
        for cells in rows:
            shown.add_row(*cells)
        screen.print(title, style="bold")
        screen.print(shown)
        screen.print()
