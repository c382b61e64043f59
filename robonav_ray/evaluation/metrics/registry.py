"""The metrics of an episode: a name, a unit, a direction and a function each.

::

    METRICS["spl"].of(table)        # (E,) float64, one number per episode, NaN where there is none
    known_metrics(table)            # the metrics for which the table has numbers

A rate is a metric whose numbers are 0 and 1; all others are means over the episodes that have a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.own_metrics import OwnMetric, find_metrics, own_values
from robonav_ray.evaluation.statistics import imputed_time_s, path_ratio, success_weighted_path_length
from robonav_ray.records import Outcome

Direction = Literal["higher", "lower", ""]
"""Which numbers are better; empty where that is not said."""


@dataclass(frozen=True)
class Metric:
    """One number per episode."""

    name: str
    unit: str
    """``frac`` is a part of 1."""
    direction: Direction
    group: str
    """``outcome``, ``path``, ``time``, ``distance``, ``motion``, ``reward`` or ``own``."""
    says: str
    """What it is, for people."""
    of: Callable[[EpisodeTable], np.ndarray]
    """(E,) float64; NaN where the episode has no such number."""
    is_rate: bool = False
    """Whether the numbers are 0 and 1."""


METRICS: dict[str, Metric] = {}
"""All metrics by name, in the order of tables."""


OWN = "own_"
"""Begins the columns of a table that hold a metric of the user's own."""


def known_metrics(table: EpisodeTable) -> dict[str, np.ndarray]:
    """Return the numbers (E,) of those metrics of which the table has at least one; the user's own are among them."""
    values = {name: metric.of(table) for name, metric in METRICS.items()}
    values |= {name: _told(table, name) for name in table.extra if name.startswith(OWN)}
    return {name: value for name, value in values.items() if np.isfinite(value).any()}


def metric_named(name: str, own: Mapping[str, Any] | None = None) -> Metric:
    """Return the metric behind a name of ``known_metrics``.

    ``own`` is what the provenance of an exam says of the user's (``own_metrics``); it may come from a stranger's file.
    """
    if name in METRICS:
        return METRICS[name]
    told = own.get(name.removeprefix(OWN)) if isinstance(own, Mapping) else None
    unit, direction = (
        (str(told.get(key, "")) for key in ("unit", "direction")) if isinstance(told, Mapping) else ("", "")
    )
    known = direction if direction in ("higher", "lower") else ""
    return Metric(name, unit, known, "own", "of your own", lambda table: _told(table, name))


def own_metrics(names: tuple[str, ...], key: str = "--metric") -> dict[str, Metric]:
    """Return metrics of the user's own, ``module:function`` each, by what stands behind the colon.

    ``key`` begins the messages. A function may say its ``unit`` and ``direction`` ("higher" or "lower") as attributes
    of these names.

    Raises:
        UserError: When one is not there, has the name of one of ours or of another, or a direction that is none.
    """
    return {name: _own(name, function, key) for name, function in find_metrics(names, key).items()}


def _own(name: str, function: OwnMetric, key: str) -> Metric:
    if name in METRICS:
        raise UserError(f"{key} {name}: one of ours has this name; give yours another")
    try:
        told: dict[str, Any] = vars(function)
    except TypeError:  # a builtin
        told = {}
    unit, direction = str(told.get("unit", "")), told.get("direction", "")
    if direction not in ("higher", "lower", ""):
        raise UserError(f"{key} {name}: its direction is {direction!r}, and 'higher' or 'lower' belongs there")
    return Metric(name, unit, direction, "own", "of your own", lambda table: own_values(name, function, table, key))


def _metric(
    unit: str, direction: Direction, group: str, says: str, *, is_rate: bool = False
) -> Callable[[Callable[[EpisodeTable], np.ndarray]], Callable[[EpisodeTable], np.ndarray]]:
    """Enter a function into the registry under its own name."""

    def enter(of: Callable[[EpisodeTable], np.ndarray]) -> Callable[[EpisodeTable], np.ndarray]:
        METRICS[of.__name__] = Metric(of.__name__, unit, direction, group, says, of, is_rate)
        return of

    return enter


