"""The outline of a robot that is no disc."""

from __future__ import annotations

import itertools
import math
from typing import Literal

from pydantic import Field, model_validator

from robonav_ray.config.base import Section

Corners = tuple[tuple[float, float], ...]
MAX_REACH_M = 2.0
"""The largest outer radius of a body."""


class BodyConfig(Section):
    """The outline of the body in the robot's frame: x ahead, y left, (0, 0) what the robot turns about."""

    shape: Literal["circle", "rectangle", "polygon"] = "circle"
    """``circle`` has ``robot.radius_m``; of the other two it is the outer radius, which is computed."""
    length_m: float | None = Field(default=None, gt=0.0, le=2.0 * MAX_REACH_M)
    """Of a rectangle, along x."""
    width_m: float | None = Field(default=None, gt=0.0, le=2.0 * MAX_REACH_M)
    """Of a rectangle, along y."""
    x_m: float = Field(default=0.0, ge=-MAX_REACH_M, le=MAX_REACH_M)
    """Of a rectangle: how far ahead of (0, 0) its middle lies."""
    outline: Corners = Field(default=(), max_length=32)
    """Of a polygon: its corners [x, y] in metres, one after the other, either way round."""

    @model_validator(mode="after")
    def _is_a_body(self) -> BodyConfig:
        needed: dict[str, tuple[str, ...]] = {"rectangle": ("length_m", "width_m"), "polygon": ("outline",)}
        for shape, keys in {**needed, "rectangle": ("length_m", "width_m", "x_m")}.items():
            for key in keys:
                value, default = getattr(self, key), type(self).model_fields[key].default
                if shape != self.shape and value != default:
                    raise ValueError(f"{key} ({value}) is of a {shape}, and shape is {self.shape}: leave one out")
        for key in needed.get(self.shape, ()):
            if not getattr(self, key):
                raise ValueError(f"shape={self.shape} needs {' and '.join(needed[self.shape])}: give {key}")
        if self.shape == "polygon" and len(self.outline) < 3:
            raise ValueError(f"outline has {len(self.outline)} corners, and a body needs at least 3")
        if crossing := _crossing(self.corners):
            raise ValueError(
                f"outline crosses or touches itself: the sides from corner {crossing[0]} and from corner {crossing[1]} "
                "meet; give the corners one after the other, around the body, each once"
            )
        if self.corners and not _holds_origin(self.corners):
            raise ValueError(
                "the outline does not hold (0, 0), which the robot turns about: give the corners in the frame of "
                "base_link"
            )
        if self.outer_radius_m > MAX_REACH_M:
            raise ValueError(f"reaches {self.outer_radius_m:.4g} m from (0, 0), and the most is {MAX_REACH_M:g} m")
        return self

    @property
    def corners(self) -> Corners:
        """Corners (x, y) in metres, counter-clockwise; none of a circle."""
        if self.shape == "rectangle":
            half, aside = (0.5 * (side or 0.0) for side in (self.length_m, self.width_m))
            back, front = self.x_m - half, self.x_m + half
            return ((back, -aside), (front, -aside), (front, aside), (back, aside))
        return self.outline if _area(self.outline) >= 0.0 else self.outline[::-1]

    @property
    def outer_radius_m(self) -> float:
        """Distance of the farthest corner from (0, 0); 0 of a circle."""
        return max((math.hypot(x, y) for x, y in self.corners), default=0.0)

    @property
    def inner_radius_m(self) -> float:
        """Distance of the nearest side from (0, 0); 0 of a circle."""
        return self.side_distance_m(0.0, 0.0)

    def side_distance_m(self, x: float, y: float) -> float:
        """Return how far the nearest side is from (x, y); 0 of a circle."""
        sides = _sides(tuple((a - x, b - y) for a, b in self.corners))
        return min((_distance(a, b) for a, b in sides), default=0.0)


def _sides(corners: Corners) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return list(zip(corners, (*corners[1:], *corners[:1]), strict=True))


def _area(corners: Corners) -> float:
    """Return the area within; below 0 when the corners go round clockwise."""
    return 0.5 * sum(ax * by - bx * ay for (ax, ay), (bx, by) in _sides(corners))


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Return above 0 where c lies to the left of the line from a to b, 0 where it lies on it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _between(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether c, which lies on the line through a and b, lies between the two."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _crossing(corners: Corners) -> tuple[int, int] | None:
    """Return the numbers (from 0) of two sides that meet where they should not; None where there are none."""
    sides = _sides(corners)
    for (i, (a, b)), (j, (c, d)) in itertools.combinations(enumerate(sides), 2):
        if a in (b, c) or _meet(a, b, c, d, follows=j == i + 1, leads=i == 0 and j == len(sides) - 1):
            return i, j
    return None


def _meet(
    a: tuple[float, float],
    b: tuple[float, float],
    c: tuple[float, float],
    d: tuple[float, float],
    *,
    follows: bool,
    leads: bool,
) -> bool:
    """Whether the sides a-b and c-d have a point in common, beside the corner that two sides in a row share."""
    if follows:  # c is b: they meet elsewhere only where the second goes back along the first
        return c == d or (_turn(a, b, d) == 0.0 and (_between(a, b, d) or _between(b, d, a)))
    if leads:  # d is a
        return c == d or (_turn(c, a, b) == 0.0 and (_between(c, a, b) or _between(a, b, c)))
    apart = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if apart[0] * apart[1] < 0.0 and apart[2] * apart[3] < 0.0:
        return True
    on = ((apart[0], a, b, c), (apart[1], a, b, d), (apart[2], c, d, a), (apart[3], c, d, b))
    return any(turn == 0.0 and _between(p, q, r) for turn, p, q, r in on)


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return how far (0, 0) is from the segment a-b."""
    ux, uy = b[0] - a[0], b[1] - a[1]
    part = min(max(-(a[0] * ux + a[1] * uy) / max(ux * ux + uy * uy, 1e-12), 0.0), 1.0)
    return math.hypot(a[0] + part * ux, a[1] + part * uy)


def _holds_origin(corners: Corners) -> bool:
    """Whether (0, 0) lies within: a ray from it crosses an odd number of sides."""
    inside = False
    for (ax, ay), (bx, by) in _sides(corners):
        if (ay > 0.0) != (by > 0.0) and ax - ay * (bx - ax) / (by - ay) > 0.0:
            inside = not inside
    return inside
