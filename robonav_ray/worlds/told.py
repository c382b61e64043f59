"""What environments tell of the episodes that end: ours by their own names, those of others by ``is_success`` and by
plain numbers.

::

    info of the last step --parse_info--> LastWords (one episode) --gather--> records.EpisodeFacts (of all lanes)

Which environment is ours is a matter of its type, never of the keys in its ``info``: another environment's ``outcome``,
``length`` or ``task_return`` is a number like any other of theirs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv, VectorWrapper

from robonav_ray.interfaces import TellsEpisodes
from robonav_ray.records import EpisodeFacts, Outcome
from robonav_ray.worlds.goal_env import NavGoalEnv
from robonav_ray.worlds.gym_env import NavEnv
from robonav_ray.worlds.vector_env import EPISODE_INFO

SUCCESS_KEY = "is_success"
MAX_KEYS = 256
"""Keys of one ``info`` that are looked at."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,63}")
_RESERVED = frozenset(
    {"final_obs", "final_info", "parked", "achieved_goal", "final_achieved_goal", "goal_info", "observation"}
)
"""Keys that stand for something else in the ``infos`` of a vector environment."""


class LastWords(NamedTuple):
    """What was told at the end of one episode."""

    success: bool | None
    """Whether ``is_success`` was true, or above 0; None where it was not told."""
    own: Mapping[str, float]
    """By the names of ``EPISODE_INFO``; empty unless the environment is ours."""
    numbers: Mapping[str, float]
    """Other finite numbers."""
    dropped: tuple[str, ...]
    """Names of what was told and is no finite number, or has a name that is none for a metric."""


def is_own(env: gym.Env[Any, Any]) -> bool:
    """Whether ``env`` is one of our worlds, in any wrappers."""
    return isinstance(env.unwrapped, NavEnv | NavGoalEnv)


def number_of(value: Any) -> float | None:
    """Return a finite number for a bool, a number, or an array of one; None for anything else."""
    if isinstance(value, np.ndarray):
        if value.size != 1 or value.dtype.kind not in "biuf":
            return None
        value = value.item()
    if not isinstance(value, bool | np.bool_ | int | float | np.integer | np.floating):
        return None
    try:
        number = float(value)
    except OverflowError:  # an int beyond all floats
        return None
    return number if math.isfinite(number) else None


def parse_info(info: Mapping[Any, Any], own: bool) -> LastWords:
    """Return what the ``info`` of an episode's last step tells; of more than ``MAX_KEYS`` keys, the first ones."""
    success: bool | None = None
    facts: dict[str, float] = {}
    numbers: dict[str, float] = {}
    dropped: list[str] = []
    for key, value in islice(info.items(), MAX_KEYS):
        name, number = str(key), number_of(value)
        if key == SUCCESS_KEY:
            success = None if number is None else number > 0.0
        elif own and name in EPISODE_INFO:
            if number is not None:
                facts[name] = number
        elif number is None or _NAME.fullmatch(name) is None:
            dropped.append(name[:64])
        else:
            numbers[name] = number
    return LastWords(success, facts, numbers, () if own else tuple(dropped))


def gather(words: Mapping[int, LastWords], num_lanes: int) -> EpisodeFacts:
    """Return the facts (num_lanes,) of the lanes in ``words``, whose episodes have ended."""
    columns: dict[str, np.ndarray] = {}
    numbers: dict[str, np.ndarray] = {}
    dropped: list[str] = []
    for lane, told in words.items():
        facts = {**told.own, "outcome": _outcome(told)}
        for into, values, empty in ((columns, facts, 0.0), (numbers, told.numbers, np.nan)):
            for name, value in values.items():
                into.setdefault(name, np.full(num_lanes, empty))[lane] = value
        dropped += told.dropped
    if "outcome" in columns:
        columns["outcome"] = columns["outcome"].astype(np.int8)
    return EpisodeFacts(columns, numbers, tuple(dropped))


def _outcome(told: LastWords) -> int:
    own = told.own.get("outcome")
    if own is not None:
        return int(own) if own in _OUTCOMES else Outcome.NONE
    if told.success is None:
        return Outcome.NONE
    return Outcome.SUCCESS if told.success else Outcome.TIMEOUT


