"""From YAML and ``a.b=c`` overrides to a checked RunConfig, with messages that name file, line, key and what to do.

YAML is read by the rules of YAML 1.2 (``1e-4`` is a number, ``no`` is a string, ``1:30`` is a string), from a safe node
tree: no tags, no anchors, no duplicate keys, bounded size and depth.
"""

# pyright: standard
# (PyYAML has no types, and what comes out of a file has none either until pydantic has seen it.)

from __future__ import annotations

import difflib
import re
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.config.overrides import apply_override, comes_later, dotted, kind_of, section_of_mapping
from robonav_ray.config.preset import refuse_idle_preset
from robonav_ray.config.run import RunConfig
from robonav_ray.config.shipped import ConfigKind, find_shipped, unknown_config
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.config.words import refuse_password, without_secret
from robonav_ray.config.worlds import RobotConfig
from robonav_ray.config.worlds.model_files import refuse_idle_model
from robonav_ray.config.yaml_document import MAX_BYTES, ConfigError, Document, Path_, scalar_value
from robonav_ray.files.locations import without_secrets
from robonav_ray.files.plain_files import PlainFileError, read_text

_KEY = re.compile(r"[a-z_]+(?:\.[a-z_0-9]+)*")
_KINDS: dict[type[BaseModel], ConfigKind] = {RunConfig: "run", TuningConfig: "search", ClusterDefinition: "cluster"}

Config = TypeVar("Config", bound=BaseModel)


class _Dumper(yaml.SafeDumper):
    """Writes texts in quotes that ``scalar_value`` would take for something else, such as ``1e5``: PyYAML follows YAML
    1.1.
    """


def _write_text(dumper: _Dumper, data: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", data, style=None if isinstance(scalar_value(data), str) else "'"
    )


_Dumper.add_representer(str, _write_text)


def load_run_config(path: Path | None = None, overrides: Sequence[str] = (), *, follow: bool = True) -> RunConfig:
    """Return the checked config: defaults, then the file at ``path``, then ``overrides`` of the form ``a.b=c`` in
    order.

    Where no file lies at ``path`` it may be the name of a shipped config (``quick``). The file may be a link to a plain
    one; neither is so when ``follow`` is off, which says that it lies in a run directory.

    Raises:
        ConfigError: for anything wrong, with one clear message that lists every problem found.
    """
    return _load(RunConfig, path, overrides, follow=follow)


def load_tuning_config(path: Path | None, overrides: Sequence[str] = (), *, follow: bool = True) -> TuningConfig:
    """Return the checked config of a search, by the same rules. What its trials have in common (``run``) is not checked
    here.

    Raises:
        ConfigError: for anything wrong, with one clear message that lists every problem found.
    """
    return _load(TuningConfig, path, overrides, follow=follow)


def load_cluster_definition(path: Path, overrides: Sequence[str] = ()) -> ClusterDefinition:
    """Return the checked cluster definition at ``path``, by the same rules.

    Raises:
        ConfigError: for anything wrong, with one clear message that lists every problem found.
    """
    return _load(ClusterDefinition, path, overrides)


def check_run_config(data: Mapping[str, Any], source: str) -> RunConfig:
    """Return ``data`` (a config that was put together, not read) as a checked RunConfig; ConfigError, naming
    ``source``, otherwise.
    """
    return check_section(RunConfig, data, source)


def check_section(model: type[Config], data: Mapping[str, Any], source: str) -> Config:
    """Return ``data``, the keys of a section alone, as a checked ``model``; ConfigError, naming ``source``,
    otherwise.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(model, error, source, {}, {})) from None


def load_section_file(model: type[Config], path: Path, overrides: Sequence[str], kind: ConfigKind) -> Config:
    """Return the checked ``model`` at ``path``, or in the shipped config of that ``kind`` and name; ConfigError as
    ``load_run_config``.
    """
    return _load(model, path, overrides, kind=kind)


def _load(
    model: type[Config],
    path: Path | None,
    overrides: Sequence[str],
    *,
    follow: bool = True,
    kind: ConfigKind | None = None,
) -> Config:
    source, lines, data = "defaults", {}, {}
    if path is not None:
        kind = kind or _KINDS[model]
        path = (find_shipped(path, kind) if follow else None) or path
        source = str(path)
        try:
            text = read_text(path, MAX_BYTES, follow=follow)
        except FileNotFoundError:
            raise ConfigError(f"{path}: {unknown_config(path, kind)}") from None
        except PlainFileError as error:
            raise ConfigError(f"{error}; name a YAML file") from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
        document = Document(text, source)
        lines = document.lines
        data = {} if document.data is None else document.data
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: a config is a mapping of sections, not {kind_of(data)}")
        if follow and model is RunConfig:
            refuse_idle_preset(source, data, overrides)
            env: Any = data.get("env")
            refuse_idle_model(source, env.get("world") if isinstance(env, dict) else None, overrides, RobotConfig)
    return checked_config(model, data, overrides, source, lines)


def checked_config(
    model: type[Config],
    data: dict[str, Any],
    overrides: Sequence[str],
    source: str,
    lines: dict[Path_, int] | None = None,
) -> Config:
    """Return ``data``, which is written into, with ``overrides`` on top as a checked ``model``.

    ``source`` names where the data is from, and ``lines`` the line of each key in it.

    Raises:
        ConfigError: for anything wrong, with one clear message that lists every problem found.
    """
    origin: dict[Path_, str] = {}
    for override in sorted(overrides, key=comes_later):
        target = apply_override(model, data, override)
        origin[target] = f"override {without_secret(override)!r}"
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(model, error, source, lines or {}, origin)) from None


def dump_config(config: BaseModel) -> str:
    """Return the whole config as YAML that ``load_run_config`` reads back to an equal config."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def dump_new(config: BaseModel) -> str:
    """As ``dump_config``, for what is begun now: ConfigError, naming the key, when an address holds a password."""
    text = dump_config(config)
    check_overrides([text])
    return text


