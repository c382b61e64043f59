"""Slow, obvious twins of what robonav_ray.algo and robonav_ray.learner compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    obs: np.ndarray
    action: int
    reward: float
    next_obs: np.ndarray
    discount: float
    policy_version: int
    priority: float


@dataclass
class NaiveNStepLane:
    """One lane's windows as a plain list of steps; written when the following Q is known."""

    n_step: int
    gamma: float
    steps: list[tuple] = field(default_factory=list)

    def _row(self, steps: list[tuple], next_obs: np.ndarray, next_q: float, terminated: bool) -> Row:
        total = sum(self.gamma**i * float(step[2]) for i, step in enumerate(steps))
        discount = 0.0 if terminated else self.gamma ** len(steps)
        obs, action, _, q_taken, version = steps[0]
        return Row(obs, action, total, next_obs, discount, version, abs(total + discount * next_q - q_taken))

    def push(
        self, obs, action, reward, terminated, truncated, q_taken, q_max, final_obs, final_q_max, version
    ) -> list[Row]:
        rows = []
        if len(self.steps) == self.n_step:
            rows.append(self._row(self.steps, obs.copy(), float(q_max), False))
            self.steps = self.steps[1:]
        self.steps.append((obs.copy(), int(action), float(reward), float(q_taken), version))
        if terminated or truncated:
            while self.steps:
                rows.append(
                    self._row(self.steps, final_obs.copy(), 0.0 if terminated else float(final_q_max), bool(terminated))
                )
                self.steps = self.steps[1:]
        return rows


def naive_forward(arrays: dict[str, np.ndarray], obs: np.ndarray, dueling: bool) -> np.ndarray:
    """Q values in float64, row by row and layer by layer."""
    num_hidden = sum(name.startswith("hidden") for name in arrays) // 2
    out = []
    for row in obs.astype(np.float64):
        x = row
        for i in range(num_hidden):
            x = np.maximum(arrays[f"hidden.{i}.weight"].astype(np.float64) @ x + arrays[f"hidden.{i}.bias"], 0.0)
        x = arrays["head.weight"].astype(np.float64) @ x + arrays["head.bias"]
        out.append(x[0] + x[1:] - x[1:].mean() if dueling else x)
    return np.array(out)


def naive_td_target(reward, discount, next_online, next_target, double: bool) -> np.ndarray:
    """(Double) Q target, one row at a time."""
    out = []
    for r, d, online, target in zip(reward, discount, next_online, next_target, strict=True):
        value = target[int(np.argmax(online))] if double else max(target)
        out.append(r + d * value)
    return np.array(out)


def naive_huber(error: float, delta: float) -> float:
    return 0.5 * error * error if abs(error) <= delta else delta * (abs(error) - 0.5 * delta)


def naive_adam_step(param, grad, m, v, step, lr, eps, beta1=0.9, beta2=0.999):
    """Kingma and Ba 2015, algorithm 1, in float64; returns (param, m, v)."""
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad * grad
    return param - lr * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps), m, v


def naive_projection(reward, discount, next_probability, v_min, v_max) -> np.ndarray:
    """Bellemare et al. 2017, algorithm 1, one atom at a time."""
    num_atoms = next_probability.shape[1]
    support = np.linspace(v_min, v_max, num_atoms)
    gap = (v_max - v_min) / (num_atoms - 1)
    out = np.zeros(next_probability.shape)
    for row in range(len(reward)):
        for j in range(num_atoms):
            place = (min(max(float(reward[row]) + float(discount[row]) * support[j], v_min), v_max) - v_min) / gap
            for i in range(num_atoms):  # eq. 7: [1 - |T z_j - z_i| / gap] clipped to [0, 1]
                out[row, i] += min(max(1.0 - abs(place - i), 0.0), 1.0) * next_probability[row, j]
    return out


def naive_softmax(x) -> np.ndarray:
    mass = np.exp(np.asarray(x, np.float64) - np.max(x))
    return mass / mass.sum()


def naive_quantile_huber(quantile, tau, target, kappa) -> float:
    """Dabney et al. 2018b, eq. 3, of one row: sum over quantiles, mean over targets."""
    total = 0.0
    for theta, fraction in zip(quantile, tau, strict=True):
        for y in target:
            u = float(y) - float(theta)
            total += abs(float(fraction) - (1.0 if u < 0 else 0.0)) * naive_huber(u, kappa) / kappa / len(target)
    return total


def naive_log_policy(q, tau) -> np.ndarray:
    """tau * log softmax(q / tau) of one row."""
    return tau * np.log(np.maximum(naive_softmax(np.asarray(q, np.float64) / tau), 1e-300))


def naive_munchausen_value(q, tau) -> float:
    """sum_a pi(a) (q(a) - tau log pi(a)) of one row; equal to tau log sum exp(q / tau)."""
    log_policy = naive_log_policy(q, tau)
    return sum(p * (value - lp) for p, value, lp in zip(naive_softmax(np.asarray(q) / tau), q, log_policy, strict=True))