_OUTCOMES = frozenset(float(outcome) for outcome in Outcome if outcome != Outcome.CUT_OFF)


class TellingEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Listens to one environment: keeps what its ``info`` says when an episode ends, and lets through what vector
    environments can stack.

    Gymnasium gives each key of ``info`` one array over all environments, of the type of the first value: None, a text
    or an array of another shape in the second one's ends the step, and .7 beside a 0 becomes 0. So only scalars pass,
    and what is kept of an episode does not go that way.
    """

    def __init__(self, env: gym.Env[Any, Any], tell_steps: bool = False) -> None:
        """Wrap ``env``; without ``tell_steps`` nothing of ``info`` passes."""
        super().__init__(env)
        self._own, self._tell_steps = is_own(env), tell_steps
        self.last_words = LastWords(None, {}, {}, ())
        """Of the episode that ended last."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's."""
        obs, info = self.env.reset(seed=seed, options=options)
        return obs, self._passed(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            self.last_words = parse_info(info if isinstance(info, Mapping) else {}, self._own)
        return obs, reward, terminated, truncated, self._passed(info)

    def _passed(self, info: Any) -> dict[str, Any]:
        if not self._tell_steps or not isinstance(info, Mapping):
            return {}
        return {
            key: value.item() if isinstance(value, np.bool_) else value
            for key, value in info.items()
            if _can_be_stacked(key, value)
        }


def _can_be_stacked(key: Any, value: Any) -> bool:
    if not isinstance(key, str) or key in _RESERVED or key.startswith("_"):
        return False
    if isinstance(value, np.ndarray):
        return value.shape == () and value.dtype.kind in "biuf"
    return isinstance(value, bool | np.bool_ | float | np.integer | np.floating) or (
        isinstance(value, int) and abs(value) < 1 << 63
    )


class TellingVector(VectorWrapper):
    """A SyncVectorEnv of ``TellingEnv``: tells of the episodes that ended in its last step."""

    def __init__(self, env: SyncVectorEnv) -> None:
        """Wrap ``env``, each of whose environments is a TellingEnv."""
        super().__init__(env)
        self._envs: list[Any] = list(env.envs)

    def episode_facts(self, infos: Mapping[str, Any], ended: np.ndarray) -> EpisodeFacts:
        """See ``interfaces.TellsEpisodes``."""
        return gather({lane: self._envs[lane].last_words for lane in np.flatnonzero(ended).tolist()}, self.num_envs)


class _Listener:
    """Tells what ``infos["final_info"]`` of a vector environment that is not ours says, under its masks."""

    def episode_facts(self, infos: Mapping[str, Any], ended: np.ndarray) -> EpisodeFacts:
        """See ``interfaces.TellsEpisodes``."""
        final = infos.get("final_info")
        if not isinstance(final, Mapping):
            return gather({lane: LastWords(None, {}, {}, ()) for lane in np.flatnonzero(ended).tolist()}, len(ended))
        told = {
            name: array
            for name, array in final.items()
            if not str(name).startswith("_") and _has_lanes(array, len(ended))
        }
        masks = {name: final.get(f"_{name}", ended) for name in told}
        return gather(
            {
                lane: parse_info({name: array[lane] for name, array in told.items() if masks[name][lane]}, own=False)
                for lane in np.flatnonzero(ended).tolist()
            },
            len(ended),
        )


def _has_lanes(array: Any, num_lanes: int) -> bool:
    return isinstance(array, np.ndarray) and array.ndim > 0 and len(array) == num_lanes


def find_teller(env: VectorEnv[Any, Any, Any]) -> tuple[TellsEpisodes, bool]:
    """Return what tells of the episodes of ``env``, and whether that is ``env`` itself or one that it wraps, else its
    ``infos``.
    """
    inner: Any = env
    while inner is not None:
        if isinstance(inner, TellsEpisodes):
            return inner, True
        inner = getattr(inner, "env", None)
    return _Listener(), False
