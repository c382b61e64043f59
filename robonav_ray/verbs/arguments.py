"""What several verbs take: a config with overrides, a run, a duration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from robonav_ray.config import RunConfig
    from robonav_ray.runs.checkpoint_index import Which

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONFIG.yaml] [section.key=value ...]",
        help="A YAML file with what differs from the defaults, or the name of a shipped one (`robonav config list`), "
        "then overrides.",
    ),
]

Run = Annotated[
    str,
    typer.Argument(
        help="A run directory or one of its checkpoints, the URI of either (`s3://bucket/runs/NAME`), or a model by "
        "name (`NAME@champion`)."
    ),
]

WhichCheckpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="best|last",
        help="Checkpoint of a run that was judged while it trained (default: best; the last of a run that was not).",
    ),
]


def which_checkpoint(word: str | None) -> Which | None:
    """Return what ``--checkpoint`` means; CheckpointError for another word than ``best`` and ``last``."""
    from robonav_ray.runs.checkpoint_index import checked_which

    return checked_which(word)


def parse_duration(text: str, option: str = "--time-limit") -> float:
    """Return seconds of ``90``, ``90s``, ``20m`` or ``1.5h``, as a config takes them; ConfigError that names ``option``
    otherwise.
    """
    from robonav_ray.config.duration import seconds_of
    from robonav_ray.config.load import ConfigError

    try:
        seconds = seconds_of(text)
    except ValueError as error:
        raise ConfigError(f"{option} {error}") from None
    if seconds <= 0.0:
        raise ConfigError(f"{option} {text!r}: write a positive duration such as 30s, 20m or 1.5h")
    return seconds


def split_arguments(arguments: list[str] | None) -> tuple[Path | None, list[str]]:
    """Tell the config file from the overrides, whose keys have no slash; ``lr=0.1.yaml`` is a file where there is one
    of that name.
    """
    from robonav_ray.config.load import ConfigError

    def is_override(argument: str) -> bool:
        key, equals, _ = argument.partition("=")
        named_so = argument.lower().endswith((".yaml", ".yml")) and os.path.lexists(argument)
        return bool(equals) and "/" not in key and not named_so

    files = [argument for argument in arguments or [] if not is_override(argument)]
    if "" in files:
        raise ConfigError("'': an argument is empty (a variable that is not set?); name a YAML file, or leave it out")
    if len(files) > 1:
        raise ConfigError(f"one config file at most, not {', '.join(files)}; overrides are written section.key=value")
    return (Path(files[0]) if files else None), [argument for argument in arguments or [] if is_override(argument)]


def load_config(arguments: list[str] | None) -> RunConfig:
    """Return the checked config that the arguments of a verb name; ConfigError otherwise."""
    from robonav_ray.config.load import load_run_config

    path, overrides = split_arguments(arguments)
    return load_run_config(path, overrides)
