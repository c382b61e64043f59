"""A config as a program hands it over: a path, a mapping, a config that is made already, or nothing, with overrides by
dotted key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, checked_config, override_text

Model = TypeVar("Model", bound=BaseModel)
Overrides = Mapping[str, Any]
"""Values by dotted key (``{"budget.time_s": 20, "seed": 3}``), of any kind that YAML has."""


def override_texts(overrides: Overrides | None) -> list[str]:
    """Return overrides in the form of the command line, ``a.b=c``; ConfigError for a key or a value that cannot be
    one.
    """
    texts: list[str] = []
    for key, value in (overrides or {}).items():
        if not isinstance(key, str):
            raise ConfigError(
                f"overrides: the key {key!r} is no text; write section.key, for instance learner.batch_size"
            )
        texts.append(override_text(key, _plain(value)))
    return texts


def asked_config(
    model: type[Model], given: str | Path | Mapping[str, Any] | Model | None, overrides: Overrides | None
) -> tuple[Path | Model | None, list[str]]:
    """Return what the rooms beneath take: a file (or the name of a shipped config) or None with overrides to read it
    with, or a config.

    Raises:
        ConfigError: For anything wrong in a config that is no file, with every problem found.
    """
    texts = override_texts(overrides)
    if given is None or isinstance(given, str | Path):
        return (None if given is None else Path(given)), texts
    if isinstance(given, Mapping):
        sections = {str(key): _plain(value) for key, value in given.items() if "." not in str(key)}
        dotted = override_texts({key: value for key, value in given.items() if "." in str(key)})
        return checked_config(model, sections, [*dotted, *texts], "config"), []
    if not isinstance(given, model):
        raise ConfigError(
            f"config: {type(given).__name__} is no config; give a path, a mapping, a {model.__name__} or None"
        )
    preset = given.preset if isinstance(given, RunConfig) else None
    if (overrides or {}).get("preset", preset) != preset:
        raise ConfigError(
            f"override 'preset={(overrides or {})['preset']}': a {model.__name__} has every setting written down, so a "
            "preset would change nothing; give a mapping, or change the settings themselves"
        )
    return (checked_config(model, given.model_dump(mode="json"), texts, "config") if texts else given), []


def _plain(value: Any) -> Any:
    """Return what YAML has for a value of Python or NumPy; what it has nothing for stays."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
