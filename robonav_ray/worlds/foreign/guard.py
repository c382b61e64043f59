"""The one place where an environment that is not ours is called.

What it raises or exits with leaves here as an EnvironmentFailedError, and what it returns is what Gymnasium promises.
The vector environment copies it at once: an environment that fills the same buffer at every step does not reach back
into what it returned before.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
from collections.abc import Callable
from copy import deepcopy
from types import CodeType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import create_empty_array

from robonav_ray.errors import EnvironmentFailedError
from robonav_ray.user_code import current_folder
from robonav_ray.worlds.foreign.failure import broken_promise, calling, failure
from robonav_ray.worlds.foreign.spaces import check_spaces, seen_space

logger = logging.getLogger(__name__)
_FIVE = "(observation, reward, terminated, truncated, info)"
_MOST = float(np.finfo(np.float32).max)
"""Rewards are learned from as float32."""


class GuardedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """An environment with Discrete actions from 0 on, and float32 observations unless it is a goal-env."""

    def __init__(self, env: gym.Env[Any, Any], env_id: str) -> None:
        """UserError for spaces that are not supported; EnvironmentFailedError for what is no space."""
        super().__init__(env)
        self._env_id = env_id
        self._package = type(env.unwrapped).__module__.partition(".")[0]
        self.metadata = dict(env.metadata) if isinstance(env.metadata, dict) else {}
        if not isinstance(self.metadata.get("render_modes"), list | tuple | set):
            self.metadata["render_modes"] = []
        given, action = (self._space(name) for name in ("observation_space", "action_space"))
        check_spaces(env_id, given, action)
        self.observation_space = seen_space(given)
        self._parts = dict(given.items()) if isinstance(given, gym.spaces.Dict) else None
        assert isinstance(action, gym.spaces.Discrete)
        self._first_action = int(action.start)
        self.action_space = action if not self._first_action else gym.spaces.Discrete(int(action.n))

    def _space(self, name: str) -> gym.Space[Any]:
        with calling(self._env_id, name, self._package):
            space = getattr(self.env, name, None)
        if not isinstance(space, gym.Space):
            raise broken_promise(
                f"its {name} is {space!r}, which is no gymnasium.Space", self._env_id, self._code("__init__")
            )
        return space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's; the observation is a copy. EnvironmentFailedError for all that it does wrong."""
        try:
            answer = self.env.reset(seed=seed, options=options)
        except BaseException as error:  # noqa: BLE001  also what it exits with
            raise self._failure(error, "reset") from None
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise self.broken("reset", f"returned {_told(answer)}, where (observation, info) is due")
        observation = self._observation(answer[0], "reset")
        self.check_finite(observation, "reset")
        return deepcopy(observation), self._info(answer[1], "reset")

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment's; the observation may be a buffer that the next call fills. EnvironmentFailedError for
        what it does wrong.
        """
        if self._first_action:
            action = action + self._first_action
        try:
            answer = self.env.step(action)
        except BaseException as error:  # noqa: BLE001  also what it exits with
            raise self._failure(error, "step") from None
        if not isinstance(answer, tuple | list) or len(answer) != 5:
            raise self.broken("step", f"returned {_told(answer)}, where {_FIVE} are due")
        observation, reward, terminated, truncated, info = answer
        if type(reward) is not float or not -_MOST <= reward <= _MOST:
            reward = self._reward(reward)
        if type(terminated) is not bool:
            terminated = self._flag(terminated, "terminated")
        if type(truncated) is not bool:
            truncated = self._flag(truncated, "truncated")
        if type(info) is not dict:
            info = self._info(info, "step")
        observation = self._observation(observation, "step")
        if terminated or truncated:  # what a ForeignVector does not see again
            self.check_finite(observation, "step")
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        """As the environment's. EnvironmentFailedError for every error that it raises."""
        try:
            return self.env.render()
        except BaseException as error:  # noqa: BLE001  also what it exits with
            raise self._failure(error, "render") from None

    def close(self) -> None:
        """As the environment's, with a warning for all that it raises: by now nothing hangs on it."""
        try:
            self.close_strictly()
        except EnvironmentFailedError as error:
            logger.warning("%s", error)

    def close_strictly(self) -> None:
        """As the environment's. EnvironmentFailedError for every error that it raises."""
        try:
            self.env.close()
        except BaseException as error:  # noqa: BLE001  also what it exits with
            raise self._failure(error, "close") from None

    def check_finite(self, observation: Any, call: str) -> None:
        """EnvironmentFailedError for an observation, or a Dict of them, that is not finite."""
        for name, array in _named(observation):
            finite = np.isfinite(array)
            if not finite.all():
                at = tuple(int(i) for i in np.argwhere(~finite)[0])
                raise self.broken(call, f"returned an {name} whose number {', '.join(map(str, at))} is {array[at]}")

    def broken(self, call: str, what: str) -> EnvironmentFailedError:
        """Return the failure of a call that has returned what it must not."""
        return broken_promise(f"{call}() {what}", self._env_id, self._code(call))

    def _failure(self, error: BaseException, call: str) -> EnvironmentFailedError:
        return failure(error, self._env_id, f"{call}()", self._package, self._code(call))

    def _code(self, call: str) -> CodeType | None:
        return getattr(inspect.unwrap(getattr(type(self.unwrapped), call)), "__code__", None)

    def _observation(self, value: Any, call: str) -> Any:
        if self._parts is None:
            return self._array(value, self.observation_space, "observation", call)
        if not isinstance(value, dict) or not self._parts.keys() <= value.keys():
            raise self.broken(call, f"returned {_told(value)}, where a dict of {', '.join(self._parts)} is due")
        return {name: self._array(value[name], space, name, call) for name, space in self._parts.items()}

    def _array(self, value: Any, space: gym.Space[Any], name: str, call: str) -> np.ndarray:
        shape, dtype = space.shape, space.dtype
        if type(value) is np.ndarray and value.dtype == dtype and value.shape == shape:
            return value
        try:
            array = np.asarray(value)
        except Exception:  # noqa: BLE001  its object may raise anything when it is looked at
            raise self.broken(call, f"returned {_told(value)} as {name}, which makes no array") from None
        if array.shape != shape:
            raise self.broken(
                call, f"returned {_told(value)} of shape {array.shape} as {name}, where its space has shape {shape}"
            )
        if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, dtype or np.float32, "same_kind"):
            raise self.broken(call, f"returned an {name} of type {array.dtype}, where its space has {dtype}")
        with np.errstate(over="ignore"):  # it is looked at below whether all are finite
            return array.astype(dtype)

    def _info(self, info: Any, call: str) -> dict[str, Any]:
        try:
            return dict(info)
        except Exception:  # noqa: BLE001  no mapping, or one of the environment's own that fails
            raise self.broken(call, f"returned {_told(info)} as info, where a dict is due") from None

    def _reward(self, reward: Any) -> float:
        number = _scalar(reward)
        if number is None:
            raise self.broken("step", f"returned {_told(reward)} as reward, where one number is due")
        if not -_MOST <= number <= _MOST:
            raise self.broken("step", f"returned the reward {number}")
        return number

    def _flag(self, flag: Any, name: str) -> bool:
        number = _scalar(flag)
        if number not in (0.0, 1.0):
            raise self.broken("step", f"returned {_told(flag)} as {name}, where True or False is due")
        return bool(number)


