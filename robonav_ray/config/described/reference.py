"""Every key of a config with its type, default and meaning, read from the config classes: nothing is written down
twice.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.config.run import RunConfig
from robonav_ray.config.studies.ablation import AblationConfig
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.text import markdown_code, markdown_text


class ConfigKey(NamedTuple):
    """One key of a config."""

    key: str
    """Dotted, as an override names it; ``*`` is every item of a list, ``KEY`` a key of the user's choice."""
    type: str
    """The values that it takes, bounds included."""
    default: str
    """As YAML; empty where the key has to be given."""
    meaning: str
    """The text under the attribute; empty where name and type say all."""


def keys_of(section: type[BaseModel], prefix: str = "") -> Iterator[ConfigKey]:
    """Yield every key below ``section``, in the order of the classes; a key that holds a section is replaced by the
    keys in it.
    """
    for name, field in section.model_fields.items():
        inner = section_in(field.annotation)
        if inner is None:
            yield ConfigKey(
                prefix + name, type_of(field), default_of(field), " ".join((field.description or "").split())
            )
        else:
            origin: Any = get_origin(field.annotation)
            if type(None) in get_args(field.annotation):
                on = json.dumps(None if field.default is None else {})
                yield ConfigKey(prefix + name, "section or null", on, " ".join((field.description or "").split()))
            many = ".*" if origin in (tuple, list) else ".KEY" if origin is dict else ""
            yield from keys_of(inner, f"{prefix}{name}{many}.")


def section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the config class that an annotation holds, itself or as the items of a list; None when it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [section for argument in get_args(annotation) if (section := section_in(argument)) is not None]
    return found[0] if found else None


_NAMES: dict[Any, str] = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    Any: "anything",
}


def type_of(field: FieldInfo) -> str:
    """Return the values that a field takes, bounds included: ``integer ≥ 1 or `auto```."""
    return _name_of(field.annotation) + _bounds_of(field.metadata)


def _name_of(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name_of(arguments[0]) + _bounds_of(arguments[1:])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        names = dict.fromkeys(_name_of(argument) for argument in arguments)
        scalars = {"true or false", "integer", "number", "text"}
        if scalars <= names.keys():
            names = {"any value": None} | {name: None for name in names if name not in scalars}
        return " or ".join(names)
    if origin in (tuple, list):
        items = [argument for argument in arguments if argument is not Ellipsis]
        return f"list of {_name_of(items[0])}" if items else "list"
    if origin is dict:
        return "mapping"
    return _NAMES.get(annotation, "anything")


def _bounds_of(metadata: Iterable[Any]) -> str:
    """Return the bounds among a field's marks, such as `` ≥ 1, < 10``."""
    marks = [mark for one in metadata for mark in (one.metadata if isinstance(one, FieldInfo) else (one,))]
    bounds = list[str]()
    for mark in marks:
        match mark:
            case Ge(ge=least):
                bounds.append(f"≥ {least:,}")
            case Gt(gt=below):
                bounds.append(f"> {below:,}")
            case Le(le=most):
                bounds.append(f"≤ {most:,}")
            case Lt(lt=above):
                bounds.append(f"< {above:,}")
            case _:  # a pattern, a length
                pass
    return f" {', '.join(bounds)}" if bounds else ""


def default_of(field: FieldInfo) -> str:
    """Return a field's default as YAML; empty where it has to be given."""
    if field.default_factory is not None:
        value: Any = field.default_factory()  # type: ignore[call-arg]
    elif field.default is PydanticUndefined:
        return ""
    else:
        value = field.default
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, default=str, ensure_ascii=False)


_INTRODUCTION = """# Every config key

This page is generated from the config classes: `make docs` writes it. `robonav config show` prints the values that hold
for a config. A key is set in a YAML file, or on the command line as `section.key=value`. A key in seconds (`..._s`)
also takes `90s`, `20m`, `1.5h` and `2d`.
"""


def reference_page() -> str:
    """Return the reference as Markdown: one table a section of a run, then the keys of a search, an ablation and a
    pipeline.
    """
    parts = [_INTRODUCTION]
    plain = [name for name, field in RunConfig.model_fields.items() if section_in(field.annotation) is None]
    keys = list(keys_of(RunConfig))
    parts.append(_table("Of the whole run", RunConfig.__doc__, [key for key in keys if key.key in plain]))
    for name, field in RunConfig.model_fields.items():
        inner = section_in(field.annotation)
        if inner is not None:
            parts.append(
                _table(f"`{name}`", inner.__doc__, [key for key in keys if f"{key.key}.".startswith(f"{name}.")])
            )
    parts.append(_table("Of a search", TuningConfig.__doc__, list(keys_of(TuningConfig))))
    parts.append(_table("Of an ablation", AblationConfig.__doc__, list(keys_of(AblationConfig))))
    parts.append(_table("Of a pipeline", PipelineConfig.__doc__, list(keys_of(PipelineConfig))))
    return "\n".join(parts)


def _table(title: str, doc: str | None, keys: list[ConfigKey]) -> str:
    lines = [f"## {title}", "", _markdown(" ".join((doc or "").split("\n\n")[0].split())), ""]
    lines += ["| Key | Values | Default | Meaning |", "|---|---|---|---|"]
    for key in keys:
        default = markdown_code(key.default) if key.default else "must be given"
        lines.append(f"| `{key.key}` | {_markdown(key.type)} | {default} | {_markdown(key.meaning)} |")
    return "\n".join([*lines, ""])


def _markdown(text: str) -> str:
    """Return a docstring's text, for the middle of a line, with its code as Markdown's."""
    parts = re.split(r"``(.+?)``|`(.+?)`", text)
    texts = [
        markdown_text(f"x{part}")[1:] if i % 3 == 0 else markdown_code(part)
        for i, part in enumerate(parts)
        if part is not None
    ]
    return "".join(texts)