def naive_layers(arrays, obs, algo, noise=None, structure=None) -> np.ndarray:
    """The head's outputs (B, P * Z) (for iqn: the last hidden layer's), in float64, layer by layer, every weight
    perturbed by hand."""
    used = 0
    x = np.asarray(obs, np.float64)
    if algo.encoder != "mlp":
        naive = naive_set if algo.encoder in ("deep_set", "attention") else naive_ring
        x = np.stack([naive(arrays, row, algo, structure) for row in x])
    names = [f"hidden.{i}" for i in range(len(algo.hidden_dims))] + ([] if algo.distribution == "iqn" else ["head"])
    for i, name in enumerate(names):
        weight, bias = arrays[f"{name}.weight"].astype(np.float64), arrays[f"{name}.bias"].astype(np.float64)
        if noise is not None:
            of_input, of_output = np.split(noise[used : used + sum(weight.shape)], [weight.shape[1]])
            used += sum(weight.shape)
            for o in range(weight.shape[0]):
                bias[o] += arrays[f"{name}.bias_sigma"][o] * of_output[o]
                weight[o] += arrays[f"{name}.weight_sigma"][o] * of_output[o] * of_input
        x = x @ weight.T + bias
        if name != "head":
            if algo.layer_norm:
                x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
                x = x * arrays[f"norm.{i}.weight"] + arrays[f"norm.{i}.bias"]
            x = np.maximum(x, 0.0)
    return x


def naive_ring(arrays, row, algo, ring) -> np.ndarray:
    """Convolutions around the circle of one observation, place by place."""
    x = row[ring.start : ring.start + ring.size].reshape(ring.num_scans, ring.num_beams)
    for layer in range(len(algo.conv_channels)):
        weight, bias = arrays[f"conv.layers.{layer}.weight"], arrays[f"conv.layers.{layer}.bias"]
        places = range(0, x.shape[1], algo.conv_stride)
        out = np.zeros((len(weight), len(places)))
        for o in range(len(weight)):
            for i, middle in enumerate(places):
                seen = [(middle + j - algo.conv_kernel // 2) % x.shape[1] for j in range(algo.conv_kernel)]
                out[o, i] = max(0.0, bias[o] + sum(float(weight[o, c] @ x[c, seen]) for c in range(x.shape[0])))
        x = out
    return np.concatenate((x.T.ravel(), row[: ring.start], row[ring.start + ring.size :]))


def naive_set(arrays, row, algo, neighbors) -> np.ndarray:
    """The neighbours of one observation, one by one, then pooled; by attention, or by mean and maximum."""
    own, outputs = row[: neighbors.own], []
    for item in row[neighbors.own :].reshape(-1, neighbors.item_size):
        if item[neighbors.presence] > 0:
            x = np.concatenate((own, item))
            for i in range(len(algo.set_dims)):
                x = np.maximum(arrays[f"items.layers.{i}.weight"] @ x + arrays[f"items.layers.{i}.bias"], 0.0)
            outputs.append(x)
    if not outputs:
        return np.concatenate((own, np.zeros(algo.pooled_dim)))
    if algo.encoder == "deep_set":
        return np.concatenate((own, np.mean(outputs, axis=0), np.max(outputs, axis=0)))
    query = arrays["items.query.weight"] @ own + arrays["items.query.bias"]
    weight = naive_softmax([query @ x / np.sqrt(len(x)) for x in outputs])
    return np.concatenate((own, weight @ np.stack(outputs)))


def naive_iqn(arrays, features, tau, num_actions, dueling) -> np.ndarray:
    """Quantile values (B, A, N) of iqn at tau (B, N): cosines, embedding, product, head (without noise)."""
    out = np.zeros((len(features), num_actions, tau.shape[1]))
    for b in range(len(features)):
        for j, fraction in enumerate(tau[b]):
            cosines = np.array([np.cos(np.pi * i * fraction) for i in range(arrays["embedding.weight"].shape[1])])
            embedded = np.maximum(arrays["embedding.weight"] @ cosines + arrays["embedding.bias"], 0.0)
            x = arrays["head.weight"] @ (features[b] * embedded) + arrays["head.bias"]
            out[b, :, j] = x[0] + x[1:] - x[1:].mean() if dueling else x
    return out


def n_step_return(reward: np.ndarray, gamma: float) -> float:
    """Return R = sum_i gamma**i r_i of ``reward`` (n,) (Sutton 1988)."""
    return float(np.dot(gamma ** np.arange(len(reward)), reward.astype(np.float64)))


def bootstrap_discount(num_steps: np.ndarray, terminated: np.ndarray, gamma: float) -> np.ndarray:
    """Return gamma**n, and 0 after a true termination (never after truncation), float32."""
    return np.where(terminated, 0.0, gamma ** np.asarray(num_steps, dtype=np.float64)).astype(np.float32)


def initial_priority(
    reward: np.ndarray, discount: np.ndarray, next_q_max: np.ndarray, q_taken: np.ndarray
) -> np.ndarray:
    """Return |R + discount * max_a Q(s', a) - Q(s, a)| as the actor knows it, float32 (Horgan et al. 2018, algorithm
    1)."""
    return np.abs(reward + discount * next_q_max - q_taken).astype(np.float32)
