"""The goal-env interface (Plappert et al. 2018): what was achieved, what was desired, and rewards that can be computed
anew.

Goals are poses (x, y, yaw) in the world frame, and only x and y count: so any pose that a robot has been in can stand
in for the goal (hindsight, Andrychowicz et al. 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import gymnasium as gym
import numpy as np

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.config.worlds.limits import levels_for
from robonav_ray.interfaces import StepInfo
from robonav_ray.records import Outcome
from robonav_ray.worlds.given import as_levels, as_world
from robonav_ray.worlds.gym_env import NavEnv
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.observation import ObservationLayout
from robonav_ray.worlds.one_world import Given

GOAL_DIM = 3
GOAL_PARTS = ("goal", "next_goal", "goals_left")
"""Parts of a lidar observation that depend on the goal."""
_MAX_DISTANCE = np.float32(10.0)
_TINY = np.float32(1e-6)
Info = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class LegGoals:
    """``interfaces.GoalFunctions`` of one leg: the way to one goal, taken as the last one of its episode.

    ``achieved_goal`` and ``desired_goal`` are (B, 3) float32 poses (x, y, yaw); the yaw of the desired one is ignored.
    The reward is sparse: the task terms ``goal + finish`` when the goal is reached, else 0. A collision, which
    ``info["collided"]`` (B,) bool tells of, is one for every goal: it pays ``collision`` alone, and ends the leg.
    """

    def __init__(self, world: WorldConfig) -> None:
        """ValueError for observations of which more than the parts of a goal hangs on it, for maps, and for timeouts
        that cost: what another goal would have seen, or paid, cannot be told then.
        """
        if world.observation != "lidar":
            raise ValueError(
                f"goals can be exchanged in lidar observations only; world.observation is {world.observation!r}"
            )
        if world.map is not None:
            raise ValueError("goals cannot be exchanged in a map (world.map): its routes lead to its own goals only")
        if world.detour:
            raise ValueError("goals cannot be exchanged beside world.detour=true, which looks along the way to one")
        if world.reward.timeout:
            raise ValueError(
                f"goals cannot be exchanged where time that is up costs (world.reward.timeout={world.reward.timeout:g})"
            )
        slices = ObservationLayout.of(world, 0).slices
        self.columns = np.concatenate([np.arange(slices[name].start, slices[name].stop) for name in GOAL_PARTS])
        """(F,) int64: where ``goal_features`` stand in a flat observation."""
        self._tolerance = np.float32(world.goal_tolerance_m)
        self._pay = np.float32(world.reward.goal + world.reward.finish)
        self._collision = np.float32(world.reward.collision)

    def reached(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        """Return (B,) bool: nearer than the goal tolerance."""
        return _distance(achieved_goal, desired_goal) < self._tolerance

    def reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: StepInfo | None = None) -> np.ndarray:
        """Return the (B,) float32 reward."""
        paid = self.reached(achieved_goal, desired_goal) * self._pay
        return paid if info is None or "collided" not in info else np.where(info["collided"], self._collision, paid)

    def terminated(
        self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: StepInfo | None = None
    ) -> np.ndarray:
        """Return (B,) bool: the leg ends where the goal is reached, or the robot hits something."""
        reached = self.reached(achieved_goal, desired_goal)
        return reached if info is None or "collided" not in info else reached | info["collided"]

    def goal_features(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        """Return (B, F = 7) float32: distance / 10 m, cos and sin of the bearing, no next goal (three zeros), goals
        left / 4.
        """
        offset = desired_goal[..., :2] - achieved_goal[..., :2]
        distance = _distance(achieved_goal, desired_goal)
        bearing = offset / np.maximum(distance, _TINY)[..., None]
        cos, sin = np.cos(achieved_goal[..., 2]), np.sin(achieved_goal[..., 2])
        features = np.zeros((*distance.shape, len(self.columns)), np.float32)
        features[..., 0] = np.minimum(distance / lay.GOAL_SCALE_M, _MAX_DISTANCE)
        features[..., 1] = np.clip(cos * bearing[..., 0] + sin * bearing[..., 1], -1.0, 1.0)
        features[..., 2] = np.clip(cos * bearing[..., 1] - sin * bearing[..., 0], -1.0, 1.0)
        features[..., 6] = 1.0 / lay.GOALS_SCALE
        return features

    def flat_observation(
        self, observation: np.ndarray, achieved_goal: np.ndarray, desired_goal: np.ndarray
    ) -> np.ndarray:
        """Return (B, D) float32: the observation of ``NavEnv``, from the three entries of ``NavGoalEnv``'s."""
        size = observation.shape[-1] + len(self.columns)
        flat = np.empty((*observation.shape[:-1], size), np.float32)
        flat[..., np.delete(np.arange(size), self.columns)] = observation
        flat[..., self.columns] = self.goal_features(achieved_goal, desired_goal)
        return flat


