"""Names and shapes of a network's parameters, and how they are folded for acting; in NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.algo.structure import Structure, encoded
from robonav_ray.config.algo import AlgoConfig


def first_dim(obs_dim: int, algo: AlgoConfig, structure: Structure | None) -> int:
    """Return the inputs of the first hidden layer: the observation, or what the encoder leaves of it.

    Raises:
        ValueError: When the encoder needs another structure than there is.
    """
    part = encoded(algo, structure)
    if part is None:
        return obs_dim
    if isinstance(part, NeighborSet):
        return part.own + algo.pooled_dim
    return obs_dim - part.size + algo.ring_lengths(part.num_beams)[-1] * algo.conv_channels[-1]


def parameter_shapes(
    obs_dim: int, num_actions: int, algo: AlgoConfig, structure: Structure | None = None
) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the network's parameters."""
    shapes = _encoder_shapes(algo, encoded(algo, structure))
    dims = (first_dim(obs_dim, algo, structure), *algo.hidden_dims)
    for i, (fan_in, fan_out) in enumerate(pairwise(dims)):
        shapes |= _dense_shapes(f"hidden.{i}", fan_in, fan_out, algo.noisy)
    for i, width in enumerate(algo.hidden_dims if algo.layer_norm else ()):
        shapes |= {f"norm.{i}.weight": (width,), f"norm.{i}.bias": (width,)}
    if algo.distribution == "iqn":
        shapes |= {"embedding.weight": (dims[-1], algo.tau_embedding_dim), "embedding.bias": (dims[-1],)}
    return shapes | _dense_shapes("head", dims[-1], (num_actions + algo.dueling) * algo.values_per_action, algo.noisy)


def _encoder_shapes(algo: AlgoConfig, part: Structure | None) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    if isinstance(part, NeighborSet):
        dims = (part.own + part.item_size, *algo.set_dims)
        for i, (fan_in, fan_out) in enumerate(pairwise(dims)):
            shapes |= _dense_shapes(f"items.layers.{i}", fan_in, fan_out, noisy=False)
        if algo.encoder == "attention":
            shapes |= _dense_shapes("items.query", part.own, dims[-1], noisy=False)
    elif part is not None:
        for i, (fan_in, fan_out) in enumerate(pairwise((part.num_scans, *algo.conv_channels))):
            shapes |= {
                f"conv.layers.{i}.weight": (fan_out, fan_in, algo.conv_kernel),
                f"conv.layers.{i}.bias": (fan_out,),
            }
    return shapes


def _dense_shapes(name: str, fan_in: int, fan_out: int, noisy: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": (fan_out, fan_in), f"{name}.bias": (fan_out,)}
    return shapes | ({f"{name}.weight_sigma": (fan_out, fan_in), f"{name}.bias_sigma": (fan_out,)} if noisy else {})


def fold_dueling(head: np.ndarray) -> np.ndarray:
    """Return (A, ...) rows V + A_a - mean(A) of a dueling head (A + 1, ...) whose first row is V (Wang et al. 2016, eq.
    9).
    """
    wide = head.astype(np.float64)
    return (wide[0] + wide[1:] - wide[1:].mean(axis=0)).astype(np.float32)


def fold_head(weight: np.ndarray, bias: np.ndarray, gain: np.ndarray, algo: AlgoConfig) -> np.ndarray:
    """Return the head for acting, (I + 1, A * Y) float32 with the bias as last row: one product for every kind of
    network.

    Dueling, the mean over quantiles and the mean embedding of tau (``gain``) are linear in the head, so they are folded
    into it. Only the atoms of c51 are kept side by side (Y = Z, else 1).

    Args:
        weight: (P * Z, I); P is A + 1 when dueling, else A.
        bias: (P * Z,).
        gain: (I,) factor on the inputs; ones but for iqn.
        algo: The switches.
    """
    values = algo.values_per_action
    folded = []
    for part in (weight * gain, bias):
        rows = part.reshape(-1, values, *part.shape[1:])
        rows = fold_dueling(rows) if algo.dueling else rows
        if algo.distribution != "c51":
            rows = rows.mean(axis=1, dtype=np.float64)
        folded.append(rows.reshape(-1, *part.shape[1:]))
    return stacked(folded[0], folded[1])


def stacked(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return (I + 1, O) float32, row by row in memory: a layer's weights (O, I) transposed, and its bias (O,) as the
    last row.
    """
    layer = np.empty((weight.shape[1] + 1, weight.shape[0]), np.float32)
    layer[:-1], layer[-1] = weight.T, bias
    return layer


def mean_embedding(weight: np.ndarray, bias: np.ndarray, num_tau: int) -> np.ndarray:
    """Return the mean over ``num_tau`` midpoints of relu(W cos(pi i tau) + b), (H,) float32 (Dabney et al. 2018b, eq.
    4).
    """
    tau = (np.arange(num_tau) + 0.5) / num_tau
    cosines = np.cos(np.pi * np.arange(weight.shape[1])[:, None] * tau)
    return np.maximum(weight.astype(np.float64) @ cosines + bias[:, None], 0.0).mean(axis=1).astype(np.float32)
