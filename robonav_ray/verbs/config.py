"""``robonav config``: look at a config, or check one."""

from __future__ import annotations

import typer

from robonav_ray.verbs.arguments import Overrides, load_config

config_app = typer.Typer(no_args_is_help=True, help="Look at a config, or check one.")


@config_app.command("show", epilog="Example: `robonav config show configs/run/quick.yaml learner.batch_size=256`")
def config_show(arguments: Overrides = None) -> None:
    """Print the whole resolved config as YAML."""
    from robonav_ray.config.load import dump_config
    from robonav_ray.screen import say

    say(dump_config(load_config(arguments)).rstrip("\n"))


@config_app.command("validate", epilog="Example: `robonav config validate configs/run/quick.yaml`")
def config_validate(arguments: Overrides = None) -> None:
    """Check a config, the environment that it names included."""
    from robonav_ray.runs.task import check_gates, describe_task
    from robonav_ray.runtime.budget import check_budget
    from robonav_ray.runtime.sizes import check_sizes
    from robonav_ray.screen import say

    config = load_config(arguments)
    task = describe_task(config)
    check_sizes(config, task.spec)
    check_gates(config, task)
    check_budget(config)
    say(f"valid: {task.describe()}")
