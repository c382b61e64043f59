"""The random numbers of one process that are not ours to derive: torch's, Python's and NumPy's global generators."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from robonav_ray.counter_rng import ROLE_NETWORK, seed_for
from robonav_ray.ranges import RangeError, count, like, real


def rng_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every global generator that a model on ``device`` may draw from."""
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002  (the global generator is what users' code draws from)
    }


def check_rng_state(state: Any) -> None:
    """RangeError unless ``state`` is one that ``rng_state`` may have returned; NumPy would read beyond its table where
    it is told to.
    """
    match state:
        case {"torch": _, "cuda": _, "python": _, "numpy": ["MT19937", table, position, has_normal, normal]}:
            pass
        case _:
            raise RangeError("rng: is no state of the generators")
    like(np.zeros(624, np.uint32), 0, (1 << 32) - 1).check("rng: numpy", np.asarray(table))
    for name, numbers, value in (
        ("position", count(high=624), position),
        ("normal", count(high=1), has_normal),
        ("normal", real(), normal),
    ):
        numbers.check(f"rng: numpy: {name}", value)


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore what ``rng_state`` returned; the GPU's part is left alone where there is none in ``state`` or no GPU
    here.
    """
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002


def seed_rank(seed: int, rank: int) -> None:
    """Seed every global generator for a rank that has no saved state: a function of (seed, rank)."""
    derived = seed_for(seed, ROLE_NETWORK, rank)
    torch.manual_seed(derived)  # all GPUs too
    random.seed(derived)
    np.random.seed(derived % 2**32)  # noqa: NPY002
