"""Vector environments for hindsight: flat observations for the policy, and beside them what was achieved.

Of a goal vector environment ``infos`` holds, from ``reset`` and every ``step``,

* ``achieved_goal`` (N, G) float32: achieved in the observation returned (after an automatic reset: that of the new
  episode),
* ``final_achieved_goal`` (N, G) float32: achieved at the end of the episodes that ended in this step; only then, and
  valid there,
* ``goal_info``: name -> (N,) array, what ``interfaces.GoalFunctions`` need to judge the step besides the goals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from robonav_ray.errors import EnvironmentFailedError
from robonav_ray.interfaces import Resumes, StepInfo
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED
from robonav_ray.worlds.foreign.failure import broken_promise, calling
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.vector_env import EPISODE_INFO, NavVectorEnv, episode_info

GOAL_KEYS = ("observation", "achieved_goal", "desired_goal")


def flat_goal_space(env_id: str, space: gym.spaces.Dict) -> tuple[gym.spaces.Box, int]:
    """Return the space of (observation, desired_goal) laid end to end, and how much of it is the goal.

    ValueError unless the space has exactly the three entries of a goal-env, each a Box or MultiBinary, and the goals
    are alike.
    """
    if set(space.keys()) != set(GOAL_KEYS):
        raise ValueError(
            f"env.id={env_id!r} has a Dict observation of {', '.join(sorted(space.keys()))}; supported is that of a "
            f"goal-env: {', '.join(GOAL_KEYS)}"
        )
    bounds: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for key in GOAL_KEYS:
        part = space[key]
        if isinstance(part, gym.spaces.MultiBinary):
            ones = np.ones(part.shape, np.float32).ravel()
            bounds[key] = 0.0 * ones, ones
        elif isinstance(part, gym.spaces.Box):
            bounds[key] = part.low.astype(np.float32).ravel(), part.high.astype(np.float32).ravel()
        else:
            raise ValueError(f"env.id={env_id!r}: {key!r} is {part}; supported are Box and MultiBinary")
    num_goal = len(bounds["desired_goal"][0])
    if space["achieved_goal"].shape != space["desired_goal"].shape or not num_goal:
        raise ValueError(
            f"env.id={env_id!r}: achieved_goal {space['achieved_goal'].shape} and desired_goal "
            f"{space['desired_goal'].shape} must have one shape, and at least one number"
        )
    low, high = (np.concatenate([bounds["observation"][i], bounds["desired_goal"][i]]) for i in range(2))
    return gym.spaces.Box(low, high, dtype=np.float32), num_goal


def _flat(part: Any, num: int) -> np.ndarray:
    return np.asarray(part, np.float32).reshape(num, -1)


class FlatGoalVector(VectorWrapper):
    """A SAME_STEP vector environment of goal-envs as a goal vector environment with flat observations (observation,
    desired_goal).
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], env_id: str, tell_steps: bool) -> None:
        """Wrap ``env``; without ``tell_steps`` there is no ``goal_info``, which takes time."""
        super().__init__(env)
        space = env.single_observation_space
        assert isinstance(space, gym.spaces.Dict)
        self.single_observation_space, self._num_goal = flat_goal_space(env_id, space)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self._tell_steps = tell_steps

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """As the environment's."""
        obs, infos = self.env.reset(seed=seed, options=options)
        return self._observation(obs), {**infos, "achieved_goal": _flat(obs["achieved_goal"], self.num_envs)}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As the environment's; see the module for ``infos``."""
        obs, reward, terminated, truncated, infos = self.env.step(actions)
        told = {**infos, "achieved_goal": _flat(obs["achieved_goal"], self.num_envs)}
        ended = terminated | truncated
        if ended.any():
            final = self._final(infos["final_obs"], np.flatnonzero(ended))
            told["final_obs"], told["final_achieved_goal"] = (
                self._observation(final),
                _flat(final["achieved_goal"], self.num_envs),
            )
        if self._tell_steps:
            told["goal_info"] = _numbers(infos, infos.get("final_info", {}), ended) | {"terminated": terminated}
        return self._observation(obs), reward, terminated, truncated, told

    def _observation(self, obs: Mapping[str, Any]) -> np.ndarray:
        parts = [_flat(obs[key], self.num_envs) for key in ("observation", "desired_goal")]
        return np.concatenate(parts, axis=1)

    def _final(self, final_obs: Any, lanes: np.ndarray) -> Mapping[str, Any]:
        """Return the last observations as one Dict of arrays; Gymnasium's SyncVectorEnv gives one Dict, or None, per
        lane.
        """
        if isinstance(final_obs, Mapping):
            return final_obs
        space = self.env.single_observation_space
        assert isinstance(space, gym.spaces.Dict)
        dense = {key: np.zeros((self.num_envs, *(space[key].shape or ())), np.float32) for key in GOAL_KEYS}
        for lane in lanes:
            for key in GOAL_KEYS:
                dense[key][lane] = final_obs[lane][key]
        return dense


