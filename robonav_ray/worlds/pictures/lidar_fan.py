"""What a lidar sees, as a picture shows it."""

from __future__ import annotations

import math

import numpy as np

from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.canvas import Canvas
from robonav_ray.worlds.pictures.palette import mix
from robonav_ray.worlds.scene import Scene

_RINGS = ((1.0, 30), (0.6, 18), (0.3, 18))
"""Parts of the greatest range, and how much ink each gets."""


def draw_lidar(canvas: Canvas, scene: Scene, fan: bool = True, returns: bool = True) -> None:
    """Draw what each sensor sees as nested translucent fans over its field of view, and its returns as dots.

    In a bare arena a sensor that sees nothing is not shown.
    """
    angle = scene.beam_angle
    if len(angle) < 2:
        return
    for r in range(len(scene.robot_pose)):
        seen = scene.ranges[r] < scene.range_max_m * 0.999
        if scene.robot_ended[r] or not (seen.any() or scene.map is not None):
            continue
        x, y, yaw = _sensor_pose(scene, r)
        if fan:
            _draw_fan(canvas, scene, r, x, y, yaw)
        if returns:
            dot = max(0.02, 1.6 * canvas.thin / canvas.scale)
            color = (*mix(col.LIDAR, col.ROBOT[0], 0.45), 200 // (1 + (len(scene.robot_pose) > 1)))
            for a, length in zip(angle[seen] + yaw, scene.ranges[r][seen], strict=True):
                canvas.disc(x + length * math.cos(a), y + length * math.sin(a), dot, color)


def _sensor_pose(scene: Scene, r: int) -> tuple[float, float, float]:
    x, y, yaw = scene.robot_pose[r]
    ahead, left = scene.lidar_xy
    if ahead or left:
        c, s = np.cos(yaw), np.sin(yaw)
        x, y = x + ahead * c - left * s, y + ahead * s + left * c
    return x, y, yaw


def _draw_fan(canvas: Canvas, scene: Scene, r: int, x: float, y: float, yaw: float) -> None:
    angle, ranges = scene.beam_angle, scene.ranges[r]
    step, span = angle[1] - angle[0], angle[-1] - angle[0]
    full_circle = span > math.pi * 1.5 and span + step > 2.0 * math.pi - 0.01
    spread = np.stack([angle, angle], axis=1) + np.array([-0.5, 0.5]) * step
    if not full_circle:
        spread = np.clip(spread, angle[0], angle[-1])
    at = (spread + yaw).reshape(-1)
    for part, alpha in _RINGS:
        length = np.repeat(np.minimum(ranges, part * scene.range_max_m), 2)
        points = canvas.points(np.stack([x + length * np.cos(at), y + length * np.sin(at)], axis=1))
        fan = points if full_circle else [canvas.to_px(x, y), *points]
        canvas.draw.polygon(fan, fill=(*col.LIDAR, alpha // (1 + (len(scene.robot_pose) > 1))))
