"""``gymnasium.Env``: one world, one robot. For many worlds use ``NavVectorEnv``, which is thousands of times faster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.given import LevelsLike, WorldLike, as_levels, as_world
from robonav_ray.worlds.kernels.layout import EPISODE
from robonav_ray.worlds.pictures.camera import Camera, metadata_of
from robonav_ray.worlds.vector_env import episode_info

_MAX_SEED = 1 << 31


def begin_episode(worlds: BatchedWorlds, seed: int | None, options: Mapping[str, Any] | None) -> np.ndarray:
    """Reset world 0 of ``worlds`` and return its observations.

    ``options``: ``level`` (from this episode on) and ``episode``, the number of the episode under the running seed.
    """
    options = dict(options or {})
    level, episode = options.pop("level", None), options.pop("episode", None)
    if options:
        raise ValueError(f"unknown options {sorted(options)}; there are 'level' and 'episode'")
    if level is not None:
        worlds.set_level(int(level))
    if episode is None:
        return worlds.reset(seed=seed)
    if int(episode) < 0:
        raise ValueError(f"options['episode'] must be at least 0, got {episode}")
    if seed is not None:
        worlds.reset(seed=seed)
    worlds.state.world[0, EPISODE] = int(episode) - 1
    return worlds.reset()


def episode_facts(worlds: BatchedWorlds, lane: int) -> dict[str, Any]:
    """Return what is known about the episode of ``lane`` that ended in this step: ``EPISODE_INFO`` and ``outcome_name``."""
    info = episode_info(worlds.out.final_lane, worlds.out.final_tally, np.array([lane]))
    facts: dict[str, Any] = {name: values[lane].item() for name, values in info.items()}
    return {**facts, "outcome_name": Outcome(facts["outcome"]).name.lower()}


class NavEnv(gym.Env[np.ndarray, Any]):
    """A robot that drives to its goals in sequence; observation, actions and reward are those of ``BatchedWorlds``.

    ``reset(seed=s)`` begins the episodes of seed ``s`` anew and ``reset()`` goes on to the next one; the very first ``reset()`` draws
    a seed when none was given. ``options={"level": k, "episode": n}`` chooses level and episode. Episode ``n`` of seed ``s`` is the same
    as that of world ``world_index`` in a ``NavVectorEnv`` of seed ``s``. When an episode ends, ``info`` holds ``EPISODE_INFO`` as plain
    numbers and ``outcome_name``.
    """

    metadata = metadata_of(0.1)

    def __init__(
        self,
        *,
        world: WorldLike | None = None,
        levels: LevelsLike | None = None,
        gamma: float = 0.99,
        seed: int | None = None,
        world_index: int = 0,
        render_mode: str | None = None,
        size_px: int = 480,
        title: str = "",
    ) -> None:
        """Make one world; ``gamma`` is the learner's discount (shaping depends on it), ``size_px`` the width of pictures."""
        config = as_world(world)
        if config.num_robots != 1:
            raise ValueError(f"NavEnv has one robot, num_robots is {config.num_robots}; use worlds.parallel_env.NavParallelEnv")
        self.worlds = BatchedWorlds(config, as_levels(levels, config), 1, seed or 0, gamma, world_index)
        self._seed, self._started, self._ended = seed, False, False
        self.observation_space = self.worlds.observation_space
        self.action_space = self.worlds.action_space
        self.metadata = metadata_of(config.dt_s)
        self._camera = Camera(self.worlds, render_mode, size_px, title)
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; ``info`` holds ``level`` and ``episode_index``."""
        super().reset(seed=seed)
        if seed is None and not self._started:
            seed = self._seed if self._seed is not None else int(self.np_random.integers(_MAX_SEED))
        obs = begin_episode(self.worlds, seed, options)
        self._started, self._ended = True, False
        self._camera.follow()
        return obs[0].copy(), {"level": int(self.worlds.level[0]), "episode_index": int(self.worlds.state.world[0, EPISODE])}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Act for dt seconds. ResetNeeded before ``reset`` and after the end of an episode."""
        if not self._started or self._ended:
            raise gym.error.ResetNeeded(
                "call reset() before step()" if not self._started else "the episode is over: call reset()"
            )
        self.worlds.step(np.asarray(action)[None], DISABLED)
        self._camera.follow()
        out = self.worlds.out
        terminated, truncated = bool(out.terminated[0]), bool(out.truncated[0])
        self._ended = terminated or truncated
        info = episode_facts(self.worlds, 0) if self._ended else {}
        return out.obs[0].copy(), float(out.reward[0]), terminated, truncated, info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """Return a picture (H, W, 3) uint8 in "rgb_array" mode; "human" mode shows by itself."""
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before render()")
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without render_mode: gymnasium.make(..., render_mode='rgb_array')")
        return self._camera.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._camera.close()
