"""``gymnasium.Env``: one world, one robot. For many worlds use ``NavVectorEnv``, which is thousands of times faster."""

from __future__ import annotations

from typing import Any, Unpack

import gymnasium as gym
import numpy as np

from robonav_ray.worlds.one_world import MAX_SEED, Given, OneWorld
from robonav_ray.worlds.pictures.camera import metadata_of


class NavEnv(gym.Env[np.ndarray, Any]):
    """A robot that drives to its goals in sequence; observation, actions and reward are those of ``BatchedWorlds``.

    ``reset(seed=s)`` begins the episodes of seed ``s`` anew and ``reset()`` goes on to the next one; the very first
    ``reset()`` draws a seed when none was given. ``options={"level": k, "episode": n}`` chooses level and episode.
    Episode ``n`` of seed ``s`` is the same as that of world ``world_index`` in a ``NavVectorEnv`` of seed ``s``. When
    an episode ends, ``info`` holds ``EPISODE_INFO`` as plain numbers and ``outcome_name``.
    """

    metadata = metadata_of(0.1)

    def __init__(self, **given: Unpack[Given]) -> None:
        """Make one world; see ``OneWorld`` for what may be given."""
        self._one = OneWorld(**given)
        self.worlds = self._one.worlds
        if self._one.config.num_robots != 1:
            raise ValueError(
                f"NavEnv has one robot, num_robots is {self._one.config.num_robots}; use "
                "worlds.parallel_env.NavParallelEnv"
            )
        self._ended = False
        self.observation_space = self.worlds.observation_space
        self.action_space = self.worlds.action_space
        self.metadata, self.render_mode = metadata_of(self._one.config.dt_s), self._one.render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; ``info`` holds ``level`` and ``episode_index``."""
        super().reset(seed=seed)
        obs, info = self._one.begin(seed, options, lambda: int(self.np_random.integers(MAX_SEED)))
        self._ended = False
        return obs[0].copy(), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Act for dt seconds. ResetNeeded before ``reset`` and after the end of an episode."""
        if not self._one.started or self._ended:
            raise gym.error.ResetNeeded(
                "call reset() before step()" if not self._one.started else "the episode is over: call reset()"
            )
        self._one.step(np.asarray(action)[None])
        out = self.worlds.out
        terminated, truncated = bool(out.terminated[0]), bool(out.truncated[0])
        self._ended = terminated or truncated
        info = self._one.episode_facts(0) if self._ended else {}
        return out.obs[0].copy(), float(out.reward[0]), terminated, truncated, info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """See ``OneWorld.render``."""
        return self._one.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._one.close()
