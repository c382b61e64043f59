"""A YAML text as configs are read: YAML 1.2, plain values only, within bounds, with the line on which each key
stands.
"""

# pyright: standard
# (PyYAML has no types.)

from __future__ import annotations

import re
from typing import Any, cast

import yaml

from robonav_ray.errors import UserError

MAX_BYTES = 1_000_000
MAX_DEPTH = 24
MAX_EVENTS = 20_000
"""Keys, values and brackets of a text; the whole of the defaults has about 500."""

_PLAIN_TAGS = ("!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")))
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$|^0x[0-9a-fA-F]+$|^0o[0-7]+$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_LEADING_ZERO = re.compile(r"^[-+]?0[0-9_]+$")
"""A number in octal to some programs and in decimal to others, so none here."""
_INF_NAN = re.compile(r"^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$")

Path_ = tuple["str | int", ...]
"""Keys and indices on the way to a value."""


class ConfigError(UserError):
    """The user's config is wrong; the message names file, line, key and what to do."""


class _NodeLoader(yaml.SafeLoader):
    """Composes nodes; scalars stay text, because this module resolves them itself."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own class attribute)


def scalar_value(text: str) -> Any:
    """Return the value of a plain scalar by YAML 1.2's core schema."""
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _LEADING_ZERO.match(text):
        return text
    if _INT.match(text):
        return int(text.replace("_", ""), 0)
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    if _INF_NAN.match(text):
        return float(text.lower().replace(".", "", 1))
    return text


def read_yaml(text: str, source: str) -> Any:
    """Return the plain data of a YAML text, read as configs are and within their bounds; ConfigError, naming
    ``source``, for others.
    """
    return Document(text, source).data


class Document:
    """A parsed YAML text: its data, and the line on which each key stands."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.lines: dict[Path_, int] = {}
        if len(text.encode()) > MAX_BYTES:
            raise ConfigError(f"{source}: larger than {MAX_BYTES} bytes; this cannot be a config")
        try:
            depth = 0
            for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
                line = event.start_mark.line + 1
                if count > MAX_EVENTS:
                    raise ConfigError(
                        f"{source}: holds more than {MAX_EVENTS} keys and values; this cannot be a config"
                    )
                if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                    raise ConfigError(f"{source}:{line}: anchors and aliases are not read; write the value out")
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > MAX_DEPTH:  # at once: what it costs PyYAML to read on grows with the square of the depth
                    raise ConfigError(f"{source}:{line}: nested deeper than {MAX_DEPTH} levels")
            node = yaml.compose(text, Loader=_NodeLoader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise ConfigError(
                f"{source}:{line}: not valid YAML: the character #x{error.character:04x} is not allowed"
            ) from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{source}:{mark.line + 1}" if mark else source
            raise ConfigError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
        self.data: Any = None if node is None else self._value(node, ())

    def _value(self, node: yaml.Node, path: Path_) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if node.tag not in _PLAIN_TAGS:
            raise ConfigError(f"{self.source}:{line}: the tag {node.tag!r} is not read; write a plain value")
        if isinstance(node, yaml.ScalarNode):
            try:
                return node.value if node.style in ("'", '"', "|", ">") else scalar_value(node.value)
            except ValueError as error:  # an integer of absurd length
                raise ConfigError(f"{self.source}:{line}: {error}") from None
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, i)) for i, child in enumerate(node.value)]
        result: dict[str, Any] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self.source}:{key_line}: a key must be a plain word")
            key = str(key_node.value)
            if key in result:
                raise ConfigError(f"{self.source}:{key_line}: the key {key!r} stands twice in one section; keep one")
            self.lines[(*path, key)] = key_line
            result[key] = self._value(value_node, (*path, key))
        return result
