"""Worlds that sleep in place of physics: how the rest scales when every vector step takes a while and no core is busy
with it.

Importing this registers ``robonav_ray/Latency-v0``; in a config it is
``env.id=proofs.scale.worlds:robonav_ray/Latency-v0``, so that worker processes import this module too (Ray puts a
driver's own folder on their path).
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

ENV_ID = "robonav_ray/Latency-v0"
CONFIG_ID = f"proofs.scale.worlds:{ENV_ID}"
OBS_DIM, GOAL_DIM, NUM_ACTIONS = 116, 4, 15
"""Together the 120 observations and 15 actions of our own worlds in the default config."""
EPISODE_STEPS = 200


def _spaces() -> tuple[gym.spaces.Dict, gym.spaces.Discrete]:
    observation = gym.spaces.Box(-1.0, 1.0, (OBS_DIM,), np.float32)
    goal = gym.spaces.Box(-1.0, 1.0, (GOAL_DIM,), np.float32)
    spaces = gym.spaces.Dict({"observation": observation, "achieved_goal": goal, "desired_goal": goal})
    return spaces, gym.spaces.Discrete(NUM_ACTIONS)


class LatencyEnv(gym.Env[dict[str, np.ndarray], Any]):
    """One world, by which the spaces are told."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own class attribute)

    def __init__(self, step_s: float = 0.05) -> None:
        self.observation_space, self.action_space = _spaces()
        self._step_s = step_s

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the noise."""
        super().reset(seed=seed)
        return {name: space.sample() for name, space in _spaces()[0].items()}, {}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Sleep."""
        time.sleep(self._step_s)
        return {name: space.sample() for name, space in _spaces()[0].items()}, 0.0, False, False, {}


class LatencyVectorEnv(VectorEnv[Any, Any, Any]):
    """``num_envs`` worlds in SAME_STEP mode whose vector step takes ``step_s`` seconds and next to no CPU, as a
    simulator elsewhere would.

    Observations are noise drawn once; episodes last EPISODE_STEPS steps and begin staggered by the world's global
    index.
    """

    def __init__(
        self, num_envs: int = 1, *, step_s: float = 0.05, seed: int = 0, first_world: int = 0, **_: Any
    ) -> None:
        self.single_observation_space, self.single_action_space = _spaces()
        self.num_envs, self._step_s = num_envs, step_s
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        rng = np.random.default_rng([seed, first_world])
        widths = {"observation": OBS_DIM, "achieved_goal": GOAL_DIM, "desired_goal": GOAL_DIM}
        self._obs = {
            name: rng.uniform(-1.0, 1.0, (num_envs, width)).astype(np.float32) for name, width in widths.items()
        }
        self._reward = rng.standard_normal(num_envs).astype(np.float32)
        self._clock = (np.arange(num_envs) + first_world) * 37 % EPISODE_STEPS
        self._never = np.zeros(num_envs, np.bool_)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the noise."""
        return self._obs, {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Sleep."""
        time.sleep(self._step_s)
        self._clock += 1
        ended = self._clock >= EPISODE_STEPS
        self._clock[ended] = 0
        infos: dict[str, Any] = {}
        if ended.any():
            infos = {"final_obs": self._obs, "_final_obs": ended, "final_info": {}, "_final_info": ended}
        return self._obs, self._reward, self._never, ended, infos

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the clocks."""
        return {"clock": self._clock.copy()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take the clocks back."""
        self._clock[:] = state["clock"]


if ENV_ID not in gym.registry:
    gym.register(
        ENV_ID,
        entry_point="proofs.scale.worlds:LatencyEnv",
        vector_entry_point="proofs.scale.worlds:LatencyVectorEnv",
        order_enforce=False,
        disable_env_checker=True,
    )
