"""Environments that are not ours, registered with Gymnasium: ``info`` as others fill it, episodes without end, pictures
of any kind."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from robonav_ray.worlds.gym_env import NavEnv

SIZE = (48, 64, 3)


def _telling(kind: str, t: int, length: int, won: bool) -> dict[str, Any]:
    """Return the ``info`` of step ``t`` of an episode of ``length`` steps."""
    last = t == length
    if kind == "ours":  # every name that our worlds use, with another meaning
        return {
            "outcome": "reached", "length": 12.5, "total_return": -77, "task_return": 99, "goals_reached": None,
            "parked": True, "path_length_m": 1.0, "min_clearance_m": 2.0, "final_obs": 1, "final_info": {"outcome": 1},
            "speed": 0.25 * t,
        }  # fmt: skip
    told: dict[str, Any] = {
        "end": won, "numpy": np.bool_(won), "int": int(won), "float": float(won), "array": np.array([won]),
        "zero_d": np.array(float(won)), "none": None, "text": "yes" if won else "no", "nan": float("nan"),
    }  # fmt: skip
    if kind in told:
        return {"is_success": told[kind]} if last else {}
    if kind == "always":
        return {"is_success": last and won}
    if kind == "float_or_none":  # Gymnasium's own stacking raises TypeError at this
        return {"is_success": float(won) if last else None}
    if kind == "won_only":
        return {"is_success": True} if last and won else {}
    return {}


class ForeignEnv(gym.Env[np.ndarray, Any]):
    """``length`` steps that pay 1 each; every second episode is won. ``kind`` says what ``info`` is like."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self, kind: str = "nothing", length: int = 5, picture: str = "picture", render_mode: str | None = None
    ) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = gym.spaces.Discrete(2)
        self.kind, self.length, self.picture, self.render_mode = kind, length, picture, render_mode
        self.num_episodes = self.t = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        self.num_episodes += 1
        return self._obs(), {"parked": True, "achieved_goal": 3}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        info = _telling(self.kind, self.t, self.length, won=self.num_episodes % 2 == 0)
        return self._obs(), 1.0, self.t == self.length, False, info

    def _obs(self) -> np.ndarray:
        return np.full(3, min(1.0, self.t / 100), np.float32)

    def render(self) -> Any:
        if self.picture == "broken":
            raise KeyError("display")
        if self.picture == "growing":
            return np.zeros((48 + self.t, 64, 3), np.uint8)
        wide = np.zeros((1000, 2000, 4), np.uint8)
        frame = np.full(SIZE, 10 * (self.t % 20), np.uint8)
        return {"picture": frame, "wide": wide, "flat": frame[:, :, 0], "floats": frame / 255.0, "nothing": None}[
            self.picture
        ]


class BlindEnv(ForeignEnv):
    """Cannot be drawn."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012


class _Tagged(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper of a user around our worlds."""


gym.register("Foreign-v0", ForeignEnv, disable_env_checker=True)
gym.register("Limited-v0", ForeignEnv, disable_env_checker=True, max_episode_steps=30, kwargs={"length": 10**9})
gym.register("Blind-v0", BlindEnv, disable_env_checker=True)
gym.register("WrappedNav-v0", lambda **kwargs: _Tagged(NavEnv(**kwargs)), disable_env_checker=True)
