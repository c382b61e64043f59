"""The head that the faces of a single world share: what they are given, how an episode begins and ends, and
pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import gymnasium as gym
import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.given import LevelsLike, WorldLike, as_levels, as_world
from robonav_ray.worlds.kernels.layout import EPISODE
from robonav_ray.worlds.pictures.camera import Camera
from robonav_ray.worlds.vector_env import episode_info

MAX_SEED = 1 << 31


class Given(TypedDict, total=False):
    """The arguments of every face of a single world; all may be left out, and mean then what ``OneWorld`` says."""

    world: WorldLike | None
    levels: LevelsLike | None
    gamma: float
    seed: int | None
    world_index: int
    render_mode: str | None
    size_px: int
    title: str


class OneWorld:
    """World ``world_index`` of the run with ``seed``, episode after episode."""

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
        """Make the world.

        Args:
            world: A config, or a mapping of its keys; None has the defaults.
            levels: One or several; None is the full challenge.
            gamma: The learner's discount, which shaping depends on.
            seed: None draws one at the first episode.
            world_index: Which of the run's worlds this is: its episodes are those that it has in a ``NavVectorEnv`` of
                this seed.
            render_mode: ``"rgb_array"``, ``"human"`` or None.
            size_px: Width of pictures.
            title: Stands in them.
        """
        self.config = as_world(world)
        self.worlds = BatchedWorlds(self.config, as_levels(levels, self.config), 1, seed or 0, gamma, world_index)
        self._camera = Camera(self.worlds, render_mode, size_px, title)
        self.render_mode = render_mode
        self._seed = seed
        self.started = False

    def begin(
        self, seed: int | None, options: Mapping[str, Any] | None, draw_seed: Callable[[], int]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; return the observations (R, D), which the next call overwrites, and ``level`` and
        ``episode_index``.

        ``options``: ``level`` (from this episode on) and ``episode``, the number of the episode under the running seed.
        ``draw_seed`` is asked at the very first episode, where no seed was given.
        """
        if seed is None and not self.started:
            seed = self._seed if self._seed is not None else draw_seed()
        obs = self._reset(seed, options)
        self.started = True
        self._camera.follow()
        return obs, {"level": int(self.worlds.level[0]), "episode_index": int(self.worlds.state.world[0, EPISODE])}

    def step(self, action: np.ndarray) -> None:
        """Act for dt seconds with (R, ...) actions; ``worlds.out`` holds the result. A robot that has ended stays
        as it is.
        """
        self.worlds.step(action, DISABLED)
        self._camera.follow()

    def episode_facts(self, lane: int) -> dict[str, Any]:
        """Return what is known of the episode of ``lane`` that ended in this step: ``EPISODE_INFO`` and
        ``outcome_name``.
        """
        info = episode_info(self.worlds.out.final_lane, self.worlds.out.final_tally, np.array([lane]))
        facts: dict[str, Any] = {name: values[lane].item() for name, values in info.items()}
        return {**facts, "outcome_name": Outcome(facts["outcome"]).name.lower()}

    def render(self) -> np.ndarray | None:
        """Return a picture (H, W, 3) uint8 in "rgb_array" mode; "human" mode shows each step without a call."""
        if not self.started:
            raise gym.error.ResetNeeded("call reset() before render()")
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without render_mode: gymnasium.make(..., render_mode='rgb_array')")
        return self._camera.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._camera.close()

    def _reset(self, seed: int | None, options: Mapping[str, Any] | None) -> np.ndarray:
        options = dict(options or {})
        level, episode = options.pop("level", None), options.pop("episode", None)
        if options:
            raise ValueError(f"unknown options {sorted(options)}; there are 'level' and 'episode'")
        if level is not None:
            self.worlds.set_level(int(level))
        if episode is None:
            return self.worlds.reset(seed=seed)
        if int(episode) < 0:
            raise ValueError(f"options['episode'] must be at least 0, got {episode}")
        if seed is not None:
            self.worlds.reset(seed=seed)
        self.worlds.state.world[0, EPISODE] = int(episode) - 1
        return self.worlds.reset()
