"""Overrides ``a.b=c``: what they set, and where."""

# pyright: standard
# (what comes out of a file has no types until pydantic has seen it.)

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from robonav_ray.config.run import RunConfig
from robonav_ray.config.words import without_secret
from robonav_ray.config.worlds.maps import map_section
from robonav_ray.config.worlds.model_files import robot_section
from robonav_ray.config.yaml_document import ConfigError, Document, Path_
from robonav_ray.text import visible

_COMMENT = re.compile(r"(?:^|\s)#")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'', re.DOTALL)


def apply_override(model: type[BaseModel], data: dict[str, Any], override: str) -> Path_:
    """Write one ``a.b=c`` into ``data`` and return the path that it set."""
    override = _as_text(override)
    shown = without_secret(override)
    key, equals, text = override.partition("=")
    if not equals or not key.strip() or any(not part for part in key.strip().split(".")):
        raise ConfigError(f"override {shown!r}: write it as section.key=value, for instance learner.batch_size=256")
    value = _override_value(text, f"override {shown!r}")
    parts = key.strip().split(".")
    field = model.model_fields.get(parts[0])
    section = None if field is None else section_of_mapping(field.annotation)
    if section is not None and len(parts) > 1:  # its keys may have dots of their own, up to a key of the section
        known = cast("dict[str, Any]", data.get(parts[0]) or {})
        whole = 2 if parts[1] in known else len(parts)
        end = next((i for i in range(2, len(parts)) if parts[i] in section.model_fields), whole)
        parts = [parts[0], ".".join(parts[1:end]), *parts[end:]]
    if isinstance(value, str) and parts[-2:] == ["world", "robot"]:
        parts = [*parts, "model"]  # which it is short for
    path: Path_ = tuple(int(p) if p.isdigit() else p for p in parts)
    node: Any = data
    for depth, part in enumerate(path[:-1]):
        if isinstance(node, dict):
            is_list = isinstance(path[depth + 1], int)
            if is_list and (node.get(part) is None or path[: depth + 1] == ("curriculum", "stages")):
                whole, known = path[: depth + 1], node.get(part)
                node[part] = (
                    _list_in_use(model, data, whole) or known or _list_in_use(model, _only_env_id(data), whole) or {}
                )
            elif node.get(part) is None:
                node[part] = {}
            node[part] = spelled_out(path[: depth + 1], node[part])
            node = node[part]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            raise ConfigError(f"override {shown!r}: {dotted(path[: depth + 1])} is not there to be changed")
    last = path[-1]
    if not isinstance(node, dict | list) or (
        isinstance(node, list) and not (isinstance(last, int) and last < len(node))
    ):
        raise ConfigError(f"override {shown!r}: {dotted(path[:-1])} is {kind_of(node)}, not a section")
    cast(Any, node)[last] = value
    return path


def spelled_out(path: Sequence[str | int], value: Any) -> Any:
    """Return the section that a value at ``path`` is short for: of a world's robot or map; any other value as it is."""
    if tuple(path[-2:]) == ("world", "robot"):
        return robot_section(value)
    return map_section(value) if tuple(path[-2:]) == ("world", "map") else value


def comes_later(override: str) -> bool:
    """Whether an override is applied after those of ``env``, which decides on the default stages."""
    return override.partition("=")[0].strip().split(".")[0] != "env"


def _as_text(override: str) -> str:
    """Return an override of the command line as text: in a locale of ASCII, UTF-8 arrives as escapes; ConfigError for
    other bytes.
    """
    if override.isascii() or not any("\ud800" <= character <= "\udfff" for character in override):
        return override
    try:
        return os.fsencode(override).decode()
    except UnicodeError:
        raise ConfigError(f"override '{visible(override)}': holds bytes that are no UTF-8; write it in UTF-8") from None


def _override_value(text: str, source: str) -> Any:
    """Return the value of an override: YAML, but a ``#`` begins no comment in it."""
    if _COMMENT.search(text) is None or text.lstrip()[:1] in ("|", ">"):
        return Document(text, source).data
    if text.lstrip()[:1] not in ("[", "{", "'", '"') and "\n" not in text:
        return text.strip()
    if _COMMENT.search(_QUOTED.sub("''", text)) is not None:
        raise ConfigError(
            f"{source}: what stands behind ` #` would be left out as a comment; put the text that holds it in quotes"
        )
    return Document(text, source).data


def section_of_mapping(annotation: Any) -> type[BaseModel] | None:
    """Return the section that the values of an annotated mapping are; None for any other annotation."""
    value = get_args(annotation)[-1] if get_origin(annotation) is dict else None
    return value if isinstance(value, type) and issubclass(value, BaseModel) else None


def dotted(path: Iterable[str | int]) -> str:
    """Return the path of a key as an override names it."""
    return ".".join(str(part) for part in path)


def kind_of(value: Any) -> str:
    """Return what a value of a config is, for people."""
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
    }
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _only_env_id(data: dict[str, Any]) -> dict[str, Any]:
    """Return of ``data`` what decides on the default stages; the rest may hold a mistake, which is told when all is
    checked.
    """
    env = data.get("env")
    return {"env": {"id": env["id"]}} if isinstance(env, dict) and "id" in env else {}


def _list_in_use(model: type[BaseModel], data: dict[str, Any], path: tuple[str | int, ...]) -> Any:
    """Return a list that an override indexes into (``curriculum.stages.0.name=x``) as the run would have it; {} where
    it has none.

    Elsewhere the default stages, which a resolved config has written down, are not those that are used.
    """
    try:
        config = model.model_validate(data)
    except ValidationError:
        return {}
    node: Any = config.sections_in_use() if isinstance(config, RunConfig) else config.model_dump(mode="json")
    for part in path:
        if not isinstance(node, dict) or part not in node:
            return {}
        node = cast("dict[str | int, Any]", node)[part]
    return node
