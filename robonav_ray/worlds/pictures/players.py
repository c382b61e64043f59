"""Who drives each robot of a picture: a name beside each robot, and a legend below the arena."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from robonav_ray.text import one_line
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.palette import mix, robot_color
from robonav_ray.worlds.pictures.render_text import OVERSAMPLE, font_of, shortened
from robonav_ray.worlds.scene import Scene

_LABEL_PARTS = 5
"""A name beside a robot is at most one part in so many of the picture's width."""


class PlayerNames:
    """Names of players, in the order of their numbers (``Scene.player``), at one width of the picture."""

    def __init__(self, names: Sequence[str], width: int) -> None:
        """A robot carries the last part of a path, and no remark in brackets; the legend has the whole name."""
        self._names = [one_line(name) for name in names]
        self._width, self._pad = width, max(4, round(width * 0.02))
        self._font, self._small = font_of(max(10, round(width * 0.03))), font_of(max(9, round(width * 0.025)))
        labels = [name.partition(" (")[0].rpartition("/")[2] for name in self._names]
        self._label = [shortened(label, self._small, width / _LABEL_PARTS, end=False) for label in labels]
        self._line = round(1.6 * self._font.size)
        self._rows = self._arranged()

    @property
    def height(self) -> int:
        """Of the legend, px."""
        return self._line * len(self._rows) + self._pad

    def _arranged(self) -> list[list[tuple[int, str, float]]]:
        """Return rows of (player, what is written, where it begins): as many side by side as there is room for."""
        rows: list[list[tuple[int, str, float]]] = [[]]
        x, gap, most = float(self._pad), 1.5 * self._pad, self._width - 2.0 * self._pad
        for player, name in enumerate(self._names):
            text = shortened(name, self._font, most - self._line)
            width = self._line + self._font.getlength(text)
            if rows[-1] and x + width > self._width - self._pad:
                rows.append([])
                x = float(self._pad)
            rows[-1].append((player, text, x))
            x += width + gap
        return rows

    def write_beside(
        self, pen: ImageDraw.ImageDraw, to_px: Callable[[float, float], tuple[float, float]], scene: Scene
    ) -> None:
        """Write the name of its player above each robot."""
        radii = np.broadcast_to(scene.robot_radius_m, len(scene.robot_pose)).tolist()
        for r, ((x, y, _), radius) in enumerate(zip(scene.robot_pose.tolist(), radii, strict=True)):
            number = scene.color_number(r)
            px, py = to_px(x, y + 1.3 * radius)
            label = self._label[number]
            half = self._small.getlength(label) / 2 + 2
            at = min(max(px, half), self._width - half), max(py, 1.2 * self._small.size)
            _write(pen, at, label, self._small, number, "ms")

    def legend(self) -> Image.Image:
        """Return a strip with the colour and the name of each player."""
        large = Image.new("RGB", (self._width * OVERSAMPLE, self.height * OVERSAMPLE), col.PAPER)
        pen, size = ImageDraw.Draw(large), 0.3 * self._line
        middles = [self._pad / 2 + (k + 0.5) * self._line for k in range(len(self._rows))]
        for middle, row in zip(middles, self._rows, strict=True):
            for player, _, x in row:
                box = (x, middle - size, x + 2 * size, middle + size)
                pen.ellipse([OVERSAMPLE * side for side in box], fill=robot_color(player))
        image = large.reduce(OVERSAMPLE)
        pen = ImageDraw.Draw(image)
        for middle, row in zip(middles, self._rows, strict=True):
            for _, text, x in row:
                pen.text((x + 0.85 * self._line, middle), text, fill=col.INK, font=self._font, anchor="lm")
        return image


def _write(
    pen: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    font: ImageFont.FreeTypeFont,
    number: int,
    anchor: str,
) -> None:
    ink = mix(robot_color(number), col.INK, 0.35)
    pen.text(at, text, fill=ink, font=font, anchor=anchor, stroke_width=2, stroke_fill=col.FLOOR)
