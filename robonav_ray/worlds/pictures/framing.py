"""Which part of the ground a picture shows."""

from __future__ import annotations

import math

import numpy as np

from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.pictures.canvas import View
from robonav_ray.worlds.scene import Scene

MARGIN_FRAC = 0.02
_FLATTEST, _NARROWEST = 0.4, 0.6
"""Least height and least width of a picture, in parts of its other side."""
_AROUND_M, _AROUND_FRAC = 1.5, 0.04
"""Shown around starts, goals and routes."""
_STAY_FRAC, _AHEAD_FRAC, _GLIDE_FRAC = 0.3, 0.22, 0.2
_LEAST_WAY_M = 1e-3
EpisodeKey = tuple[int, int, bytes]


def episode_key(scene: Scene) -> EpisodeKey:
    """Return what tells the episode of a scene from the one before it."""
    return scene.level, scene.episode, scene.goals.tobytes()


def picture_size(scene: Scene, size_px: int) -> tuple[int, int]:
    """Return the width and height of the ground in a picture, px: ``size_px`` is the greater of both.

    Without a map the ground is a square. With one it has the sides of what is shown of the maps, as far as words fit
    above it, and an even number of px.
    """
    if scene.shown_m is None:
        return size_px, size_px
    width, height = scene.shown_m
    if width >= height:
        return size_px, _even(size_px * max(height / width, _FLATTEST))
    return _even(size_px * max(width / height, _NARROWEST)), size_px


def _even(number: float) -> int:
    return 2 * round(number / 2)


class Framing:
    """Tells for one scene after the other what is shown; scenes of one episode come in their order.

    The arena is shown whole; without walls, what the episode began with and a little around. Of a map, all of it where
    ``Scene.shown_m`` allows it. Of a larger one that part which holds the start, the goals and the route, if it is
    small enough. Else the view stands still while a lone robot is in its middle, and glides ahead of it when it leaves
    that: a picture that stands is easier to read, and films of it are small. Several robots are always shown together.
    """

    def __init__(self) -> None:
        self._key: tuple[EpisodeKey, int] | None = None
        self._step = -1
        self._span = 1.0
        self._half = 0.0
        self._middle = self._target = np.zeros(2)
        self._at: np.ndarray | None = None

    def view_of(self, scene: Scene, size: tuple[int, int]) -> View:
        """Return what is shown in a picture of ``size`` px."""
        if scene.map is not None and scene.shown_m is not None:
            return self._part_of_map(scene, scene.map, scene.shown_m, size)
        half = self._half_of_arena(scene)
        return View(-half, half, 2 * half, 2 * half)

    def _half_of_arena(self, scene: Scene) -> float:
        whole = scene.half_side_m * (1 + 2 * MARGIN_FRAC)
        if scene.walls:
            return whole
        if self._is_new(scene):
            points = np.concatenate([scene.robot_pose[:, :2], scene.goals.reshape(-1, 2), scene.circles[:, :2]])
            reach = float(np.abs(points).max()) + 1.0
            self._half = min(math.ceil(2 * reach) / 2, whole)
        return self._half

    def _is_new(self, scene: Scene) -> bool:
        key = (episode_key(scene), id(scene.map))
        if key == self._key and scene.step >= self._step:
            return False
        self._key, self._step = key, scene.step
        return True

    def _part_of_map(self, scene: Scene, plan: GridMap, shown_m: tuple[float, float], size: tuple[int, int]) -> View:
        m_per_px = max(shown * (1 + 2 * MARGIN_FRAC) / side for shown, side in zip(shown_m, size, strict=True))
        view, whole = np.array(size) * m_per_px, np.array(plan.size_m) + 2 * MARGIN_FRAC * min(shown_m)
        if (whole <= view + 1e-9).all():
            return View.around(0.0, 0.0, *view.tolist())
        if self._is_new(scene):
            self._begin(scene, view, whole)
        elif scene.step > self._step:
            self._step = scene.step
            if len(scene.robot_pose) == 1 and self._span == 1.0:
                self._follow(scene, view, whole)
        x, y = (np.round(self._middle / m_per_px) * m_per_px).tolist()
        return View.around(x, y, *(self._span * view).tolist())

    def _begin(self, scene: Scene, view: np.ndarray, whole: np.ndarray) -> None:
        points = np.concatenate([scene.robot_pose[:, :2], scene.goals.reshape(-1, 2), *scene.routes])
        low, high = points.min(axis=0), points.max(axis=0)
        around = max(_AROUND_M, _AROUND_FRAC * float((high - low).max()))
        low, high = low - around, high + around
        need = float(((np.minimum(high - low, whole)) / view).max())
        if need <= 1.0 or len(scene.robot_pose) > 1:
            self._span = max(1.0, need)
            self._middle = self._target = _inside(0.5 * (low + high), self._span * view, whole)
            return
        self._span, self._at = 1.0, None
        self._middle = self._target = self._ahead(scene, view, whole)

    def _follow(self, scene: Scene, view: np.ndarray, whole: np.ndarray) -> None:
        at = scene.robot_pose[0, :2].astype(np.float64)
        if (np.abs(at - self._middle) > 0.5 * view).any():  # some steps were left out
            self._middle = self._target = self._ahead(scene, view, whole)
            return
        out = np.abs(at - self._target) > _STAY_FRAC * view
        if out.any():
            self._target = np.where(out, self._ahead(scene, view, whole), self._target)
        self._at = at
        left = self._target - self._middle
        near = (np.abs(left) < 0.004 * view).all()
        self._middle = self._target if near else self._middle + _GLIDE_FRAC * left

    def _ahead(self, scene: Scene, view: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Return the middle of a view that has more room ahead of the robot than behind it."""
        x, y, yaw = scene.robot_pose[0].astype(np.float64).tolist()
        at, ahead = np.array([x, y]), np.array([math.cos(yaw), math.sin(yaw)])
        way = np.zeros(2) if self._at is None else at - self._at
        length = float(np.linalg.norm(way))
        return _inside(at + _AHEAD_FRAC * view * (way / length if length > _LEAST_WAY_M else ahead), view, whole)


def _inside(middle: np.ndarray, view: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the nearest middle of a view that shows no more outside of the map than it must."""
    room = np.maximum(0.5 * (whole - view), 0.0)
    return np.clip(middle, -room, room)