def _told(table: EpisodeTable, name: str) -> np.ndarray:
    """Return an extra column, (E,) float64; NaN where the table has none."""
    return np.asarray(table.extra.get(name, np.full(table.num_episodes, np.nan)), np.float64)


def _unless_unknown(table: EpisodeTable, mask: np.ndarray, is_known: bool | np.ndarray) -> np.ndarray:
    return np.where(np.broadcast_to(is_known, (table.num_episodes,)), mask.astype(np.float64), np.nan)


def _succeeded(table: EpisodeTable) -> np.ndarray:
    return table.outcome == Outcome.SUCCESS


def _collided(table: EpisodeTable) -> np.ndarray:
    return (table.outcome >= Outcome.COLLISION_STATIC) & (table.outcome <= Outcome.COLLISION_ROBOT)


@_metric("frac", "higher", "outcome", "all goals reached", is_rate=True)
def success(table: EpisodeTable) -> np.ndarray:
    """Return 1 for a success."""
    return _unless_unknown(table, _succeeded(table), table.has_outcomes)


@_metric("frac", "lower", "outcome", "ended by a collision of any kind", is_rate=True)
def collision(table: EpisodeTable) -> np.ndarray:
    """Return 1 for a collision."""
    return _unless_unknown(table, _collided(table), table.tells_failures)


@_metric("frac", "lower", "outcome", "collided with an obstacle that stands", is_rate=True)
def collision_static(table: EpisodeTable) -> np.ndarray:
    """Return 1 for a collision with a static obstacle."""
    return _unless_unknown(table, table.outcome == Outcome.COLLISION_STATIC, table.tells_failures)


@_metric("frac", "lower", "outcome", "collided with an obstacle that moves", is_rate=True)
def collision_dynamic(table: EpisodeTable) -> np.ndarray:
    """Return 1 for a collision with a moving obstacle."""
    return _unless_unknown(table, table.outcome == Outcome.COLLISION_DYNAMIC, table.tells_failures)


@_metric("frac", "lower", "outcome", "collided with a wall", is_rate=True)
def collision_wall(table: EpisodeTable) -> np.ndarray:
    """Return 1 for a collision with a wall."""
    return _unless_unknown(table, table.outcome == Outcome.COLLISION_WALL, table.tells_failures)


@_metric("frac", "lower", "outcome", "collided with another robot", is_rate=True)
def collision_robot(table: EpisodeTable) -> np.ndarray:
    """Return 1 for a collision with another robot."""
    return _unless_unknown(table, table.outcome == Outcome.COLLISION_ROBOT, table.tells_failures)


@_metric("frac", "lower", "outcome", "the robot moved into what it hit", is_rate=True)
def robot_moved_into(table: EpisodeTable) -> np.ndarray:
    """Return 1 for a collision whose last gap the robot's own speed along the line of centres closed more than the
    other body's.
    """
    return _moved_into(table, own=True)


@_metric("frac", "lower", "outcome", "what was hit moved into the robot", is_rate=True)
def other_moved_into(table: EpisodeTable) -> np.ndarray:
    """Return 1 for a collision whose last gap the other body closed at least as much as the robot; with
    ``robot_moved_into``: all.
    """
    return _moved_into(table, own=False)


def _moved_into(table: EpisodeTable, own: bool) -> np.ndarray:
    own_speed, other_speed = _told(table, "end_own_closing"), _told(table, "end_other_closing")
    collided = _collided(table)
    by_robot = own_speed > other_speed
    is_known = table.tells_failures & (np.isfinite(own_speed) | ~collided) & np.isfinite(_told(table, "remaining_m"))
    return _unless_unknown(table, collided & (by_robot == own), is_known)


