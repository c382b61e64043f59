"""A map as a picture: its cells under everything else, and all of it small in a corner."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.canvas import Canvas, View
from robonav_ray.worlds.pictures.palette import Color, mix, robot_color
from robonav_ray.worlds.scene import Scene

_FREE, _UNKNOWN_FREE, _UNKNOWN, _OCCUPIED = range(4)
_TONES: tuple[Color, ...] = (col.FLOOR, mix(col.FLOOR, col.WALL, 0.1), mix(col.FLOOR, col.WALL, 0.3), col.WALL)
_FAR_WALL = mix(col.FLOOR, col.WALL, 0.6)
_OVERVIEW_FRAC = (0.34, 0.28)
"""Most of a picture's width and of its height that an overview takes."""
_LEAST_PICTURE_PX = 200
"""Smaller pictures have no overview."""
_MOST_PX = 2048
_MOSTLY_SHOWN = 0.85
"""Pictures of so much of a map have no overview."""
_FEWEST_PX_PER_M = 7.0
"""Lines of the floor closer than this are drawn every fifth."""


class FloorPlan:
    """One map, ready to be drawn; keeps the last view of it and its overview."""

    def __init__(self, plan: GridMap) -> None:
        """Take the cells of ``plan``, and around them what the simulator has there: wall."""
        self.plan = plan
        kind = np.where(plan.occupied, np.where(plan.unknown, _UNKNOWN, _OCCUPIED), _FREE).astype(np.uint8)
        kind[plan.unknown & ~plan.occupied] = _UNKNOWN_FREE
        rim = np.pad(kind, 1, mode="edge")
        rim = np.where(rim < _UNKNOWN, np.uint8(_OCCUPIED), rim)
        rim[1:-1, 1:-1] = kind
        self._kind = np.ascontiguousarray(rim[::-1])
        self._coarse: dict[int, Image.Image] = {}
        self._seen: tuple[tuple[View, tuple[int, int]], Image.Image, Image.Image] | None = None
        self._overview: tuple[tuple[int, int], Image.Image] | None = None

    def ground(self, view: View, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
        """Return what ``view`` shows in ``size`` px, and where in it are walls (255, else 0); both stay this object's
        own.
        """
        if self._seen is None or self._seen[0] != (view, size):
            kind = self._part(view, size)
            canvas = Canvas(Image.new("RGB", size, col.FLOOR), view)
            _draw_grid(canvas, self.plan)
            colors = kind.copy()
            colors.putpalette([part for tone in _TONES for part in tone])
            canvas.image.paste(colors.convert("RGB"), mask=_mask(kind, _UNKNOWN_FREE))
            self._seen = ((view, size), canvas.image, _mask(kind, _UNKNOWN))
        return self._seen[1], self._seen[2]

    def _part(self, view: View, size: tuple[int, int]) -> Image.Image:
        """Return the kinds of cells in ``view``, each cell as large as it is there."""
        cell = self.plan.resolution_m
        pool = max(1, int(view.width / size[0] / cell))
        width, height = self.plan.size_m
        left, top = (view.left + 0.5 * width) / cell + 1.0, (0.5 * height - view.top) / cell + 1.0
        box = (left, top, left + view.width / cell, top + view.height / cell)
        image = self._coarser(pool)
        return image.transform(
            size,
            Image.Transform.EXTENT,
            tuple(side / pool for side in box),
            Image.Resampling.NEAREST,
            fillcolor=_UNKNOWN,
        )

    def png(self) -> bytes:
        """Return the map as a PNG file with transparent free cells: a pixel a cell, of a large map fewer."""
        pool = -(-max(self.plan.occupied.shape) // _MOST_PX)
        image = Image.fromarray(_pooled(self._kind[1:-1, 1:-1], pool))
        image.putpalette([part for tone in _TONES for part in tone])
        file = io.BytesIO()
        image.save(file, "PNG", optimize=True, transparency=_FREE, bits=2)
        return file.getvalue()

    def _coarser(self, pool: int) -> Image.Image:
        """Return the cells, of each ``pool`` x ``pool`` of them the most solid: a thin wall stays whole."""
        if pool not in self._coarse:
            self._coarse[pool] = Image.fromarray(_pooled(self._kind, pool))
        return self._coarse[pool]

    def overview(self, size: tuple[int, int]) -> Image.Image:
        """Return all of the map in ``size`` px; stays this object's own."""
        if self._overview is None or self._overview[0] != size:
            image = Image.new("RGB", size, col.PAPER)
            for kind, tone in ((_UNKNOWN, _TONES[_UNKNOWN]), (_OCCUPIED, _FAR_WALL)):
                share = Image.fromarray((self._kind[1:-1, 1:-1] == kind).astype(np.uint8) * 255)
                share = share.resize(size, Image.Resampling.BOX).point([min(255, 3 * part) for part in range(256)])
                image.paste(tone, mask=share)
            self._overview = (size, image)
        return self._overview[1]


def _pooled(kind: np.ndarray, pool: int) -> np.ndarray:
    """Return of each ``pool`` x ``pool`` cells the most solid kind, (rows, columns) uint8."""
    rows, columns = (-(-side // pool) * pool for side in kind.shape)
    whole = np.full((rows, columns), _FREE, np.uint8)
    whole[: kind.shape[0], : kind.shape[1]] = kind
    return whole.reshape(rows // pool, pool, columns // pool, pool).max(axis=(1, 3))


def _mask(kind: Image.Image, least: int) -> Image.Image:
    return kind.point([255 if value >= least else 0 for value in range(256)])


def _draw_grid(canvas: Canvas, plan: GridMap) -> None:
    """Draw a line each metre, or each five where those would be too close."""
    half_width, half_height = (0.5 * side for side in plan.size_m)
    step = 1 if canvas.scale >= _FEWEST_PX_PER_M * canvas.thin else 5
    left, top, width, height = canvas.view
    for i in range(step * math.ceil(left / step), math.floor(left + width) + 1, step):
        canvas.line(np.array([[i, -half_height], [i, half_height]]), col.GRID, canvas.thin)
    for i in range(step * math.ceil((top - height) / step), math.floor(top) + 1, step):
        canvas.line(np.array([[-half_width, i], [half_width, i]]), col.GRID, canvas.thin)


class Overview:
    """A small map in a corner of pictures that show a part of it; it stands where robots and goals are not."""

    def __init__(self) -> None:
        self._corner = 0

    def draw(self, canvas: Canvas, scene: Scene, floor: FloorPlan, final_px: int) -> None:
        """Draw it onto ``canvas``; ``final_px`` is the picture's greater side in the end."""
        width, height = floor.plan.size_m
        view = canvas.view
        if final_px < _LEAST_PICTURE_PX or view.width * view.height >= _MOSTLY_SHOWN * width * height:
            return
        scale = min(_OVERVIEW_FRAC[0] * canvas.image.width / width, _OVERVIEW_FRAC[1] * canvas.image.height / height)
        size = max(4 * canvas.thin, round(width * scale)), max(4 * canvas.thin, round(height * scale))
        left, top = self._place(canvas, scene, size)
        edge = 2 * canvas.thin
        canvas.draw.rectangle((left - edge, top - edge, left + size[0] + edge - 1, top + size[1] + edge - 1), col.WALL)
        small = Canvas(floor.overview(size).copy(), View.around(0.0, 0.0, width, height))
        small.thin = canvas.thin
        for r in range(len(scene.robot_pose)):
            _draw_small(small, scene, r)
        corners = np.array([[0, 0], [1, 0], [1, -1], [0, -1], [0, 0]]) * (view.width, view.height)
        small.line(corners + np.array([view.left, view.top]), col.INK, canvas.thin)
        canvas.image.paste(small.image, (left, top))

    def _place(self, canvas: Canvas, scene: Scene, size: tuple[int, int]) -> tuple[int, int]:
        """Return the left upper corner, px, of an overview that hides no robot and no current goal if it can."""
        gap = 8 * canvas.thin
        right, bottom = canvas.image.width - size[0] - gap, canvas.image.height - size[1] - gap
        places = ((right, gap), (gap, gap), (right, bottom), (gap, bottom))
        now = np.minimum(scene.goal_index, scene.goals.shape[1] - 1)
        points = canvas.points(np.concatenate([scene.robot_pose[:, :2], scene.goals[np.arange(len(now)), now]]))
        for k in (self._corner, *range(len(places))):
            left, top = places[k]
            if not any(
                left - 2 * gap < x < left + size[0] + 2 * gap and top - 2 * gap < y < top + size[1] + 2 * gap
                for x, y in points
            ):
                self._corner = k
                break
        return places[self._corner]


def _draw_small(canvas: Canvas, scene: Scene, r: int) -> None:
    """Draw a robot, its way and its goal as dots and a line."""
    lone, dot = len(scene.robot_pose) == 1, 3.6 * canvas.thin / canvas.scale
    color = col.SUCCESS if lone else robot_color(scene.color_number(r))
    now = int(scene.goal_index[r])
    if r < len(scene.routes) and len(scene.routes[r]) > 1:
        canvas.line(scene.routes[r], color, round(1.5 * canvas.thin))
    if now < scene.goals.shape[1]:
        x, y = scene.goals[r, now]
        canvas.disc(x, y, dot, color)
    x, y, _ = scene.robot_pose[r]
    canvas.disc(x, y, dot, robot_color(scene.color_number(r)), col.WHITE, canvas.thin)
