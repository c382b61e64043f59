"""Slow, obvious twins of what robonav_ray.algo and robonav_ray.learner compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    obs: np.ndarray
    action: int
    reward: float
    next_obs: np.ndarray
    discount: float
    policy_version: int
    priority: float


@dataclass
class NaiveNStepLane:
    """One lane's windows as a plain list of steps; written when the following Q is known."""

    n_step: int
    gamma: float
    steps: list[tuple] = field(default_factory=list)

    def _row(self, steps: list[tuple], next_obs: np.ndarray, next_q: float, terminated: bool) -> Row:
        total = sum(self.gamma**i * float(step[2]) for i, step in enumerate(steps))
        discount = 0.0 if terminated else self.gamma ** len(steps)
        obs, action, _, q_taken, version = steps[0]
        return Row(obs, action, total, next_obs, discount, version, abs(total + discount * next_q - q_taken))

    def push(self, obs, action, reward, terminated, truncated, q_taken, q_max, final_obs, final_q_max, version) -> list[Row]:
        rows = []
        if len(self.steps) == self.n_step:
            rows.append(self._row(self.steps, obs.copy(), float(q_max), False))
            self.steps = self.steps[1:]
        self.steps.append((obs.copy(), int(action), float(reward), float(q_taken), version))
        if terminated or truncated:
            while self.steps:
                rows.append(self._row(self.steps, final_obs.copy(), 0.0 if terminated else float(final_q_max), bool(terminated)))
                self.steps = self.steps[1:]
        return rows


def naive_forward(arrays: dict[str, np.ndarray], obs: np.ndarray, dueling: bool) -> np.ndarray:
    """Q values in float64, row by row and layer by layer."""
    num_hidden = sum(name.startswith("hidden") for name in arrays) // 2
    out = []
    for row in obs.astype(np.float64):
        x = row
        for i in range(num_hidden):
            x = np.maximum(arrays[f"hidden.{i}.weight"].astype(np.float64) @ x + arrays[f"hidden.{i}.bias"], 0.0)
        x = arrays["head.weight"].astype(np.float64) @ x + arrays["head.bias"]
        out.append(x[0] + x[1:] - x[1:].mean() if dueling else x)
    return np.array(out)


def naive_td_target(reward, discount, next_online, next_target, double: bool) -> np.ndarray:
    """(Double) Q target, one row at a time."""
    out = []
    for r, d, online, target in zip(reward, discount, next_online, next_target, strict=True):
        value = target[int(np.argmax(online))] if double else max(target)
        out.append(r + d * value)
    return np.array(out)


def naive_huber(error: float, delta: float) -> float:
    return 0.5 * error * error if abs(error) <= delta else delta * (abs(error) - 0.5 * delta)


def naive_adam_step(param, grad, m, v, step, lr, eps, beta1=0.9, beta2=0.999):
    """Kingma and Ba 2015, algorithm 1, in float64; returns (param, m, v)."""
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad * grad
    return param - lr * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps), m, v
