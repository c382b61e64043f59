"""``rooms``: an office. Corridors with a row of furnished rooms on either side, joined by one that crosses them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from robonav_ray.worlds.maps.generators.furniture import Rect, furnish
from robonav_ray.worlds.maps.generators.plan import NoRoomError, Plan

_ROOM_M, _LEAST_ROOM_M = (2.8, 5.5), 2.2
_SIDE_DOOR_PROB = 0.25


@dataclass
class _Office:
    """An office while it is drawn. Its corridors run along x."""

    plan: Plan
    rng: np.random.Generator
    grid: np.ndarray
    rooms: list[tuple[Rect, list[Rect]]] = field(default_factory=list[tuple[Rect, list[Rect]]])
    """Every room and corridor with its doors."""

    @property
    def least(self) -> int:
        """Least side of a room."""
        return max(self.plan.passage, self.plan.cells(_LEAST_ROOM_M))


def make_rooms(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Return (rows, columns) bool, occupied cells of an office.

    Raises:
        NoRoomError: When a corridor and a room do not fit.
    """
    least = _least_size(plan)
    turned = [turn for turn in (False, True) if _fits(plan, least, turn)]
    if not turned:
        raise NoRoomError(f"a corridor and a room beside it take {least[0] * plan.resolution_m:.1f} m")
    turn = turned[int(rng.integers(len(turned)))]
    shape = (plan.columns, plan.rows) if turn else (plan.rows, plan.columns)
    office = _Office(plan, rng, np.ones(shape, np.bool_))
    _draw(office)
    grid = office.grid[:: 1 - 2 * int(rng.integers(2)), :: 1 - 2 * int(rng.integers(2))]
    return np.ascontiguousarray(grid.T if turn else grid)


def _least_size(plan: Plan) -> tuple[int, int]:
    """Return the least extent across corridors, and along them."""
    room = max(plan.passage, plan.cells(_LEAST_ROOM_M))
    return 3 * plan.wall + plan.passage + room, 2 * plan.wall + room


def _fits(plan: Plan, least: tuple[int, int], turn: bool) -> bool:
    across, along = (plan.columns, plan.rows) if turn else (plan.rows, plan.columns)
    return across >= least[0] and along >= least[1]


