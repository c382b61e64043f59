"""What two configs of a kind set differently, key by key."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from robonav_ray.config.base import Section
from robonav_ray.config.run import RunConfig


class Absent:
    """In place of a value: the config has no such key, as where it has fewer stages."""

    def __repr__(self) -> str:
        return "-"


ABSENT = Absent()


class Difference(NamedTuple):
    """A key that two configs set differently."""

    key: str
    """Dotted, as an override names it."""
    a: Any
    """Plain data; ABSENT where the first has no such key."""
    b: Any
    """Of the second."""


def differences(a: BaseModel, b: BaseModel) -> list[Difference]:
    """Return the keys that differ, in the order of the classes.

    A size that is left to the machine (``auto``) differs from the same size set. On an environment that is not ours the
    stages are those that the run uses.
    """
    return list(_between(_in_use(a), _in_use(b), ""))


def _in_use(config: BaseModel) -> BaseModel:
    if not isinstance(config, RunConfig):
        return config
    stages = config.curriculum.stages_for(config.env.is_native)
    return config.model_copy(update={"curriculum": config.curriculum.model_copy(update={"stages": stages})})


def _between(a: Any, b: Any, key: str) -> Iterator[Difference]:
    """Yield what differs below a key; a section, an item or an entry that only one of the two has is one value."""
    if isinstance(a, BaseModel) and isinstance(b, BaseModel):
        for name in type(a).model_fields:
            yield from _between(_value(a, name), _value(b, name), _below(key, name))
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        of_a, of_b = cast("Mapping[Any, Any]", a), cast("Mapping[Any, Any]", b)
        for name in {**of_a, **of_b}:
            yield from _between(of_a.get(name, ABSENT), of_b.get(name, ABSENT), _below(key, str(name)))
    elif _holds_sections(a) or _holds_sections(b):
        pairs = itertools.zip_longest(_items(a), _items(b), fillvalue=ABSENT)
        for i, (one, other) in enumerate(pairs):
            yield from _between(one, other, _below(key, str(i)))
    elif (one := _plain(a)) != (other := _plain(b)):
        yield Difference(key, one, other)


def _value(section: BaseModel, name: str) -> Any:
    is_auto = isinstance(section, Section) and name in section.auto_keys and name not in section.model_fields_set
    return "auto" if is_auto else getattr(section, name)


def _items(value: Any) -> tuple[Any, ...]:
    return cast("tuple[Any, ...]", value) if isinstance(value, tuple) else ()


def _holds_sections(value: Any) -> bool:
    return any(isinstance(item, BaseModel) for item in _items(value))


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _plain(value: Any) -> Any:
    """Return a value as plain data, of a section what it sets itself."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    return [_plain(item) for item in cast("list[Any]", value)] if isinstance(value, tuple | list) else value