class ResumableGoalVector(FlatGoalVector):
    """A FlatGoalVector over an environment that can be saved."""

    def __init__(self, env: VectorEnv[Any, Any, Any], env_id: str, tell_steps: bool, saved: Resumes) -> None:
        """As FlatGoalVector; ``saved`` is what of ``env`` can be saved, mostly ``env`` itself."""
        super().__init__(env, env_id, tell_steps)
        self._saved = saved

    def state_dict(self) -> dict[str, Any]:
        """Return the environment's."""
        return self._saved.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the environment."""
        self._saved.load_state_dict(state)


def _numbers(infos: Mapping[str, Any], final_info: Mapping[str, Any], ended: np.ndarray) -> dict[str, np.ndarray]:
    """Return every number that was told of each step; of episodes that ended, by ``final_info``."""
    told: dict[str, np.ndarray] = {}
    for name in sorted(infos.keys() | final_info.keys()):
        if name.startswith("_"):
            continue
        now, final = _number_per_lane(infos.get(name), len(ended)), _number_per_lane(final_info.get(name), len(ended))
        if final is None:
            final = now
        if final is not None:
            told[name] = final.copy() if now is None else np.where(ended, final, now)
    return told


def _number_per_lane(array: Any, num: int) -> np.ndarray | None:
    return array if isinstance(array, np.ndarray) and array.shape == (num,) and array.dtype.kind in "biuf" else None


class _InfoRows(Sequence[Mapping[str, Any]]):
    """B infos as Gymnasium's goal-envs take them: a sequence of mappings, made one by one where they are looked at."""

    def __init__(self, info: StepInfo, num: int) -> None:
        self._info, self._num = info, num

    def __len__(self) -> int:
        return self._num

    def __getitem__(self, i: Any) -> Any:
        if not 0 <= i < self._num:
            raise IndexError(i)
        return {name: array[i] for name, array in self._info.items()}

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return (self[i] for i in range(self._num))


