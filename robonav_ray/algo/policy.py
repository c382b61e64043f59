"""Batched acting with published weights: what acts needs no torch.

What is linear in the head (dueling, the mean over quantiles, the mean over tau) is folded into it when weights are
loaded, so that acting is one product per layer.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.algo.exploration import parameter_noise
from robonav_ray.algo.forward import ROW_UNIT, categorical_means, dense, layer_norm_relu, perturb, perturb_head
from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.algo.parameters import first_dim, fold_head, mean_embedding, parameter_shapes, stacked
from robonav_ray.algo.ring_encoder import RingEncoder
from robonav_ray.algo.set_encoder import SetEncoder
from robonav_ray.algo.structure import Structure, encoded
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.records import PolicySnapshot

__all__ = ["Policy", "parameter_shapes"]


class Policy:
    """Q values and greedy actions of the newest weights that were loaded; all zeros (version 0) before the first
    ``load``.

    A policy with noisy layers acts with their means until ``resample_noise`` is called.
    """

    _encoder: RingEncoder | SetEncoder | None = None

    def __init__(self, obs_dim: int, num_actions: int, algo: AlgoConfig, structure: Structure | None = None) -> None:
        self.obs_dim = obs_dim
        self.num_actions = num_actions
        self._algo = algo
        self._shapes = parameter_shapes(obs_dim, num_actions, algo, structure)
        self._encoder = _make_encoder(algo, structure)
        dims = (first_dim(obs_dim, algo, structure), *algo.hidden_dims)
        self._num_outputs = num_actions * (algo.num_atoms if algo.distribution == "c51" else 1)
        sizes = list(zip(dims, (*dims[1:], self._num_outputs), strict=True))
        # A layer is (I + 1, O): weights, and the bias as the last row.
        self._means = [np.zeros((i + 1, o), np.float32) for i, o in sizes]
        self._sigmas: list[np.ndarray] = []
        self._norms: list[tuple[np.ndarray, np.ndarray]] = []
        self._gain = np.ones(dims[-1], np.float32)
        self._noise: np.ndarray | None = None
        self._use(self._means)
        self._buffers: list[np.ndarray] = []
        self._version = 0

    @property
    def version(self) -> int:
        """Version of the weights in use; 0 before the first ``load``."""
        return self._version

    @property
    def noise(self) -> np.ndarray | None:
        """The noise (F,) in use, by layer: of its inputs, then of its outputs; None where the means act."""
        return self._noise

    def takes(self, obs_dim: int) -> bool:
        """Whether it acts on observations of ``obs_dim`` columns: ``self.obs_dim``, or a set with more neighbours or
        fewer.
        """
        return obs_dim == self.obs_dim or (isinstance(self._encoder, SetEncoder) and self._encoder.form.fits(obs_dim))

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
        algo, hidden = self._algo, [f"hidden.{i}" for i in range(len(self._means) - 1)]
        if self._encoder is not None:
            self._encoder.load(arrays)
        if algo.layer_norm:
            self._norms = [
                (arrays[f"norm.{i}.weight"].astype(np.float32), arrays[f"norm.{i}.bias"].astype(np.float32))
                for i in range(len(hidden))
            ]
        if algo.distribution == "iqn":
            self._gain = mean_embedding(arrays["embedding.weight"], arrays["embedding.bias"], algo.num_acting_tau)
        head = fold_head(arrays["head.weight"], arrays["head.bias"], self._gain, algo)
        self._means = [stacked(arrays[f"{name}.weight"], arrays[f"{name}.bias"]) for name in hidden] + [head]
        if algo.noisy:
            self._sigmas = [
                stacked(arrays[f"{name}.weight_sigma"], arrays[f"{name}.bias_sigma"]) for name in (*hidden, "head")
            ]
            self._sigmas[-1] = self._sigmas[-1].reshape(len(head), -1, algo.values_per_action)
        self._use(self._means)
        self._perturb()
        self._version = snapshot.version

    def resample_noise(self, key: np.uint64, step: int) -> None:
        """Act with the noise of this vector step from now on: a function of (key, step) only. Nothing without noisy
        layers.
        """
        if not self._algo.noisy:
            return
        if self._noise is None:
            num_outputs = self._shapes["head.bias"][0]
            hidden = sum(sum(mean.shape) - 1 for mean in self._means[:-1])
            self._noise = np.empty(hidden + len(self._gain) + num_outputs, np.float32)
        parameter_noise(key, step, self._noise)
        self._perturb()

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """Return Q (B, A) float32 of ``obs`` (B, D) float32, as a new array. A row's bits do not depend on the other
        rows.
        """
        num_rows = len(obs)
        if num_rows == 0:
            return np.zeros((0, self.num_actions), np.float32)
        padded = -(-num_rows // ROW_UNIT) * ROW_UNIT
        if not self._buffers or len(self._buffers[0]) < padded:
            self._buffers = [np.empty((padded, len(bias)), np.float32) for bias in self._biases]
        x = np.ascontiguousarray(obs, dtype=np.float32)
        if self._encoder is not None:
            x = self._encoder(x)
        last = len(self._weights) - 1
        for i in range(last + 1):
            out = self._buffers[i][:padded]
            dense(x, self._weights[i], self._biases[i], i < last and not self._norms, out)
            if self._norms and i < last:
                layer_norm_relu(out, *self._norms[i])
            x = out
        if self._algo.distribution == "c51":
            q = np.empty((num_rows, self.num_actions), np.float32)
            categorical_means(x, self._algo.v_min, self._algo.v_max, q)
            return q
        return x[:num_rows].copy()

    def representation(self, obs: np.ndarray) -> np.ndarray:
        """Return what the first hidden layer makes of ``obs`` (B, D) float32: (B, H) float32, a new array."""
        num_rows = len(obs)
        x = np.ascontiguousarray(obs, dtype=np.float32)
        if self._encoder is not None:
            x = self._encoder(x)
        out = np.empty((-(-num_rows // ROW_UNIT) * ROW_UNIT, len(self._biases[0])), np.float32)
        dense(x, self._weights[0], self._biases[0], not self._norms, out)
        if self._norms:
            layer_norm_relu(out, *self._norms[0])
        return out[:num_rows]

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """Return argmax_a Q (B,) int32; ties go to the lowest index."""
        return self.q_values(obs).argmax(axis=1).astype(np.int32)

    def _use(self, layers: list[np.ndarray]) -> None:
        self._layers = layers
        self._weights, self._biases = [layer[:-1] for layer in layers], [layer[-1] for layer in layers]

    def _perturb(self) -> None:
        """Act with the means as the noise in use changes them."""
        if self._noise is None or not self._sigmas:
            return
        if self._layers[0] is self._means[0]:
            self._use([np.empty_like(mean) for mean in self._means])
        used = 0
        for mean, sigma, out in zip(self._means, self._sigmas, self._layers, strict=True):
            num_inputs, outputs = len(mean) - 1, sigma.shape[1:]
            of_input = self._noise[used : used + num_inputs]
            used += num_inputs + int(np.prod(outputs))
            of_output = self._noise[used - int(np.prod(outputs)) : used]
            if len(outputs) == 1:
                perturb(mean, sigma, of_input, of_output, out)
            else:
                perturb_head(mean, sigma, of_input, of_output.reshape(outputs), self._gain, self._algo.dueling, out)


def _make_encoder(algo: AlgoConfig, structure: Structure | None) -> RingEncoder | SetEncoder | None:
    part = encoded(algo, structure)
    if part is None:
        return None
    return SetEncoder(part, algo) if isinstance(part, NeighborSet) else RingEncoder(part, algo)
