"""Pictures of a world: a ``Scene`` in, an RGB array out. Needs Pillow only: no window, no display, no fonts on the
machine.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import Scene
from robonav_ray.worlds.kernels.layout import STATIC
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.film import contact_sheet, save_gif, save_png
from robonav_ray.worlds.pictures.palette import Color, mix, robot_color
from robonav_ray.worlds.pictures.players import PlayerNames
from robonav_ray.worlds.pictures.render_text import OVERSAMPLE, draw_hud, font_of, outcome_text, outcome_tone

__all__ = ["SceneRenderer", "Trail", "contact_sheet", "render_scene", "save_gif", "save_png"]

MIN_SIZE_PX = 96
_MARGIN_FRAC = 0.02
_GOAL_MARKER_M = 0.27
_TAIL_S = 1.0
_FADE_STEPS = 60
Points = list[tuple[float, float]]


class Trail:
    """Where the robots of one world have been in the running episode; begins anew with the next episode."""

    def __init__(self, max_length: int = 1000) -> None:
        """Keep at most the last ``max_length`` positions."""
        self._positions: deque[np.ndarray] = deque(maxlen=max_length)
        self._episode: tuple[int, int, bytes] | None = None
        self._last_step = -1

    def add(self, scene: Scene) -> None:
        """Take in the positions of ``scene``; a scene that was already taken in changes nothing."""
        episode = _episode_key(scene)
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

    The picture is ``size_px`` wide and, with the HUD line above the arena and the legend of players below it,
    ``size_px + hud_height + legend_height`` high. The x axis of the world points right, y up.
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
        self._players = PlayerNames(players, size_px) if players else None
        self.legend_height = 0 if self._players is None else self._players.height
        self._view: tuple[tuple[int, int, bytes], float] | None = None
        self._floor: tuple[tuple[float, float], Image.Image] | None = None

    def render(self, scene: Scene, trail: Trail | None = None) -> np.ndarray:
        """Return the picture, (H, W, 3) uint8, of ``scene`` and, if given, of the way that led there."""
        canvas = _Canvas(self._floor_of(scene).copy(), self._view_half(scene))
        _draw_lidar(canvas, scene)
        _draw_walls(canvas, scene)
        if trail is not None:
            _draw_trail(canvas, scene, trail.positions)
        _draw_tour(canvas, scene)
        _draw_circles(canvas, scene)
        _draw_robots(canvas, scene)
        _draw_banner(canvas, scene)
        arena = canvas.image.reduce(OVERSAMPLE)
        final = _Canvas(arena, canvas.view_half_m)
        _label_goals(final, scene)
        if self._players is not None:
            self._players.write_beside(final.draw, final.to_px, scene)
        if not self.hud_height and self._players is None:
            return np.array(arena)
        height = self.size_px + self.hud_height + self.legend_height
        picture = Image.new("RGB", (self.size_px, height), col.PAPER)
        picture.paste(arena, (0, self.hud_height))
        if self.hud_height:
            picture.paste(draw_hud(scene, self.size_px, self.hud_height, self.title, self.max_steps), (0, 0))
        if self._players is not None:
            picture.paste(self._players.legend(), (0, self.hud_height + self.size_px))
        return np.array(picture)

    def _view_half(self, scene: Scene) -> float:
        """Return half the side of what is shown: the arena, or without walls what the episode began with and a little
        around.
        """
        if scene.walls:
            return scene.half_side_m * (1 + 2 * _MARGIN_FRAC)
        key = _episode_key(scene)
        if self._view is None or self._view[0] != key:
            points = np.concatenate([scene.robot_pose[:, :2], scene.goals.reshape(-1, 2), scene.circles[:, :2]])
            reach = float(np.abs(points).max()) + 1.0
            self._view = (key, min(math.ceil(2 * reach) / 2, scene.half_side_m * (1 + 2 * _MARGIN_FRAC)))
        return self._view[1]

    def _floor_of(self, scene: Scene) -> Image.Image:
        key = (self._view_half(scene), scene.half_side_m)
        if self._floor is None or self._floor[0] != key:
            side = self.size_px * OVERSAMPLE
            canvas = _Canvas(Image.new("RGB", (side, side), col.FLOOR), key[0])
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


class _Canvas:
    """An image with a map from metres to its pixels."""

    def __init__(self, image: Image.Image, view_half_m: float) -> None:
        self.image, self.view_half_m = image, view_half_m
        self.draw = ImageDraw.Draw(image, "RGBA")
        self.scale = image.width / (2 * view_half_m)
        self.thin = max(1, round(image.width / 480))

    def to_px(self, x: float, y: float) -> tuple[float, float]:
        return (self.view_half_m + x) * self.scale, (self.view_half_m - y) * self.scale

    def points(self, xy: np.ndarray) -> Points:
        """Return (n, 2) metres as a list of pixels."""
        px = (self.view_half_m + xy[:, 0]) * self.scale
        py = (self.view_half_m - xy[:, 1]) * self.scale
        return list(zip(px.tolist(), py.tolist(), strict=True))

    def disc(
        self, x: float, y: float, radius_m: float, fill: object = None, outline: object = None, width: int = 1
    ) -> None:
        cx, cy = self.to_px(x, y)
        r = radius_m * self.scale
        self.draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=fill, outline=outline, width=width)  # type: ignore[arg-type]

    def line(self, xy: np.ndarray, fill: object, width: int) -> None:
        self.draw.line(self.points(xy), fill=fill, width=width, joint="curve")  # type: ignore[arg-type]


def _episode_key(scene: Scene) -> tuple[int, int, bytes]:
    return scene.level, scene.episode, scene.goals.tobytes()


def _goal_color(scene: Scene, r: int) -> Color:
    return col.SUCCESS if len(scene.robot_pose) == 1 else robot_color(scene.color_number(r))


def _goal_marker_m(canvas: _Canvas) -> float:
    return max(_GOAL_MARKER_M, 0.018 * 2 * canvas.view_half_m)


def _draw_floor(canvas: _Canvas, scene: Scene) -> None:
    half, view = scene.half_side_m, canvas.view_half_m
    edge = min(half, view)
    for i in range(math.ceil(-edge), math.floor(edge) + 1):
        canvas.line(np.array([[i, -edge], [i, edge]]), col.GRID, canvas.thin)
        canvas.line(np.array([[-edge, i], [edge, i]]), col.GRID, canvas.thin)


def _draw_walls(canvas: _Canvas, scene: Scene) -> None:
    """Draw walls over what the lidar's fan spills; four in a row that close a rectangle are a box, and filled."""
    half, view = scene.half_side_m, canvas.view_half_m
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
    if scene.walls:
        for box in (
            (-view, half, view, view),
            (-view, -view, view, -half),
            (-view, -view, -half, view),
            (half, -view, view, view),
        ):
            canvas.draw.rectangle((*canvas.to_px(box[0], box[3]), *canvas.to_px(box[2], box[1])), fill=col.WALL)


