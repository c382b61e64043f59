"""Tensors inside nested containers: one walk for moving, converting, sharing out and summing up.

A holder is a mapping (also one that is no dict, as tokenisers return), a dataclass, a named tuple, a tuple or a list,
to any depth. Each comes back as what it was. Anything else (None, text, numbers, objects) is handed on as it is.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return ``value`` with ``function`` of every tensor in its place; holders are copied, never changed."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return _mapping_like(value, {key: map_tensors(function, item) for key, item in value.items()})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for field in dataclasses.fields(value):
            if hasattr(value, field.name):
                # frozen ones too
                object.__setattr__(made, field.name, map_tensors(function, getattr(value, field.name)))
        return made
    if isinstance(value, tuple):
        kept = 1 if isinstance(value, PackedSequence) else None  # its batch_sizes stay on the CPU, as they are
        items = [item if i == kept else map_tensors(function, item) for i, item in enumerate(value)]
        kind: Any = type(value)
        if hasattr(kind, "_make"):
            return kind._make(items)
        return tuple(items) if kind is tuple else kind(items)
    if isinstance(value, list):
        made = copy.copy(value)
        made[:] = [map_tensors(function, item) for item in value]
        return made
    return value


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in ``value``, in the order in which ``map_tensors`` meets them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors_in(getattr(value, field.name, None))
    elif isinstance(value, tuple | list):
        for i, item in enumerate(value):
            if not (isinstance(value, PackedSequence) and i == 1):
                yield from tensors_in(item)


def to_device(value: Any, device: torch.device) -> Any:
    """Return ``value`` with its tensors on ``device``; those that are there already stay the same objects."""
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=True), value)


def to_float32(value: Any) -> Any:
    """Return ``value`` with its tensors of half precision in float32."""
    return map_tensors(lambda t: t.float() if t.is_floating_point() and t.dtype != torch.float64 else t, value)


def _mapping_like(value: Mapping[Any, Any], items: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping of the type of ``value`` with these items; a dict where it cannot be written to."""
    if type(value) is dict or not isinstance(value, MutableMapping):
        return items
    made = copy.copy(value)
    for key, item in items.items():
        made[key] = item
    return made
