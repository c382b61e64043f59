"""Draw the maps under ``configs/maps`` anew: an office, a warehouse and a flat, as map_saver would write them.

All lengths are in metres, from the lower left corner of the building; around it half a metre is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.write_map import write_map

FOLDER = Path(__file__).parents[2] / "configs" / "maps"
RESOLUTION_M, WALL_M, AROUND_M = 0.05, 0.15, 0.5

Rect = tuple[float, float, float, float]
"""x0, y0, x1, y1."""


@dataclass(frozen=True)
class Drawing:
    """A building by hand."""

    about: str
    size: tuple[float, float]
    walls: tuple[Rect, ...]
    """Lines, drawn WALL_M wide; the outer ones are drawn anyway."""
    doors: tuple[Rect, ...]
    """Cut out of the walls."""
    boxes: tuple[Rect, ...]
    start: tuple[float, float]
    """Where the robot was when its map began: the map frame's origin."""

    def grid(self, name: str) -> GridMap:
        """Return the drawing as cells."""
        width, height = self.size
        rows, columns = (round((side + 2 * AROUND_M) / RESOLUTION_M) for side in (height, width))
        unknown, occupied = np.ones((rows, columns), np.bool_), np.zeros((rows, columns), np.bool_)
        fill(unknown, (0, 0, width, height), False)
        outer = ((0, 0, width, 0), (0, height, width, height), (0, 0, 0, height), (width, 0, width, height))
        half = WALL_M / 2
        for x0, y0, x1, y1 in (*outer, *self.walls):
            wall = (x0 - half, y0 - half, x1 + half, y1 + half)
            fill(occupied, wall, True)
            fill(unknown, wall, False)
        for door in self.doors:
            fill(occupied, door, False)
        for box in self.boxes:
            fill(occupied, box, True)
        origin = (-AROUND_M - self.start[0], -AROUND_M - self.start[1], 0.0)
        return GridMap(name, occupied | unknown, unknown, RESOLUTION_M, origin)


def fill(cells: np.ndarray, rect: Rect, value: bool) -> None:
    """Set the cells of a rectangle."""
    x0, y0, x1, y1 = (round((at + AROUND_M) / RESOLUTION_M) for at in rect)
    cells[y0:y1, x0:x1] = value


def row(x: float, y: float, width: float, height: float, num: int, step: float) -> tuple[Rect, ...]:
    """Return ``num`` equal boxes side by side, ``step`` from one to the next along x."""
    return tuple((x + i * step, y, x + i * step + width, y + height) for i in range(num))


OFFICE = Drawing(
    about="Question: does a robot find its way in an office, with rooms along a corridor and desks in the open?",
    size=(24.0, 16.0),
    walls=(
        (0, 6.5, 24, 6.5),
        (0, 9, 24, 9),
        *((x, 0, x, 6.5) for x in (5.0, 9.5, 14.5, 19.0)),
        *((x, 9, x, 16) for x in (12.5, 17.5)),
        (17.5, 12.5, 24, 12.5),
    ),
    doors=(
        *((x, 6.4, x + 1.4, 6.6) for x in (3.2, 5.4, 12.8, 15.0, 22.0)),
        *((x, 8.9, x + 1.6, 9.1) for x in (1.5, 9.8, 14.2, 18.2)),
        (17.4, 13.6, 17.6, 15.0),
        (9.4, 2.6, 9.6, 4.0),
    ),
    boxes=(
        (0.1, 0.1, 0.6, 3.0), (2.0, 1.2, 3.6, 2.0), (6.2, 0.1, 8.4, 0.9), (5.1, 3.4, 5.6, 4.8),
        (11.2, 1.6, 12.8, 3.2), (9.6, 5.0, 10.1, 6.4), (15.4, 0.1, 17.8, 0.8), (18.3, 3.0, 18.9, 5.2),
        (20.6, 1.4, 22.2, 2.2), (19.1, 0.1, 19.6, 1.8), (23.4, 3.0, 23.9, 6.0),
        *row(1.6, 11.4, 1.6, 1.5, 3, 3.6),
        *row(1.6, 14.4, 1.6, 1.5, 3, 3.6),
        (14.0, 11.6, 16.0, 14.4), (12.6, 15.3, 14.4, 15.9), (21.5, 9.1, 23.9, 9.7), (19.5, 14.2, 21.5, 15.2),
        (5.6, 8.6, 7.0, 8.9), (16.8, 6.6, 18.4, 6.9),
    ),
    start=(12.0, 7.7),
)  # fmt: skip
WAREHOUSE = Drawing(
    about="Question: does a robot find its way in a warehouse, between racks and pallets?",
    size=(32.0, 20.0),
    walls=((0, 5, 6, 5), (6, 0, 6, 5)),
    doors=((2.2, 4.9, 3.8, 5.1),),
    boxes=(
        *((7.0, y, 17.0, y + 1.1) for y in (7.4, 10.7, 14.0)),
        *((19.6, y, 29.6, y + 1.1) for y in (7.4, 10.7, 14.0)),
        (3.0, 19.0, 29.0, 19.9), (0.1, 7.4, 1.2, 16.0),
        *row(9.0, 0.2, 1.2, 1.0, 4, 3.2),
        (24.0, 2.2, 25.2, 3.2), (24.0, 3.3, 25.2, 4.3), (27.2, 2.6, 28.4, 3.6), (14.4, 3.6, 15.6, 4.6),
        *((x, y, x + 0.4, y + 0.4) for x in (18.1, 30.6) for y in (5.6, 12.9, 17.0)),
        (0.2, 0.2, 1.6, 1.0), (4.2, 1.4, 5.0, 3.0),
    ),
    start=(20.0, 3.0),
)  # fmt: skip
FLAT = Drawing(
    about="Question: does a robot find its way in a flat, through doors of a metre and between furniture?",
    size=(11.0, 8.0),
    walls=(
        (4.2, 0, 4.2, 8), (5.7, 0, 5.7, 8), (0, 4.8, 4.2, 4.8), (5.7, 4.0, 11, 4.0), (8.4, 0, 8.4, 4.0),
    ),
    doors=(
        (4.1, 2.6, 4.3, 3.6), (4.1, 5.4, 4.3, 6.4), (1.2, 4.7, 2.4, 4.9), (5.6, 4.8, 5.8, 5.8),
        (5.6, 2.3, 5.8, 3.3), (8.3, 2.7, 8.5, 3.7),
    ),
    boxes=(
        (0.1, 0.1, 2.6, 1.0), (1.0, 2.2, 2.2, 2.8), (3.6, 0.1, 4.1, 1.8),
        (0.1, 7.3, 3.4, 7.9), (0.1, 5.2, 0.7, 7.3), (1.8, 5.7, 2.9, 6.3),
        (8.9, 5.4, 10.9, 7.0), (5.8, 7.3, 8.0, 7.9), (10.4, 4.1, 10.9, 5.0),
        (6.0, 0.1, 7.6, 0.8), (7.8, 1.2, 8.3, 2.4), (8.5, 0.1, 9.3, 1.6), (10.2, 0.1, 10.9, 0.8),
        (10.3, 2.0, 10.9, 2.7),
        (4.3, 7.5, 5.0, 7.9),
    ),
    start=(5.0, 1.0),
)  # fmt: skip


def main() -> None:
    """Write all three."""
    for name, drawing in (("office", OFFICE), ("warehouse", WAREHOUSE), ("flat", FLAT)):
        write_map(drawing.grid(name), FOLDER / f"{name}.yaml", about=drawing.about)


if __name__ == "__main__":
    main()
