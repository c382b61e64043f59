"""Convolutions around a lidar's circle for batched acting: patches, and one dense product for each layer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from robonav_ray.algo.forward import ROW_UNIT, dense, ring_patches
from robonav_ray.algo.lidar_ring import LidarRing
from robonav_ray.config.algo import AlgoConfig


class RingEncoder:
    """What ``networks.LidarConv`` computes, in NumPy and Numba; a row's bits do not depend on the other rows."""

    def __init__(self, ring: LidarRing, algo: AlgoConfig) -> None:
        self._ring, self._kernel, self._stride = ring, algo.conv_kernel, algo.conv_stride
        self._channels = (ring.num_scans, *algo.conv_channels)
        self._places = algo.ring_lengths(ring.num_beams)
        self._weights = [np.zeros((i * self._kernel, o), np.float32) for i, o in pairwise(self._channels)]
        self._biases = [np.zeros(o, np.float32) for o in self._channels[1:]]
        self._rows = 0
        self._patches: list[np.ndarray] = []
        self._outputs: list[np.ndarray] = []

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over the weights ``conv.layers.i``; their names and shapes are right."""
        for i in range(len(self._weights)):
            weight = arrays[f"conv.layers.{i}.weight"]
            self._weights[i] = np.ascontiguousarray(weight.reshape(len(weight), -1).T, dtype=np.float32)
            self._biases[i] = arrays[f"conv.layers.{i}.bias"].astype(np.float32)

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Return (B, places * channels + D - ring.size) float32 of ``obs`` (B, D): places in order, then what is no
        scan.
        """
        num_rows, ring = len(obs), self._ring
        if num_rows > self._rows:
            self._allocate(num_rows)
        x, start, channel_stride, place_stride = obs, ring.start, ring.num_beams, 1
        for i, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            count = num_rows * self._places[i + 1]
            patches, out = self._patches[i][:count], self._outputs[i][: -(-count // ROW_UNIT) * ROW_UNIT]
            ring_patches(
                x,
                start,
                channel_stride,
                place_stride,
                self._channels[i],
                self._places[i],
                self._kernel,
                self._stride,
                patches,
            )
            dense(patches, weight, bias, True, out)
            x = out[:count].reshape(num_rows, -1)
            start, channel_stride, place_stride = 0, 1, self._channels[i + 1]
        return np.concatenate((x, obs[:, : ring.start], obs[:, ring.start + ring.size :]), axis=1)

    def _allocate(self, num_rows: int) -> None:
        self._rows = num_rows
        counts = [num_rows * places for places in self._places[1:]]
        self._patches = [np.empty((n, w.shape[0]), np.float32) for n, w in zip(counts, self._weights, strict=True)]
        self._outputs = [
            np.empty((-(-n // ROW_UNIT) * ROW_UNIT, w.shape[1]), np.float32)
            for n, w in zip(counts, self._weights, strict=True)
        ]
