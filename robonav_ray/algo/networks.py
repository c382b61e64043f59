"""Q networks for training. Acting uses the same parameters through ``policy.Policy``, without torch."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from robonav_ray.algo.categorical import categorical_mean
from robonav_ray.algo.lidar_ring import LidarRing
from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.algo.parameters import first_dim
from robonav_ray.algo.set_layers import SetLayers
from robonav_ray.algo.structure import Structure, encoded
from robonav_ray.algo.update_draws import cosine_features, midpoints
from robonav_ray.config.algo import AlgoConfig


def dueling_mix(num_actions: int) -> Tensor:
    """Return M (A, A + 1) with ``q = M @ (v, a_1 .. a_A)``: Q = V + A - mean(A) (Wang et al. 2016, eq. 9) as one
    product.
    """
    mix = torch.full((num_actions, num_actions + 1), -1.0 / num_actions)
    mix[:, 0] = 1.0
    mix[:, 1:] += torch.eye(num_actions)
    return mix


class NoisyLinear(nn.Linear):
    """A dense layer whose weights and biases are mu + sigma * noise, factorised (Fortunato et al. 2018, eq. 10-11).

    ``weight`` and ``bias`` are mu, ``weight_sigma`` and ``bias_sigma`` sigma; without noise it is a dense layer of mu.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, device="meta")
        self.weight_sigma = nn.Parameter(torch.empty(out_features, in_features, device="meta"))
        self.bias_sigma = nn.Parameter(torch.empty(out_features, device="meta"))

    @property
    def num_noise(self) -> int:
        """Noise that a pass takes: f(epsilon) of the inputs, then of the outputs."""
        return self.in_features + self.out_features

    def perturbed(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the layer's outputs under ``noise`` (num_noise,)."""
        of_input, of_output = noise[: self.in_features], noise[self.in_features :]
        weight = self.weight + self.weight_sigma * torch.outer(of_output, of_input)
        return functional.linear(x, weight, self.bias + self.bias_sigma * of_output)


class LidarConv(nn.Module):
    """Convolutions around a lidar's circle, the stacked scans as channels; ReLU behind each. The rest of the row passes
    by.
    """

    def __init__(self, ring: LidarRing, algo: AlgoConfig) -> None:
        super().__init__()
        self.ring = ring
        channels = (ring.num_scans, *algo.conv_channels)
        self.layers = nn.ModuleList(
            nn.Conv1d(i, o, algo.conv_kernel, algo.conv_stride, device="meta") for i, o in pairwise(channels)
        )
        self._margin = algo.conv_kernel // 2

    def forward(self, obs: Tensor) -> Tensor:
        """Return (B, places * channels + D - ring.size) of ``obs`` (B, D): places in order, then the columns that are
        no scan.
        """
        ring = self.ring
        x = obs[:, ring.start : ring.start + ring.size].unflatten(1, (ring.num_scans, ring.num_beams))
        for layer in self.layers:
            x = torch.relu(layer(functional.pad(x, (self._margin, self._margin), mode="circular")))
        return torch.cat((x.transpose(1, 2).flatten(1), obs[:, : ring.start], obs[:, ring.start + ring.size :]), dim=1)


class QNetwork(nn.Module):
    """Hidden layers with ReLU and a head, put together by the switches of AlgoConfig.

    The head has (1 + A) * Z rows when dueling, else A * Z: the state value first, then the actions, Z values for each
    (atoms, quantiles, or 1). Parameters are named ``conv.layers.i``, ``items.layers.i``, ``items.query``, ``hidden.i``,
    ``norm.i``, ``embedding`` and ``head``, each with ``.weight`` and ``.bias``; noisy layers have ``.weight_sigma`` and
    ``.bias_sigma`` too.

    IQN multiplies the last hidden layer's outputs with the embedding of tau. With the head behind it linear in that
    product, the mean over many tau is one pass with the mean embedding: the greedy choice costs no more than that of
    DQN.
    """

    def __init__(self, obs_dim: int, num_actions: int, algo: AlgoConfig, structure: Structure | None = None) -> None:
        super().__init__()
        self.algo, self.num_actions = algo, num_actions
        part = encoded(algo, structure)
        self.conv = LidarConv(part, algo) if isinstance(part, LidarRing) else None
        self.items = SetLayers(part, algo) if isinstance(part, NeighborSet) else None
        dims = (first_dim(obs_dim, algo, structure), *algo.hidden_dims)
        num_outputs = (num_actions + algo.dueling) * algo.values_per_action
        self.hidden = nn.ModuleList(_dense(i, o, algo.noisy) for i, o in pairwise(dims))
        self.norm = nn.ModuleList(nn.LayerNorm(o, device="meta") for o in algo.hidden_dims) if algo.layer_norm else None
        self.embedding = (
            nn.Linear(algo.tau_embedding_dim, dims[-1], device="meta") if algo.distribution == "iqn" else None
        )
        self.head = _dense(dims[-1], num_outputs, algo.noisy)
        # A constant, and no buffer: DDP would broadcast a buffer before every forward pass.
        self._mix = dueling_mix(num_actions) if algo.dueling else None

    @property
    def num_noise(self) -> int:
        """F: noise of one pass; 0 without noisy layers."""
        return sum(layer.num_noise for layer in (*self.hidden, self.head) if isinstance(layer, NoisyLinear))

    @property
    def num_dropout(self) -> int:
        """Units that dropout may leave out; 0 without dropout."""
        return sum(self.algo.hidden_dims) if self.algo.dropout > 0.0 else 0

    def forward(
        self, obs: Tensor, tau: Tensor | None = None, noise: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Return what the head says of ``obs`` (B, D) float32.

        Args:
            obs: Observations.
            tau: iqn: (B, N) fractions.
            noise: (num_noise,) of noisy layers; None takes their means.
            keep: (B, num_dropout) factors on the hidden layers' outputs; None leaves them.

        Returns:
            Q values (B, A); with a distribution (B, A, Z): logits of the atoms (c51) or values of the quantiles (qr;
            iqn, at ``tau``).
        """
        return self.outputs(self.features(obs, noise, keep), tau, noise)

    def features(self, obs: Tensor, noise: Tensor | None = None, keep: Tensor | None = None) -> Tensor:
        """Return the outputs (B, H) of the last hidden layer; arguments as in ``forward``."""
        encoder = self.items if self.conv is None else self.conv
        x = obs if encoder is None else encoder(obs)
        used, kept = 0, 0
        for i, layer in enumerate(self.hidden):
            x, used = _apply(layer, x, noise, used)
            if self.norm is not None:
                x = self.norm[i](x)
            x = torch.relu(x)
            if keep is not None:
                x = x * keep[:, kept : kept + x.shape[1]]
                kept += x.shape[1]
        return x

    def outputs(self, features: Tensor, tau: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """Return the head's values as ``forward`` does, of the outputs (B, H) of the hidden layers."""
        if self.embedding is not None:
            if tau is None:
                raise ValueError("iqn needs tau (B, N)")
            embedded = torch.relu(self.embedding(cosine_features(tau, self.algo.tau_embedding_dim)))
            return self._mixed(self._head(features.unsqueeze(1) * embedded, noise)).transpose(1, 2)
        x = self._head(features, noise)
        if self.algo.distribution == "none":
            return self._mixed(x)
        x = x.unflatten(1, (-1, self.algo.values_per_action))
        if self.algo.dueling:
            advantage = x[:, 1:]
            x = x[:, :1] + (advantage - advantage.mean(dim=1, keepdim=True))
        return x

    def means(self, outputs: Tensor) -> Tensor:
        """Return Q (B, A) of outputs (B, A, Z), or of (B, A), which it is already."""
        if self.algo.distribution == "c51":
            return categorical_mean(outputs, self.algo.v_min, self.algo.v_max)
        return outputs if self.algo.distribution == "none" else outputs.mean(dim=2)

    def q_values(self, obs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return Q (B, A) of ``obs`` (B, D); with iqn the mean over ``num_acting_tau`` midpoints."""
        return self.q_of_features(self.features(obs, noise), noise)

    def q_of_features(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return Q (B, A) of the outputs (B, H) of the hidden layers."""
        if self.embedding is None:
            return self.means(self.outputs(features, None, noise))
        tau = midpoints(self.algo.num_acting_tau, features.device)
        embedded = torch.relu(self.embedding(cosine_features(tau, self.algo.tau_embedding_dim))).mean(dim=0)
        return self._mixed(self._head(features * embedded, noise))

    def _head(self, x: Tensor, noise: Tensor | None) -> Tensor:
        return _apply(
            self.head, x, noise, 0 if noise is None else noise.shape[0] - self.head.in_features - self.head.out_features
        )[0]

    def _mixed(self, x: Tensor) -> Tensor:
        if self._mix is None:
            return x
        if self._mix.device != x.device:
            self._mix = self._mix.to(x.device)
        return functional.linear(x, self._mix)


def _dense(num_inputs: int, num_outputs: int, noisy: bool) -> nn.Linear:
    return NoisyLinear(num_inputs, num_outputs) if noisy else nn.Linear(num_inputs, num_outputs, device="meta")


def _apply(layer: nn.Module, x: Tensor, noise: Tensor | None, used: int) -> tuple[Tensor, int]:
    """Return the layer's outputs, and how much of ``noise`` is used up after it."""
    if noise is None or not isinstance(layer, NoisyLinear):
        return layer(x), used
    return layer.perturbed(x, noise[used : used + layer.num_noise]), used + layer.num_noise


def make_q_network(
    obs_dim: int, num_actions: int, algo: AlgoConfig, seed: int, structure: Structure | None = None
) -> QNetwork:
    """Return a network whose parameters are a function of ``seed`` alone; torch's global generator is neither read nor
    moved.

    Weights in front of a ReLU are He-uniform, U(+-sqrt(6 / fan_in)) (He et al. 2015); the head is U(+-1 /
    sqrt(fan_in)), so that first Q values are small. So are the last layer that neighbours pass and the query of an
    attention: many pooled values would drown the few of the robot's own part. Biases are zero. With
    ``initializer=lecun`` all weights and biases are U(+-1 / sqrt(fan_in)). A network of the user's own
    (``algo.network``) has the first weights that it gives itself. Noisy layers begin with sigma_0 / sqrt(fan_in)
    (Fortunato et al. 2018, section 3.2).
    """
    if algo.network is not None:
        from robonav_ray.algo.own_torch_network import make_own_network

        return make_own_network(obs_dim, num_actions, algo, seed)
    network = QNetwork(obs_dim, num_actions, algo, structure)
    generator = torch.Generator().manual_seed(seed)
    convolutions = () if network.conv is None else tuple(network.conv.layers)
    embedding = () if network.embedding is None else (network.embedding,)
    items = () if network.items is None else tuple(network.items.layers)
    query = () if network.items is None or network.items.query is None else (network.items.query,)
    for layer in (*network.hidden, network.head, *convolutions, *embedding, *items, *query):
        assert isinstance(layer, nn.Linear | nn.Conv1d)
        shape = tuple(layer.weight.shape)
        fan_in = math.prod(shape[1:])
        is_small = layer in (network.head, *items[-1:], *query) or algo.initializer == "lecun"
        bound = math.sqrt((1.0 if is_small else 6.0) / fan_in)
        layer.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
        bias = torch.zeros(shape[0])
        layer.bias = nn.Parameter(
            bias.uniform_(-bound, bound, generator=generator) if algo.initializer == "lecun" else bias
        )
        if isinstance(layer, NoisyLinear):
            sigma = algo.noisy_sigma / math.sqrt(fan_in)
            layer.weight_sigma = nn.Parameter(torch.full(shape, sigma))
            layer.bias_sigma = nn.Parameter(torch.full(shape[:1], sigma))
    for norm, width in zip(network.norm or (), algo.hidden_dims, strict=False):
        norm.weight, norm.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
    return network
