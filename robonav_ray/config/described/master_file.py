"""``configs/training_config.yaml``: every knob of a run at its default, each with its meaning and the values that it
takes, read from the config classes.

A section that is off (null) stands there as a comment: loaded, the file is the defaults and nothing else.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, cast, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from robonav_ray.config.base import Section
from robonav_ray.config.described.reference import section_in, type_of
from robonav_ray.config.load import override_text
from robonav_ray.config.run import RunConfig

_WIDTH = 106
"""Columns of a comment, beside its indentation."""
_HEAD = """\
# Question: which knobs does a run have, and what is each one's default?
#
# Every key of a run at its default. This file is generated from the config classes (`make docs` writes it), and a test
# holds it to them.
#
#   robonav train configs/training_config.yaml                            a run with the defaults
#   robonav train configs/training_config.yaml learner.batch_size=512     the same with one key changed
#   robonav config diff configs/training_config.yaml mine.yaml            what another config changes
#
# A config of your own is short: it holds the keys that differ, and all others keep their defaults. A preset lies under
# a file, so that in a copy of this one it changes nothing: delete the keys that a preset is to set.
#
# Above each key stand its meaning and, in brackets, the values that it takes. A key in seconds (..._s) also takes 90s,
# 20m, 1.5h and 2d. `auto` leaves a size to the machine. What is off stands as a comment: take the first two characters
# off each of its lines (`# `), and it is on with its defaults.
#
# For completion and checks while you type: `robonav config schema run > run.schema.json`, and then as the first line
# of a config:  # yaml-language-server: $schema=run.schema.json
"""


def master_file() -> str:
    """Return the file's text, which ``load_run_config`` reads to a config that equals ``RunConfig()``."""
    config, lines = RunConfig(), [_HEAD]
    for name, field in RunConfig.model_fields.items():
        lines += [] if section_in(field.annotation) is None else [""]
        lines += _key(name, field, getattr(config, name))
    return "\n".join(lines) + "\n"


def _key(name: str, field: FieldInfo, value: Any, *, is_auto: bool = False) -> Iterator[str]:
    """Yield the lines of one key: its meaning, then itself, with all that is below it."""
    inner, meaning = section_in(field.annotation), field.description or ""
    if inner is None:
        yield from _comment(meaning, _values(field, value, is_auto))
        yield _line(name, "auto" if is_auto else value)
    elif isinstance(value, BaseModel):
        yield from _comment(meaning or _first_sentences(inner))
        yield f"{name}:"
        yield from _indented(_section(value))
    elif get_origin(field.annotation) in (tuple, list):
        yield from _items(name, field, inner, value)
    else:  # a section that is off
        yield from _comment(_joined(meaning, _first_sentences(inner)))
        yield from _off([f"{name}:", *_indented(_section(inner()))])


def _section(section: BaseModel) -> Iterator[str]:
    """Yield the keys of a section as it is."""
    autos = section.auto_keys if isinstance(section, Section) else ()
    for name, field in type(section).model_fields.items():
        is_auto = name in autos and name not in section.model_fields_set
        yield from _key(name, field, getattr(section, name), is_auto=is_auto)


def _items(name: str, field: FieldInfo, inner: type[BaseModel], value: Sequence[BaseModel]) -> Iterator[str]:
    """Yield a list of sections: the first item in full, of the others what they set; where there is none, the keys of
    one stand in the comment.
    """
    keys = ", ".join(f"{key}: {_plain(type_of(one))}" for key, one in inner.model_fields.items())
    what = "sections; what an item leaves out has the default of docs/config_keys.md" if value else f"{{{keys}}}"
    yield from _comment(_joined(field.description or "", _first_sentences(inner)), f"[list of {what}]")
    if not value:
        yield _line(name, [])
        return
    first, *others = value
    yield f"{name}:"
    yield from _item(_section(first))
    for other in others:
        said = other.model_dump(mode="json", exclude_unset=True)
        yield from _item(_line(key, said[key]) for key in said)


def _item(lines: Iterator[str]) -> Iterator[str]:
    """Yield an item of a list: a dash in front of its first key, comments above the dash."""
    dashed = False
    for line in lines:
        yield f"  {'  ' if dashed or line.startswith('#') else '- '}{line}"
        dashed = dashed or not line.startswith("#")


def _line(name: str, value: Any) -> str:
    """Return a key with its value: an override, as the line of a file."""
    return override_text(name, _plain_data(value)).replace("=", ": ", 1)


def _plain_data(value: Any) -> Any:
    return [_plain_data(item) for item in cast("list[Any]", value)] if isinstance(value, tuple | list) else value


def _values(field: FieldInfo, value: Any, is_auto: bool) -> str:
    also = f", or auto: chosen over Ray, {value} in one process" if is_auto else ""
    return f"[{_plain(type_of(field))}{also}]"


def _comment(meaning: str, values: str = "") -> list[str]:
    text = " ".join(f"{_plain(meaning)} {values}".split())
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _off(lines: Sequence[str]) -> Iterator[str]:
    return (f"# {line}" for line in lines)


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _first_sentences(section: type[BaseModel]) -> str:
    """Return the first paragraph of a class's docstring."""
    return " ".join((section.__doc__ or "").split("\n\n")[0].split())


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _plain(text: str) -> str:
    """Return a docstring's text without the marks of its code, and with YAML's word for None."""
    return re.sub(r"\bNone\b", "null", re.sub(r"``(.+?)``|`(.+?)`", lambda code: code[1] or code[2], text))
