"""An image that is drawn on in metres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from robonav_ray.worlds.pictures.palette import Color

Points = list[tuple[float, float]]


class View(NamedTuple):
    """The part of the ground that a picture shows, m; x points right, y up."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> View:
        """Return the view with its middle in (x, y)."""
        return cls(x - 0.5 * width, y + 0.5 * height, width, height)


class Canvas:
    """An image with a map from metres to its pixels."""

    def __init__(self, image: Image.Image, view: View) -> None:
        self.image, self.view = image, view
        self.draw = ImageDraw.Draw(image, "RGBA")
        self.scale = image.width / view.width
        self.thin = max(1, round(max(image.size) / 480))

    def to_px(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is, px."""
        return (x - self.view.left) * self.scale, (self.view.top - y) * self.scale

    def points(self, xy: np.ndarray) -> Points:
        """Return (n, 2) metres as a list of pixels."""
        px = (xy[:, 0] - self.view.left) * self.scale
        py = (self.view.top - xy[:, 1]) * self.scale
        return list(zip(px.tolist(), py.tolist(), strict=True))

    def disc(
        self, x: float, y: float, radius_m: float, fill: object = None, outline: object = None, width: int = 1
    ) -> None:
        """Draw a disc."""
        cx, cy = self.to_px(x, y)
        r = radius_m * self.scale
        self.draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=fill, outline=outline, width=width)  # type: ignore[arg-type]

    def line(self, xy: np.ndarray, fill: object, width: int) -> None:
        """Draw a line through (n, 2) points, m; ``width`` is in px."""
        self.draw.line(self.points(xy), fill=fill, width=width, joint="curve")  # type: ignore[arg-type]

    def tick(self, x: float, y: float, size: float, color: Color) -> None:
        """Draw the mark of success, ``size`` m wide."""
        corners = np.array([[-0.45, 0.02], [-0.12, -0.34], [0.48, 0.38]]) * size + (x, y)
        self.line(corners, color, max(self.thin * 2, round(size * 0.2 * self.scale)))

    def cross(self, x: float, y: float, size: float, color: Color) -> None:
        """Draw the mark of failure."""
        for side in (1.0, -1.0):
            ends = np.array([[-0.42, -0.42 * side], [0.42, 0.42 * side]]) * size + (x, y)
            self.line(ends, color, max(self.thin * 2, round(size * 0.2 * self.scale)))


def turned(shape: np.ndarray, x: float, y: float, c: float, s: float) -> np.ndarray:
    """Return (n, 2) points of a body's frame in the world frame; the body is at (x, y), ``c`` and ``s`` are the cosine
    and sine of its yaw.
    """
    return np.stack([x + shape[:, 0] * c - shape[:, 1] * s, y + shape[:, 0] * s + shape[:, 1] * c], axis=1)
