"""Returns and initial priorities, one named function per equation, in NumPy."""

from __future__ import annotations

import numpy as np


def n_step_return(reward: np.ndarray, gamma: float) -> float:
    """Return R = sum_i gamma**i r_i of ``reward`` (n,) (Sutton 1988)."""
    return float(np.dot(gamma ** np.arange(len(reward)), reward.astype(np.float64)))


def bootstrap_discount(num_steps: np.ndarray, terminated: np.ndarray, gamma: float) -> np.ndarray:
    """Return gamma**n, and 0 after a true termination (never after truncation), float32."""
    return np.where(terminated, 0.0, gamma ** np.asarray(num_steps, dtype=np.float64)).astype(np.float32)


def initial_priority(reward: np.ndarray, discount: np.ndarray, next_q_max: np.ndarray, q_taken: np.ndarray) -> np.ndarray:
    """Return |R + discount * max_a Q(s', a) - Q(s, a)| as the actor knows it, float32 (Horgan et al. 2018, algorithm 1)."""
    return np.abs(reward + discount * next_q_max - q_taken).astype(np.float32)
