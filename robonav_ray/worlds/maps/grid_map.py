"""A floor plan as a grid of cells."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class GridMap:
    """A floor plan: H rows of W cells, row 0 the lowest.

    Two frames: the *map frame* is the one of map_server, in which ``origin`` is given and a goal on a real robot. The
    *world frame*, in which the simulator computes, has the same scale, its axes along the grid's, and its origin in
    the middle of the grid.
    """

    name: str
    """By which it is shown: the file's name, or the generator's kind and number."""
    occupied: np.ndarray
    """(H, W) bool: where nothing can be; unknown cells are in it where the config says so."""
    unknown: np.ndarray
    """(H, W) bool: cells that the map says nothing of."""
    resolution_m: float
    """Side of a cell."""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Pose of the lower left corner in the map frame: x (m), y (m), yaw (rad)."""

    @property
    def size_m(self) -> tuple[float, float]:
        """Width (along x) and height (along y) in metres."""
        rows, columns = self.occupied.shape
        return columns * self.resolution_m, rows * self.resolution_m

    @cached_property
    def content(self) -> str:
        """Hash over what the geometry depends on: cells, their state and side."""
        digest = hashlib.sha256(f"{self.occupied.shape} {self.resolution_m!r}\n".encode())
        digest.update(np.packbits(self.occupied).tobytes())
        return digest.hexdigest()

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Return (..., 2) float64 points of the map frame in the world frame."""
        x, y, yaw = self.origin
        c, s = np.cos(yaw), np.sin(yaw)
        offset = np.asarray(points, np.float64) - np.array((x, y))
        turned = np.stack([c * offset[..., 0] + s * offset[..., 1], c * offset[..., 1] - s * offset[..., 0]], axis=-1)
        return turned - 0.5 * np.array(self.size_m)

    def to_map(self, points: np.ndarray) -> np.ndarray:
        """Return (..., 2) float64 points of the world frame in the map frame."""
        x, y, yaw = self.origin
        c, s = np.cos(yaw), np.sin(yaw)
        offset = np.asarray(points, np.float64) + 0.5 * np.array(self.size_m)
        turned = np.stack([c * offset[..., 0] - s * offset[..., 1], s * offset[..., 0] + c * offset[..., 1]], axis=-1)
        return turned + np.array((x, y))

    def cell_of(self, points: np.ndarray) -> np.ndarray:
        """Return (..., 2) int64 (row, column) of points of the world frame; outside of the grid where they are."""
        columns = np.floor((np.asarray(points, np.float64) + 0.5 * np.array(self.size_m)) / self.resolution_m)
        return columns[..., ::-1].astype(np.int64)

    def centre_of(self, cells: np.ndarray) -> np.ndarray:
        """Return (..., 2) float64 points of the world frame in the middle of (row, column) cells."""
        return (np.asarray(cells)[..., ::-1] + 0.5) * self.resolution_m - 0.5 * np.array(self.size_m)
