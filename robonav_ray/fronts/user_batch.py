"""A batch of the user's own: its two parts, and how a model is called with one of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn


def parts_of(batch: Any) -> tuple[Any, Any]:
    """Return inputs and targets; ValueError, saying what a batch is, when it has none."""
    if isinstance(batch, Mapping):
        if {"inputs", "targets"} <= set(batch):
            return batch["inputs"], batch["targets"]
    elif hasattr(batch, "inputs") and hasattr(batch, "targets"):
        return batch.inputs, batch.targets
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    said = f"the keys {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
    raise ValueError(f'a batch is (inputs, targets) or {{"inputs": ..., "targets": ...}}, not {said}')


def called(call: Callable[..., Any], inputs: Any, module: nn.Module) -> Any:
    """Return the outputs of ``call``, which is ``module``, perhaps wrapped.

    A tuple is the arguments, a mapping the keywords, anything else the one argument; so is a named tuple where
    ``forward`` does not take as many arguments as it has fields.
    """
    if isinstance(inputs, Mapping):
        return call(**inputs)
    if not isinstance(inputs, tuple) or (hasattr(inputs, "_fields") and not _takes(module, len(inputs))):
        return call(inputs)
    return call(*inputs)


def _takes(module: nn.Module, num_arguments: int) -> bool:
    """Return whether the module's ``forward`` can be called with so many arguments."""
    try:
        inspect.signature(module.forward).bind(*range(num_arguments))
    except TypeError:
        return False
    return True
