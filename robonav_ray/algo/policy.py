"""Batched acting with published weights: what acts needs no torch.

A dueling head is folded into the last layer when weights are loaded (Q = V + A - mean(A) is linear in the head), so that
acting is one product per layer.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from robonav_ray.algo.forward import ROW_UNIT, dense
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.records import PolicySnapshot


def parameter_shapes(obs_dim: int, num_actions: int, algo: AlgoConfig) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the network's parameters, in the order of its ``state_dict``."""
    dims = (obs_dim, *algo.hidden_dims)
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (fan_in, fan_out) in enumerate(pairwise(dims)):
        shapes[f"hidden.{i}.weight"] = (fan_out, fan_in)
        shapes[f"hidden.{i}.bias"] = (fan_out,)
    rows = num_actions + 1 if algo.dueling else num_actions
    return shapes | {"head.weight": (rows, dims[-1]), "head.bias": (rows,)}


def fold_dueling(head: np.ndarray) -> np.ndarray:
    """Return (A, ...) rows V + A_a - mean(A) of a dueling head (A + 1, ...) whose first row is V (Wang et al. 2016, eq. 9)."""
    wide = head.astype(np.float64)
    return (wide[0] + wide[1:] - wide[1:].mean(axis=0)).astype(np.float32)


class Policy:
    """Q values and greedy actions of the newest weights that were loaded; all zeros (version 0) before the first ``load``."""

    def __init__(self, obs_dim: int, num_actions: int, algo: AlgoConfig) -> None:
        self.obs_dim = obs_dim
        self.num_actions = num_actions
        self._dueling = algo.dueling
        self._shapes = parameter_shapes(obs_dim, num_actions, algo)
        dims = (obs_dim, *algo.hidden_dims, num_actions)
        self._weights = [np.zeros((i, o), np.float32) for i, o in pairwise(dims)]
        self._biases = [np.zeros(o, np.float32) for o in dims[1:]]
        self._buffers: list[np.ndarray] = []
        self._version = 0

    @property
    def version(self) -> int:
        """Version of the weights in use; 0 before the first ``load``."""
        return self._version

    def load(self, snapshot: PolicySnapshot) -> None:
        """Take the weights over (they are copied).

        Raises:
            ValueError: When a name or a shape is not this network's; nothing is changed then.
        """
        arrays = dict(zip(snapshot.names, snapshot.arrays, strict=True))
        found = {name: array.shape for name, array in arrays.items()}
        if found != self._shapes:
            wrong = sorted(set(found.items()) ^ set(self._shapes.items()))
            raise ValueError(f"the weights do not fit the network of this config; they differ in {wrong}")
        prefixes = [f"hidden.{i}" for i in range(len(self._weights) - 1)] + ["head"]
        for i, prefix in enumerate(prefixes):
            weight, bias = arrays[f"{prefix}.weight"], arrays[f"{prefix}.bias"]
            if prefix == "head" and self._dueling:
                weight, bias = fold_dueling(weight), fold_dueling(bias)
            self._weights[i] = np.ascontiguousarray(weight.T, dtype=np.float32)
            self._biases[i] = np.array(bias, dtype=np.float32)
        self._version = snapshot.version

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """Return Q (B, A) float32 of ``obs`` (B, D) float32, as a new array. A row's bits do not depend on the other rows."""
        num_rows = len(obs)
        if num_rows == 0:
            return np.zeros((0, self.num_actions), np.float32)
        padded = -(-num_rows // ROW_UNIT) * ROW_UNIT
        if not self._buffers or len(self._buffers[0]) < padded:
            self._buffers = [np.empty((padded, len(bias)), np.float32) for bias in self._biases]
        x = np.ascontiguousarray(obs, dtype=np.float32)
        last = len(self._weights) - 1
        for i in range(last + 1):
            out = self._buffers[i][:padded]
            dense(x, self._weights[i], self._biases[i], i < last, out)
            x = out
        return x[:num_rows].copy()

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """Return argmax_a Q (B,) int32; ties go to the lowest index."""
        return self.q_values(obs).argmax(axis=1).astype(np.int32)