def _draw_lidar(canvas: _Canvas, scene: Scene) -> None:
    """Draw what each sensor sees as nested translucent fans, and its returns as dots."""
    angle, faint = scene.beam_angle, len(scene.robot_pose) > 1
    if len(angle) < 2:
        return
    spread = np.stack([angle, angle], axis=1) + np.array([-0.5, 0.5]) * (angle[1] - angle[0])
    full_circle = angle[-1] - angle[0] > math.pi * 1.5
    for r, (x, y, yaw) in enumerate(scene.robot_pose):
        ranges = scene.ranges[r]
        seen = ranges < scene.range_max_m * 0.999
        if scene.robot_ended[r] or not seen.any():
            continue
        at = (spread + yaw).reshape(-1)
        for part, alpha in ((1.0, 30), (0.6, 18), (0.3, 18)):
            length = np.repeat(np.minimum(ranges, part * scene.range_max_m), 2)
            outline = np.stack([x + length * np.cos(at), y + length * np.sin(at)], axis=1)
            points = canvas.points(outline)
            canvas.draw.polygon(
                points if full_circle else [canvas.to_px(x, y), *points], fill=(*col.LIDAR, alpha // (1 + faint))
            )
        dot = max(0.02, 1.6 * canvas.thin / canvas.scale)
        color = mix(col.LIDAR, col.ROBOT[0], 0.45)
        for a, length in zip(angle[seen] + yaw, ranges[seen], strict=True):
            canvas.disc(x + length * math.cos(a), y + length * math.sin(a), dot, (*color, 200 // (1 + faint)))


def _draw_trail(canvas: _Canvas, scene: Scene, positions: np.ndarray) -> None:
    """Draw the way of each robot, the older the paler."""
    if len(positions) < 2 or positions.shape[1] != len(scene.robot_pose):
        return
    for r in range(positions.shape[1]):
        color = robot_color(scene.color_number(r))
        for start in range(0, len(positions) - 1, 4):
            piece = positions[start : start + 5, r]
            age = len(positions) - start
            strength = 0.28 + 0.5 * max(0.0, 1.0 - age / _FADE_STEPS)
            canvas.line(piece, mix(col.FLOOR, color, strength), canvas.thin * 3)


def _draw_tour(canvas: _Canvas, scene: Scene) -> None:
    """Draw the goals: passed ones pale, the current one full with a halo, later ones as rings on a dotted way."""
    size = _goal_marker_m(canvas)
    for r in range(len(scene.robot_pose)):
        if not _shows_goals(scene, r):
            continue
        color, now, goals = _goal_color(scene, r), int(scene.goal_index[r]), scene.goals[r]
        for a, b in zip(goals[now:-1], goals[now + 1 :], strict=True):
            _draw_dotted(canvas, a, b, mix(col.FLOOR, color, 0.45))
        for g, (x, y) in enumerate(goals):
            if g < now:
                canvas.disc(x, y, size, mix(col.FLOOR, color, 0.3))
                _draw_tick(canvas, x, y, size, col.WHITE)
            elif g == now:
                canvas.disc(x, y, size * 1.75, (*color, 50))
                canvas.disc(x, y, size, color, col.WHITE, 2 * canvas.thin)
            else:
                canvas.disc(x, y, size, mix(col.FLOOR, color, 0.12), color, 2 * canvas.thin)


def _shows_goals(scene: Scene, r: int) -> bool:
    """Among several robots, the goals of one that failed are of no interest any more."""
    return len(scene.robot_pose) == 1 or not scene.robot_ended[r] or scene.outcome[r] == Outcome.SUCCESS


def _draw_dotted(canvas: _Canvas, a: np.ndarray, b: np.ndarray, color: Color) -> None:
    length = float(np.linalg.norm(b - a))
    for i in range(1, int(length / 0.2)):
        x, y = a + (b - a) * (i * 0.2 / length)
        canvas.disc(x, y, 1.1 * canvas.thin / canvas.scale, color)


def _draw_tick(canvas: _Canvas, x: float, y: float, size: float, color: Color) -> None:
    corners = np.array([[-0.45, 0.02], [-0.12, -0.34], [0.48, 0.38]]) * size + (x, y)
    canvas.line(corners, color, max(canvas.thin * 2, round(size * 0.2 * canvas.scale)))


def _draw_cross(canvas: _Canvas, x: float, y: float, size: float, color: Color) -> None:
    for side in (1.0, -1.0):
        ends = np.array([[-0.42, -0.42 * side], [0.42, 0.42 * side]]) * size + (x, y)
        canvas.line(ends, color, max(canvas.thin * 2, round(size * 0.2 * canvas.scale)))


def _draw_circles(canvas: _Canvas, scene: Scene) -> None:
    """Draw obstacles: grey ones stand, amber ones move away from their tail, as far as they go in a second."""
    for (x, y, radius, vx, vy), kind in zip(scene.circles, scene.circle_kind, strict=True):
        if kind == STATIC:
            canvas.disc(x, y, radius, col.STATIC, mix(col.STATIC, col.INK, 0.35), 2 * canvas.thin)
            continue
        speed = math.hypot(vx, vy)
        if speed * _TAIL_S > 0.02:
            _draw_tail(canvas, x, y, radius, vx / speed, vy / speed, speed * _TAIL_S)
        canvas.disc(x, y, radius, col.MOVING, col.MOVING_EDGE, 2 * canvas.thin)
        if speed > 0.02:
            _draw_chevron(canvas, x, y, 0.5 * radius, vx / speed, vy / speed)


def _draw_tail(canvas: _Canvas, x: float, y: float, radius: float, c: float, s: float, length: float) -> None:
    for part, alpha in ((1.0, 70), (0.66, 60), (0.33, 60)):
        width = radius * 0.96
        back = np.array([[0.0, width], [0.0, -width], [-part * length - radius, 0.0]])
        turned = np.stack([x + back[:, 0] * c - back[:, 1] * s, y + back[:, 0] * s + back[:, 1] * c], axis=1)
        canvas.draw.polygon(canvas.points(turned), fill=(*col.MOVING, alpha))


def _draw_chevron(canvas: _Canvas, x: float, y: float, size: float, c: float, s: float) -> None:
    shape = np.array([[-0.3, 0.75], [0.6, 0.0], [-0.3, -0.75]]) * size
    turned = np.stack([x + shape[:, 0] * c - shape[:, 1] * s, y + shape[:, 0] * s + shape[:, 1] * c], axis=1)
    canvas.line(turned, col.WHITE, max(canvas.thin * 2, round(0.3 * size * canvas.scale)))


def _draw_robots(canvas: _Canvas, scene: Scene) -> None:
    """Draw robots as discs with a nose; one that ended carries a tick or a cross."""
    radii = np.broadcast_to(scene.robot_radius_m, len(scene.robot_pose)).tolist()
    for r, ((x, y, yaw), radius) in enumerate(zip(scene.robot_pose, radii, strict=True)):
        color, outcome = robot_color(scene.color_number(r)), Outcome(int(scene.outcome[r]))
        if outcome == Outcome.NONE:
            canvas.disc(x, y, radius * 1.25, col.WHITE)
            canvas.disc(x, y, radius * 1.1, color)
            shape = np.array([[0.85, 0.0], [-0.5, 0.55], [-0.2, 0.0], [-0.5, -0.55]]) * radius
            c, s = math.cos(yaw), math.sin(yaw)
            nose = np.stack([x + shape[:, 0] * c - shape[:, 1] * s, y + shape[:, 0] * s + shape[:, 1] * c], axis=1)
            canvas.draw.polygon(canvas.points(nose), fill=col.WHITE)
            continue
        good = outcome == Outcome.SUCCESS
        tone = col.SUCCESS if good else (col.FAILURE if outcome.is_collision else col.PALE_INK)
        if not scene.robot_ended.all() or len(scene.robot_pose) == 1:
            canvas.disc(x, y, radius * 2.2, (*tone, 60))
        canvas.disc(x, y, radius * 1.25, col.WHITE if scene.player is None else color)
        canvas.disc(x, y, radius * 1.1, tone)
        (_draw_tick if good else _draw_cross)(canvas, x, y, radius * 1.1, col.WHITE)


def _label_goals(canvas: _Canvas, scene: Scene) -> None:
    """Write the goals' numbers, at final size so that they are crisp."""
    if scene.goals.shape[1] < 2:
        return
    font = font_of(max(8, round(1.25 * _goal_marker_m(canvas) * canvas.scale)))
    for r in range(len(scene.robot_pose)):
        if not _shows_goals(scene, r):
            continue
        for g in range(int(scene.goal_index[r]), scene.goals.shape[1]):
            ink = col.WHITE if g == scene.goal_index[r] else _goal_color(scene, r)
            canvas.draw.text(canvas.to_px(*scene.goals[r, g]), str(g + 1), fill=ink, font=font, anchor="mm")


def _draw_banner(canvas: _Canvas, scene: Scene) -> None:
    """Say at the lower edge how the episode ended."""
    text = outcome_text(scene)
    if not text:
        return
    side = canvas.image.width
    font = font_of(max(10 * OVERSAMPLE, round(side * 0.036)))
    width, height = font.getlength(text) + side * 0.06, side * 0.07
    cx, cy = side / 2, side * 0.93
    box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    canvas.draw.rounded_rectangle(box, radius=height / 2, fill=(*outcome_tone(scene), 235))
    canvas.draw.text((cx, cy), text, fill=col.WHITE, font=font, anchor="mm")
