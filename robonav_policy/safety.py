"""A layer between the policy and the wheels that knows nothing of the policy: it brakes for what the lidar sees.

* **Stop distance**: within what is free ahead, the robot must be able to stand: ``v * latency_s + v**2 / (2 *
  deceleration)``.
* **Time to collision**: at the present twist, kept constant, nothing that the lidar sees may be met within
  ``min_time_to_collision_s``.
* **Limits** of speed and acceleration, beside those of the training. Braking for one of the two above is not limited.

The robot is a disc, or its outline, with a margin around it; an outline may hit something where it turns on the spot.
What moves is taken for standing: one scan does not tell. So this is no certified protection, and a robot among people
needs one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robonav_policy.errors import PolicyError

OFF, WARN, ACT = "off", "warn", "act"
STOP_DISTANCE, TIME_TO_COLLISION, SPEED, ACCELERATION = "stop_distance", "time_to_collision", "speed", "acceleration"
_STEPS = 20
_SLOWER = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
_NEARER_M = 1e-3


@dataclass
class SafetyLayer:
    """``off`` lets everything pass, ``warn`` counts what it would do, ``act`` does it."""

    mode: str = ACT
    latency_s: float = 0.2
    """From the moment of a scan until the wheels obey."""
    deceleration: float = 1.0
    """m/s^2 with which the robot can brake."""
    margin_m: float = 0.05
    min_time_to_collision_s: float = 0.5
    max_speed: float | None = None
    """m/s."""
    max_turn_rate: float | None = None
    """rad/s."""
    max_acceleration: float | None = None
    """m/s^2."""
    max_turn_acceleration: float | None = None
    """rad/s^2."""
    counts: Counter[str] = field(default_factory=Counter)
    """Reason -> decisions that it was given for, also in ``warn``; ``decisions``: how many there were."""

    def __post_init__(self) -> None:
        """Refuse what cannot be: PolicyError that names the field."""
        if self.mode not in (OFF, WARN, ACT):
            raise PolicyError(f"safety: mode is {self.mode!r}, and must be off, warn or act")
        for name in ("latency_s", "margin_m", "min_time_to_collision_s"):
            if not 0.0 <= getattr(self, name) < 1e3:
                raise PolicyError(f"safety: {name} is {getattr(self, name)}, and must be from 0 to 1000")
        for name in ("deceleration", "max_speed", "max_turn_rate", "max_acceleration", "max_turn_acceleration"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1e6:
                raise PolicyError(f"safety: {name} is {value}, and must be above 0")

    def check(
        self,
        command: tuple[float, float],
        now: tuple[float, float],
        points: np.ndarray,
        *,
        radius_m: float,
        dt_s: float,
        holonomic: bool,
        outline: Sequence[tuple[float, float]] = (),
    ) -> tuple[tuple[float, float], tuple[str, ...]]:
        """Return the twist to be driven, and why it is not ``command``; in ``warn`` the reasons alone.

        Args:
            command: (v, omega), or (v_x, v_y) in the robot's frame.
            now: The present twist, likewise.
            points: (P, 2) m: what the lidar sees, in the robot's frame.
            radius_m: Of the robot; of an outline the outer one.
            dt_s: Seconds until the next decision.
            holonomic: Which of the two a command is.
            outline: Corners of the body in the robot's frame, counter-clockwise; none of a disc.
        """
        if self.mode == OFF:
            return command, ()
        self.counts["decisions"] += 1
        limited, reasons = self._limited(command, now, dt_s, holonomic)
        safe, body = limited, Body(radius_m, outline)
        for part in (*_SLOWER, None) if outline else _SLOWER:
            if part is None:
                safe = (0.0, 0.0)
                break
            safe = (limited[0] * part, limited[1] * part if holonomic or part > 0.0 else limited[1])
            danger = self._danger(safe, points, body, holonomic)
            if danger is None:
                break
            if part == 1.0:
                reasons.append(danger)
        self.counts.update(reasons)
        return (safe if self.mode == ACT else command), tuple(reasons)

    def _limited(
        self, command: tuple[float, float], now: tuple[float, float], dt_s: float, holonomic: bool
    ) -> tuple[tuple[float, float], list[str]]:
        reasons, (a, b) = list[str](), command
        if holonomic:
            top = math.inf if self.max_speed is None else self.max_speed
            part = min(1.0, top / max(math.hypot(a, b), 1e-9))
            a, b = a * part, b * part
        else:
            a, b = _within(a, 0.0, self.max_speed), _within(b, 0.0, self.max_turn_rate)
        if (a, b) != command:
            reasons.append(SPEED)
        fast = a, b
        turn = self.max_acceleration if holonomic else self.max_turn_acceleration
        a, b = _within(a, now[0], self.max_acceleration, dt_s), _within(b, now[1], turn, dt_s)
        if (a, b) != fast:
            reasons.append(ACCELERATION)
        return (a, b), reasons

    def _danger(self, twist: tuple[float, float], points: np.ndarray, body: Body, holonomic: bool) -> str | None:
        """Return which of the two rules ``twist`` breaks; None when it keeps both."""
        speed = math.hypot(*twist) if holonomic else abs(twist[0])
        omega = 0.0 if holonomic or body.is_disc else twist[1]
        if (speed < 1e-6 and abs(omega) < 1e-6) or len(points) == 0:
            return None
        stop_s = self.latency_s + speed / (2.0 * self.deceleration)  # at constant speed over the distance to stop
        horizon_s = max(stop_s, self.min_time_to_collision_s)
        near = points[np.hypot(points[:, 0], points[:, 1]) < body.radius_m + self.margin_m + speed * horizon_s]
        if not len(near):
            return None
        now, reach = body.distance(near[:, 0], near[:, 1]), body.surface_m + self.margin_m
        moment = np.linspace(0.0, horizon_s, _STEPS + 1)[1:]
        x, y = _positions(twist, moment, holonomic)
        apart = body.distance(*_seen_from(near, x, y, moment * omega))
        met = ((apart < reach) & (apart < now - _NEARER_M)).any(axis=1)
        if not met.any():
            return None
        soon_s = float(moment[int(met.argmax())])
        return STOP_DISTANCE if soon_s <= stop_s else TIME_TO_COLLISION


class Body:
    """How far points are from a robot."""

    def __init__(self, radius_m: float, outline: Sequence[tuple[float, float]] = ()) -> None:
        """A disc, or the polygon ``outline``, whose outer radius is ``radius_m`` then."""
        self.radius_m, self.surface_m = radius_m, 0.0 if outline else radius_m
        """``surface_m`` is what ``distance`` is at the surface: of a disc it is from its centre."""
        self.is_disc, self._corners = not outline, np.array(outline, np.float64).reshape(-1, 2)

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return how far points in the robot's frame are from the disc's centre, or from the outline, within which it
        is below 0; of the shape of ``x``.
        """
        if self.is_disc:
            return np.hypot(x, y)
        nearest2, inside = np.full(np.shape(x), np.inf), np.zeros(np.shape(x), np.bool_)
        for (ax, ay), (bx, by) in zip(self._corners, np.roll(self._corners, -1, axis=0), strict=True):
            ux, uy = bx - ax, by - ay
            part = np.clip(((x - ax) * ux + (y - ay) * uy) / max(ux * ux + uy * uy, 1e-12), 0.0, 1.0)
            nearest2 = np.minimum(nearest2, (ax + part * ux - x) ** 2 + (ay + part * uy - y) ** 2)
            if ay != by:
                inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * ux / uy)
        return np.where(inside, -1.0, 1.0) * np.sqrt(nearest2)


def _seen_from(points: np.ndarray, x: np.ndarray, y: np.ndarray, yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (M, P) of ``points`` (P, 2) as they lie seen from each of the poses (M,)."""
    dx, dy = points[:, 0] - x[:, None], points[:, 1] - y[:, None]
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    return c * dx + s * dy, c * dy - s * dx


def _positions(twist: tuple[float, float], moment: np.ndarray, holonomic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y after each ``moment`` (s) at a constant twist, in the robot's frame of now."""
    if holonomic:
        return twist[0] * moment, twist[1] * moment
    v, omega = twist
    if abs(omega) < 1e-6:
        return v * moment, np.zeros_like(moment)
    return v / omega * np.sin(omega * moment), v / omega * (1.0 - np.cos(omega * moment))


def _within(value: float, middle: float, most: float | None, per: float = 1.0) -> float:
    return value if most is None else min(max(value, middle - most * per), middle + most * per)
