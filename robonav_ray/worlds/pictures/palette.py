"""Colours of the pictures: the Okabe-Ito set on warm paper, told apart with any kind of colour vision."""

from __future__ import annotations

from PIL import ImageColor

Color = tuple[int, int, int]


def mix(a: Color, b: Color, part: float) -> Color:
    """Return ``a`` with ``part`` (0 to 1) of ``b`` in it."""
    return (
        round(a[0] + (b[0] - a[0]) * part),
        round(a[1] + (b[1] - a[1]) * part),
        round(a[2] + (b[2] - a[2]) * part),
    )


def _rgb(code: str) -> Color:
    red, green, blue = ImageColor.getrgb(code)[:3]
    return red, green, blue


WHITE = _rgb("#ffffff")
INK = _rgb("#1f2933")
"""Text."""
PALE_INK = _rgb("#7b8794")
PAPER = _rgb("#ffffff")
"""Behind the arena and in the HUD."""
FLOOR = _rgb("#f6f4ee")
GRID = _rgb("#e7e3d8")
WALL = _rgb("#3e4c59")
BOX = _rgb("#697684")
STATIC = _rgb("#8a94a0")
MOVING = _rgb("#e69f00")
MOVING_EDGE = _rgb("#a86a00")
LIDAR = _rgb("#56b4e9")
SUCCESS = _rgb("#009e73")
FAILURE = _rgb("#d55e00")
ROBOT = (_rgb("#0072b2"), _rgb("#a0468a"), _rgb("#5b4fc4"), _rgb("#8c5a2b"), _rgb("#2b8c9e"), _rgb("#7a1f3d"))
"""One per robot, over again after the sixth; a lone robot is blue and its goals are ``SUCCESS`` green."""


def robot_color(robot: int) -> Color:
    """Return the colour of robot, or of player, number ``robot``."""
    return ROBOT[robot % len(ROBOT)]
