"""The slow twin of the map reader: what nav2_map_server's ``loadMapFromFile`` does, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np


def occupancy_twin(
    grey: np.ndarray, alpha: np.ndarray | None, mode: str, negate: bool, occupied_thresh: float, free_thresh: float
) -> np.ndarray:
    """Return (H, W) int8 occupancy, row 0 the lowest, of grey values and alpha (H, W) uint8."""
    height, width = grey.shape
    out = np.zeros((height, width), np.int8)
    for y in range(height):
        for x in range(width):
            value = int(grey[y, x])
            likely = np.float32(value) / np.float32(255)
            likely = float(likely if negate else np.float32(1) - likely)
            if mode == "raw":
                cell = value if value <= 100 else -1
            elif alpha is not None and alpha[y, x] < 255:
                cell = -1
            elif likely <= free_thresh:
                cell = 0
            elif likely >= occupied_thresh:
                cell = 100
            elif mode == "scale":
                cell = math.floor((likely - free_thresh) / (occupied_thresh - free_thresh) * 100 + 0.5)
            else:
                cell = -1
            out[height - 1 - y, x] = cell
    return out