def _scalar(value: Any) -> float | None:
    """Return a number or flag of any kind, also an array of one, as a float; None for anything else."""
    try:
        if isinstance(value, float | int | np.floating | np.integer):
            return float(value)
        array = np.asarray(value)
    except Exception:  # noqa: BLE001  an object of the environment's own, or an int beyond all floats
        return None
    return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else None


def _told(value: Any) -> str:
    """Return what something is, in a few words."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def _named(observation: Any) -> list[tuple[str, np.ndarray]]:
    return list(observation.items()) if isinstance(observation, dict) else [("observation", observation)]


def go_back(folder: str | None) -> None:
    """Make ``folder`` the current one again, where an environment has left it."""
    if folder is not None and current_folder() != folder:
        with contextlib.suppress(OSError):  # it has been removed meanwhile
            os.chdir(folder)


class ForeignVector(SyncVectorEnv):
    """Environments that are not ours side by side, in SAME_STEP mode; ``final_obs`` is dense, and valid where
    ``_final_obs``.
    """

    def __init__(self, make: Callable[[], gym.Env[Any, Any]], num_envs: int, env_id: str) -> None:
        """Make ``num_envs`` GuardedEnvs, in any wrappers of ours. EnvironmentFailedError where two do not agree on
        their spaces.
        """
        self._folder = current_folder()
        envs: list[gym.Env[Any, Any]] = []
        try:
            for _ in range(num_envs):
                envs.append(make())
                _check_alike(envs[0], envs[-1], env_id)
        except BaseException:
            for env in envs:
                env.close()
            raise
        super().__init__([lambda env=env: env for env in envs], autoreset_mode=AutoresetMode.SAME_STEP)
        self._guards = [_guard_of(env) for env in envs]

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As SyncVectorEnv's."""
        found = super().reset(seed=seed, options=options)
        go_back(self._folder)
        return found

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As SyncVectorEnv's. EnvironmentFailedError also for an observation that is not finite.

        Each observation is copied before the next environment is called, which may fill the same buffer.
        """
        num = self.num_envs
        obs: Any = create_empty_array(self.single_observation_space, num)
        rewards: list[Any] = []
        terminated, truncated = np.zeros(num, np.bool_), np.zeros(num, np.bool_)
        infos: dict[str, Any] = {}
        for lane, env in enumerate(self.envs):
            one, reward, ends, is_cut, info = env.step(actions[lane])
            rewards.append(reward)
            if ends or is_cut:
                terminated[lane], truncated[lane] = ends, is_cut
                infos = self._add_final(infos, one, info, lane)
                one, info = env.reset()
            if type(obs) is dict:
                _put(obs, lane, one)
            else:
                obs[lane] = one
            if info:
                infos = self._add_info(infos, info, lane)
        go_back(self._folder)
        for _, array in _named(obs):
            if not np.isfinite(array).all():
                self._blame(obs)
        return obs, np.array(rewards, np.float64), terminated, truncated, infos

    def _add_final(self, infos: dict[str, Any], observation: Any, info: dict[str, Any], lane: int) -> dict[str, Any]:
        if "final_obs" not in infos:
            infos["final_obs"] = create_empty_array(self.single_observation_space, self.num_envs)
            infos["_final_obs"] = np.zeros(self.num_envs, np.bool_)
        _put(infos["final_obs"], lane, observation)
        infos["_final_obs"][lane] = True
        return self._add_info(infos, {"final_info": info}, lane)

    def _blame(self, observation: Any) -> None:
        for lane, guard in enumerate(self._guards):
            one = (
                {name: array[lane] for name, array in observation.items()}
                if isinstance(observation, dict)
                else observation[lane]
            )
            guard.check_finite(one, "step")


def _put(batch: Any, lane: int, one: Any) -> None:
    if isinstance(batch, dict):
        for name, array in batch.items():
            array[lane] = one[name]
    else:
        batch[lane] = one


def _guard_of(env: Any) -> GuardedEnv:
    while not isinstance(env, GuardedEnv):
        env = env.env
    return env


def _check_alike(first: gym.Env[Any, Any], other: gym.Env[Any, Any], env_id: str) -> None:
    for name in ("observation_space", "action_space"):
        one, two = getattr(first, name), getattr(other, name)
        if one != two:
            raise broken_promise(f"two instances of it differ in their {name}, {one} and {two}", env_id, None)
