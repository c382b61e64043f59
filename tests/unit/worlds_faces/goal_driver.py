"""A driver that turns to its goal and goes: reads the goal's bearing from a lidar observation."""

import numpy as np


def straight_to_the_goal(obs):
    """(N, D) -> (N,) actions of discrete15."""
    cos, sin = obs[:, -11], obs[:, -10]
    bearing = np.arctan2(sin, cos)
    turn = np.clip(np.round(bearing / 0.3), -2, 2).astype(np.int64) + 2
    speed = np.where(np.abs(bearing) < 0.8, 2, 0)
    return speed * 5 + turn
