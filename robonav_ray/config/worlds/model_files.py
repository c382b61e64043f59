"""Robots that have a name or a file: ``env.world.robot=turtlebot3_burger``, ``env.world.robot.model=my_robot.yaml``.

A model file has two parts, ``robot`` and ``lidar``, which lie under the keys of ``env.world.robot`` and
``env.world.lidar`` that are given beside it. A resolved config holds all of these, so that a run needs the file no
more.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from pydantic import ValidationError

from robonav_ray.config.base import Section
from robonav_ray.config.shipped import find_shipped, shipped_configs
from robonav_ray.config.yaml_document import MAX_BYTES, ConfigError, Document
from robonav_ray.files.plain_files import read_text

Part = Literal["robot", "lidar"]
ADDED_SINCE: frozenset[str] = frozenset()
"""Keys of a robot or a lidar that came after configs with models were stored: those are whole without them."""


class _File(NamedTuple):
    path: str
    parts: Mapping[str, dict[str, Any]]
    lines: Mapping[tuple[str | int, ...], int]


def robot_section(value: Any) -> Any:
    """Return what ``env.world.robot`` may be given as, the name or the file of a model, as a mapping of its keys."""
    return {"model": value} if isinstance(value, str) else value


def under_given(model: str, part: Part, section: type[Section], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys ``given`` of a ``section`` with those of the model's ``part`` under them.

    Raises:
        ValueError: Naming the model or its file, for one that there is not, or that holds a mistake.
    """
    if is_whole(given, section):
        return dict(given)
    file = _read(model)
    keys = file.parts.get(part, {})
    try:
        section.model_validate(keys)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = (part, *problem["loc"])
        line = next((file.lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in file.lines), 1)
        key, told = ".".join(map(str, where)), problem["msg"].removeprefix("Value error, ")
        told = "unknown key" if problem["type"] == "extra_forbidden" else told
        raise ValueError(f"model: {file.path}:{line}: {key}: {told}") from None
    under, over = keys.get("body"), given.get("body")
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        body, own = cast("Mapping[str, Any]", under), cast("Mapping[str, Any]", over)
        if own.get("shape", body.get("shape")) == body.get("shape"):
            given = {**given, "body": {**body, **own}}
    return {**keys, **given}


def refuse_idle_model(source: str, world: Any, overrides: Sequence[str], section: type[Section]) -> None:
    """Raise ConfigError when an override names a model of which the file at ``source`` sets every key in its ``world``,
    as a resolved config does: a model lies under a file.
    """
    robot: Any = cast("Mapping[str, Any]", world).get("robot") if isinstance(world, Mapping) else None
    if not isinstance(robot, Mapping) or not is_whole(cast("Mapping[str, Any]", robot), section):
        return
    for override in overrides:
        key, _, name = override.partition("=")
        if key.strip() in ("env.world.robot", "env.world.robot.model") and name.strip() != robot["model"]:
            raise ConfigError(
                f"override {override!r}: would change nothing, because {source} sets every key of a robot: take a file "
                "that leaves them out, or leave the robot out"
            )


def is_whole(given: Mapping[str, Any], section: type[Section]) -> bool:
    """Whether ``given`` holds all keys of the ``section``, as a resolved config does."""
    return section.model_fields.keys() - ADDED_SINCE <= given.keys()


def _read(model: str) -> _File:
    """Return what the file of a model sets; ValueError for none, and for one that is no model."""
    path = find_shipped(Path(model), "robot") or Path(model)
    try:
        return _parsed(read_text(path, MAX_BYTES, follow=True), str(path))
    except FileNotFoundError:
        raise ValueError(_unknown(model, [robot.name for robot in shipped_configs("robot")])) from None
    except OSError as error:  # PlainFileError among them
        raise ValueError(f"model: {error if error.strerror is None else f'{path}: {error.strerror}'}") from None


def _unknown(model: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(Path(model).stem, names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"model: there is no robot {model!r}, and no file of that name{hint} the robots are {', '.join(names)}"


@lru_cache(maxsize=16)
def _parsed(text: str, path: str) -> _File:
    document = Document(text, path)
    data: Any = document.data
    if not isinstance(data, dict) or not data:
        raise ValueError(f"model: {path}: a robot has the parts robot and lidar, as those in configs/robots")
    parts = cast("dict[str, Any]", data)
    for name, part in parts.items():
        line = document.lines[(name,)]
        if name not in ("robot", "lidar"):
            raise ValueError(f"model: {path}:{line}: {name}: a robot has the parts robot and lidar, and no other")
        if not isinstance(part, dict):
            raise ValueError(f"model: {path}:{line}: {name}: is a section, as in configs/robots")
        if "model" in part:
            raise ValueError(f"model: {path}:{line}: {name}.model: a model holds the numbers itself: leave it out")
    return _File(path, parts, document.lines)