def _draw(office: _Office) -> None:
    plan, rng = office.plan, office.rng
    rows = office.grid.shape[0]
    wall, least = plan.wall, office.least
    corridor = min(int(plan.passage * rng.uniform(1.0, 1.6)), rows - 3 * wall - least)
    corridor = max(corridor, plan.passage)
    depth = plan.cells(rng.uniform(*_ROOM_M))
    num_corridors = max(1, round((rows - wall) / (corridor + 3 * wall + 2 * depth)))
    while num_corridors > 1 and _for_rooms(rows, num_corridors, corridor, wall) < 2 * num_corridors * least:
        num_corridors -= 1
    num_strips = 2 * num_corridors
    if _for_rooms(rows, num_corridors, corridor, wall) < 2 * least:  # rooms on one side alone
        num_strips = 1
    taken = _for_rooms(rows, num_corridors, corridor, wall) if num_strips > 1 else rows - 3 * wall - corridor
    depths = split(rng, taken, num_strips, least)
    crossing = _crossing(office, corridor) if num_corridors > 1 else None
    strips, lanes, y = list[tuple[int, int, bool]](), list[tuple[int, int]](), wall
    for i, deep in enumerate(depths):
        strips.append((y, y + deep, i % 2 == 0))
        y += deep + wall
        if i % 2 == 0:
            lanes.append((y, y + corridor))
            y += corridor + wall
    doors = [list[Rect]() for _ in lanes]
    for i, (y0, y1, is_below) in enumerate(strips):
        is_outer = i in (0, len(strips) - 1)
        for x0, x1 in _pieces(office, None if is_outer else crossing):
            doors[i // 2] += _draw_strip(office, Rect(y0, y1, x0, x1), door_above=is_below)
    _draw_lanes(office, lanes, doors, crossing)
    for room, openings in office.rooms:
        for box in furnish(plan, rng, room, openings):
            box.fill(office.grid, True)


def _for_rooms(rows: int, num_corridors: int, corridor: int, wall: int) -> int:
    """Return the cells that are left for the depths of all rooms on both sides of the corridors."""
    return rows - 2 * wall - num_corridors * (corridor + 2 * wall) - (num_corridors - 1) * wall


def split(rng: np.random.Generator, total: int, parts: int, least: int) -> list[int]:
    """Return ``parts`` random whole numbers, none below ``least``, whose sum is ``total``."""
    share = rng.uniform(0.5, 1.5, parts)
    ends = np.floor(np.cumsum(share) / share.sum() * (total - parts * least) + 1e-9).astype(int)
    ends[-1] = total - parts * least
    return (np.diff(ends, prepend=0) + least).tolist()


def _crossing(office: _Office, corridor: int) -> tuple[int, int]:
    """Return the columns of the corridor that crosses the others: on either side there is a room, or none at all."""
    wall, columns = office.plan.wall, office.grid.shape[1]
    margin = 2 * wall + office.least
    if columns - 2 * margin < corridor:
        return wall, wall + corridor
    x = int(office.rng.integers(margin, columns - margin - corridor + 1))
    return x, x + corridor


def _pieces(office: _Office, crossing: tuple[int, int] | None) -> list[tuple[int, int]]:
    """Return the columns between the outer walls in which rooms are, without those of the crossing corridor."""
    wall, columns = office.plan.wall, office.grid.shape[1]
    if crossing is None:
        return [(wall, columns - wall)]
    pieces = [(wall, crossing[0] - wall), (crossing[1] + wall, columns - wall)]
    return [(x0, x1) for x0, x1 in pieces if x1 - x0 >= office.least]


def _draw_strip(office: _Office, strip: Rect, *, door_above: bool) -> list[Rect]:
    """Draw the rooms of a strip beside a corridor; return their doors to it."""
    plan, rng = office.plan, office.rng
    wall, length = plan.wall, strip.x1 - strip.x0
    num_rooms = max(1, round((length + wall) / (plan.cells(rng.uniform(*_ROOM_M)) + wall)))
    while num_rooms > 1 and length - (num_rooms - 1) * wall < num_rooms * office.least:
        num_rooms -= 1
    x, rooms, doors = strip.x0, list[tuple[Rect, list[Rect]]](), list[Rect]()
    for width in split(rng, length - (num_rooms - 1) * wall, num_rooms, office.least):
        room = Rect(strip.y0, strip.y1, x, x + width)
        room.fill(office.grid, False)
        open_ = min(width, plan.passage + int(rng.integers(plan.cells(0.4) + 1)))
        at = x + int(rng.integers(width - open_ + 1))
        door = Rect(strip.y1, strip.y1 + wall, at, at + open_)
        if not door_above:
            door = Rect(strip.y0 - wall, strip.y0, at, at + open_)
        door.fill(office.grid, False)
        rooms.append((room, [door]))
        doors.append(door)
        x += width + wall
    for (left, left_doors), (_, right_doors) in itertools.pairwise(rooms):
        if rng.random() < _SIDE_DOOR_PROB:
            at = left.y0 + int(rng.integers(left.y1 - left.y0 - plan.passage + 1))
            door = Rect(at, at + plan.passage, left.x1, left.x1 + wall)
            door.fill(office.grid, False)
            left_doors.append(door)
            right_doors.append(door)
    office.rooms += rooms
    return doors


def _draw_lanes(
    office: _Office, lanes: list[tuple[int, int]], doors: list[list[Rect]], crossing: tuple[int, int] | None
) -> None:
    """Draw the corridors, and the one that crosses them."""
    wall, columns = office.plan.wall, office.grid.shape[1]
    for (y0, y1), openings in zip(lanes, doors, strict=True):
        lane = Rect(y0, y1, wall, columns - wall)
        lane.fill(office.grid, False)
        if crossing is not None:
            openings = [*openings, Rect(y0, y1, *crossing)]
        office.rooms.append((lane, openings))
    if crossing is not None:
        Rect(lanes[0][0], lanes[-1][1], *crossing).fill(office.grid, False)