def _distance(achieved_goal: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
    offset = np.asarray(desired_goal, np.float32)[..., :2] - np.asarray(achieved_goal, np.float32)[..., :2]
    return np.sqrt(offset[..., 0] * offset[..., 0] + offset[..., 1] * offset[..., 1])


def _entry(info: Info, name: str) -> np.ndarray:
    """Return ``info[name]``; of a sequence of infos, all of theirs."""
    return np.asarray(info[name] if isinstance(info, Mapping) else [one[name] for one in info])


class NavGoalEnv(gym.Env[dict[str, np.ndarray], Any]):
    """``NavEnv`` with one goal, a sparse reward and a Dict observation for hindsight.

    ``observation`` (D - 7,) is ``NavEnv``'s without what depends on the goal, ``achieved_goal`` and ``desired_goal``
    (3,) are poses as in ``LegGoals``: exchanging ``desired_goal`` alone makes a consistent observation. Every ``info``
    holds what the three functions below need besides the goals (``collided``, ``step``, ``max_steps``) and
    ``is_success``; they are pure, and take single transitions or batches (then ``info`` is a mapping of (B,) arrays or
    a sequence of mappings).
    """

    metadata = NavEnv.metadata

    def __init__(self, **given: Unpack[Given]) -> None:
        """As ``NavEnv``; ValueError for a level with several goals, or true-state observations."""
        config, levels = as_world(given.get("world")), given.get("levels")
        self.goals = LegGoals(config)
        chosen = levels_for(config, as_levels(LevelConfig(num_goals=1) if levels is None else levels, config))
        if any(level.num_goals != 1 for level in chosen):
            raise ValueError(
                "a goal env has one goal per episode; set num_goals=1 in all levels, not "
                f"{[k.num_goals for k in chosen]}"
            )
        self.nav = NavEnv(**{**given, "world": config, "levels": chosen})
        flat = self.nav.worlds.observation_space
        self._rest = np.delete(np.arange(flat.shape[0]), self.goals.columns)
        # where there are no walls, as far as a robot can get
        reach = (
            config.side_m / 2
            + max(k.max_steps for k in chosen) * config.dt_s * config.robot.max_speed * (not config.walls)
            + 1.0
        )
        high = np.array([reach, reach, np.pi + 1e-3], np.float32)
        self.observation_space = gym.spaces.Dict(
            {
                "observation": gym.spaces.Box(flat.low[self._rest], flat.high[self._rest], dtype=np.float32),
                "achieved_goal": gym.spaces.Box(-high, high, dtype=np.float32),
                "desired_goal": gym.spaces.Box(-high, high, dtype=np.float32),
            }
        )
        self.action_space = self.nav.action_space
        self.metadata, self.render_mode = self.nav.metadata, self.nav.render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As ``NavEnv.reset``."""
        super().reset(seed=seed)
        obs, info = self.nav.reset(seed=seed, options=options)
        return self._observation(obs), {**info, **self._facts(Outcome.NONE)}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """As ``NavEnv.step``, with the sparse reward."""
        flat, _, terminated, truncated, info = self.nav.step(action)
        obs = self._observation(flat)
        info |= self._facts(Outcome(info.get("outcome", Outcome.NONE)))
        reward = float(self.compute_reward(obs["achieved_goal"], obs["desired_goal"], info))
        return obs, reward, terminated, truncated, info

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Info) -> np.ndarray:
        """Return () or (B,) float32: ``goal + finish`` when the goal is reached, ``collision`` when the robot hit
        something, else 0.
        """
        return self.goals.reward(achieved_goal, desired_goal, {"collided": _entry(info, "collided")})

    def compute_terminated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Info) -> np.ndarray:
        """Return () or (B,) bool: the goal is reached, or the robot hit something."""
        return self.goals.terminated(achieved_goal, desired_goal, {"collided": _entry(info, "collided")})

    def compute_truncated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Info) -> np.ndarray:
        """Return () or (B,) bool: the time is up, and nothing else ended the episode."""
        late = _entry(info, "step") >= _entry(info, "max_steps")
        return late & ~self.compute_terminated(achieved_goal, desired_goal, info)

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """As ``NavEnv.render``."""
        return self.nav.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self.nav.close()

    def _observation(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        worlds = self.nav.worlds
        desired = np.zeros(GOAL_DIM, np.float32)
        desired[:2] = worlds.current_goal[0]
        return {"observation": flat[self._rest], "achieved_goal": worlds.pose[0], "desired_goal": desired}

    def _facts(self, outcome: Outcome) -> dict[str, Any]:
        worlds = self.nav.worlds
        return {
            "collided": outcome.is_collision,
            "is_success": outcome == Outcome.SUCCESS,
            "step": int(worlds.state.lane[0, 0, lay.STEP]),
            "max_steps": worlds.levels[int(worlds.level[0])].max_steps,
        }
