"""Several goals, one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robonav_policy.errors import ScanError


class GoalSequence:
    """Goals in the order in which they are driven to; one is left behind when the robot's centre is nearer than the
    tolerance.
    """

    def __init__(self, goals: Sequence[Sequence[float]] | np.ndarray, tolerance_m: float) -> None:
        """``goals`` (G, 2) or (2,): x and y in metres, in the frame of the poses.

        Raises:
            ScanError: When they are no finite pairs.
        """
        self._goals = as_goals(goals)
        self._tolerance_m = float(tolerance_m)
        self.reached = 0
        """Goals that are behind the robot."""

    def remaining(self, pose: Sequence[float]) -> np.ndarray:
        """Return the goals (G, 2) that are left at ``pose`` (x, y, yaw), the current one first; none at the end."""
        if self.reached < len(self._goals):
            x, y = self._goals[self.reached]
            if math.hypot(x - float(pose[0]), y - float(pose[1])) < self._tolerance_m:
                self.reached += 1
        return self.left

    @property
    def left(self) -> np.ndarray:
        """(G, 2): the goals that are left, as of the last pose."""
        return self._goals[self.reached :]

    @property
    def is_done(self) -> bool:
        """Whether all goals are behind the robot."""
        return self.reached == len(self._goals)


def as_goals(goals: Sequence[Sequence[float]] | Sequence[float] | np.ndarray) -> np.ndarray:
    """Return goals as (G, 2) float64; ScanError for anything else than finite pairs."""
    try:
        found = np.asarray(goals, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScanError("goal: give x and y in metres, or a list of such pairs") from None
    if found.size == 0:
        return np.zeros((0, 2))
    if found.ndim not in (1, 2) or found.shape[-1] != 2:
        raise ScanError(f"goal: has shape {found.shape}; give (2,), or (G, 2) for several in sequence")
    if not np.isfinite(found).all():
        raise ScanError("goal: holds a number that is not finite")
    return found.reshape(-1, 2)
