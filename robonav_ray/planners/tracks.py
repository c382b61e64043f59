"""What a tracker remembers, and the columns of a track."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MAX_TRACKS = 16
"""Circles that a robot keeps in mind at most."""
CIRCLE_COLS = 5
"""Columns of what is told of a circle: x, y, v_x, v_y, radius."""
T_X, T_Y, T_VX, T_VY, T_RADIUS, T_AGE, T_MISSED, T_COV = 0, 1, 2, 3, 4, 5, 6, 7
TRACK_COLS = T_COV + 25


class TrackerState(NamedTuple):
    """What a tracker remembers; L lanes, K tracks, B beams."""

    pose: np.ndarray
    """(L, 4) float32: x, y, cos, sin by odometry since the episode began."""
    track: np.ndarray
    """(L, K, 32) float32: x, y, v_x, v_y, radius, age (0: no track), steps missed, covariance (5, 5)."""
    point: np.ndarray
    """(B, 4) float32, scratch; see ``walls.py``."""
    line: np.ndarray
    """(12, 4) float32, scratch: the walls of a scan."""
    beam: np.ndarray
    """(2, B) float32: cos and sin of the beam angles."""
    circle: np.ndarray
    """(L, K, CIRCLE_COLS) float32: the circles now, in the body frame."""
    num_circles: np.ndarray
    """(L,) int64."""
    fixed: np.ndarray
    """(L, 2 B + P, 2) float32: points of what stands still, in the body frame, and those half-way between on a wall."""
    num_fixed: np.ndarray
    """(L,) int64."""
    mount: np.ndarray
    """(5,) float32: where the lidar is in the body frame, cos and sin of where it looks to, and the cosine of half of
    its field of view."""
    past: np.ndarray
    """(L, P, 2) float32: points that the lidar has lost sight of, in the frame of the odometry; P is 0 where it looks
    all around, or there is no map."""
    num_past: np.ndarray
    """(L,) int64: how many were written; the oldest go first."""
