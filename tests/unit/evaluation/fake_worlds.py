"""A vector environment whose worlds know their own future: world i's k-th episode is a pure function of (i, k)."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from robonav_ray.records import EpisodeFacts, Outcome

DT_S = 0.1
MAX_STEPS = 60


def plan(world: int, index: int) -> tuple[int, int, float]:
    """Return (length, outcome, task_return) of an episode; early episodes end quickly when they collide."""
    rng = np.random.default_rng((world, index))
    outcome = int(rng.choice([1, 1, 1, 2, 3, 4, 6]))
    if outcome == Outcome.TIMEOUT:
        return MAX_STEPS, outcome, 0.0
    return int(rng.integers(2, 20) if outcome != 1 else rng.integers(20, 50)), outcome, 10.0 if outcome == 1 else -5.0


class FakeWorlds(VectorEnv):
    """SAME_STEP; obs (N, 2) = (world, steps so far); rewards of 1 a step; refuses any action but the one of its obs."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, first_world: int, num_worlds: int, outcomes: bool = True):
        self.num_envs = num_worlds
        self.worlds = np.arange(first_world, first_world + num_worlds)
        self.outcomes = outcomes
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.single_action_space = gym.spaces.Discrete(1000)
        self.num_steps = 0
        self.was_closed = False

    def _obs(self) -> np.ndarray:
        return np.stack([self.worlds, self.steps], axis=1).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        assert seed is None, "worlds are named by their index"
        self.index = np.zeros(self.num_envs, int)
        self.steps = np.zeros(self.num_envs, int)
        return self._obs(), {}

    def step(self, actions):
        np.testing.assert_array_equal(actions, self.worlds % 7)
        self.num_steps += 1
        self.steps += 1
        plans = [plan(w, k) for w, k in zip(self.worlds.tolist(), self.index.tolist(), strict=True)]
        length = np.array([p[0] for p in plans])
        ended = self.steps == length
        outcome = np.array([p[1] for p in plans], np.int8)
        timeout = outcome == Outcome.TIMEOUT
        info = {}
        if ended.any():
            garbage = np.where(ended, 0.0, 777.0)
            final_info = {
                "length": np.where(ended, length, 777).astype(np.int32),
                "outcome": np.where(ended, outcome, 99).astype(np.int8),
                "task_return": np.where(ended, [p[2] for p in plans], 777.0).astype(np.float32),
                "total_return": np.where(ended, self.steps, 777.0).astype(np.float32),
                "goals_reached": np.where(ended, outcome == 1, 77).astype(np.int32),
                "path_length_m": (garbage + 6.0).astype(np.float32),
                "shortest_path_length_m": (garbage + 5.0).astype(np.float32),
                "min_clearance_m": (garbage + 0.01 * length).astype(np.float32),
                "danger_frac": (garbage + 2).astype(np.float32),
                "_length": ended,
            }
            info = {"final_obs": self._obs(), "_final_obs": ended}
            if self.outcomes:
                info |= {"final_info": final_info, "_final_info": ended}
        self.index[ended] += 1
        self.steps[ended] = 0
        reward = np.ones(self.num_envs, np.float32)
        return self._obs(), reward, ended & ~timeout, ended & timeout, info

    def episode_facts(self, infos, ended):
        return EpisodeFacts({k: v for k, v in infos.get("final_info", {}).items() if not k.startswith("_")})

    def close(self, **kwargs):
        self.was_closed = True


def act(obs: np.ndarray) -> np.ndarray:
    """Return the action that ``FakeWorlds`` asks for: rows must not get mixed up."""
    return obs[:, 0].astype(np.int64) % 7
