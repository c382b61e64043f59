"""What the node does, without ROS: scans, odometry and goals in, twists out, with a clock that is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robonav_policy import GoalSequence, Policy
from robonav_policy.errors import PolicyError
from robonav_policy.policy import ARRIVED

LATENCIES = 1000
"""Decisions whose time is kept."""


@dataclass(frozen=True)
class Command:
    """A twist for the robot."""

    linear_x: float
    linear_y: float
    angular_z: float
    stamp_s: float | None
    """Of the scan that it was decided on; None where it was not decided on any."""

    @property
    def is_zero(self) -> bool:
        """Whether the robot is to stand."""
        return (self.linear_x, self.linear_y, self.angular_z) == (0.0, 0.0, 0.0)


STAND = Command(0.0, 0.0, 0.0, None)


@dataclass(frozen=True)
class Odometry:
    """Where the robot is and how it moves."""

    pose: tuple[float, float, float]
    linear_x: float
    linear_y: float
    angular_z: float
    stamp_s: float
    frame: str = ""


class Driver:
    """Decides on each scan, once odometry of its moment or later is there, and at most every ``period_s``."""

    def __init__(self, policy: Policy, scan_period_s: float = 0.0, use_twist: bool = True) -> None:
        """``scan_period_s``: between two scans of the lidar; 0 is the rate of the training. Without ``use_twist`` the
        policy takes its own last answer for how the robot moves.
        """
        self.policy, self._use_twist = policy, use_twist
        self.period_s = max(scan_period_s, policy.spec.dt_s)
        self._goals: GoalSequence | None = None
        self._scan: tuple[Any, float] | None = None
        self._odometry: Odometry | None = None
        self._decided_s: float | None = None
        self._heard_s: float | None = None
        self.is_stopped = True
        """Whether it was the watchdog that spoke last."""
        self.problem: str | None = "no scan yet"
        self.counts: Counter[str] = Counter()
        self._seconds = np.zeros(LATENCIES)

    @property
    def tick_s(self) -> float:
        """Seconds between two calls of ``watch``."""
        return 0.1 * self.period_s

    def set_goals(self, goals: Sequence[Sequence[float]]) -> int:
        """Drive to ``goals`` (x, y) in sequence from now on; return how many. PolicyError for what are none."""
        self._goals = GoalSequence(goals, self.policy.spec.goal_tolerance_m)
        self.policy.reset()
        self._decided_s = None
        return len(goals)

    @property
    def num_goals_left(self) -> int:
        """Goals that are not reached yet."""
        return 0 if self._goals is None else len(self._goals.left)

    def odometry(self, odometry: Odometry) -> Command | None:
        """Take the pose; return a command where a scan has waited for it."""
        self._odometry = odometry
        return self._decide()

    def scan(self, scan: Any, stamp_s: float, now_s: float) -> Command | None:
        """Take a scan; return a command unless it waits for odometry, or comes too soon."""
        self._heard_s = now_s
        self._scan = scan, stamp_s
        return self._decide()

    def watch(self, now_s: float, periods: float = 2.0) -> Command | None:
        """Return a twist of zeros when no scan has come for nearly ``periods``; None while they come, or when that was
        said before. Called every ``tick_s``, it says so before that time is over.
        """
        silent = self._heard_s is None or now_s - self._heard_s > periods * self.period_s - 2.0 * self.tick_s
        if not silent or self.is_stopped:
            return None
        self.is_stopped, self.problem, self._scan = True, "no scan for two periods", None
        self.counts["watchdog"] += 1
        return STAND

    def took(self, seconds: float) -> None:
        """Note how long a decision took, from the scan to the twist."""
        self._seconds[(self.counts["decisions"] - 1) % LATENCIES] = seconds

    @property
    def p99_ms(self) -> float:
        """Of the last decisions, in milliseconds; 0 before the first."""
        num = min(self.counts["decisions"], LATENCIES)
        return float(np.quantile(self._seconds[:num], 0.99)) * 1e3 if num else 0.0

    def _decide(self) -> Command | None:
        if self._scan is None or self._odometry is None or self._odometry.stamp_s < self._scan[1] - 1e-6:
            return None
        (scan, stamp_s), odometry = self._scan, self._odometry
        early = self._decided_s is not None and 0.0 < stamp_s - self._decided_s < 0.8 * self.policy.spec.dt_s
        self._scan = None
        if early:
            return None
        self._decided_s, self.is_stopped = stamp_s, False
        self.counts["decisions"] += 1
        goals: Any = [] if self._goals is None else self._goals
        second = odometry.linear_y if self.policy.spec.is_holonomic else odometry.angular_z
        twist = (odometry.linear_x, second) if self._use_twist else None
        a, b = self.policy.act(scan, odometry.pose, goals, twist)
        self.problem = self.policy.last.problem
        self.counts["problems"] += self.problem not in (None, ARRIVED)
        if self.policy.spec.is_holonomic:
            return Command(a, b, 0.0, stamp_s)
        return Command(a, 0.0, b, stamp_s)


__all__ = ["STAND", "Command", "Driver", "Odometry", "PolicyError"]
