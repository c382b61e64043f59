"""Greedy episodes on held-out worlds: the first episode of each world, so that the set depends on nothing but the
seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium.vector import VectorEnv

from robonav_ray.config.evaluation import MAX_EPISODE_STEPS
from robonav_ray.interfaces import ParksLanes
from robonav_ray.records import EpisodeFacts, Outcome
from robonav_ray.worlds.told import find_teller

FactsOf = Callable[[np.ndarray], EpisodeFacts]
"""Episodes that ended in a step (N,) bool -> what is known of them."""
Act = Callable[[np.ndarray], np.ndarray]
"""obs (N, D) float32 -> action (N,) int."""
MakeEnv = Callable[[int, int], VectorEnv[Any, Any, Any]]
"""(first world, number of worlds) -> SAME_STEP vector environment over these worlds; their content depends on their
index only."""


class Measures(Protocol):
    """Something that measures the first episodes of an environment while they are played."""

    def columns(self) -> Mapping[str, np.ndarray]:
        """Return what was measured, (L,) float64 each, once all are through."""
        ...


MeasureWith = Callable[[VectorEnv[Any, Any, Any], np.ndarray, int | None], Measures | None]
"""(an environment that has just been reset, (L,) bool: lanes whose first episode goes on, kept up to date, steps after
which one is cut off) -> what measures them; None where it cannot."""


class EvaluationProgress(NamedTuple):
    """How far an evaluation is."""

    num_done: int
    """Episodes through."""
    num_episodes: int
    """Episodes asked for."""
    num_steps: int
    """Env steps so far, all worlds together."""


BASE_COLUMNS: dict[str, tuple[type[np.generic], float]] = {
    "outcome": (np.int8, Outcome.NONE),
    "length": (np.int32, 0),
    "task_return": (np.float32, np.nan),
    "total_return": (np.float32, np.nan),
    "goals_reached": (np.float32, np.nan),
    "path_length_m": (np.float32, np.nan),
    "shortest_path_length_m": (np.float32, np.nan),
    "min_clearance_m": (np.float32, np.nan),
}
"""Columns of every table of episodes but ``world``: dtype, and what stands where the environment told nothing."""


@dataclass(frozen=True)
class EpisodeTable:
    """One row per episode, (E,) arrays in the order of ``world``. What the environment does not tell is NaN."""

    world: np.ndarray
    """(E,) int64: index of the world under the evaluation seed (of the lane, with several robots in a world)."""
    outcome: np.ndarray
    """(E,) int8: see ``Outcome``; NONE where the environment told none, in all episodes unless it has outcomes."""
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
    """(E,) float32: legs from start through the goals: straight, along the routes of a map, or around inner walls."""
    min_clearance_m: np.ndarray
    """(E,) float32."""
    step_s: float | None
    """Seconds per env step; None where a step has no duration."""
    max_steps: int | None = None
    """Steps at which the worlds themselves end an episode; None where that is not known."""
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    """The other numbers, one per episode, that our worlds told, (E,) float64."""

    @property
    def num_episodes(self) -> int:
        """Rows."""
        return len(self.world)

    @property
    def has_outcomes(self) -> bool:
        """Whether the environment says how an episode ended; one that was cut off says nothing."""
        return bool(((self.outcome != Outcome.NONE) & (self.outcome != Outcome.CUT_OFF)).any())

    @property
    def tells_failures(self) -> bool:
        """Whether an outcome also says how an episode failed: the environment measures clearances, or told of a
        collision.
        """
        collided = (self.outcome >= Outcome.COLLISION_STATIC) & (self.outcome <= Outcome.COLLISION_ROBOT)
        return bool(collided.any() or np.isfinite(self.min_clearance_m).any())


class _FirstEpisodes:
    """Books the first episode of every lane that takes part (``there``) in one environment; one that does not end in
    time is cut off.
    """

    def __init__(self, there: np.ndarray, cut_off_after: int | None):
        num_lanes = len(there)
        self.there = there
        self.columns = {name: np.full(num_lanes, empty, dtype) for name, (dtype, empty) in BASE_COLUMNS.items()}
        self.extra: dict[str, np.ndarray] = {}
        self.open = there.copy()
        self.num_steps = 0
        self._cut_off_after = cut_off_after
        self._length = np.zeros(num_lanes, np.int32)
        self._total_return = np.zeros(num_lanes, np.float64)

    def step(self, reward: np.ndarray, ended: np.ndarray, parked: np.ndarray | None, facts_of: FactsOf) -> None:
        """Book one vector step; lanes that are ``parked`` (N,) bool wait and are not counted."""
        moving = self.open if parked is None else self.open & ~parked
        self._length += moving
        self._total_return += np.where(moving, reward, 0.0)
        self.num_steps += int(moving.sum())
        closing = np.flatnonzero(ended & moving)
        if len(closing):
            self._close(closing, facts_of(ended).columns)
        if self._cut_off_after is not None:
            late = np.flatnonzero(self.open & (self._length >= self._cut_off_after))
            if len(late):
                self._close(late, {"outcome": np.full(len(self.open), Outcome.CUT_OFF)})

    def _close(self, lanes: np.ndarray, told: Mapping[str, np.ndarray]) -> None:
        measured = {"length": self._length, "total_return": self._total_return, "task_return": self._total_return}
        for name, value in {**measured, **told}.items():
            if name in self.columns:
                self.columns[name][lanes] = value[lanes]
            else:
                column = self.extra.setdefault(name, np.full(len(self.open), np.nan))
                column[lanes] = value[lanes]
        self.open[lanes] = False


def evaluate_policy(
    act: Act,
    make_env: MakeEnv,
    num_episodes: int,
    *,
    num_worlds: int = 256,
    step_s: float | None = None,
    max_steps: int | None = None,
    cut_off_after: int | None = MAX_EPISODE_STEPS,
    progress: Callable[[EvaluationProgress], None] | None = None,
    meter: MeasureWith | None = None,
) -> EpisodeTable:
    """Play exactly ``num_episodes`` episodes, each the first one of another world, and return them.

    Taking the first episode of each world, however long, avoids the bias of "the first n to finish", which are the
    short ones; and the set of episodes does not depend on ``num_worlds``.

    Args:
        act: The policy, greedy; also called with the observations of worlds that are through already.
        make_env: Makes the environment of a range of worlds; it is reset once, without a seed, and closed.
        num_episodes: Episodes to play.
        num_worlds: Worlds side by side.
        step_s: Seconds per env step, kept in the table; None where a step has no duration.
        max_steps: Limit that the worlds themselves keep, for the table; None where that is not known.
        cut_off_after: Steps after which an episode is left as it stands, with the outcome CUT_OFF; None waits for its
            end without a limit.
        progress: Called after every vector step; what it raises ends the evaluation.
        meter: Begins what measures the episodes beside the loop, such as ``metrics.meter.start_meter``; its columns are
            extra ones of the table. The episodes are the same with and without it.

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
            parts.append(_play(act, env, cut_off_after, _shifted(progress, parts, num_episodes), meter))
        finally:
            env.close()
        lanes_per_world = env.num_envs // count
        num_lanes, next_world = num_lanes + int(parts[-1].there.sum()), next_world + count
    columns = {name: np.concatenate([p.columns[name][p.there] for p in parts])[:num_episodes] for name in BASE_COLUMNS}
    extra = {name: np.concatenate([_extra(p, name) for p in parts])[:num_episodes] for p in parts for name in p.extra}
    return EpisodeTable(world=np.arange(num_episodes), step_s=step_s, max_steps=max_steps, extra=extra, **columns)


