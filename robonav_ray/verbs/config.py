"""``robonav config``: look at a config, or check one."""

from __future__ import annotations

import typer

from robonav_ray.verbs.arguments import Overrides, load_config
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

_VERBS = {"run": "train", "search": "tune", "suite": "compare"}
config_app = typer.Typer(no_args_is_help=True, help="Look at a config, or check one.")


@config_app.command("list", epilog="Example: `robonav config list`, then `robonav train quick`")
def config_list(json: Json = False) -> None:
    """List the configs that come with the package, which the verbs take by name, and the question that each answers."""
    from robonav_ray.config.shipped import shipped_configs

    found = [config for kind in ("run", "search", "suite") for config in shipped_configs(kind)]
    if json:
        print_json([{"name": c.name, "kind": c.kind, "path": c.path, "question": c.question} for c in found])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("verb", "name", "question"):
        table.add_column(name, no_wrap=name != "question")
    for config in found:
        table.add_row(_VERBS[config.kind], config.name, config.question)
    screen_beside(False, soft_wrap=False).print(table)


@config_app.command("show", epilog="Example: `robonav config show quick learner.batch_size=256`")
def config_show(arguments: Overrides = None, json: Json = False) -> None:
    """Print the whole resolved config as YAML."""
    from robonav_ray.config.load import dump_config
    from robonav_ray.screen import say

    config = load_config(arguments)
    if json:
        print_json(config.model_dump(mode="json"))
    else:
        say(dump_config(config).rstrip("\n"))


@config_app.command("validate", epilog="Example: `robonav config validate mine.yaml`")
def config_validate(arguments: Overrides = None) -> None:
    """Check a config, the environment that it names included."""
    from robonav_ray.runs.task import check_gates, describe_task
    from robonav_ray.runtime.budget import check_budget
    from robonav_ray.runtime.sizes import check_sizes
    from robonav_ray.runtime.user_parts import check_user_code
    from robonav_ray.screen import say

    config = load_config(arguments)
    task = describe_task(config)
    check_sizes(config, task.spec)
    check_gates(config, task)
    check_budget(config)
    check_user_code(config, task)
    say(f"valid: {task.describe()}")
