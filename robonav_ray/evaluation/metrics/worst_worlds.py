"""CVaR over worlds: success in the worst share of them, which are found on one draw and scored on another.

The success of a world in one episode is 0 or 1, so that the worst worlds of one draw are mostly those of bad luck:
ranked and scored on the same episodes they would look far worse than they are (Rutherford et al., NeurIPS 2024).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from robonav_ray.evaluation.exam_table import DRAW, ExamTable, ScenarioFacts
from robonav_ray.evaluation.statistics import Mean, mean
from robonav_ray.records import Outcome

SHARES = (0.01, 0.1)


@dataclass(frozen=True)
class Tail:
    """Success in the worst worlds."""

    share: float
    """Of the worlds."""
    num_worlds: int
    """In the share."""
    success: Mean
    """Over them, in the draws that score."""


def worst_share(ranking: np.ndarray, scoring: np.ndarray, share: float, confidence: float = 0.95) -> Tail:
    """Return the mean of ``scoring`` over the worlds with the least ``ranking``.

    Args:
        ranking: (K, W): success of K episodes in each world, by whose means worlds are ranked; of a tie the first come
            first.
        scoring: (L, W): success of other episodes in the same worlds.
        share: Part of the worlds, in (0, 1]; rounded up to whole worlds.
        confidence: Level of the t interval over worlds.

    Raises:
        ValueError: For a share that is none, or other worlds in one of the two.
    """
    if not 0.0 < share <= 1.0 or ranking.shape[1] != scoring.shape[1]:
        raise ValueError(f"share is {share}, with {ranking.shape[1]} worlds ranked and {scoring.shape[1]} scored")
    num = math.ceil(share * ranking.shape[1] - 1e-9)
    worst = np.argsort(ranking.mean(axis=0), kind="stable")[:num]
    return Tail(share, num, mean(scoring[:, worst].mean(axis=0), confidence))


def tails_of(table: ExamTable, entrant: int, confidence: float = 0.95) -> dict[tuple[int, ...], tuple[Tail, ...]]:
    """Return the tails of every group of scenarios that are draws of the same worlds, by the group's scenarios.

    The first half of the draws ranks the worlds, the second half scores them. Of scenarios that name the same draw,
    which are the same episodes, the first one counts.
    """
    groups: dict[str, dict[int, int]] = {}
    for s, facts in enumerate(table.scenarios):
        if (entrant, s) in table.rows_by_cell:
            groups.setdefault(_worlds_of(facts), {}).setdefault(facts.draw, s)
    found: dict[tuple[int, ...], tuple[Tail, ...]] = {}
    for by_draw in groups.values():
        if len(by_draw) < 2:
            continue
        draws = [by_draw[draw] for draw in sorted(by_draw)]
        outcome = [table.columns["outcome"][table.rows_by_cell[entrant, s]] for s in draws]
        common = min(map(len, outcome))
        success = np.stack([one[:common] == Outcome.SUCCESS for one in outcome])
        half = len(draws) // 2
        found[tuple(draws)] = tuple(worst_share(success[:half], success[half:], share, confidence) for share in SHARES)
    return found


def _worlds_of(facts: ScenarioFacts) -> str:
    same = {key: value for key, value in facts.changes.items() if key != DRAW}
    return json.dumps([facts.suite, facts.stage, facts.seed, facts.num_episodes, same], sort_keys=True)
