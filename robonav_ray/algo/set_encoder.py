"""A set of neighbours for batched acting: the items that exist, one dense product for each layer, and the pooling."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from robonav_ray.algo.forward import ROW_UNIT, dense
from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.compiled import njit
from robonav_ray.config.algo import AlgoConfig

_ZERO = np.float32(0.0)


@njit()
def gather_items(obs: np.ndarray, own: int, item_size: int, presence: int, out: np.ndarray, count: np.ndarray) -> int:
    """Write the own part and the item, for every item that exists, row behind row; return how many there are.

    Args:
        obs: (B, own + M * item_size) float32.
        own: Columns of the own part.
        item_size: Columns of an item.
        presence: Column of an item that is above 0 where it exists.
        out: (B * M, own + item_size) float32; the first so many rows are written.
        count: (B,) int64, written: items of each row.
    """
    written = 0
    for b in range(obs.shape[0]):
        begin = written
        for at in range(own, obs.shape[1], item_size):
            if obs[b, at + presence] > _ZERO:
                for i in range(own):
                    out[written, i] = obs[b, i]
                for i in range(item_size):
                    out[written, own + i] = obs[b, at + i]
                written += 1
        count[b] = written - begin
    return written


@njit(error_model="numpy")
def pool_mean_and_max(item: np.ndarray, count: np.ndarray, out: np.ndarray) -> None:
    """Write the mean and the greatest of each row's items (Zaheer et al. 2017, eq. 2); zeros where a row has none.

    The sum is one of float64, so that in float32 the order of the items shows at most in the last bit, and hardly ever.

    Args:
        item: (at least sum of count, H) float32, none below 0; a row's items lie together.
        count: (B,) int64.
        out: (B, 2 H) float32, written: means, then the greatest.
    """
    width = item.shape[1]
    total = np.empty(width, np.float64)
    first = 0
    for b in range(count.shape[0]):
        total[:] = 0.0
        out[b, :] = _ZERO
        for j in range(first, first + count[b]):
            for h in range(width):
                total[h] += item[j, h]
                out[b, width + h] = max(out[b, width + h], item[j, h])
        if count[b] > 0:
            share = 1.0 / count[b]
            for h in range(width):
                out[b, h] = np.float32(total[h] * share)
        first += count[b]


@njit(fastmath={"contract", "reassoc"}, error_model="numpy")
def scores_of(item: np.ndarray, query: np.ndarray, count: np.ndarray, score: np.ndarray) -> None:
    """Write q . h / sqrt(H) of every item h and the query q of its row (Vaswani et al. 2017, eq. 1).

    Args:
        item: (at least sum of count, H) float32; a row's items lie together.
        query: (at least B, H) float32.
        count: (B,) int64.
        score: (at least sum of count,) float64, written.
    """
    width = item.shape[1]
    scale = 1.0 / np.sqrt(np.float64(width))
    first = 0
    for b in range(count.shape[0]):
        for j in range(first, first + count[b]):
            product = 0.0
            for h in range(width):
                product += np.float64(item[j, h]) * np.float64(query[b, h])
            score[j] = product * scale
        first += count[b]


@njit(error_model="numpy")
def pool_by_attention(item: np.ndarray, score: np.ndarray, count: np.ndarray, out: np.ndarray) -> None:
    """Write each row's sum of items, weighted by the softmax of their scores; zeros where a row has none.

    Args:
        item: (at least sum of count, H) float32; a row's items lie together.
        score: (at least sum of count,) float64.
        count: (B,) int64.
        out: (B, H) float32, written.
    """
    width = item.shape[1]
    total = np.empty(width, np.float64)
    first = 0
    for b in range(count.shape[0]):
        last = first + count[b]
        top, mass = -np.inf, 0.0
        for j in range(first, last):
            top = max(top, score[j])
        total[:] = 0.0
        for j in range(first, last):
            weight = np.exp(score[j] - top)
            mass += weight
            for h in range(width):
                total[h] += weight * item[j, h]
        for h in range(width):
            out[b, h] = np.float32(total[h] / mass) if last > first else _ZERO
        first = last


class SetEncoder:
    """What ``set_layers.SetLayers`` computes, in NumPy and Numba; a row's bits do not depend on the other rows.

    It takes observations with any number of items.
    """

    def __init__(self, neighbors: NeighborSet, algo: AlgoConfig) -> None:
        self.form, self._pooled = neighbors, algo.pooled_dim
        dims = (neighbors.own + neighbors.item_size, *algo.set_dims)
        self._weights = [np.zeros((i, o), np.float32) for i, o in pairwise(dims)]
        self._biases = [np.zeros(o, np.float32) for o in dims[1:]]
        self._query: tuple[np.ndarray, np.ndarray] | None = None
        if algo.encoder == "attention":
            self._query = np.zeros((neighbors.own, dims[-1]), np.float32), np.zeros(dims[-1], np.float32)
        self._outputs: list[np.ndarray] = []
        self._items = np.empty((0, dims[0]), np.float32)

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over the weights ``items.layers.i`` and ``items.query``; their names and shapes are right."""
        for i in range(len(self._weights)):
            self._weights[i], self._biases[i] = _layer(arrays, f"items.layers.{i}")
        if self._query is not None:
            self._query = _layer(arrays, "items.query")

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Return (B, own + pooled) float32 of ``obs`` (B, D): the own part, then what the pooling leaves of the
        items.

        Raises:
            ValueError: When D is not the own part and whole items: kernels would read beyond a row.
        """
        if not self.form.fits(obs.shape[1]):
            raise ValueError(
                f"an observation has {obs.shape[1]} columns, and not {self.form.own} and a multiple of "
                f"{self.form.item_size}"
            )
        num_rows, own = len(obs), self.form.own
        most = num_rows * ((obs.shape[1] - own) // self.form.item_size)
        if most > len(self._items):
            self._items = np.empty((most, self._items.shape[1]), np.float32)
            self._outputs = [np.empty((-(-most // ROW_UNIT) * ROW_UNIT, len(b)), np.float32) for b in self._biases]
        count = np.empty(num_rows, np.int64)
        num_items = gather_items(obs, own, self.form.item_size, self.form.presence, self._items, count)
        x, padded = self._items[:num_items], -(-num_items // ROW_UNIT) * ROW_UNIT
        for weight, bias, output in zip(self._weights, self._biases, self._outputs, strict=True):
            if num_items:
                dense(x, weight, bias, True, output[:padded])
            x = output[:num_items]
        pooled = np.empty((num_rows, self._pooled), np.float32)
        self._pool(x, obs[:, :own], count, pooled)
        return np.concatenate((obs[:, :own], pooled), axis=1)

    def _pool(self, item: np.ndarray, own: np.ndarray, count: np.ndarray, out: np.ndarray) -> None:
        if self._query is None:
            pool_mean_and_max(item, count, out)
            return
        weight, bias = self._query
        query = np.empty((-(-len(own) // ROW_UNIT) * ROW_UNIT, len(bias)), np.float32)
        dense(np.ascontiguousarray(own), weight, bias, False, query)
        score = np.empty(len(item), np.float64)
        scores_of(item, query, count, score)
        pool_by_attention(item, score, count, out)


def _layer(arrays: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    weight = np.ascontiguousarray(arrays[f"{name}.weight"].T, dtype=np.float32)
    return weight, arrays[f"{name}.bias"].astype(np.float32)