@_metric("frac", "lower", "outcome", "the time was up", is_rate=True)
def timeout(table: EpisodeTable) -> np.ndarray:
    """Return 1 for an episode that the worlds' limit of steps ended."""
    ended = (table.outcome == Outcome.TIMEOUT) | (table.outcome == Outcome.NONE)
    return _unless_unknown(table, ended, table.has_outcomes & table.tells_failures)


@_metric("frac", "lower", "outcome", "did not end and was cut off", is_rate=True)
def cut_off(table: EpisodeTable) -> np.ndarray:
    """Return 1 for an episode that was cut off; NaN for all where none was."""
    mask = table.outcome == Outcome.CUT_OFF
    return _unless_unknown(table, mask, bool(mask.any()))


@_metric("frac", "higher", "outcome", "part of the entrant's robots that arrived, in worlds that it shares")
def robots_arrived(table: EpisodeTable) -> np.ndarray:
    """Return the part of a case's robots of the entrant that reached their goals."""
    return _told(table, "arrived_frac")


@_metric("", "higher", "path", "success weighted by path length (Anderson et al. 2018)")
def spl(table: EpisodeTable) -> np.ndarray:
    """Return S l / max(p, l), with l the legs from the start through the goals (straight, along routes or around walls)
    and p the path driven.
    """
    value = success_weighted_path_length(_succeeded(table), table.path_length_m, table.shortest_path_length_m)
    return _unless_unknown(table, value, table.has_outcomes & _has_path(table))


@_metric("frac", "higher", "path", "part of the way to the last goal that was made good")
def progress(table: EpisodeTable) -> np.ndarray:
    """Return 1 - (what is left of the way through the goals) / (all of it), at least 0; 1 for a success."""
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip(1.0 - _told(table, "remaining_m") / np.float64(table.shortest_path_length_m), 0.0, 1.0)
    return np.where(_succeeded(table) & np.isfinite(_told(table, "remaining_m")), 1.0, part)


@_metric("", "higher", "path", "progress weighted by path length (Datta et al. 2020)")
def soft_spl(table: EpisodeTable) -> np.ndarray:
    """Return progress times l / max(p, l)."""
    weight = success_weighted_path_length(
        np.ones(table.num_episodes, bool), table.path_length_m, table.shortest_path_length_m
    )
    return np.where(_has_path(table), progress(table) * weight, np.nan)


@_metric("", "lower", "path", "path over shortest path, of successes")
def path_over_shortest(table: EpisodeTable) -> np.ndarray:
    """Return p / l of successes."""
    return np.where(_succeeded(table), path_ratio(table.path_length_m, table.shortest_path_length_m), np.nan).astype(
        np.float64
    )


def _has_path(table: EpisodeTable) -> np.ndarray:
    return np.isfinite(table.path_length_m) & np.isfinite(table.shortest_path_length_m)


@_metric("s", "lower", "time", "time of successes")
def time_success_s(table: EpisodeTable) -> np.ndarray:
    """Return the duration of successes."""
    step_s = np.nan if table.step_s is None else table.step_s
    return np.where(_succeeded(table), table.length * step_s, np.nan)


@_metric("s", "lower", "time", "time, a failure counting with the limit")
def time_imputed_s(table: EpisodeTable) -> np.ndarray:
    """Return the duration; of an episode that failed the limit, so that failing early does not look fast."""
    if table.step_s is None or table.max_steps is None or not table.has_outcomes:
        return np.full(table.num_episodes, np.nan)
    return imputed_time_s(_succeeded(table), table.length, table.step_s, table.max_steps).astype(np.float64)


@_metric("s", "lower", "time", "time beyond the straight way's, of cases that are solved (Everett et al. 2018)")
def extra_time_s(table: EpisodeTable) -> np.ndarray:
    """Return the mean over robots of time - (straight way - goal tolerance) / preferred speed, where all arrive."""
    return _told(table, "extra_s")


