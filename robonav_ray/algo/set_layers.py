"""A set of neighbours for training: the layers that every item passes, and the pooling. ``set_encoder`` acts with the
same parameters, without torch.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.config.algo import AlgoConfig


class SetLayers(nn.Module):
    """Every item that exists, with the robot's own part in front of it, through the same layers, ReLU behind each; then
    all items of a row pooled to one vector of a fixed width. The own part passes by.

    ``deep_set`` pools by the mean and the greatest (Zaheer et al. 2017); ``attention`` by the mean weighted with the
    softmax of q . h / sqrt(H), q linear in the own part (Vaswani et al. 2017, eq. 1, one head). A matrix on keys or
    values would add nothing: it folds into the query's, and into the layer behind. What comes out depends neither on
    the order of the items nor on how many absent ones there are.
    """

    def __init__(self, neighbors: NeighborSet, algo: AlgoConfig) -> None:
        super().__init__()
        self.neighbors = neighbors
        dims = (neighbors.own + neighbors.item_size, *algo.set_dims)
        self.layers = nn.ModuleList(nn.Linear(i, o, device="meta") for i, o in pairwise(dims))
        self.query = nn.Linear(neighbors.own, dims[-1], device="meta") if algo.encoder == "attention" else None

    def forward(self, obs: Tensor) -> Tensor:
        """Return (B, own + pooled) of ``obs`` (B, own + M * item_size), for any M."""
        neighbors = self.neighbors
        own = obs[:, : neighbors.own]
        items = obs[:, neighbors.own :].unflatten(1, (-1, neighbors.item_size))
        exists = items[:, :, neighbors.presence] > 0.0
        x = torch.cat((own.unsqueeze(1).expand(-1, items.shape[1], -1), items), dim=2)
        for layer in self.layers:
            x = torch.relu(layer(x))
        pooled = self._mean_and_max(x, exists) if self.query is None else self._attended(x, self.query(own), exists)
        return torch.cat((own, pooled), dim=1)

    def _mean_and_max(self, x: Tensor, exists: Tensor) -> Tensor:
        """Return (B, 2 H); as no output is below 0, an absent item is a 0 that changes neither."""
        present = exists.unsqueeze(2).to(x.dtype)
        x = x * present
        return torch.cat((x.sum(dim=1) / present.sum(dim=1).clamp(min=1.0), x.amax(dim=1)), dim=1)

    def _attended(self, x: Tensor, query: Tensor, exists: Tensor) -> Tensor:
        """Return (B, H)."""
        score = (x * query.unsqueeze(1)).sum(dim=2) / math.sqrt(x.shape[2])
        score = score.masked_fill(~exists, torch.finfo(score.dtype).min)
        weight = torch.softmax(score, dim=1) * exists.to(x.dtype)  # without any item the softmax is that of nothing
        return (x * weight.unsqueeze(2)).sum(dim=1)
