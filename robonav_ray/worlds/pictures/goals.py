"""Goals, and the way to them."""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.canvas import Canvas
from robonav_ray.worlds.pictures.palette import Color, mix, robot_color
from robonav_ray.worlds.pictures.render_text import font_of
from robonav_ray.worlds.scene import Scene

_GOAL_MARKER_M = 0.27


def _goal_color(scene: Scene, r: int) -> Color:
    return col.SUCCESS if len(scene.robot_pose) == 1 else robot_color(scene.color_number(r))


def _goal_marker_m(canvas: Canvas) -> float:
    return max(_GOAL_MARKER_M, 0.018 * canvas.view.width)


def draw_routes(canvas: Canvas, scene: Scene) -> None:
    """Draw the way along the map to the current goal, and on it the points that the robot observes."""
    for r in range(len(scene.robot_pose)):
        if scene.robot_ended[r]:
            continue
        color = _goal_color(scene, r)
        if r < len(scene.routes) and len(scene.routes[r]) > 1:
            canvas.line(scene.routes[r], mix(col.FLOOR, color, 0.5), 2 * canvas.thin)
        for x, y in () if scene.path is None else scene.path[r]:
            canvas.disc(x, y, min(2.6 * canvas.thin / canvas.scale, 0.12), color, col.WHITE, canvas.thin)


def draw_tour(canvas: Canvas, scene: Scene) -> None:
    """Draw the goals: passed ones pale, the current one full with a halo, later ones as rings on a dotted way."""
    size = _goal_marker_m(canvas)
    for r in range(len(scene.robot_pose)):
        if not _shows_goals(scene, r):
            continue
        color, now, goals = _goal_color(scene, r), int(scene.goal_index[r]), scene.goals[r]
        if scene.map is None:  # there, a straight way may lead through walls
            for a, b in zip(goals[now:-1], goals[now + 1 :], strict=True):
                _draw_dotted(canvas, a, b, mix(col.FLOOR, color, 0.45))
        for g, (x, y) in enumerate(goals):
            if g < now:
                canvas.disc(x, y, size, mix(col.FLOOR, color, 0.3))
                canvas.tick(x, y, size, col.WHITE)
            elif g == now:
                canvas.disc(x, y, size * 1.75, (*color, 50))
                canvas.disc(x, y, size, color, col.WHITE, 2 * canvas.thin)
            else:
                canvas.disc(x, y, size, mix(col.FLOOR, color, 0.12), color, 2 * canvas.thin)


def _shows_goals(scene: Scene, r: int) -> bool:
    """Among several robots, the goals of one that failed are of no interest any more."""
    return len(scene.robot_pose) == 1 or not scene.robot_ended[r] or scene.outcome[r] == Outcome.SUCCESS


def _draw_dotted(canvas: Canvas, a: np.ndarray, b: np.ndarray, color: Color) -> None:
    length = float(np.linalg.norm(b - a))
    for i in range(1, int(length / 0.2)):
        x, y = a + (b - a) * (i * 0.2 / length)
        canvas.disc(x, y, 1.1 * canvas.thin / canvas.scale, color)


def label_goals(canvas: Canvas, scene: Scene) -> None:
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
