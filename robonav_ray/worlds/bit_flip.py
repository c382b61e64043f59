"""The bit-flipping environment (Andrychowicz et al. 2017, section 3.1): n bits, an action flips one, -1 a step until
they are the goal's.

Among 2**n states one is the goal, so without hindsight hardly any episode ever pays anything but -1.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from robonav_ray.compiled import njit
from robonav_ray.counter_rng import derive_key, mix64, uniform01
from robonav_ray.ranges import MAX_COUNT, check_numbers, count, like

MAX_BITS = 1000


def _spaces(num_bits: int) -> tuple[gym.spaces.Dict, gym.spaces.Discrete]:
    if not 1 <= num_bits <= MAX_BITS:
        raise ValueError(f"num_bits must be from 1 to {MAX_BITS}, got {num_bits}")
    bits = gym.spaces.Box(0.0, 1.0, (num_bits,), np.float32)
    return gym.spaces.Dict({"observation": bits, "achieved_goal": bits, "desired_goal": bits}), gym.spaces.Discrete(
        num_bits
    )


def compute_reward(achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> np.ndarray:
    """Return () or (B,) float32: 0 where all bits are the goal's, else -1."""
    return -(achieved_goal != desired_goal).any(axis=-1).astype(np.float32)


def compute_terminated(achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> np.ndarray:
    """Return () or (B,) bool: all bits are the goal's."""
    return (achieved_goal == desired_goal).all(axis=-1)


class BitFlipEnv(gym.Env[dict[str, np.ndarray], Any]):
    """``num_bits`` bits, drawn uniformly like the goal; an episode ends with the goal, or is truncated after
    ``num_bits`` steps.

    The goal always differs from the start. Observations hold the bits twice, as ``observation`` and ``achieved_goal``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own class attribute)

    def __init__(self, num_bits: int = 15) -> None:
        self.observation_space, self.action_space = _spaces(num_bits)
        self.num_bits = num_bits
        self._bits = np.zeros(num_bits, np.float32)
        self._goal = np.ones(num_bits, np.float32)
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Draw bits and goal."""
        super().reset(seed=seed)
        self._bits, self._goal = self.np_random.integers(0, 2, (2, self.num_bits)).astype(np.float32)
        if (self._bits == self._goal).all():
            i = int(self.np_random.integers(self.num_bits))
            self._goal[i] = 1.0 - self._goal[i]
        self._step = 0
        return self._observation(), {"is_success": False}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Flip bit ``action``."""
        i = int(action)
        self._bits[i] = 1.0 - self._bits[i]
        self._step += 1
        reached = bool(self.compute_terminated(self._bits, self._goal, {}))
        reward = float(self.compute_reward(self._bits, self._goal, {}))
        return (
            self._observation(),
            reward,
            reached,
            self._step >= self.num_bits and not reached,
            {"is_success": reached},
        )

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> np.ndarray:
        """See the function of the module."""
        return compute_reward(achieved_goal, desired_goal, info)

    def compute_terminated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> np.ndarray:
        """See the function of the module."""
        return compute_terminated(achieved_goal, desired_goal, info)

    def compute_truncated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> bool:
        """Return whether the time is up, which no goal changes."""
        return self._step >= self.num_bits

    def _observation(self) -> dict[str, np.ndarray]:
        return {"observation": self._bits.copy(), "achieved_goal": self._bits.copy(), "desired_goal": self._goal.copy()}


@njit()
def _draw(
    seed: int, world: np.ndarray, episode: np.ndarray, bits: np.ndarray, goal: np.ndarray, lanes: np.ndarray
) -> None:
    """Draw the bits and goals of ``lanes``: functions of (seed, world, episode)."""
    num_bits = bits.shape[1]
    for lane in lanes:
        stream = derive_key(derive_key(mix64(np.uint64(seed)), world[lane]), episode[lane])  # pyright: ignore[reportArgumentType]
        differ = False
        for i in range(num_bits):
            bits[lane, i] = np.float32(uniform01(stream, 2 * i) < 0.5)
            goal[lane, i] = np.float32(uniform01(stream, 2 * i + 1) < 0.5)
            differ |= bits[lane, i] != goal[lane, i]
        if not differ:
            i = min(int(uniform01(stream, 2 * num_bits) * num_bits), num_bits - 1)
            goal[lane, i] = np.float32(1.0) - goal[lane, i]


class BitFlipVectorEnv(VectorEnv[Any, Any, Any]):
    """Many ``BitFlipEnv`` in arrays, SAME_STEP; what happens in world i depends on (seed, first_world + i) and the
    actions only.
    """

    def __init__(self, num_envs: int = 1, *, num_bits: int = 15, seed: int = 0, first_world: int = 0, **_: Any) -> None:
        self.single_observation_space, self.single_action_space = _spaces(num_bits)
        self.num_envs, self.num_bits = num_envs, num_bits
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seed, self._lane = int(seed), np.arange(num_envs)
        self._world = np.arange(first_world, first_world + num_envs, dtype=np.int64)
        self._episode = np.full(num_envs, -1, np.int64)
        self._step = np.zeros(num_envs, np.int64)
        self._bits, self._goal = np.zeros((2, num_envs, num_bits), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin new episodes; ``seed`` begins all random streams anew."""
        if seed is not None:
            self._seed = int(seed)
            self._episode[:] = -1
        self._begin(self._lane)
        return self._observation(), {"is_success": np.zeros(self.num_envs, np.bool_)}

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Flip one bit of every lane."""
        flipped = 1.0 - self._bits[self._lane, actions]
        self._bits[self._lane, actions] = flipped
        self._step += 1
        terminated = compute_terminated(self._bits, self._goal, {})
        truncated = (self._step >= self.num_bits) & ~terminated
        infos: dict[str, Any] = {"is_success": terminated}
        ended = terminated | truncated
        if ended.any():
            infos |= {"final_obs": self._observation(), "_final_obs": ended, "_final_info": ended}
            infos["final_info"] = {"is_success": terminated, "_is_success": ended}
            self._begin(np.flatnonzero(ended))
        return self._observation(), terminated.astype(np.float32) - np.float32(1.0), terminated, truncated, infos

    def _begin(self, lanes: np.ndarray) -> None:
        self._episode[lanes] += 1
        self._step[lanes] = 0
        _draw(self._seed, self._world, self._episode, self._bits, self._goal, lanes)

    def _observation(self) -> dict[str, np.ndarray]:
        return {"observation": self._bits.copy(), "achieved_goal": self._bits.copy(), "desired_goal": self._goal.copy()}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all that changes, from which ``load_state_dict`` goes on bit for bit."""
        return {name: array.copy() for name, array in self._arrays().items()} | {"seed": np.array([self._seed])}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over what ``state_dict`` returned; ValueError, and nothing changed, when it does not fit."""
        mine = self._arrays()
        if state.keys() != {*mine, "seed"} or any(state[name].shape != array.shape for name, array in mine.items()):
            raise ValueError(
                f"expected the arrays {sorted(mine)} and seed of {self.num_envs} worlds of {self.num_bits} bits"
            )
        ranges = {"bits": (0, 1), "goal": (0, 1), "step": (0, self.num_bits - 1), "episode": (-1, MAX_COUNT)}
        declared = {name: like(array, *ranges[name]) for name, array in mine.items()}
        check_numbers("BitFlip", state, declared | {"seed": count(1, high=(1 << 63) - 1)})
        for name, array in mine.items():
            array[...] = state[name]
        self._seed = int(state["seed"][0])

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"bits": self._bits, "goal": self._goal, "step": self._step, "episode": self._episode}
