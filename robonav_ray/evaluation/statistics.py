"""What a table of episodes amounts to, each figure with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.records import Outcome

CLOSE_M = 0.2
"""Clearance below which a robot is close to a collision: the discomfort distance of CrowdNav (Chen et al. 2019)."""
DANGER_COLUMN = "danger_frac"
"""Extra column that an environment may tell: part of the episode's steps with a clearance below its discomfort
distance."""


@dataclass(frozen=True)
class Rate:
    """A fraction of episodes with its Wilson interval."""

    count: int
    total: int
    frac: float
    low: float
    high: float


@dataclass(frozen=True)
class Mean:
    """A mean with its t interval; the bounds are None for fewer than two values, the value too for none."""

    value: float | None
    low: float | None
    high: float | None
    num_values: int


@dataclass(frozen=True)
class Summary:
    """One policy on one set of worlds. Everything that needs outcomes or a path is None where the environment has
    none.
    """

    num_episodes: int
    confidence: float
    """Level of all intervals."""
    task_return: Mean
    total_return: Mean
    length: Mean
    """In env steps."""
    success: Rate | None = None
    """``success``, ``collision``, ``timeout`` and ``cut_off`` sum to 1; the middle two are None where success is all
    that is told."""
    collision: Rate | None = None
    collision_by_kind: dict[str, Rate] | None = None
    """static, dynamic, wall, robot; they sum to ``collision``."""
    timeout: Rate | None = None
    spl: Mean | None = None
    """Success weighted by path length."""
    time_success_s: Mean | None = None
    """Over successes only."""
    time_imputed_s: Mean | None = None
    """Over all; an episode that failed counts with the time limit, so that failing early does not look fast."""
    path_ratio: Mean | None = None
    """Path over shortest path, over successes."""
    min_clearance_m: Mean | None = None
    close_call: Rate | None = None
    """Episodes whose clearance fell below ``CLOSE_M``."""
    danger_frac: float | None = None
    """Part of all env steps with a clearance below the discomfort distance, where the environment counts them."""
    goals_reached: Mean | None = None
    cut_off: Rate | None = None
    """Episodes that did not end within ``evaluation.max_episode_steps``, which are no successes; None where all
    ended."""


def wilson_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a binomial fraction (Wilson 1927): sound near 0 and 1, where the normal one is
    not.
    """
    from scipy.special import ndtri  # takes .2 s, which the start of a training saves

    if not 0 <= count <= total or total < 1:
        raise ValueError(f"{count} of {total} is not a fraction of at least one episode")
    z = float(ndtri(0.5 + confidence / 2))
    p = count / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return (0.0 if count == 0 else middle - half), (1.0 if count == total else middle + half)


def rate(mask: np.ndarray, confidence: float = 0.95) -> Rate:
    """Return the fraction of true entries of ``mask`` (E,) bool with its Wilson interval."""
    count, total = int(mask.sum()), len(mask)
    low, high = wilson_interval(count, total, confidence)
    return Rate(count, total, count / total, low, high)


def mean(value: np.ndarray, confidence: float = 0.95) -> Mean:
    """Return the mean of ``value`` (E,) with Student's t interval; entries that are not finite are left out."""
    from scipy.special import stdtrit  # see wilson_interval

    known = np.asarray(value, np.float64)
    known = known[np.isfinite(known)]
    n = len(known)
    if n == 0:
        return Mean(None, None, None, 0)
    middle = float(known.mean())
    if n == 1:
        return Mean(middle, None, None, 1)
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * float(known.std(ddof=1)) / math.sqrt(n)
    return Mean(middle, middle - half, middle + half, n)


def success_weighted_path_length(success: np.ndarray, path_length_m: np.ndarray, shortest_m: np.ndarray) -> np.ndarray:
    """Return S l / max(p, l) per episode (Anderson et al. 2018, eq. 1); all (E,)."""
    longest = np.maximum(path_length_m, shortest_m)
    weight = np.divide(shortest_m, longest, out=np.ones(len(longest)), where=longest > 0)
    return np.where(success, weight, 0.0)


def path_ratio(path_length_m: np.ndarray, shortest_m: np.ndarray) -> np.ndarray:
    """Return path over shortest path per episode; all (E,)."""
    return path_length_m / np.maximum(shortest_m, 1e-6)


def imputed_time_s(success: np.ndarray, length: np.ndarray, step_s: float, max_steps: int) -> np.ndarray:
    """Return seconds per episode (E,); an episode that failed in any way counts with the limit."""
    return np.where(success, length, max_steps) * step_s


def summarize(table: EpisodeTable, confidence: float = 0.95) -> Summary:
    """Return the figures of ``table``; an episode without an outcome among others that have one was no success."""
    bare = Summary(
        num_episodes=table.num_episodes,
        confidence=confidence,
        task_return=mean(table.task_return, confidence),
        total_return=mean(table.total_return, confidence),
        length=mean(table.length, confidence),
        cut_off=rate(table.outcome == Outcome.CUT_OFF, confidence)
        if (table.outcome == Outcome.CUT_OFF).any()
        else None,
    )
    if not table.has_outcomes:
        return bare
    outcome = np.where(table.outcome == Outcome.NONE, np.int8(Outcome.TIMEOUT), table.outcome)
    success = outcome == Outcome.SUCCESS
    has_path = ~np.isnan(table.path_length_m).any()
    ratio = path_ratio(table.path_length_m[success], table.shortest_path_length_m[success])
    spl = success_weighted_path_length(success, table.path_length_m, table.shortest_path_length_m)
    has_clearance = ~np.isnan(table.min_clearance_m).any()
    limit, step_s = table.max_steps, table.step_s
    if table.tells_failures:
        kinds = {kind.name.removeprefix("COLLISION_").lower(): outcome == kind for kind in Outcome if kind.is_collision}
        bare = replace(
            bare,
            collision=rate(np.any(list(kinds.values()), axis=0), confidence),
            collision_by_kind={kind: rate(mask, confidence) for kind, mask in kinds.items()},
            timeout=rate(outcome == Outcome.TIMEOUT, confidence),
        )
    return replace(
        bare,
        success=rate(success, confidence),
        spl=mean(spl, confidence) if has_path else None,
        time_success_s=mean(table.length[success] * step_s, confidence) if step_s else None,
        time_imputed_s=mean(imputed_time_s(success, table.length, step_s, limit), confidence)
        if limit and step_s
        else None,
        path_ratio=mean(ratio, confidence) if has_path else None,
        min_clearance_m=mean(table.min_clearance_m, confidence) if has_clearance else None,
        close_call=rate(table.min_clearance_m < CLOSE_M, confidence) if has_clearance else None,
        danger_frac=_danger_frac(table),
        goals_reached=mean(table.goals_reached, confidence) if np.isfinite(table.goals_reached).any() else None,
    )


def _danger_frac(table: EpisodeTable) -> float | None:
    """Over the episodes that tell it: one that was cut off does not."""
    danger = table.extra.get(DANGER_COLUMN)
    told = np.zeros(table.num_episodes, bool) if danger is None else np.isfinite(danger)
    return float(np.average(danger[told], weights=table.length[told])) if danger is not None and told.any() else None
