"""A shard's state on disk: one .npy per array and one JSON file for the rest; nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_JSON_NAME = "shard.json"


def state_arrays(sampler: str) -> tuple[str, ...]:
    """Return which entries of a shard's state are arrays."""
    return ("rows", "item_id", "leaf", "order") if sampler == "rank" else ("rows", "item_id", "leaf")


def save_shard_state(directory: Path, state: dict[str, Any]) -> list[str]:
    """Write ``state`` (see ``ReplayShard.state_dict``) into ``directory``; return the names of the files.

    The caller commits them (hashes, manifest, rename); a half-written directory is only recognised as such by that manifest.
    """
    directory.mkdir(parents=True, exist_ok=True)
    arrays = state_arrays(state["settings"]["sampler"])
    for name in arrays:
        np.save(directory / f"{name}.npy", state[name], allow_pickle=False)
    plain = {name: value for name, value in state.items() if name not in arrays}
    (directory / _JSON_NAME).write_text(json.dumps(plain), encoding="utf-8")
    return [*(f"{name}.npy" for name in arrays), _JSON_NAME]


def load_shard_state(directory: Path, row_dtype: np.dtype) -> dict[str, Any]:
    """Read what ``save_shard_state`` wrote; arrays are memory-mapped, so rows are read once, straight into the ring.

    ValueError names the file that is missing, damaged or of another dtype.
    """
    path = directory / _JSON_NAME
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict) or not isinstance(settings := state.get("settings"), dict):
            raise ValueError("it does not hold a shard's settings")
        dtypes = {"rows": row_dtype, "item_id": np.dtype(np.int64), "leaf": np.dtype(np.float64), "order": np.dtype(np.int64)}
        for name in state_arrays(str(settings.get("sampler"))):
            path, dtype = directory / f"{name}.npy", dtypes[name]
            array = np.load(path, mmap_mode="r", allow_pickle=False) if path.stat().st_size else None
            if array is None or array.dtype != dtype or array.ndim != 1:
                raise ValueError(f"expected a flat array of {dtype}")
            state[name] = array
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot restore a replay shard: {path} is missing or damaged ({error}); choose another checkpoint"
        ) from error
    return state