def _play(
    act: Act,
    env: VectorEnv[Any, Any, Any],
    cut_off_after: int | None,
    progress: Callable[[_FirstEpisodes], None],
    meter: MeasureWith | None,
) -> _FirstEpisodes:
    teller, is_known = find_teller(env)
    obs, info = env.reset()
    inner = env.unwrapped
    waiting = inner.waiting() if isinstance(inner, ParksLanes) else None  # before the first step: robots that are none
    book = _FirstEpisodes(np.ones(env.num_envs, bool) if waiting is None else ~waiting, cut_off_after)
    measures = None if meter is None else meter(env, book.open, cut_off_after)
    while book.open.any():
        parked = info.get("parked") if is_known else None
        obs, reward, terminated, truncated, info = env.step(act(obs))
        book.step(np.asarray(reward), terminated | truncated, parked, partial(teller.episode_facts, info))
        progress(book)
    if measures is not None:
        book.extra.update(measures.columns())
    return book


def _shifted(
    progress: Callable[[EvaluationProgress], None] | None, before: list[_FirstEpisodes], total: int
) -> Callable[[_FirstEpisodes], None]:
    """Return what tells ``progress`` of the episodes of a part, those of the parts ``before`` it included."""
    if progress is None:
        return lambda _: None
    lanes, steps = sum(int(part.there.sum()) for part in before), sum(part.num_steps for part in before)
    return lambda book: progress(
        EvaluationProgress(min(lanes + int((book.there & ~book.open).sum()), total), total, steps + book.num_steps)
    )


def _extra(part: _FirstEpisodes, name: str) -> np.ndarray:
    return part.extra.get(name, np.full(len(part.open), np.nan))[part.there]
