"""Who explores how much, and which random number decides it: functions of (seed, world, step), never of who computes
them.
"""

from __future__ import annotations

import math

import numpy as np

from robonav_ray.compiled import njit
from robonav_ray.counter_rng import ROLE_EXPLORATION, derive_key, seed_for, uniform01


def ladder_epsilon(stage_epsilon: float, world_index: np.ndarray, num_worlds: int, exponent: float) -> np.ndarray:
    """Return epsilon_i = epsilon ** (1 + alpha * i / (N - 1)), float64 of ``world_index``'s shape (Horgan et al. 2018,
    eq. 1).

    With one world this is ``stage_epsilon``. The ladder falls: the last world explores least.
    """
    rung = np.asarray(world_index, dtype=np.float64) / max(num_worlds - 1, 1)
    return np.power(float(stage_epsilon), 1.0 + exponent * rung)


def is_on_gate(world_index: np.ndarray, num_worlds: int, frac: float) -> np.ndarray:
    """Return whether each world is among the ceil(frac * N) least exploring ones (at least one); ``world_index``'s
    shape.
    """
    count = max(1, math.ceil(frac * num_worlds - 1e-9))
    return np.asarray(world_index) >= num_worlds - count


def exploration_key(seed: int) -> np.uint64:
    """Return the key of all exploration noise of the run with this ``seed``."""
    return np.uint64(seed_for(seed, ROLE_EXPLORATION))


_NOISE_STREAM = 1 << 40
"""Part of the key beside which no world's stream can stand."""


@njit()
def parameter_noise(key: np.uint64, step: int, out: np.ndarray) -> None:
    """Write f(x) = sgn(x) sqrt(|x|) of normal numbers, (F,) float32 (Fortunato et al. 2018, below eq. 11; Box and
    Muller 1958).

    A function of the run's key and the vector step only, so that all workers of a run perturb their policies alike.

    Args:
        key: From ``exploration_key``.
        step: Vector steps that the run's worlds have made.
        out: Written.
    """
    stream = derive_key(derive_key(key, _NOISE_STREAM), step)
    for i in range(0, out.shape[0], 2):
        size = np.sqrt(-2.0 * np.log(1.0 - uniform01(stream, i)))
        angle = 2.0 * np.pi * uniform01(stream, i + 1)
        even, odd = size * np.cos(angle), size * np.sin(angle)
        out[i] = np.sign(even) * np.sqrt(np.abs(even))
        if i + 1 < out.shape[0]:
            out[i + 1] = np.sign(odd) * np.sqrt(np.abs(odd))


@njit()
def epsilon_greedy(
    q: np.ndarray,
    epsilon: np.ndarray,
    key: np.uint64,
    world_index: np.ndarray,
    step_count: np.ndarray,
    action: np.ndarray,
    q_taken: np.ndarray,
    q_max: np.ndarray,
) -> None:
    """Choose an action per lane: the greedy one, or with probability epsilon any of them.

    Draws 2 t and 2 t + 1 of the stream (key, world) decide step t of a world, so that the choice does not depend on
    which worker makes it. Ties of the greedy action go to the lowest index.

    Args:
        q: (B, A) float32.
        epsilon: (B,) float64, each lane's own.
        key: From ``exploration_key``.
        world_index: (B,) int64 global indices (of the lane, with several robots in a world).
        step_count: (B,) int64: steps that the world has made in the run.
        action: (B,) int32, written.
        q_taken: (B,) float32, written: Q of the chosen action.
        q_max: (B,) float32, written: max_a Q.
    """
    num_actions = q.shape[1]
    for i in range(q.shape[0]):
        best = 0
        for a in range(1, num_actions):
            if q[i, a] > q[i, best]:
                best = a
        chosen = best
        stream = derive_key(key, world_index[i])
        if uniform01(stream, 2 * step_count[i]) < epsilon[i]:
            chosen = min(int(uniform01(stream, 2 * step_count[i] + 1) * num_actions), num_actions - 1)
        action[i] = chosen
        q_taken[i] = q[i, chosen]
        q_max[i] = q[i, best]
