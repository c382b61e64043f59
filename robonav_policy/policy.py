"""A policy that drives: from a scan, a pose and a goal to a twist."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from robonav_policy.bundle import Bundle, read_bundle
from robonav_policy.errors import PolicyError, ScanError
from robonav_policy.goals import GoalSequence, as_goals
from robonav_policy.models import Model, open_model
from robonav_policy.observation import Observer, as_twist, as_where
from robonav_policy.safety import SafetyLayer
from robonav_policy.scans import Lidar, Resampler, read_scan, sees_less
from robonav_policy.spec import Spec, steered

ARRIVED = "no goal is left"


class Twist(NamedTuple):
    """What a robot that steers like a car or turns on the spot is to do."""

    linear: float
    """m/s ahead."""
    angular: float
    """rad/s to the left."""


class Velocity(NamedTuple):
    """What a robot that moves to all sides is to do, in its own frame; it keeps its yaw."""

    v_x: float
    """m/s ahead."""
    v_y: float
    """m/s to the left."""


@dataclass(frozen=True)
class Decision:
    """All about one call of ``Policy.act``."""

    twist: Twist | Velocity
    action: int | None = None
    """What the policy chose; None where it was not asked."""
    q_values: np.ndarray | None = None
    """(A,) float32."""
    problem: str | None = None
    """Why the robot is told to stand without the policy being asked; None where it was."""
    unseen_frac: float = 0.0
    """Part of the sectors that no ray has measured."""
    safety: tuple[str, ...] = ()
    """Why the safety layer changed the twist, or would have in ``warn``."""


class Policy:
    """Decides every ``spec.dt_s`` seconds. What it was trained with stands in ``spec``.

    ``act`` never raises for what comes from a sensor: a scan that is empty, a pose that is not finite and the like give
    a twist of zeros, and ``last.problem`` says why.
    """

    def __init__(
        self,
        spec: Spec,
        model: Model,
        *,
        lidar: Lidar | None = None,
        allow_less: bool = False,
        safety: SafetyLayer | None = None,
        time_left: float | None = None,
    ) -> None:
        """As ``load``, of what a bundle holds."""
        self.spec, self._model, self.safety = spec, model, safety
        self._allow_less, self._observer = allow_less, Observer(spec, time_left)
        self._resampler = Resampler(spec.scan, Lidar.of(spec.scan))
        self._refused: str | None = None
        self._command, self._twist = (0.0, 0.0), (0.0, 0.0)
        self.problems = 0
        """Calls of ``act`` that have ended with a problem."""
        if lidar is not None:
            self._take(lidar)
            if self._refused is not None:
                raise ScanError(self._refused)
        self.last = Decision(self._out(self._twist))
        """What ``act`` decided last."""

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | Bundle,
        *,
        lidar: Lidar | None = None,
        allow_less: bool = False,
        safety: SafetyLayer | None = None,
        time_left: float | None = None,
        kind: str | None = None,
    ) -> Policy:
        """Return the policy of a bundle, whose files are held against their hashes first.

        Args:
            bundle: Its folder, or what ``read_bundle`` gave.
            lidar: The robot's lidar, with its mount; None is the one of the training. Scans that are messages say their
                angles and ranges themselves.
            allow_less: Whether a lidar may see less than the policy was trained for.
            safety: A layer behind the policy; None is none.
            time_left: What the policy is shown of its time, always; None counts down from ``reset``, as in the
                training.
            kind: ``onnx`` or ``numpy``; None takes what the bundle has, ONNX first.

        Raises:
            BundleError: When the bundle is not whole, or its network does not run.
            ScanError: When ``lidar`` sees less than the policy was trained for.
        """
        found = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        model = open_model(found, kind)
        return cls(found.spec, model, lidar=lidar, allow_less=allow_less, safety=safety, time_left=time_left)

    def reset(self, max_steps: int | None = None) -> None:
        """Begin anew, at a standstill: with the next scan no older one is known. Call it when goals are given.

        ``max_steps``: decisions within which the goals are to be reached; None takes those of the training.
        """
        self._observer.reset(max_steps)
        self._command, self._twist = (0.0, 0.0), (0.0, 0.0)

    def act(
        self,
        scan: Any,
        pose: Sequence[float],
        goal: Sequence[float] | Sequence[Sequence[float]] | np.ndarray | GoalSequence,
        twist: Sequence[float] | None = None,
        path: Any = None,
    ) -> Twist | Velocity:
        """Return what the robot is to do for the next ``spec.dt_s`` seconds.

        Args:
            scan: Ranges (N,) in metres of the lidar, or what has the fields of ``sensor_msgs/LaserScan``.
            pose: x, y (m) and yaw (rad) of the robot's centre, in a frame that stands still.
            goal: x and y in the same frame; or several pairs in sequence, those that are left; or a ``GoalSequence``.
            twist: How the robot moves now, (v, omega) or (v_x, v_y) in its own frame; None takes the last answer.
            path: Points (P, 2) of a path to the goal, in the frame of the goals; needed where ``spec.path`` is there.
        """
        try:
            self.last = self._decide(scan, pose, goal, twist, path)
        except PolicyError as error:
            self.problems += 1
            self.last = self._stand(str(error))
        return self.last.twist

    def observe(
        self, scan: Any, pose: Sequence[float], goal: Any, twist: Sequence[float] | None = None, path: Any = None
    ) -> np.ndarray:
        """Return the observation (D,) float32 that ``act`` would decide on, and remember the scan as ``act`` does.

        Raises:
            ScanError: For a scan, a pose, a goal or a path that is none.
        """
        goals = _goals(goal, pose)
        if not len(goals):
            raise ScanError(ARRIVED)
        return self._observer.observe(
            self._ranges(scan), pose, goals, self._twist if twist is None else twist, self._command, path
        )

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """Return Q (N, A) float32 of observations (N, D) float32."""
        return self._model(np.ascontiguousarray(obs, np.float32))

    def _decide(
        self, scan: Any, pose: Sequence[float], goal: Any, twist: Sequence[float] | None, path: Any
    ) -> Decision:
        goals = _goals(goal, pose)
        if not len(goals):
            return self._stand(ARRIVED)
        obs = self.observe(scan, pose, goals, twist, path)
        q = self.q_values(obs[None])[0]
        if not np.isfinite(q).all():
            raise PolicyError("the network gives Q values that are not finite")
        action = int(q.argmax())
        now = self._twist if twist is None else as_twist(twist)
        self._command = self._commanded(action)
        driven, reasons = self._limited(self._command, now), ()
        if self.safety is not None:
            spec = self.spec
            driven, reasons = self.safety.check(
                driven,
                now,
                self._resampler.points,
                radius_m=spec.radius_m,
                dt_s=spec.dt_s,
                holonomic=spec.is_holonomic,
                outline=spec.outline,
            )
        self._twist = driven
        return Decision(self._out(driven), action, q, None, float(self._resampler.unseen.mean()), reasons)

    def _ranges(self, scan: Any) -> np.ndarray:
        ranges, lidar = read_scan(scan, self._resampler.lidar)
        if lidar != self._resampler.lidar:
            self._take(lidar)
        if self._refused is not None:
            raise ScanError(self._refused)
        return self._resampler(ranges)

    def _take(self, lidar: Lidar) -> None:
        """Resample scans of ``lidar`` from now on."""
        less = None if self._allow_less else sees_less(lidar, self.spec.scan)
        self._refused = less and (
            f"lidar: {less}; allow_less=True lets the policy drive with it, and `robonav compare` shows at what price"
        )
        self._resampler = Resampler(self.spec.scan, lidar)

    def _commanded(self, action: int) -> tuple[float, float]:
        """Return what an action asks for, within the robot's range."""
        spec, (a, b) = self.spec, (float(value) for value in self.spec.actions[action])
        if spec.increments:
            a, b = a + self._command[0], b + self._command[1]
        if not spec.is_holonomic:
            return min(max(a, 0.0), spec.max_speed), min(max(b, -spec.max_turn_rate), spec.max_turn_rate)
        part = min(1.0, spec.max_speed / max(math.hypot(a, b), 1e-9))
        return a * part, b * part

    def _limited(self, command: tuple[float, float], now: tuple[float, float]) -> tuple[float, float]:
        """Return the twist that the robot of the training would have after this decision."""
        spec = self.spec
        turn = spec.max_acceleration if spec.is_holonomic else spec.max_turn_acceleration
        most = [math.inf if value is None else value * spec.dt_s for value in (spec.max_acceleration, turn)]
        a, b = (min(max(c, n - m), n + m) for c, n, m in zip(command, now, most, strict=True))
        return steered(a, b, spec.min_turn_radius_m)

    def _stand(self, problem: str) -> Decision:
        self._command, self._twist = (0.0, 0.0), (0.0, 0.0)
        return Decision(self._out(self._twist), problem=problem)

    def _out(self, twist: tuple[float, float]) -> Twist | Velocity:
        return Velocity(*twist) if self.spec.is_holonomic else Twist(*twist)


def _goals(goal: Any, pose: Sequence[float]) -> np.ndarray:
    """Return the goals (G, 2) that are left; ScanError for what are none, or a pose that is none."""
    as_where(pose)
    return goal.remaining(pose) if isinstance(goal, GoalSequence) else as_goals(goal)
