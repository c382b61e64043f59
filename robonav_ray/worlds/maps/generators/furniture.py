"""Boxes in a room that close no way through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robonav_ray.worlds.maps.generators.plan import Plan

_ATTEMPTS = 14
_DEPTH_M, _LENGTH_M, _TABLE_M = (0.35, 0.8), (0.6, 2.4), (0.7, 1.6)
"""Of what stands at a wall (from it, along it), and of either side of what stands in the middle of a room."""


class Rect(NamedTuple):
    """Rows ``y0`` to ``y1`` and columns ``x0`` to ``x1`` of a grid, the second of each not in it."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def area(self) -> int:
        """Cells in it."""
        return (self.y1 - self.y0) * (self.x1 - self.x0)

    def gap(self, other: Rect) -> int:
        """Return the cells between the two, along the axis on which there are more; negative where they overlap."""
        return max(self.y0 - other.y1, other.y0 - self.y1, self.x0 - other.x1, other.x0 - self.x1)

    def fill(self, grid: np.ndarray, value: bool) -> None:
        """Set its cells of ``grid``."""
        grid[self.y0 : self.y1, self.x0 : self.x1] = value


def furnish(plan: Plan, rng: np.random.Generator, room: Rect, doors: Sequence[Rect]) -> list[Rect]:
    """Return boxes for a room, at most ``fill_frac`` of it and one box.

    A box stands along one wall, or in the middle. To every box that is not along the same wall, to every other wall and
    to every door there is a passage. So each box and the wall that it touches are one obstacle, a passage from all
    others: a body narrower than a passage gets everywhere in the room that it fits, and through every door.
    """
    boxes, walls, filled = list[Rect](), list[int](), 0
    for _ in range(_ATTEMPTS):
        if filled >= plan.fill_frac * room.area:
            break
        wall, box = _draw(plan, rng, room)
        if box is None or any(box.gap(door) < plan.passage for door in doors):
            continue
        if all(
            box.gap(other) >= (0 if beside == wall >= 0 else plan.passage)
            for other, beside in zip(boxes, walls, strict=True)
        ):
            boxes.append(box)
            walls.append(wall)
            filled += box.area
    return boxes


def _draw(plan: Plan, rng: np.random.Generator, room: Rect) -> tuple[int, Rect | None]:
    """Return a wall of the room (0 to 3; -1 for none) and a box at it; no box where too little room would be left."""
    height, width = room.y1 - room.y0, room.x1 - room.x0
    draw = rng.random(5)
    if draw[0] < 0.25:
        tall, wide = (plan.cells(_between(_TABLE_M, draw[i])) for i in (1, 2))
        free_y, free_x = height - tall - 2 * plan.passage, width - wide - 2 * plan.passage
        if free_y < 0 or free_x < 0:
            return -1, None
        y, x = (
            room.y0 + plan.passage + int(draw[3] * (free_y + 1)),
            room.x0 + plan.passage + int(draw[4] * (free_x + 1)),
        )
        return -1, Rect(y, y + tall, x, x + wide)
    wall = int(4 * draw[1])
    across, along = (height, width) if wall < 2 else (width, height)
    deep = min(plan.cells(_between(_DEPTH_M, draw[2])), across - plan.passage)
    long = min(plan.cells(_between(_LENGTH_M, draw[3])), along)
    if deep < plan.cells(0.2):
        return wall, None
    at, near = int(draw[4] * (along - long + 1)), 0 if wall % 2 == 0 else across - deep
    if wall < 2:
        return wall, Rect(room.y0 + near, room.y0 + near + deep, room.x0 + at, room.x0 + at + long)
    return wall, Rect(room.y0 + at, room.y0 + at + long, room.x0 + near, room.x0 + near + deep)


def _between(bounds: tuple[float, float], draw: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * draw
