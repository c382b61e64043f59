"""What a map holds for a body: where it gets, where not, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from robonav_ray.config.worlds import RobotConfig
from robonav_ray.worlds.maps.distance_field import room_m
from robonav_ray.worlds.maps.errors import MapError
from robonav_ray.worlds.maps.grid_map import GridMap

REACHED, INFLATED, UNKNOWN, ISLAND, WALL = range(5)
"""States of a cell: the body's centre gets there; it is too near a wall; the map says nothing of it; the centre has
room and no way there; occupied. Where several cells are shown as one, the greatest counts."""
MIN_ISLAND_M2 = 0.25
"""Smaller islands are counted, and not told one by one."""
_MAX_TOLD = 8
_WIDTHS = 24
"""Widths that are tried for the way to an island."""
COARSEST = 0.5
"""The side of a cell, as part of the body's narrower side, above which a map is too coarse."""

Kind = Literal["no_free_space", "no_room", "island", "coarse", "unknown_as_free"]
ERRORS: tuple[Kind, ...] = ("no_free_space", "no_room")
"""With these no episode can take place in a map."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a map."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Island:
    """Ground on which the body has room, and that it does not get to."""

    area_m2: float
    x_m: float
    y_m: float
    """Its roomiest place, in the map frame."""
    way_m: float | None
    """How wide the widest way to it is, to one cell; None where walls close it off."""


@dataclass(frozen=True, eq=False)
class MapReport:
    """A map, looked at for one body."""

    grid: GridMap
    clearance_m: float
    """How far the body's centre keeps from walls."""
    state: np.ndarray
    """(H, W) uint8, ``REACHED`` to ``WALL``."""
    widest_m: float
    """Twice the greatest distance of a free cell from a wall."""
    roomiest: tuple[float, float]
    """The place with that room, of the reached ones where there are any, in the world frame."""
    islands: tuple[Island, ...]
    """The larger ones, the largest first."""
    num_islands: int
    problems: tuple[Problem, ...]

    def area_m2(self, *states: int) -> float:
        """Return the ground that cells of these states cover."""
        return float(np.isin(self.state, states).sum()) * self.grid.resolution_m**2

    @property
    def error(self) -> Problem | None:
        """Why no episode can take place, if so."""
        return next((problem for problem in self.problems if problem.kind in ERRORS), None)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the cells as plain data."""
        width, height = self.grid.size_m
        return {
            "name": self.grid.name,
            "width_m": width,
            "height_m": height,
            "resolution_m": self.grid.resolution_m,
            "origin": list(self.grid.origin),
            "content": self.grid.content,
            "clearance_m": self.clearance_m,
            "free_m2": self.area_m2(REACHED, INFLATED, ISLAND),
            "reached_m2": self.area_m2(REACHED),
            "island_m2": self.area_m2(ISLAND),
            "unknown_m2": float(self.grid.unknown.sum()) * self.grid.resolution_m**2,
            "widest_m": self.widest_m,
            "islands": [vars(island) for island in self.islands],
            "num_islands": self.num_islands,
            "problems": [vars(problem) for problem in self.problems],
        }


def check_map(grid: GridMap, robot: RobotConfig, keep_m: float, grey_as_free_frac: float = 0.0) -> MapReport:
    """Look at a map for a body whose centre keeps ``keep_m`` from walls.

    What is reached is the largest part of the ground that is connected for the body. ``grey_as_free_frac`` is the part
    of the image that ``unknown_as_free_frac`` tells of.
    """
    away = room_m(grid.occupied, grid.resolution_m)
    part, num_parts = _parts(away >= keep_m)
    sizes = np.bincount(part.ravel(), minlength=num_parts + 1)
    sizes[0] = 0
    main = int(sizes.argmax())
    state = np.full(grid.occupied.shape, INFLATED, np.uint8)
    state[part > 0] = ISLAND
    state[(part == main) & (part > 0)] = REACHED
    state[grid.occupied] = WALL
    state[grid.occupied & grid.unknown] = UNKNOWN
    x, y = grid.centre_of(_roomiest(away, state == REACHED if num_parts else ~grid.occupied))
    widest_m = max(2.0 * float(away.max()), 0.0)
    islands = _islands(grid, away, part, sizes, main) if num_parts > 1 else ()
    problems = [*_no_room(grid, robot, keep_m, widest_m), *_coarse(grid, robot), *_unreached(islands, keep_m)]
    if grey_as_free_frac > 0.0:
        problems.append(
            Problem(
                "unknown_as_free",
                f"{grey_as_free_frac:.0%} of the image has grey 205, as which map_saver writes unknown cells, and "
                "free_thresh makes them free: set it to 0.196",
            )
        )
    return MapReport(
        grid=grid,
        clearance_m=keep_m,
        state=state,
        widest_m=widest_m,
        roomiest=(float(x), float(y)),
        islands=islands,
        num_islands=max(num_parts - 1, 0),
        problems=tuple(problems),
    )


def require_room(report: MapReport) -> None:
    """Raise MapError when no episode can take place in a map."""
    if report.error is not None:
        raise MapError(f"env.world.map: {report.grid.name}: {report.error.text}")


def _parts(where: np.ndarray) -> tuple[np.ndarray, int]:
    labelled: Any = ndimage.label(where)
    return labelled


def _roomiest(away: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.array(np.unravel_index(np.where(where, away, -np.inf).argmax(), away.shape))


def _islands(grid: GridMap, away: np.ndarray, part: np.ndarray, sizes: np.ndarray, main: int) -> tuple[Island, ...]:
    """Return the larger parts that are not the main one."""
    areas = sizes * grid.resolution_m**2
    order = [int(i) for i in np.argsort(-areas, kind="stable") if i not in (0, main) and areas[i] >= MIN_ISLAND_M2]
    cells = {i: _roomiest(away, part == i) for i in order[:_MAX_TOLD]}
    ways = _ways(away, list(cells.values()), _roomiest(away, part == main), float(away[part > 0].min()))
    found = list[Island]()
    for (i, cell), half in zip(cells.items(), ways, strict=True):
        x, y = grid.to_map(grid.centre_of(cell))
        found.append(Island(float(areas[i]), float(x), float(y), None if half is None else 2.0 * half))
    return tuple(found)


def _ways(away: np.ndarray, cells: list[np.ndarray], main: np.ndarray, widest: float) -> list[float | None]:
    """Return for each cell half the width of the widest way to ``main``, of those that are tried; None for no way."""
    found: list[float | None] = [None] * len(cells)
    for half in np.linspace(widest, 0.0, _WIDTHS, endpoint=False)[1:]:
        if None not in found:
            break
        part, _ = _parts(away >= half)
        for i, cell in enumerate(cells):
            if found[i] is None and part[tuple(cell)] == part[tuple(main)]:
                found[i] = float(half)
    return found


def _no_room(grid: GridMap, robot: RobotConfig, keep_m: float, widest_m: float) -> list[Problem]:
    if grid.occupied.all():
        return [Problem("no_free_space", "no cell is free")]
    if widest_m < 2.0 * keep_m:
        return [
            Problem(
                "no_room",
                f"has no room for the robot: with an outer radius of {robot.radius_m:g} m and what it keeps from walls "
                f"it takes {2.0 * keep_m:.2f} m, and the widest place has {widest_m:.2f} m",
            )
        ]
    return []


def _coarse(grid: GridMap, robot: RobotConfig) -> list[Problem]:
    sides_m = np.ptp(np.array(robot.body.corners), axis=0) if robot.body.corners else np.array([2.0 * robot.radius_m])
    narrow_m = float(sides_m.min())
    if grid.resolution_m <= COARSEST * narrow_m:
        return []
    return [
        Problem(
            "coarse",
            f"cells of {grid.resolution_m:g} m are too coarse for a body {narrow_m:.3g} m wide: walls and doors are "
            f"shown as it meets them by {COARSEST * narrow_m:.2g} m or less",
        )
    ]


def _unreached(islands: tuple[Island, ...], keep_m: float) -> list[Problem]:
    found = list[Problem]()
    for island in islands:
        way = (
            "walls close them off"
            if island.way_m is None
            else f"the widest way there has {island.way_m:.2f} m, and the robot takes {2.0 * keep_m:.2f} m"
        )
        found.append(
            Problem(
                "island", f"{island.area_m2:.1f} m² around ({island.x_m:.2f}, {island.y_m:.2f}) are out of reach: {way}"
            )
        )
    return found