@_metric("", "higher", "time", "BARN score: success, and how fast (Perille et al. 2020)")
def barn_score(table: EpisodeTable) -> np.ndarray:
    """Return S T / clip(t, 4 T, 8 T), at most .25, with t the time and T that of the shortest path at the robot's
    greatest speed.
    """
    if table.step_s is None or not table.has_outcomes:
        return np.full(table.num_episodes, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        best_s = np.float64(table.shortest_path_length_m) / _told(table, "top_speed")
        taken = np.clip(table.length * table.step_s, 4.0 * best_s, 8.0 * best_s)
        return np.where(_succeeded(table) | ~np.isfinite(best_s), best_s / taken, 0.0)


@_metric("s", "lower", "time", "time in which the robot neither drove nor turned")
def standing_s(table: EpisodeTable) -> np.ndarray:
    """Return the time with less than .01 m/s and .02 rad/s."""
    return _told(table, "standing_s")


@_metric("m", "higher", "distance", "least clearance, at most 1 m")
def min_clearance_m(table: EpisodeTable) -> np.ndarray:
    """Return the least clearance to anything during the episode, edge to edge."""
    return table.min_clearance_m.astype(np.float64)


@_metric("m", "higher", "distance", "mean clearance")
def mean_clearance_m(table: EpisodeTable) -> np.ndarray:
    """Return the mean over the steps of the clearance to the nearest obstacle, robot or wall."""
    return _told(table, "mean_clearance_m")


@_metric("s", "lower", "distance", "time with less than .45 m to anything")
def near_s(table: EpisodeTable) -> np.ndarray:
    """Return the time with less than .45 m to an obstacle, robot or wall."""
    return _told(table, "near_s")


@_metric("frac", "lower", "distance", "time in the intimate zone of what moves (below .45 m; Hall 1966)")
def intimate_frac(table: EpisodeTable) -> np.ndarray:
    """Return the part of the steps with the nearest moving body nearer than .45 m, edge to edge."""
    return _told(table, "intimate_frac")


@_metric("frac", "lower", "distance", "time in the personal zone of what moves (.45 to 1.2 m)")
def personal_frac(table: EpisodeTable) -> np.ndarray:
    """Return the part of the steps with the nearest moving body .45 to 1.2 m away."""
    return _told(table, "personal_frac")


@_metric("frac", "lower", "distance", "time in the social zone of what moves (1.2 to 3.6 m)")
def social_frac(table: EpisodeTable) -> np.ndarray:
    """Return the part of the steps with the nearest moving body 1.2 to 3.6 m away."""
    return _told(table, "social_frac")


@_metric("s", "higher", "distance", "closest time to collision, where one was ahead")
def time_to_collision_s(table: EpisodeTable) -> np.ndarray:
    """Return the least time to collision with an obstacle or robot at constant velocities; NaN where none was ever
    ahead.
    """
    return _told(table, "least_time_to_collision_s")


@_metric("rad", "lower", "motion", "sum of all changes of heading")
def heading_change_rad(table: EpisodeTable) -> np.ndarray:
    """Return the sum of absolute changes of the heading; of the course, for a holonomic drive."""
    return _told(table, "heading_change_rad")


@_metric("m/s^3", "lower", "motion", "mean jerk")
def jerk(table: EpisodeTable) -> np.ndarray:
    """Return the mean absolute jerk, as the worlds tell it."""
    return _told(table, "mean_jerk")


@_metric("", "higher", "reward", "goals reached")
def goals_reached(table: EpisodeTable) -> np.ndarray:
    """Return the number of goals reached."""
    return table.goals_reached.astype(np.float64)


@_metric("", "higher", "reward", "return of the task: goals, finish and collision")
def task_return(table: EpisodeTable) -> np.ndarray:
    """Return the undiscounted sum of the task terms."""
    return table.task_return.astype(np.float64)


@_metric("", "higher", "reward", "return with all terms")
def total_return(table: EpisodeTable) -> np.ndarray:
    """Return the undiscounted sum of everything that was paid."""
    return table.total_return.astype(np.float64)