class ComputedGoals:
    """``interfaces.GoalFunctions`` of any goal-env, through its own ``compute_reward`` and ``compute_terminated``.

    Both are called with (B, ...) goals and B infos where they answer with B numbers that equal those of single calls,
    else row by row, also where a call with a batch raises. What they raise of one transition is an
    EnvironmentFailedError. An environment without ``compute_terminated`` ends only where it really ended (as
    Gymnasium-Robotics' environments: never by a goal).
    """

    def __init__(self, env: gym.Env[Any, Any], env_id: str) -> None:
        """Keep ``env`` for its functions. ValueError when it is no goal-env."""
        base, space = env.unwrapped, env.observation_space
        if not isinstance(space, gym.spaces.Dict) or not callable(getattr(base, "compute_reward", None)):
            raise ValueError(
                f"env.id={env_id!r} is no goal-env: hindsight needs a Dict observation ({', '.join(GOAL_KEYS)}) and "
                "compute_reward"
            )
        flat, num_goal = flat_goal_space(env_id, space)
        self.columns = np.arange(flat.shape[0] - num_goal, flat.shape[0])
        """(G,) int64: the desired goal is the last part of the flat observation."""
        goal = space["desired_goal"]
        self._shape, self._dtype = goal.shape or (), goal.dtype
        self._env_id, self._package = env_id, type(base).__module__.partition(".")[0]
        self._reward: Any = base.compute_reward  # type: ignore[attr-defined]
        self._terminated: Any = getattr(base, "compute_terminated", None)
        self._in_rows: dict[Any, bool] = {}

    def reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: StepInfo | None = None) -> np.ndarray:
        """Return the (B,) float32 reward."""
        return self._call(self._reward, achieved_goal, desired_goal, info or {}).astype(np.float32)

    def terminated(
        self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: StepInfo | None = None
    ) -> np.ndarray:
        """Return (B,) bool; without ``compute_terminated``, what ``info["terminated"]`` says."""
        if self._terminated is None:
            known = (info or {}).get("terminated")
            return np.zeros(len(achieved_goal), np.bool_) if known is None else known.astype(np.bool_)
        return self._call(self._terminated, achieved_goal, desired_goal, info or {}).astype(np.bool_)

    def goal_features(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        """Return the desired goal, (B, G) float32."""
        return np.asarray(desired_goal, np.float32)

    def _call(self, function: Any, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: StepInfo) -> np.ndarray:
        """Call ``function`` with goals of its own, which it may change."""
        num = len(achieved_goal)
        achieved, desired = (np.array(g, self._dtype).reshape(num, *self._shape) for g in (achieved_goal, desired_goal))
        if num < 2:
            return self._one_by_one(function, achieved, desired, info)
        if function not in self._in_rows:
            self._in_rows[function] = self._takes_batches(
                function, achieved[:16], desired[:16], {k: v[:16] for k, v in info.items()}
            )
        if self._in_rows[function]:
            together = self._together(function, achieved.copy(), desired.copy(), info)
            if together is not None:
                return together
            self._in_rows[function] = False  # a batch that it was not written for after all
        return self._one_by_one(function, achieved, desired, info)

    def _one_by_one(self, function: Any, achieved: np.ndarray, desired: np.ndarray, info: StepInfo) -> np.ndarray:
        """EnvironmentFailedError for what ``function`` raises, or returns that is no finite number."""
        infos, name = _InfoRows(info, len(achieved)), getattr(function, "__name__", "its function")
        rows = np.empty(len(achieved), np.float64)
        for i, (a, d) in enumerate(zip(achieved.copy(), desired.copy(), strict=True)):
            with calling(self._env_id, f"{name}()", self._package):
                told = np.asarray(function(a, d, infos[i]), np.float64)
            if told.size != 1 or not np.isfinite(told).all():
                raise broken_promise(
                    f"{name}() returned {told.tolist()!r:.80} for one transition, where one finite number is due",
                    self._env_id,
                    getattr(function, "__code__", None),
                )
            rows[i] = told.item()
        return rows

    def _takes_batches(self, function: Any, achieved: np.ndarray, desired: np.ndarray, info: StepInfo) -> bool:
        """Ask once with a batch and once row by row, reached goals among the rows; only equal answers are trusted."""
        desired = desired.copy()
        desired[::2] = achieved[::2]
        alone = self._one_by_one(function, achieved, desired, info)
        together = self._together(function, achieved.copy(), desired, info)
        return together is not None and bool(np.allclose(together, alone))

    def _together(self, function: Any, achieved: np.ndarray, desired: np.ndarray, info: StepInfo) -> np.ndarray | None:
        """Return what ``function`` says of a whole batch, (B,) finite float64; None where it says anything else, raises
        or exits.

        It is written for one transition: what it does with a batch is its author's choice.
        """
        try:
            with calling(self._env_id, "a batch", self._package):
                told = np.asarray(function(achieved, desired, _InfoRows(info, len(achieved))), np.float64)
        except EnvironmentFailedError:
            return None
        return told if told.shape == (len(achieved),) and bool(np.isfinite(told).all()) else None


class NavGoalVectorEnv(NavVectorEnv):
    """Our worlds as a goal vector environment: goals are poses as in ``LegGoals``, ``goal_info`` tells ``collided``.
    SAME_STEP only.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As ``NavVectorEnv.reset``."""
        obs, infos = super().reset(seed=seed, options=options)
        return obs, {**infos, "achieved_goal": self.worlds.pose}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As ``NavVectorEnv.step``: worlds whose robots have all ended begin anew, after their last poses were read."""
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before step()")
        worlds, out = self.worlds, self.worlds.out
        num_ended = worlds.step(actions, DISABLED)
        infos: dict[str, Any] = {
            "achieved_goal": worlds.pose,
            "goal_info": {"collided": np.zeros(self.num_envs, np.bool_)},
        }
        if self.num_robots > 1:
            infos["parked"] = out.parked.copy()
        if num_ended:
            mask = out.finished.copy()
            info = episode_info(out.final_lane, out.final_tally, np.flatnonzero(mask))
            info.update({f"_{name}": mask for name in EPISODE_INFO})
            infos |= {"final_obs": out.final_obs.copy(), "_final_obs": mask, "final_info": info, "_final_info": mask}
            infos["final_achieved_goal"] = infos["achieved_goal"]
            outcome = info["outcome"]
            infos["goal_info"]["collided"] = (outcome >= Outcome.COLLISION_STATIC) & (
                outcome <= Outcome.COLLISION_ROBOT
            )
            worlds.reset((worlds.state.lane[:, :, lay.ENDED] != 0).all(axis=1))
            infos["achieved_goal"] = worlds.pose
        return out.obs.copy(), out.reward.copy(), out.terminated.copy(), out.truncated.copy(), infos
