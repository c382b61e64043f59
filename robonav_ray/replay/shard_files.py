"""A shard's state on disk: one .npy per array and one JSON file for the rest; nothing is ever unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.files.plain_files import open_reading, read_json

SHARD_JSON = "shard.json"


def state_arrays(sampler: str) -> tuple[str, ...]:
    """Return which entries of a shard's state are arrays."""
    return ("rows", "item_id", "leaf", "order") if sampler == "rank" else ("rows", "item_id", "leaf")


def load_shard_state(directory: Path, row_dtype: np.dtype) -> dict[str, Any]:
    """Read what ``ShardSnapshot.write`` wrote; arrays are memory-mapped, so rows are read once, straight into the ring.

    Rows lie in the order of their age; ``first_slot`` says in which slot of the ring the first of them was. ValueError
    names the file that is missing, damaged or of another dtype.
    """
    path = directory / SHARD_JSON
    try:
        state: dict[str, Any] = read_json(path)
        if not isinstance(state, dict) or not isinstance(settings := state.get("settings"), dict):
            raise ValueError("it does not hold a shard's settings")
        dtypes = {
            "rows": row_dtype,
            "item_id": np.dtype(np.int64),
            "leaf": np.dtype(np.float64),
            "order": np.dtype(np.int64),
        }
        for name in state_arrays(str(settings.get("sampler"))):
            path, dtype = directory / f"{name}.npy", dtypes[name]
            open_reading(path).close()
            array = np.load(path, mmap_mode="r", allow_pickle=False) if path.stat().st_size else None
            if array is None or array.dtype != dtype or array.ndim != 1:
                raise ValueError(f"expected a flat array of {dtype}")
            state[name] = array
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot restore a replay shard: {path} is missing or damaged ({error}); choose another checkpoint"
        ) from error
    return state
