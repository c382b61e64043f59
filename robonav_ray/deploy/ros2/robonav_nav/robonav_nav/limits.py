"""The last thing before the wheels: the limits of the bundle and of the parameters hold for any command."""

from __future__ import annotations

import math

from robonav_nav.parameters import Settings
from robonav_policy import Spec
from robonav_policy.spec import steered

STAND = (0.0, 0.0)


class Limits:
    """Speeds and accelerations that no order exceeds: the lower one each of the bundle's and the parameters'."""

    def __init__(self, spec: Spec, settings: Settings, period_s: float) -> None:
        """``period_s``: from one order to the next."""
        self._holonomic = spec.is_holonomic
        self.max_speed = settings.limit("max_speed", spec.max_speed)
        self.max_turn_rate = settings.limit("max_turn_rate", spec.max_turn_rate)
        ahead = settings.limit("max_acceleration", spec.max_acceleration)
        turn = settings.limit("max_turn_acceleration", spec.max_turn_acceleration)
        self._min_turn_radius_m = spec.min_turn_radius_m
        self._change = ahead * period_s, (ahead if self._holonomic else turn) * period_s

    def hold(self, wanted: tuple[float, float], last: tuple[float, float], braking: bool) -> tuple[float, float]:
        """Return the twist to be sent for ``wanted`` after ``last``; zeros for a number that is not finite.

        Args:
            wanted: (v, omega), or (v_x, v_y).
            last: What was sent last.
            braking: Whether the safety layer brakes: slowing down is not limited then.
        """
        if not all(map(math.isfinite, wanted)):
            return STAND
        a, b = wanted
        if self._holonomic:
            part = min(1.0, self.max_speed / max(math.hypot(a, b), 1e-9))
            a, b = a * part, b * part
        else:
            a, b = min(max(a, 0.0), self.max_speed), min(max(b, -self.max_turn_rate), self.max_turn_rate)
        a, b = (
            _near(value, before, most, braking) for value, before, most in zip((a, b), last, self._change, strict=True)
        )
        return steered(a, b, self._min_turn_radius_m)


def _near(value: float, before: float, most: float, braking: bool) -> float:
    low, high = before - most, before + most
    if braking:
        low, high = (min(low, 0.0), high) if before > 0.0 else (low, max(high, 0.0))
    return min(max(value, low), high)
