"""Pictures of a world: a ``Scene`` in, an RGB array out. Needs Pillow only: no window, no display, no fonts on the
machine.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from PIL import Image

from robonav_ray.worlds.batched import Scene
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.canvas import Canvas, View
from robonav_ray.worlds.pictures.film import contact_sheet, save_gif, save_png
from robonav_ray.worlds.pictures.floor_plan import FloorPlan, Overview
from robonav_ray.worlds.pictures.framing import EpisodeKey, Framing, episode_key, picture_size
from robonav_ray.worlds.pictures.goals import draw_routes, draw_tour, label_goals
from robonav_ray.worlds.pictures.lidar_fan import draw_lidar
from robonav_ray.worlds.pictures.movers import draw_circles, draw_robots, draw_trail
from robonav_ray.worlds.pictures.players import PlayerNames
from robonav_ray.worlds.pictures.render_text import OVERSAMPLE, draw_hud, font_of, outcome_text, outcome_tone

__all__ = ["SceneRenderer", "Trail", "contact_sheet", "render_scene", "save_gif", "save_png"]

MIN_SIZE_PX = 96


class Trail:
    """Where the robots of one world have been in the running episode; begins anew with the next episode."""

    def __init__(self, max_length: int = 1000) -> None:
        """Keep at most the last ``max_length`` positions."""
        self._positions: deque[np.ndarray] = deque(maxlen=max_length)
        self._episode: EpisodeKey | None = None
        self._last_step = -1

    def add(self, scene: Scene) -> None:
        """Take in the positions of ``scene``; a scene that was already taken in changes nothing."""
        episode = episode_key(scene)
        if episode != self._episode or scene.step < self._last_step:
            self._positions.clear()
            self._episode, self._last_step = episode, -1
        if scene.step > self._last_step:
            self._positions.append(scene.robot_pose[:, :2].copy())
            self._last_step = scene.step

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def positions(self) -> np.ndarray:
        """(T, R, 2) float32, oldest first."""
        return np.stack(self._positions) if self._positions else np.zeros((0, 0, 2), np.float32)


class SceneRenderer:
    """Draws scenes at one size; keeps the floor and the fonts between calls.

    Without a map the ground is a square of ``size_px``; with one its greater side is (see ``picture_size``). The HUD
    line stands above it and the legend of players below. The x axis of the world points right, y up.
    """

    def __init__(
        self,
        size_px: int = 480,
        title: str = "",
        hud: bool = True,
        max_steps: int | None = None,
        players: Sequence[str] = (),
    ) -> None:
        """``title`` stands in the HUD (a stage's name); ``max_steps`` lets it show how much time is left; ``players``
        are the names of those whose numbers the scenes have (``Scene.player``).
        """
        if size_px < MIN_SIZE_PX:
            raise ValueError(f"size_px must be at least {MIN_SIZE_PX}, got {size_px}")
        self.size_px, self.title, self.max_steps = size_px, title, max_steps
        self.hud_height = max(22, round(size_px * 0.075)) if hud else 0
        self._names, self._size = tuple(players), (size_px, size_px)
        self._players = PlayerNames(players, size_px) if players else None
        self._framing, self._overview = Framing(), Overview()
        self._floor: tuple[tuple[View, float], Image.Image] | None = None
        self._plan: FloorPlan | None = None

    @property
    def legend_height(self) -> int:
        """Of the legend of players, px."""
        return 0 if self._players is None else self._players.height

    def render(self, scene: Scene, trail: Trail | None = None) -> np.ndarray:
        """Return the picture, (H, W, 3) uint8, of ``scene`` and, if given, of the way that led there."""
        self._fit(picture_size(scene, self.size_px))
        canvas = self._ground(scene)
        if trail is not None:
            draw_trail(canvas, scene, trail.positions)
        draw_tour(canvas, scene)
        draw_circles(canvas, scene)
        draw_robots(canvas, scene)
        if scene.map is not None:
            self._overview.draw(canvas, scene, self._plan_of(scene.map), max(self._size))
        _draw_banner(canvas, scene)
        return self._framed(scene, canvas.image.reduce(OVERSAMPLE), canvas.view)

    def _fit(self, size: tuple[int, int]) -> None:
        """Have a ground of ``size`` px from now on."""
        if size == self._size:
            return
        self._size = size
        if self._names:
            self._players = PlayerNames(self._names, size[0])

    def _ground(self, scene: Scene) -> Canvas:
        """Return a canvas with all that does not move, and what the lidar sees of it."""
        size = (self._size[0] * OVERSAMPLE, self._size[1] * OVERSAMPLE)
        view = self._framing.view_of(scene, size)
        if scene.map is None:
            canvas = Canvas(self._floor_of(scene, view, size).copy(), view)
            draw_lidar(canvas, scene)
            _draw_walls(canvas, scene)
            return canvas
        floor, walls = self._plan_of(scene.map).ground(view, size)
        canvas = Canvas(floor.copy(), view)
        draw_lidar(canvas, scene, returns=False)
        canvas.image.paste(floor, mask=walls)  # over what the lidar's fan spills
        _draw_walls(canvas, scene)
        draw_routes(canvas, scene)
        draw_lidar(canvas, scene, fan=False)
        return canvas

    def _framed(self, scene: Scene, ground: Image.Image, view: View) -> np.ndarray:
        """Return ``ground`` with all words, at its final size."""
        final = Canvas(ground, view)
        label_goals(final, scene)
        if self._players is not None:
            self._players.write_beside(final.draw, final.to_px, scene)
        if not self.hud_height and self._players is None:
            return np.array(ground)
        width, height = self._size
        picture = Image.new("RGB", (width, height + self.hud_height + self.legend_height), col.PAPER)
        picture.paste(ground, (0, self.hud_height))
        if self.hud_height:
            picture.paste(draw_hud(scene, width, self.hud_height, self.title, self.max_steps), (0, 0))
        if self._players is not None:
            picture.paste(self._players.legend(), (0, self.hud_height + height))
        return np.array(picture)

    def _plan_of(self, plan: GridMap) -> FloorPlan:
        if self._plan is None or self._plan.plan is not plan:
            self._plan = FloorPlan(plan)
        return self._plan

    def _floor_of(self, scene: Scene, view: View, size: tuple[int, int]) -> Image.Image:
        key = (view, scene.half_side_m)
        if self._floor is None or self._floor[0] != key:
            canvas = Canvas(Image.new("RGB", size, col.FLOOR), view)
            _draw_floor(canvas, scene)
            self._floor = (key, canvas.image)
        return self._floor[1]


def render_scene(
    scene: Scene,
    trail: Trail | None = None,
    *,
    size_px: int = 480,
    title: str = "",
    hud: bool = True,
    max_steps: int | None = None,
) -> np.ndarray:
    """Return one picture, (H, W, 3) uint8; for many of them keep a ``SceneRenderer``. See there for the arguments."""
    return SceneRenderer(size_px, title, hud, max_steps).render(scene, trail)


def _draw_floor(canvas: Canvas, scene: Scene) -> None:
    half, view = scene.half_side_m, canvas.view.top
    edge = min(half, view)
    for i in range(math.ceil(-edge), math.floor(edge) + 1):
        canvas.line(np.array([[i, -edge], [i, edge]]), col.GRID, canvas.thin)
        canvas.line(np.array([[-edge, i], [edge, i]]), col.GRID, canvas.thin)


def _draw_walls(canvas: Canvas, scene: Scene) -> None:
    """Draw walls over what the lidar's fan spills; four in a row that close a rectangle are a box, and filled."""
    half, view = scene.half_side_m, canvas.view.top
    walls = scene.inner_walls
    thick = max(canvas.thin * 3, round(0.08 * canvas.scale))
    for x0, y0, x1, y1 in walls:
        canvas.line(np.array([[x0, y0], [x1, y1]]), col.WALL, thick)
        canvas.disc(x0, y0, 0.5 * thick / canvas.scale, col.WALL)
        canvas.disc(x1, y1, 0.5 * thick / canvas.scale, col.WALL)
    for i in range(len(walls) - 3):
        four = walls[i : i + 4]
        if np.array_equal(four[:, 2:], np.roll(four[:, :2], -1, axis=0)):
            canvas.draw.polygon(canvas.points(four[:, :2]), fill=col.BOX)
    if scene.walls and scene.map is None:
        for box in (
            (-view, half, view, view),
            (-view, -view, view, -half),
            (-view, -view, -half, view),
            (half, -view, view, view),
        ):
            canvas.draw.rectangle((*canvas.to_px(box[0], box[3]), *canvas.to_px(box[2], box[1])), fill=col.WALL)


def _draw_banner(canvas: Canvas, scene: Scene) -> None:
    """Say at the lower edge how the episode ended."""
    text = outcome_text(scene)
    if not text:
        return
    side, bottom = canvas.image.width, canvas.image.height
    font = font_of(max(10 * OVERSAMPLE, round(side * 0.036)))
    width, height = font.getlength(text) + side * 0.06, side * 0.07
    cx, cy = side / 2, bottom - side * 0.07
    box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    canvas.draw.rounded_rectangle(box, radius=height / 2, fill=(*outcome_tone(scene), 235))
    canvas.draw.text((cx, cy), text, fill=col.WHITE, font=font, anchor="mm")
