"""PettingZoo's ``ParallelEnv``: several robots in one world, each an agent of its own. Needs the extra
``multiagent``.
"""

from __future__ import annotations

from typing import Any, Unpack

import gymnasium as gym
import numpy as np

from robonav_ray.config.worlds import WorldConfig
from robonav_ray.worlds.kernels.actions import action_space
from robonav_ray.worlds.kernels.layout import STEP_LIMIT
from robonav_ray.worlds.one_world import MAX_SEED, Given, OneWorld
from robonav_ray.worlds.pictures.camera import metadata_of

try:
    from pettingzoo import ParallelEnv
except ImportError as _error:
    raise gym.error.DependencyNotInstalled(
        "several agents need PettingZoo: pip install robonav_ray[multiagent]"
    ) from _error

DEFAULT_NUM_ROBOTS = 4


class NavParallelEnv(ParallelEnv[str, np.ndarray, Any]):
    """Agents ``robot_0``, ``robot_1``, ... that see each other as circles; each has its own goals and its own end.

    An agent leaves ``agents`` in the step in which its episode ends; the info of that step holds ``EPISODE_INFO`` as
    plain numbers and ``outcome_name``. A robot that ended is out of the world: the others do not see it any more
    (unless ``ended_robots`` is ``stay``). Robots beyond the level's ``num_robots`` are no agents of an episode.
    Seeds, ``options`` and ``gamma`` are as in ``NavEnv``.
    """

    metadata = metadata_of(0.1, name="robonav_nav_v0", is_parallelizable=True)

    def __init__(self, **given: Unpack[Given]) -> None:
        """Make one world; ``world`` None, or a mapping without ``num_robots``, has four robots. See ``OneWorld`` for
        what may be given.
        """
        world = given.get("world")
        if not isinstance(world, WorldConfig):
            world = {"num_robots": DEFAULT_NUM_ROBOTS, **(world or {})}
        self._one = OneWorld(**{**given, "world": world})
        self.worlds, config = self._one.worlds, self._one.config
        self.possible_agents = [f"robot_{r}" for r in range(config.num_robots)]
        self.agents: list[str] = []
        # one object per agent: seeding the space of one must not seed the others
        self.observation_spaces = {
            agent: gym.spaces.Box(*self.worlds.layout.bounds(), dtype=np.float32) for agent in self.possible_agents
        }
        self.action_spaces = {agent: action_space(config.robot) for agent in self.possible_agents}
        self.metadata = metadata_of(config.dt_s, name="robonav_nav_v0", is_parallelizable=True)
        self.render_mode = self._one.render_mode
        self._lane = {agent: r for r, agent in enumerate(self.possible_agents)}
        self._action = np.zeros((config.num_robots, *self.worlds.action_space.shape), self.worlds.action_space.dtype)  # type: ignore[misc]

    def observation_space(self, agent: str) -> gym.Space:
        """Return the space of ``agent``, the same object every time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space:
        """Return the space of ``agent``, the same object every time."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begin an episode with all agents; infos hold ``level`` and ``episode_index``.

        Of ``options`` only ``level`` and ``episode`` are looked at: PettingZoo's own test asks that others be let
        through.
        """
        options = {name: value for name, value in (options or {}).items() if name in ("level", "episode")}
        obs, info = self._one.begin(seed, options, lambda: int(np.random.default_rng().integers(MAX_SEED)))
        limit = self.worlds.state.lane[0, :, STEP_LIMIT]
        self.agents = [agent for agent, r in self._lane.items() if limit[r] > 0]
        return {agent: obs[self._lane[agent]].copy() for agent in self.agents}, {
            agent: dict(info) for agent in self.agents
        }

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]
    ]:  # fmt: skip
        """Act for dt seconds with one action per agent in ``agents``; ValueError when one is missing or too many."""
        if not self.agents:
            raise gym.error.ResetNeeded("no agent is under way: call reset()")
        if set(actions) != set(self.agents):
            wrong = sorted(set(actions) ^ set(self.agents))
            raise ValueError(f"actions must hold one action for each of {self.agents}; missing or too many: {wrong}")
        for agent, action in actions.items():
            self._action[self._lane[agent]] = action
        self._one.step(self._action)
        out, lanes = self.worlds.out, {agent: self._lane[agent] for agent in self.agents}
        obs = {agent: out.obs[r].copy() for agent, r in lanes.items()}
        reward = {agent: float(out.reward[r]) for agent, r in lanes.items()}
        terminated = {agent: bool(out.terminated[r]) for agent, r in lanes.items()}
        truncated = {agent: bool(out.truncated[r]) for agent, r in lanes.items()}
        infos = {agent: self._one.episode_facts(r) if out.finished[r] else {} for agent, r in lanes.items()}
        self.agents = [agent for agent, r in lanes.items() if not out.finished[r]]
        return obs, reward, terminated, truncated, infos

    def render(self) -> np.ndarray | None:
        """See ``OneWorld.render``."""
        return self._one.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._one.close()
