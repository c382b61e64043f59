"""A state of a league as JSON, with its arrays as lists: numbers come back as the same bits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def as_json(state: Any) -> bytes:
    """Return a state as a JSON document; TypeError for what is neither JSON nor an array."""
    return json.dumps(state, default=_as_list, allow_nan=False).encode()


def _as_list(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no part of a league's state")
