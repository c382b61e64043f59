"""What the node does, without ROS: goals, the newest scan and odometry, decisions, and the watchdog.

Each call that may have something to send returns an ``Order``, or None. A caller tells the time (s, of a clock that
only rises) and never has to catch: what is wrong becomes an order to stand, and a status.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from robonav_nav.conversions import Odom, Pose, is_standing, seen_from
from robonav_nav.limits import STAND, Limits
from robonav_nav.parameters import TIMEOUT_PERIODS, Settings
from robonav_nav.status import ARRIVED, INACTIVE, NO_GOAL, OK, WARN, Status, stopped
from robonav_policy import GoalSequence, Policy, PolicyError
from robonav_policy.goals import as_goals
from robonav_policy.safety import STOP_DISTANCE, TIME_TO_COLLISION

WAIT_PERIODS = 0.2
"""Periods that a scan waits, at most, for odometry of its moment or later."""
OFF_RATE = 1.25
"""Decisions that are this much slower or faster than in the training are told."""
_SMOOTHING = 0.1

Locate = Callable[[str, str], Pose]
"""(frame, other) -> where ``other`` lies in ``frame``; PolicyError where that is not known."""


@dataclass(frozen=True)
class Order:
    """What the node is to send."""

    twist: tuple[float, float] | None
    """For the wheels; None: nothing is sent."""
    status: Status
    changed: bool
    """Whether the status is to be told at once."""


def nowhere(frame: str, other: str) -> Pose:
    """Refuse goals in another frame than that of the odometry: no transforms are known."""
    raise PolicyError(
        f"goals are in frame {frame!r} and the odometry in {other!r}, and tf2 is not installed: give goals in {other!r}"
    )


class Driver:
    """Drives to goals with a policy while it is active."""

    def __init__(self, policy: Policy, settings: Settings, locate: Locate = nowhere) -> None:
        """Stand, and wait for goals, scans and odometry."""
        self.policy, self._settings, self._locate = policy, settings, locate
        rate = settings["rate_hz"]
        self.period_s: float = 1.0 / rate if rate else policy.spec.dt_s
        slow_hz = policy.spec.scan.rate_hz
        self.on_timer = settings["decide_on"] == "timer" or slow_hz is not None
        """Whether decisions come at their rate, and not with scans: those of a slow lidar serve several."""
        apart_s = self.period_s if slow_hz is None else max(self.period_s, 1.0 / slow_hz)
        self.timeout_s: float = settings["timeout_s"] or TIMEOUT_PERIODS * apart_s
        self.wait_s = WAIT_PERIODS * self.period_s
        self.limits = Limits(policy.spec, settings, self.period_s)
        self.decisions, self.limited, self.interval_s = 0, 0, self.period_s
        self.is_waiting = False
        """Whether a scan waits for odometry, at most ``wait_s``."""
        self.sent = STAND
        self.status = INACTIVE
        self._goals: GoalSequence | None = None
        self._resting = NO_GOAL
        self._frame, self._num_goals = "", 0
        self._plan: list[tuple[float, float]] = []
        self._plan_frame = ""
        self._scan: Any = None
        self._scan_s = self._decided_s = -math.inf
        self._stamp = self._decided_stamp = -math.inf
        self._odom: Odom | None = None
        self._odom_s = -math.inf

    def begin(self, now: float) -> Order:
        """Become active; the parameter ``goals`` is driven to where it is the source."""
        self._scan_s = self._decided_s = now
        self.policy.reset()
        if self._settings["goal_source"] == "goals" and self._settings.goals:
            return self.take_goals(self._settings.goals, "")
        return self._rest(NO_GOAL)

    def end(self) -> Order:
        """Stand, and be active no more."""
        self._goals = None
        return self._stand(INACTIVE)

    def take_goals(self, goals: Sequence[Sequence[float]], frame: str, append: bool = False) -> Order:
        """Drive to ``goals`` (x, y), in sequence, from now on; none at all: stand.

        Args:
            goals: In metres.
            frame: That they are given in; empty is that of the odometry.
            append: Whether those that are left are driven to first; they must be in the same frame.
        """
        try:
            wanted = as_goals(list(goals))
        except PolicyError as error:
            return self._rest(stopped(str(error)))
        left = [] if self._goals is None else self._goals.left.tolist()
        if not len(wanted):
            return self._rest(NO_GOAL)
        same_end = bool(left) and frame == self._frame and math.dist(left[-1], wanted[-1]) < self._tolerance_m
        if append and left and frame != self._frame:
            return self._rest(stopped(f"goals in frame {frame!r} and in {self._frame!r} at once"))
        rows = [*left, *wanted.tolist()] if append else wanted.tolist()
        self._goals, self._frame, self._num_goals = GoalSequence(rows, self._tolerance_m), frame, len(rows)
        if not same_end and not (append and left):  # the same path, planned anew, goes on
            self.policy.reset()
        return Order(None, self.status, changed=False)

    def take_plan(self, points: Sequence[tuple[float, float]], frame: str) -> None:
        """Show the policy the path ``points`` (x, y), in metres, from now on, where it sees one."""
        self._plan, self._plan_frame = list(points), frame

    def take_odometry(self, odom: Odom, now: float) -> Order | None:
        """Know where the robot is; decide on a scan that has waited for it."""
        self._odom, self._odom_s = odom, now
        return self.decide(now) if self.is_waiting and not self._is_early(odom) else None

    def take_scan(self, scan: Any, stamp: float, now: float) -> Order | None:
        """Take a scan with its own time ``stamp`` (s), and decide on it when it is time to."""
        before, self._stamp = self._stamp, stamp
        self._scan, self._scan_s = scan, now
        if self.on_timer:
            return None
        elapsed, apart = stamp - self._decided_stamp, stamp - before
        early = apart > 0.0 and 0.0 < elapsed < self.period_s - apart / 2.0  # the next scan is nearer to the moment
        if early and now - self._decided_s < 0.9 * self.period_s:
            return None
        if self._goals is not None and (self._odom is None or self._is_early(self._odom)):
            self.is_waiting = True
            return None
        return self.decide(now)

    def be_due(self, now: float) -> Order | None:
        """Decide on the newest scan, where the time says when; stand when it is too old."""
        return self.watch(now) if self._scan_age(now) > self.timeout_s else self.decide(now)

    def decide(self, now: float) -> Order:
        """Decide on the newest scan and odometry."""
        self.is_waiting = False
        if math.isfinite(self._decided_stamp) and self._stamp > self._decided_stamp:
            self.interval_s += _SMOOTHING * (self._stamp - self._decided_stamp - self.interval_s)
        self._decided_s, self._decided_stamp = now, self._stamp
        if self._goals is None:
            return self._rest(self._resting)
        try:
            return self._decide(self._goals, now)
        except PolicyError as error:
            return self._stand(stopped(str(error)))
        except Exception as error:  # noqa: BLE001 -- after any fault the robot must be told to stand
            return self._stand(stopped(f"fault in the policy: {type(error).__name__}: {error}"))

    def watch(self, now: float) -> Order | None:
        """Stand when no scan has come for ``timeout_s``; to be called that long after each scan."""
        age = self._scan_age(now)
        if age < 0.99 * self.timeout_s:
            return None
        self.is_waiting = False
        return self._stand(stopped(f"no scan for {age:.2f} s (at most {self.timeout_s:.2f} s)"))

    def fail(self, message: str) -> Order:
        """Stand because of a fault outside."""
        return self._stand(stopped(message))

    def values(self, now: float) -> dict[str, str]:
        """Return what is told besides the status, as names and values."""
        policy, last = self.policy, self.policy.last
        told = {
            "policy": policy.spec.name,
            "decisions": str(self.decisions),
            "problems": str(policy.problems),
            "decision_interval_s": f"{self.interval_s:.3f}",
            "scan_age_s": f"{self._scan_age(now):.3f}",
            "odometry_age_s": f"{now - self._odom_s:.3f}",
            "goals_left": str(0 if self._goals is None else len(self._goals.left)),
            "unseen_frac": f"{last.unseen_frac:.3f}",
            "limited": str(self.limited),
        }
        counts = {} if policy.safety is None else policy.safety.counts
        return told | {f"safety_{reason}": str(count) for reason, count in sorted(counts.items())}

    @property
    def _tolerance_m(self) -> float:
        return self.policy.spec.goal_tolerance_m

    def _is_early(self, odom: Odom) -> bool:
        return odom.stamp < self._stamp - 1e-6

    def _scan_age(self, now: float) -> float:
        return now - self._scan_s

    def _decide(self, goals: GoalSequence, now: float) -> Order:
        odom = self._odom
        if odom is None:
            return self._stand(stopped("no odometry has come"))
        if now - self._odom_s > self.timeout_s:
            return self._stand(stopped(f"no odometry for {now - self._odom_s:.2f} s (at most {self.timeout_s:.2f} s)"))
        pose = odom.pose
        if self._frame not in ("", odom.frame):
            pose = seen_from(self._locate(self._frame, odom.frame), pose)
        twist = odom.twist if self._settings["use_odom_twist"] else None
        answer = self.policy.act(self._scan, pose, goals, twist, self._path(odom.frame))
        last = self.policy.last
        if goals.is_done:
            return self._rest(ARRIVED)
        if last.problem is not None:
            return self._stand(stopped(last.problem))
        self.decisions += 1
        braking = self.policy.safety is not None and {STOP_DISTANCE, TIME_TO_COLLISION} & set(last.safety)
        wanted = float(answer[0]), float(answer[1])
        if not all(map(math.isfinite, wanted)):
            return self._stand(stopped("the policy asks for a twist that is not finite"))
        twist = self.limits.hold(wanted, self.sent, bool(braking))
        self.limited += twist != wanted
        return self._told(twist, self._driving(goals, last.safety))

    def _path(self, odom_frame: str) -> list[tuple[float, float]] | None:
        """Return the plan in the frame of the goals; None where the policy sees none."""
        if self.policy.spec.path is None:
            return None
        if not self._plan:
            raise PolicyError("no plan has come: the policy sees a path to its goal, on the topic plan")
        wanted, given = self._frame or odom_frame, self._plan_frame or odom_frame
        if wanted == given:
            return self._plan
        frame = self._locate(wanted, given)
        return [seen_from(frame, (x, y, 0.0))[:2] for x, y in self._plan]

    def _driving(self, goals: GoalSequence, safety: tuple[str, ...]) -> Status:
        told = f"goal {goals.reached + 1} of {self._num_goals}"
        off = max(self.interval_s / self.policy.spec.dt_s, self.policy.spec.dt_s / self.interval_s)
        if safety:
            return Status(WARN, "driving", f"{told}; safety: {', '.join(safety)}")
        if off > OFF_RATE:
            trained = self.policy.spec.dt_s
            return Status(
                WARN, "driving", f"{told}; decides every {self.interval_s:.3g} s, and was trained for {trained:g} s"
            )
        return Status(OK, "driving", told)

    def _rest(self, status: Status) -> Order:
        """Have no goal from now on, because of ``status``."""
        self._goals, self._resting = None, status
        return self._stand(status)

    def _stand(self, status: Status) -> Order:
        """Send zeros: each time while there are goals; else once, because others may drive then."""
        again = self._goals is not None or self._is_new(status) or not is_standing(self.sent)
        return self._told(STAND if again else None, status)

    def _is_new(self, status: Status) -> bool:
        return (status.level, status.state) != (self.status.level, self.status.state)

    def _told(self, twist: tuple[float, float] | None, status: Status) -> Order:
        changed = self._is_new(status) or _words(status.message) != _words(self.status.message)
        self.status = status
        if twist is not None:
            self.sent = twist
        return Order(twist, status, changed)


def _words(message: str) -> str:
    """Return a message without its numbers, which change all the time."""
    return re.sub(r"[\d.]+", "", message)
