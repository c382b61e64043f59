"""Random numbers of one world: each stream counts its own draws, so results do not depend on what others drew."""

from __future__ import annotations

import numpy as np

from robonav_ray.counter_rng import ROLE_WORLD, derive_key, mix64, uniform01
from robonav_ray.worlds.kernels.kernel import F0, F1, kernel
from robonav_ray.worlds.kernels.layout import NUM_STREAMS

_TWO_PI = np.float32(2.0 * np.pi)
_TINY = np.float32(1e-12)


@kernel
def uniform(stream, w, k):
    """Return the next number of stream ``k`` of world ``w``: float32 in [0, 1]."""
    draw = stream[w, k, 1]
    stream[w, k, 1] = draw + np.uint64(1)
    return np.float32(uniform01(stream[w, k, 0], np.int64(draw)))  # pyright: ignore[reportArgumentType]


@kernel
def between(stream, w, k, low, high):
    """Return the next number, uniform in [low, high]."""
    return np.float32(low + (high - low) * uniform(stream, w, k))


@kernel
def whole_between(stream, w, k, least, most):
    """Return the next whole number from ``least`` to ``most``, each as likely as the next."""
    return least + min(np.int64(uniform(stream, w, k) * np.float32(most - least + 1)), most - least)


@kernel
def normal(stream, w, k):
    """Return a standard normal number (Box-Muller; takes two draws)."""
    a = max(F1 - uniform(stream, w, k), _TINY)
    b = uniform(stream, w, k)
    return np.float32(np.sqrt(np.float32(-2.0) * np.log(a)) * np.cos(_TWO_PI * b))


@kernel
def fill_world_keys(seed, first_world, out):
    """Write the key of world ``first_world + i`` under ``seed`` into ``out`` (N,) uint64."""
    base = derive_key(mix64(np.uint64(seed)), ROLE_WORLD)
    for i in range(out.shape[0]):
        out[i] = derive_key(base, np.int64(first_world + i))  # pyright: ignore[reportArgumentType]


@kernel
def start_streams(world_key, episode, stream, w):
    """Begin the streams of one episode of world ``w``."""
    base = derive_key(world_key[w], np.int64(episode))  # pyright: ignore[reportArgumentType]
    for k in range(NUM_STREAMS):
        stream[w, k, 0] = derive_key(base, np.int64(k))  # pyright: ignore[reportArgumentType]
        stream[w, k, 1] = np.uint64(0)


@kernel
def varied_count(base, change, u):
    """Return ``base`` changed by a whole number in [-change, change], never below 0; 0 stays 0."""
    c = np.int64(change)
    if base <= F0:
        return np.int64(0)
    return max(np.int64(base) + min(np.int64(u * np.float32(2 * c + 1)), 2 * c) - c, np.int64(0))
