"""``robonav config``: look at a config, check one, or compare two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robonav_ray.errors import EXIT_DONE, EXIT_FAILED
from robonav_ray.verbs.arguments import Overrides, load_config
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from pydantic import BaseModel

    from robonav_ray.config.described.differences import Difference
    from robonav_ray.config.described.kinds_of_config import KindOfConfig
    from robonav_ray.config.shipped import ConfigKind

_VERBS: dict[ConfigKind, str] = {
    "run": "train",
    "search": "tune",
    "suite": "compare",
    "pipeline": "pipeline run",
    "robot": "train",
    "map": "train",
}
_SHOWN = 60
"""Characters of a value in a table at most."""
config_app = typer.Typer(no_args_is_help=True, help="Look at a config, check one, or compare two.")


@config_app.command("list", epilog="Example: `robonav config list`, then `robonav train quick`")
def config_list(json: Json = False) -> None:
    """List the configs that come with the package, which the verbs take by name, and the question that each answers."""
    from robonav_ray.config.shipped import shipped_configs

    found = [config for kind in _VERBS for config in shipped_configs(kind)]
    if json:
        print_json([{"name": c.name, "kind": c.kind, "path": c.path, "question": c.question} for c in found])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("verb", "name", "question"):
        table.add_column(name, no_wrap=name != "question")
    for config in found:
        name = f"env.world.{config.kind}={config.name}" if config.kind in ("robot", "map") else config.name
        table.add_row(_VERBS[config.kind], name, config.question)
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
    from robonav_ray.runs.task import check_gates, check_places, describe_task
    from robonav_ray.runtime.budget import check_budget
    from robonav_ray.runtime.sizes import check_sizes
    from robonav_ray.runtime.user_parts import check_user_code
    from robonav_ray.screen import say

    config = load_config(arguments)
    task = describe_task(config)
    check_sizes(config, task.spec)
    check_gates(config, task)
    check_budget(config)
    check_places(config, task)
    check_user_code(config, task)
    say(f"valid: {task.describe()}")


@config_app.command("schema", epilog="Example: `robonav config schema run > run.schema.json`")
def config_schema(
    kind: Annotated[
        str,
        typer.Argument(
            help="`run`, `curriculum`, `tuning`, `evaluation`, `ablation`, `pipeline`, `cluster` or `robot`."
        ),
    ] = "run",
) -> None:
    """Print the JSON schema of a kind of config, for an editor that completes keys and marks mistakes.

    The first line `# yaml-language-server: $schema=run.schema.json` of a YAML file names its schema.
    """
    from robonav_ray.config.described.json_schema import config_schema as schema_of

    print_json(schema_of(kind))


@config_app.command(
    "diff",
    epilog="Examples:\n\n`robonav config diff quick ten_minutes`\n\n"
    "`robonav config diff configs/training_config.yaml runs/curriculum-20261122-181500`\n\n"
    "`robonav config diff asha pbt --kind tuning --json`",
)
def config_diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A YAML file, the name of a shipped config, or a run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another, of the same kind.")],
    kind: Annotated[
        str,
        typer.Option(help="`run`, `curriculum`, `tuning`, `evaluation`, `ablation`, `pipeline`, `cluster` or `robot`."),
    ] = "run",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with exit code 1 when they differ.")] = False,
    json: Json = False,
) -> None:
    """Show the keys that two configs set differently, resolved, with both values; exit code 0 either way."""
    from robonav_ray.config.described.differences import ABSENT, differences
    from robonav_ray.config.described.kinds_of_config import kind_called

    asked = kind_called(kind, "--kind")
    found = differences(_config_at(a, asked), _config_at(b, asked))
    if json:
        print_json([{key: value for key, value in pair._asdict().items() if value is not ABSENT} for pair in found])
    else:
        _show_differences(found, a, b)
    raise typer.Exit(EXIT_FAILED if found and exit_code else EXIT_DONE)


def _config_at(where: str, kind: KindOfConfig) -> BaseModel:
    """Return the config that a word names: a file, a shipped one, or that of a run, a search or a model."""
    from robonav_ray.config import RunConfig
    from robonav_ray.config.described.kinds_of_config import refuse_other_kind
    from robonav_ray.config.load import load_section_file
    from robonav_ray.config.shipped import find_shipped
    from robonav_ray.config.tuning import TuningConfig
    from robonav_ray.files.locations import is_uri
    from robonav_ray.registry.by_name import located
    from robonav_ray.registry.names import model_named
    from robonav_ray.runs.located import whole_uri
    from robonav_ray.runs.run_directory import open_run
    from robonav_ray.tuning.experiment import open_experiment

    path = Path(where)
    is_folder = path.is_dir() and ((path / "config.yaml").exists() or find_shipped(path, kind.shipped) is None)
    if kind.model is RunConfig and (model_named(where) is not None or is_uri(whole_uri(where))):
        with located(where) as found:
            return found.run.config
    if kind.model is RunConfig and is_folder:
        return open_run(path).config
    if kind.model is TuningConfig and is_folder:
        return open_experiment(path).config
    if find_shipped(path, kind.shipped) is None and not path.exists():
        refuse_other_kind(path, kind)
    return load_section_file(kind.model, path, (), kind.shipped)


def _show_differences(found: list[Difference], a: str, b: str) -> None:
    """Print a table with the values of both, long ones cut (``--json`` has them whole); or that no key differs."""
    import json

    from rich.table import Table
    from rich.text import Text

    from robonav_ray.config.described.differences import ABSENT
    from robonav_ray.screen import say
    from robonav_ray.text import one_line

    def shown(value: Any) -> str:
        text = "-" if value is ABSENT else json.dumps(value, ensure_ascii=False, default=str)
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

    if not found:
        say("no key differs")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("key", no_wrap=True)
    for name in (a, b):
        table.add_column(Text(one_line(name)), overflow="fold")
    for pair in found:
        table.add_row(pair.key, shown(pair.a), shown(pair.b))
    screen_beside(False, soft_wrap=False).print(table)
