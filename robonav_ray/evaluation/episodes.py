"""Greedy episodes on held-out worlds: the first episode of each world, so that the set depends on nothing but the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from robonav_ray.records import Outcome

Act = Callable[[np.ndarray], np.ndarray]
"""obs (N, D) float32 -> action (N,) int."""
MakeEnv = Callable[[int, int], VectorEnv[Any, Any, Any]]
"""(first world, number of worlds) -> SAME_STEP vector environment over these worlds; their content depends on their index only."""

_COLUMNS: dict[str, tuple[type[np.generic], float]] = {
    "outcome": (np.int8, Outcome.NONE),
    "length": (np.int32, 0),
    "task_return": (np.float32, np.nan),
    "total_return": (np.float32, np.nan),
    "goals_reached": (np.float32, np.nan),
    "path_length_m": (np.float32, np.nan),
    "shortest_path_length_m": (np.float32, np.nan),
    "min_clearance_m": (np.float32, np.nan),
}


@dataclass(frozen=True)
class EpisodeTable:
    """One row per episode, (E,) arrays in the order of ``world``. What the environment does not tell is NaN."""

    world: np.ndarray
    """(E,) int64: index of the world under the evaluation seed (of the lane, with several robots in a world)."""
    outcome: np.ndarray
    """(E,) int8: see ``Outcome``; all NONE for an environment without outcomes."""
    length: np.ndarray
    """(E,) int32: env steps."""
    task_return: np.ndarray
    """(E,) float32: goals, finish and collision; equal to ``total_return`` where there are no task terms."""
    total_return: np.ndarray
    """(E,) float32: undiscounted, everything."""
    goals_reached: np.ndarray
    """(E,) float32."""
    path_length_m: np.ndarray
    """(E,) float32."""
    shortest_path_length_m: np.ndarray
    """(E,) float32: straight legs from the start through the goals."""
    min_clearance_m: np.ndarray
    """(E,) float32."""
    step_s: float | None
    """Seconds per env step; None where a step has no duration."""
    max_steps: int | None = None
    """Steps at which an episode is cut off; None when there is no limit."""
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    """Whatever else of one number per episode the environment told, (E,) float64."""

    @property
    def num_episodes(self) -> int:
        """Rows."""
        return len(self.world)

    @property
    def has_outcomes(self) -> bool:
        """Whether the environment says how an episode ended."""
        return bool((self.outcome != Outcome.NONE).any())

    @property
    def tells_failures(self) -> bool:
        """Whether an outcome also says how an episode failed: the environment measures clearances, or told of a collision."""
        collided = (self.outcome >= Outcome.COLLISION_STATIC) & (self.outcome <= Outcome.COLLISION_ROBOT)
        return bool(collided.any() or np.isfinite(self.min_clearance_m).any())


class _FirstEpisodes:
    """Books the first episode of every lane of one environment."""

    def __init__(self, num_lanes: int):
        self.columns = {name: np.full(num_lanes, empty, dtype) for name, (dtype, empty) in _COLUMNS.items()}
        self.extra: dict[str, np.ndarray] = {}
        self.open = np.ones(num_lanes, bool)
        self._length = np.zeros(num_lanes, np.int32)
        self._total_return = np.zeros(num_lanes, np.float64)

    def step(self, reward: np.ndarray, ended: np.ndarray, parked: np.ndarray | None, final_info: dict[str, Any]) -> None:
        """Book one vector step; lanes that are ``parked`` (N,) bool wait and are not counted."""
        moving = self.open if parked is None else self.open & ~parked
        self._length += moving
        self._total_return += np.where(moving, reward, 0.0)
        closing = np.flatnonzero(ended & moving)
        if not len(closing):
            return
        told = {"length": self._length, "total_return": self._total_return, "task_return": self._total_return}
        told |= {name: np.asarray(value) for name, value in final_info.items() if _is_number_per_lane(value, len(self.open))}
        for name, value in told.items():
            if name in self.columns:
                self.columns[name][closing] = value[closing]
            elif not name.startswith("_"):
                column = self.extra.setdefault(name, np.full(len(self.open), np.nan))
                column[closing] = value[closing]
        self.open[closing] = False


def _is_number_per_lane(value: object, num_lanes: int) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (num_lanes,) and value.dtype.kind in "biuf"


def evaluate_policy(
    act: Act,
    make_env: MakeEnv,
    num_episodes: int,
    *,
    num_worlds: int = 256,
    step_s: float | None = None,
    max_steps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EpisodeTable:
    """Play exactly ``num_episodes`` episodes, each the first one of another world, and return them.

    Taking the first episode of each world, however long, avoids the bias of "the first n to finish", which are the short
    ones; and the set of episodes does not depend on ``num_worlds``.

    Args:
        act: The policy, greedy; also called with the observations of worlds that are through already.
        make_env: Makes the environment of a range of worlds; it is reset once, without a seed, and closed.
        num_episodes: Episodes to play.
        num_worlds: Worlds side by side.
        step_s: Seconds per env step, kept in the table; None where a step has no duration.
        max_steps: Limit of an episode, kept in the table; an episode that runs on beyond it is a RuntimeError.
        progress: Called with (episodes through, ``num_episodes``) whenever the first number grows.

    Raises:
        ValueError: for a number of episodes or worlds below 1.
    """
    if num_episodes < 1 or num_worlds < 1:
        raise ValueError(f"num_episodes ({num_episodes}) and num_worlds ({num_worlds}) must be at least 1")
    parts: list[_FirstEpisodes] = []
    num_lanes, next_world, lanes_per_world = 0, 0, 1
    while num_lanes < num_episodes:
        missing = -(-(num_episodes - num_lanes) // lanes_per_world)
        count = min(num_worlds, missing)
        env = make_env(next_world, count)
        try:
            parts.append(_play(act, env, max_steps, _shifted(progress, num_lanes, num_episodes)))
        finally:
            env.close()
        lanes_per_world = env.num_envs // count
        num_lanes, next_world = num_lanes + env.num_envs, next_world + count
    columns = {name: np.concatenate([p.columns[name] for p in parts])[:num_episodes] for name in _COLUMNS}
    extra = {name: np.concatenate([_extra(p, name) for p in parts])[:num_episodes] for p in parts for name in p.extra}
    return EpisodeTable(world=np.arange(num_episodes), step_s=step_s, max_steps=max_steps, extra=extra, **columns)


def _play(act: Act, env: VectorEnv[Any, Any, Any], max_steps: int | None, progress: Callable[[int], None]) -> _FirstEpisodes:
    book = _FirstEpisodes(env.num_envs)
    obs, info = env.reset()
    num_steps, num_open = 0, env.num_envs
    while num_open:
        parked = info.get("parked")
        obs, reward, terminated, truncated, info = env.step(act(obs))
        book.step(np.asarray(reward), terminated | truncated, parked, info.get("final_info", {}))
        num_steps += 1
        still_open = int(book.open.sum())
        if still_open < num_open:
            progress(env.num_envs - still_open)
        elif max_steps is not None and num_steps > max_steps * _PATIENCE:
            raise RuntimeError(f"{still_open} episodes did not end within {num_steps} steps, although max_steps is {max_steps}")
        num_open = still_open
    return book


_PATIENCE = 2
"""With several robots a world a lane may start late, but never later than one whole episode."""


def _shifted(progress: Callable[[int, int], None] | None, offset: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(min(offset + done, total), total) if progress else None


def _extra(part: _FirstEpisodes, name: str) -> np.ndarray:
    return part.extra.get(name, np.full(len(part.open), np.nan))
