"""Nested states (of a model, an optimiser, a schedule) as one safetensors file: tensors as such, the rest as JSON in
its header.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from robonav_ray.files.plain_files import PlainFileError, open_reading, replacing_path

_DOCUMENT = "robonav_ray"
_CONTAINERS = {"list": list, "tuple": tuple}


def save_tree(path: Path, tree: Any) -> None:
    """Write ``tree`` to ``path``: aside first, then renamed, so that ``path`` is the old file or the new one and never
    half of either.

    A tree is made of dicts, lists, tuples, tensors, NumPy arrays and scalars, numbers, texts and None. Nothing is
    pickled.

    Raises:
        ValueError: When something else is in it; the message says where.
        OSError: When it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    document = json.dumps(_encode(tree, "", tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing_path(path) as aside:
            save_file(tensors, aside, metadata={_DOCUMENT: document})
    except SafetensorError as error:  # a full disk is one, and it is no OSError
        raise OSError(f"{path}: {error}") from error


def load_tree(path: Path) -> Any:
    """Return what ``save_tree`` wrote, tensors on the CPU; ValueError when the file is missing, damaged or of something
    else.
    """
    try:
        open_reading(path, follow=True).close()
        with safe_open(path, framework="pt") as file:
            document = (file.metadata() or {}).get(_DOCUMENT)
            if document is None:
                raise ValueError(f"{path}: holds tensors, but is none of robonav_ray's checkpoints")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        return _decode(json.loads(document), tensors)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (SafetensorError, json.JSONDecodeError, PlainFileError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: is damaged or no checkpoint ({error}); take an older one") from None


def _encode(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor | np.ndarray):
        name = f"{len(tensors)}{where}"
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name, "array": isinstance(value, np.ndarray)}
    if isinstance(value, dict):
        if type(value) not in (dict, OrderedDict, Counter) or not all(isinstance(key, str | int) for key in value):
            raise ValueError(
                f"{where or 'the state'}: a {type(value).__name__} like this cannot be saved without pickle"
            )
        items = [[key, _encode(item, f"{where}.{key}", tensors)] for key, item in value.items()]
        return {"counter" if isinstance(value, Counter) else "dict": items}
    for name, kind in _CONTAINERS.items():
        if type(value) is kind:
            return {name: [_encode(item, f"{where}.{i}", tensors) for i, item in enumerate(value)]}
    raise ValueError(
        f"{where.lstrip('.') or 'the state'}: a {type(value).__name__} cannot be saved without pickle; leave it out, "
        "or give it a state_dict of numbers, texts and tensors"
    )


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        return tensor.numpy() if value["array"] else tensor
    ((kind, items),) = value.items()
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](_decode(item, tensors) for item in items)
    decoded = {key: _decode(item, tensors) for key, item in items}
    return Counter(decoded) if kind == "counter" else decoded
