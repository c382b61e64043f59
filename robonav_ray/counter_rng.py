"""Counter-based random numbers: the same (seed, stream, episode, draw) always gives the same number.

A number does not depend on what was drawn before it or by whom, so that results do not change when worlds are shared
out over more workers. The mixer is splitmix64's finaliser (Steele, Lea and Flood 2014), applied once per key.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.compiled import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 1.0 / (1 << 53)
_WORD = (1 << 64) - 1


@njit(inline="always")
def mix64(x: np.uint64) -> np.uint64:
    """Return the splitmix64 finaliser of ``x``."""
    x = (x ^ (x >> _S30)) * _MIX_1
    x = (x ^ (x >> _S27)) * _MIX_2
    return x ^ (x >> _S31)


@njit(inline="always")
def derive_key(key: np.uint64, part: int) -> np.uint64:
    """Return the key of a sub-stream: fold one more integer into ``key``."""
    return mix64((np.uint64(key) + _GOLDEN) ^ mix64(np.uint64(part) * _GOLDEN + _GOLDEN))


@njit(inline="always")
def uniform01(key: np.uint64, draw: int) -> float:
    """Return draw number ``draw`` of stream ``key``: float64 in [0, 1)."""
    return (mix64(np.uint64(key) + np.uint64(draw + 1) * _GOLDEN) >> _S11) * _TO_UNIT


ROLE_WORLD, ROLE_EXPLORATION, ROLE_REPLAY, ROLE_NETWORK, ROLE_EVALUATION, ROLE_HINDSIGHT = 1, 2, 3, 4, 5, 6
ROLE_OPPONENTS = 7


def seed_for(seed: int, role: int, index: int = 0) -> int:
    """Return the non-negative 63-bit seed of one (role, index) under the run's ``seed``.

    ``derive_key(derive_key(mix64(seed), role), index) >> 1`` in plain integers: most processes of a run ask this once
    and need no other kernel, and to load the first one costs over half a second.
    """
    key = _mix(seed & _WORD)
    for part in (role, index):
        key = _mix(((key + int(_GOLDEN)) & _WORD) ^ _mix((part * int(_GOLDEN) + int(_GOLDEN)) & _WORD))
    return key >> 1


def _mix(x: int) -> int:
    """As ``mix64``, for a Python integer in [0, 2**64)."""
    x = ((x ^ (x >> 30)) * int(_MIX_1)) & _WORD
    x = ((x ^ (x >> 27)) * int(_MIX_2)) & _WORD
    return x ^ (x >> 31)
