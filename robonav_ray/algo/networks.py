"""Q networks for training. Acting uses the same parameters through ``policy.Policy``, without torch."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from robonav_ray.config.algo import AlgoConfig


def dueling_mix(num_actions: int) -> torch.Tensor:
    """Return M (A, A + 1) with ``q = M @ (v, a_1 .. a_A)``: Q = V + A - mean(A) (Wang et al. 2016, eq. 9) as one product."""
    mix = torch.full((num_actions, num_actions + 1), -1.0 / num_actions)
    mix[:, 0] = 1.0
    mix[:, 1:] += torch.eye(num_actions)
    return mix


class QNetwork(nn.Module):
    """An MLP with ReLU whose last layer is ``num_actions`` values, or value and advantages in one product when dueling.

    Parameters are named ``hidden.i.weight``, ``hidden.i.bias``, ``head.weight``, ``head.bias``. The head of a dueling network has
    A + 1 rows: the state value first, then the advantages.
    """

    def __init__(self, obs_dim: int, num_actions: int, hidden_dims: tuple[int, ...], dueling: bool) -> None:
        super().__init__()
        dims = (obs_dim, *hidden_dims)
        self.hidden = nn.ModuleList(nn.Linear(i, o, device="meta") for i, o in pairwise(dims))
        self.head = nn.Linear(dims[-1], num_actions + 1 if dueling else num_actions, device="meta")
        # A constant, and no buffer: DDP would broadcast a buffer before every forward pass.
        self._mix = dueling_mix(num_actions) if dueling else None

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the Q values (B, A) of ``obs`` (B, D) float32."""
        x = obs
        for layer in self.hidden:
            x = torch.relu(layer(x))
        x = self.head(x)
        if self._mix is None:
            return x
        if self._mix.device != x.device:
            self._mix = self._mix.to(x.device)
        return nn.functional.linear(x, self._mix)


def make_q_network(obs_dim: int, num_actions: int, algo: AlgoConfig, seed: int) -> QNetwork:
    """Return a network whose parameters are a function of ``seed`` alone; torch's global generator is neither read nor moved.

    Hidden weights are He-uniform for ReLU, U(+-sqrt(6 / fan_in)) (He et al. 2015); the head is U(+-1 / sqrt(fan_in)), so
    that first Q values are small; biases are zero.
    """
    network = QNetwork(obs_dim, num_actions, algo.hidden_dims, algo.dueling)
    generator = torch.Generator().manual_seed(seed)
    for layer in (*network.hidden, network.head):
        assert isinstance(layer, nn.Linear)
        bound = math.sqrt((1.0 if layer is network.head else 6.0) / layer.in_features)
        weight = torch.empty(layer.out_features, layer.in_features).uniform_(-bound, bound, generator=generator)
        layer.weight = nn.Parameter(weight)
        layer.bias = nn.Parameter(torch.zeros(layer.out_features))
    return network
