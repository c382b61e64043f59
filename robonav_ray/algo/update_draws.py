"""The random numbers of one update: functions of (seed, learner step) only, so that resuming needs no generator's
state.

Every rank draws for the whole batch and keeps its own rows, so that two ranks on halves of a batch draw what one
process would.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from robonav_ray.counter_rng import ROLE_NETWORK, seed_for


class Draws(NamedTuple):
    """What an update draws. Micro-batches of it share the noise and take their own rows: ``part``."""

    rows: Tensor
    """(B, U) float32, uniform in [0, 1): quantile fractions, and which units dropout keeps; U = 0 where nothing is
    drawn."""
    noise: Tensor
    """(3, F) float32, f(x) = sgn(x) sqrt(|x|) of normal x (Fortunato et al. 2018, eq. 10-11): for the pass with
    gradients, for the choice of the next action, for the target network; F = 0 without noisy layers."""

    def part(self, start: int, stop: int) -> Draws:
        """Return the draws of rows ``start`` to ``stop``."""
        return Draws(self.rows[start:stop], self.noise)


NO_DRAWS = Draws(torch.empty(0, 0), torch.empty(3, 0))


def factorised_noise(normal: Tensor) -> Tensor:
    """Return f(x) = sgn(x) sqrt(|x|) of normal numbers (Fortunato et al. 2018, below eq. 11)."""
    return normal.sign() * normal.abs().sqrt()


def make_draws(
    num_uniform: int,
    num_noise: int,
    seed: int,
    learner_step: int,
    num_rows: int,
    device: torch.device,
    rank: int = 0,
    world_size: int = 1,
) -> Draws:
    """Return the draws of the update that follows ``learner_step`` steps.

    Args:
        num_uniform: U, uniform numbers per row.
        num_noise: F, noise of all layers of a network.
        seed: The learner's.
        learner_step: Steps made so far.
        num_rows: Rows of this rank.
        device: Where they are needed; they are drawn on the CPU, so that every device draws the same.
        rank: This rank.
        world_size: Ranks, all with ``num_rows``.
    """
    generator = torch.Generator().manual_seed(seed_for(seed, ROLE_NETWORK, 1 + learner_step))
    noise = factorised_noise(torch.randn(3, num_noise, generator=generator)) if num_noise else NO_DRAWS.noise
    rows = torch.empty(num_rows, 0)
    if num_uniform:
        rows = torch.rand(world_size * num_rows, num_uniform, generator=generator)[
            rank * num_rows : (rank + 1) * num_rows
        ]
    if device.type == "cpu":
        return Draws(rows, noise)
    return Draws(rows.to(device, non_blocking=True), noise.to(device, non_blocking=True))


def dropout_mask(uniform: Tensor, dropout: float) -> Tensor:
    """Return 1 / (1 - p) where a unit is kept, which has probability 1 - p, else 0 (Srivastava et al. 2014,
    inverted).
    """
    return (uniform >= dropout).to(torch.float32) * (1.0 / (1.0 - dropout))


def midpoints(num: int, device: torch.device | None = None) -> Tensor:
    """Return (i + 1/2) / N for i = 0 ... N - 1, (N,) (Dabney et al. 2018, lemma 2)."""
    return (torch.arange(num, device=device, dtype=torch.float32) + 0.5) / num


def cosine_features(tau: Tensor, num: int) -> Tensor:
    """Return cos(pi i tau) for i = 0 ... n - 1, (..., n), of fractions (...) (Dabney et al. 2018b, eq. 4)."""
    return torch.cos(math.pi * torch.arange(num, device=tau.device, dtype=torch.float32) * tau.unsqueeze(-1))
