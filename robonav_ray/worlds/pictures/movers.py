"""Everything that moves in a picture, and where it has been."""

from __future__ import annotations

import math

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels.layout import STATIC
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.canvas import Canvas, turned
from robonav_ray.worlds.pictures.palette import Color, mix, robot_color
from robonav_ray.worlds.scene import Scene

_TAIL_S = 1.0
_FADE_STEPS = 60
_LEAST_RADIUS = 5.0
"""Of a body in a floor plan, in 480ths of the picture."""
_NOSE = np.array([[0.85, 0.0], [-0.5, 0.55], [-0.2, 0.0], [-0.5, -0.55]])


def draw_trail(canvas: Canvas, scene: Scene, positions: np.ndarray) -> None:
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


def draw_circles(canvas: Canvas, scene: Scene) -> None:
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


def _draw_tail(canvas: Canvas, x: float, y: float, radius: float, c: float, s: float, length: float) -> None:
    for part, alpha in ((1.0, 70), (0.66, 60), (0.33, 60)):
        width = radius * 0.96
        back = np.array([[0.0, width], [0.0, -width], [-part * length - radius, 0.0]])
        canvas.draw.polygon(canvas.points(turned(back, x, y, c, s)), fill=(*col.MOVING, alpha))


def _draw_chevron(canvas: Canvas, x: float, y: float, size: float, c: float, s: float) -> None:
    shape = np.array([[-0.3, 0.75], [0.6, 0.0], [-0.3, -0.75]]) * size
    canvas.line(turned(shape, x, y, c, s), col.WHITE, max(canvas.thin * 2, round(0.3 * size * canvas.scale)))


def draw_robots(canvas: Canvas, scene: Scene) -> None:
    """Draw robots in their shape, with a nose; one that ended carries a tick or a cross.

    In a floor plan, where centimetres tell whether a robot fits through a door, a body is as large as it is, but never
    too small to be seen; elsewhere a disc is a tenth larger.
    """
    radii = np.broadcast_to(scene.robot_radius_m, len(scene.robot_pose)).tolist()
    for r, ((x, y, yaw), radius) in enumerate(zip(scene.robot_pose, radii, strict=True)):
        color, outcome = robot_color(scene.color_number(r)), Outcome(int(scene.outcome[r]))
        c, s = math.cos(yaw), math.sin(yaw)
        size = radius if scene.map is None else max(radius, _LEAST_RADIUS * canvas.thin / canvas.scale)
        outline = None if scene.outline is None else scene.outline * (size / radius)
        body = None if outline is None else turned(outline, x, y, c, s)
        disc = (1.1, 1.25) if scene.map is None else (1.0, 1.0 + 2.0 * canvas.thin / (size * canvas.scale))
        if outcome == Outcome.NONE:
            _draw_body(canvas, x, y, size, body, disc, color, col.WHITE)
            nose = _NOSE * (size if outline is None else _inner_radius(outline))
            canvas.draw.polygon(canvas.points(turned(nose, x, y, c, s)), fill=col.WHITE)
            continue
        good = outcome == Outcome.SUCCESS
        tone = col.SUCCESS if good else (col.FAILURE if outcome.is_collision else col.PALE_INK)
        if not scene.robot_ended.all() or len(scene.robot_pose) == 1:
            canvas.disc(x, y, size * 2.2, (*tone, 60))
        _draw_body(canvas, x, y, size, body, disc, tone, col.WHITE if scene.player is None else color)
        (canvas.tick if good else canvas.cross)(x, y, size * 1.1, col.WHITE)


def _draw_body(
    canvas: Canvas,
    x: float,
    y: float,
    size: float,
    body: np.ndarray | None,
    disc: tuple[float, float],
    color: Color,
    rim: Color,
) -> None:
    """Draw the polygon ``body``, or a disc and its rim as large as ``disc`` says in parts of ``size``."""
    if body is None:
        canvas.disc(x, y, size * disc[1], rim)
        canvas.disc(x, y, size * disc[0], color)
        return
    canvas.line(np.concatenate([body, body[:2]]), rim, 4 * canvas.thin)
    canvas.draw.polygon(canvas.points(body), fill=color)


def _inner_radius(outline: np.ndarray) -> float:
    """Return how far the centre of rotation is from the nearest side, as far as a nose needs to be told."""
    side = np.roll(outline, -1, axis=0) - outline
    along = np.clip(-(outline * side).sum(axis=1) / np.maximum((side * side).sum(axis=1), 1e-12), 0.0, 1.0)
    return float(np.linalg.norm(outline + along[:, None] * side, axis=1).min())
