"""Slow, obvious twins of hindsight: one transition, one goal, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robonav_ray.algo.hindsight import Rows, Steps


class LineGoals:
    """Goals are numbers on a line; the observation is (place, goal, goal - place), a step that ``hit`` pays -5 and ends
    everything."""

    columns = np.array([1, 2])

    def reward(
        self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        paid = np.where(achieved_goal[:, 0] == desired_goal[:, 0], 1.0, -0.25).astype(np.float32)
        return paid if info is None else np.where(info["hit"], np.float32(-5.0), paid)

    def terminated(
        self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        reached = achieved_goal[:, 0] == desired_goal[:, 0]
        return reached if info is None else reached | info["hit"]

    def goal_features(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        return np.concatenate([desired_goal, desired_goal - achieved_goal], axis=1).astype(np.float32)


def naive_relabel(
    steps: Steps, rows: Rows, goals: Any, n_step: int, gamma: float, scale: float
) -> list[tuple[Any, ...]]:
    """Return (obs, action, reward, next_obs, discount, policy_version) of every row, by walking through the episode."""
    out = []

    def seen(entry: int, goal: np.ndarray) -> np.ndarray:
        obs = steps.obs[entry].copy()
        obs[goals.columns] = goals.goal_features(steps.achieved_goal[entry : entry + 1], goal)[0]
        return obs

    for at, last, chosen in zip(rows.at.tolist(), rows.last.tolist(), rows.goal.tolist(), strict=True):
        goal = steps.achieved_goal[chosen : chosen + 1]
        total, discount, now = 0.0, 1.0, at
        while now < at + n_step and now < last:
            info = {name: array[now : now + 1] for name, array in steps.info.items()}
            achieved = steps.achieved_goal[now + 1 : now + 2]
            total += discount * scale * float(goals.reward(achieved, goal, info)[0])
            discount *= gamma
            ended = bool(goals.terminated(achieved, goal, info)[0])
            now += 1
            if ended:
                discount = 0.0
                break
        out.append((seen(at, goal), steps.action[at], total, seen(now, goal), discount, steps.policy_version[at]))
    return out