def check_overrides(texts: Sequence[str]) -> None:
    """Raise ConfigError, naming the key, when an address in an override, or in a config's YAML, holds a password."""
    try:
        for text in texts:
            refuse_password(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def override_text(key: str, value: object) -> str:
    """Return ``key`` (dotted) and a plain value as an override ``a.b=c``, which reads back to an equal value.

    Raises:
        ConfigError: When YAML has nothing that ``value`` could be written as.
    """
    try:
        text = yaml.dump(
            value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=sys.maxsize
        )
    except yaml.YAMLError:
        raise ConfigError(
            f"override {key!r}: {type(value).__name__} is no kind of value that a config has; give a plain one"
        ) from None
    return f"{key}={text.removesuffix('...' + chr(10)).strip()}"


def _explain(
    model: type[BaseModel], error: ValidationError, source: str, lines: dict[Path_, int], origin: dict[Path_, str]
) -> str:
    texts: dict[Path_, list[str]] = {}
    problems = error.errors(include_url=False, include_context=True)
    paths = [_known_path(tuple(problem["loc"]), model) for problem in problems]
    for problem, path in zip(problems, paths, strict=True):
        if problem["type"] == "too_short" and any(len(p) > len(path) and p[: len(path)] == path for p in paths):
            continue  # pydantic's echo of a broken item inside the list
        texts.setdefault(path, []).append(_problem_text(model, dict(problem), path))
    answers: list[str] = []
    for path, said in texts.items():
        text = " or ".join(dict.fromkeys(said))
        where = _where(path, source, lines, origin) if path else _where_named(text, source, lines, origin)
        answers.append(f"{where}: {dotted(path) + ': ' if path else ''}{text}")
    return without_secrets("\n".join(answers))


def _problem_text(model: type[BaseModel], problem: dict[str, Any], path: Path_) -> str:
    """Return one problem in words that a user can act on."""
    kind, message = problem["type"], str(problem["msg"])
    if kind == "extra_forbidden":
        names = _fields_at(model, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), names, n=1, cutoff=0.5)
        return "unknown key" + (f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(names)}")
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "model_type":
        return f"is a section with the keys {', '.join(_fields_at(model, path))}"
    if kind == "missing":
        return "is missing; give it a value"
    given = repr(problem["input"])
    return f"{message[0].lower()}{message[1:]}, not {given if len(given) <= 60 else given[:57] + '...'}"


def _where(path: Path_, source: str, lines: dict[Path_, int], origin: dict[Path_, str]) -> str:
    for target, name in origin.items():
        if target[: len(path)] == path or path[: len(target)] == target:
            return name
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return f"{source}:{lines[path[:end]]}"
    return source


def _where_named(text: str, source: str, lines: dict[Path_, int], origin: dict[Path_, str]) -> str:
    """Return where the first key that ``text`` names was set; for problems between sections, which have no place of
    their own.
    """
    paths = [tuple(int(p) if p.isdigit() else p for p in key.split(".")) for key in _KEY.findall(text)]
    for path in paths:
        for target, name in origin.items():
            if target[: len(path)] == path:
                return name
        if path in lines:
            return f"{source}:{lines[path]}"
    return source


def _known_path(loc: Path_, model: type[BaseModel]) -> Path_:
    """Drop the tags that pydantic adds for unions; keep an unknown last key."""
    result: list[str | int] = []
    kind: Any = model
    for part in loc:
        if isinstance(part, str) and isinstance(kind, type) and issubclass(kind, BaseModel):
            result.append(part)
            field = kind.model_fields.get(part)
            kind = _inner(field.annotation) if field else None
        elif isinstance(part, int) or kind is None or get_origin(kind) is dict:
            result.append(part)
            kind = section_of_mapping(kind) or kind
    return tuple(result)


def _inner(annotation: Any) -> Any:
    """Return the model inside tuples, lists and optionals; the annotation itself otherwise."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, list, Union, types.UnionType):
        for argument in get_args(annotation):
            inner = _inner(argument)
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                return inner
    return annotation


def _fields_at(model: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    kind: Any = model
    for part in path:
        if (
            isinstance(part, str)
            and isinstance(kind, type)
            and issubclass(kind, BaseModel)
            and part in kind.model_fields
        ):
            kind = _inner(kind.model_fields[part].annotation)
        else:
            kind = section_of_mapping(kind) or kind
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
