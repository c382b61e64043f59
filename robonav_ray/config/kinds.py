"""Values keep their kind: what is written for a number is a number, for a truth value ``true`` or ``false``, for a text
a text.

pydantic alone takes ``true`` for 1, ``"3"`` for 3 and ``yes`` or 1 for true. Each is a mistake more often than a
wish.
"""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, PlainValidator, WrapValidator

_NUMBERS = frozenset({int, float})
_GIVEN = {bool: "a truth value", int: "a number", float: "a number", str: "a text"}
_WANTED = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
MAX_WHOLE = 2**63 - 1
"""The largest whole number of a config, either way: beyond it int64 overflows."""
_READ_OTHERWISE = (BeforeValidator, PlainValidator, WrapValidator)


def check_kind(annotation: Any, value: Any, metadata: tuple[Any, ...] = ()) -> None:
    """Raise ValueError when ``value``, or an item of it, is of a kind that ``annotation`` does not name.

    Sections in it look at their own fields; what has a validator of its own before pydantic's (``metadata``) is left to
    that.
    """
    scalars, items, is_open = _parts(annotation, metadata)
    # pydantic names the words that there are
    if is_open or (get_origin(annotation) is Literal and scalars == frozenset({str})):
        return
    if isinstance(value, list | tuple):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            _check_item(items, item)
    elif scalars and isinstance(value, bool | int | float | str):
        kind = type(value)
        fits = kind in scalars or (kind in _NUMBERS and not scalars.isdisjoint(_NUMBERS))
        if not fits:
            shown = (
                str(value).lower()
                if kind is bool
                else repr(value)
                if len(repr(value)) < 60
                else f"{repr(value)[:57]}..."
            )
            wanted = " or ".join(
                word for one, word in _WANTED.items() if one in scalars and not (one is int and float in scalars)
            )
            raise ValueError(f"{_GIVEN[kind]} ({shown}) stands where {wanted} belongs")


def check_size(value: Any) -> None:
    """Raise ValueError when ``value``, or an item of it, is a whole number beyond MAX_WHOLE, which no counter, array or
    database holds.
    """
    if isinstance(value, list | tuple):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            check_size(item)
    elif isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise ValueError(f"a whole number of {value.bit_length()} bits is too large: {MAX_WHOLE} is the most")


def _check_item(kinds: tuple[Any, ...], item: Any) -> None:
    """Raise as ``check_kind`` does unless the item fits one of ``kinds``."""
    refused: ValueError | None = None
    for kind in kinds:
        try:
            return check_kind(kind, item)
        except ValueError as error:
            refused = error
    if refused is not None:
        raise refused


def _parts(annotation: Any, metadata: tuple[Any, ...]) -> tuple[frozenset[type], tuple[Any, ...], bool]:
    """Return the scalar kinds that an annotation names, what the items of its sequences are, and whether anything else
    may be given.
    """
    if any(isinstance(mark, _READ_OTHERWISE) for mark in metadata):
        return frozenset(), (), True
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _parts(arguments[0], arguments[1:])
    if origin in (Union, types.UnionType):
        parts = [_parts(argument, ()) for argument in arguments]
        return (
            frozenset[type]().union(*(scalars for scalars, _, _ in parts)),
            tuple(item for _, items, _ in parts for item in items),
            any(is_open for _, _, is_open in parts),
        )
    if origin is Literal:
        return frozenset[type](map(type, arguments)), (), False
    if origin in (tuple, list, frozenset, set):
        return frozenset(), tuple(argument for argument in arguments if argument is not Ellipsis), False
    if annotation in (bool, int, float, str):
        return frozenset({annotation}), (), False
    if (
        annotation is type(None)
        or origin is dict
        or (isinstance(annotation, type) and issubclass(annotation, BaseModel))
    ):
        return frozenset(), (), False
    return frozenset(), (), True
