"""C51: a distribution over fixed values (Bellemare, Dabney and Munos 2017)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def categorical_projection(
    reward: Tensor, discount: Tensor, next_probability: Tensor, v_min: float, v_max: float
) -> Tensor:
    """Return the projection of R + discount * z onto the support (Bellemare et al. 2017, eq. 7 and algorithm 1), (B,
    Z).

    Each shifted value (T z)_j = clip(R + discount * z_j, v_min, v_max) gives its probability to its two neighbours on
    the support, to each in proportion to how near it is. A row whose reward is not finite gets NaN.

    Args:
        reward: (B,) n-step return.
        discount: (B,) gamma**n, 0 after a true termination.
        next_probability: (B, Z) p(s', a*) over the support.
        v_min: Least value of the support.
        v_max: Greatest value of the support.
    """
    num_atoms = next_probability.shape[1]
    support = torch.linspace(v_min, v_max, num_atoms, device=reward.device)
    shifted = (reward.unsqueeze(1) + discount.unsqueeze(1) * support).clamp_(v_min, v_max)
    # Clipping would hide an infinite reward; inf - inf is NaN, and a finite reward adds 0.
    place = (shifted - v_min) * ((num_atoms - 1) / (v_max - v_min)) + (reward - reward).unsqueeze(1)
    lower = place.floor().clamp_(0, num_atoms - 2)
    upper_share = (place - lower).clamp_(0.0, 1.0)
    index = lower.nan_to_num_(0.0).to(torch.int64)
    projected = torch.zeros_like(next_probability)
    projected.scatter_add_(1, index, next_probability * (1.0 - upper_share))
    return projected.scatter_add_(1, index + 1, next_probability * upper_share)


def beyond_support(
    reward: Tensor, discount: Tensor, next_probability: Tensor, v_min: float, v_max: float
) -> tuple[Tensor, Tensor]:
    """Return the mean probabilities of R + discount * z below ``v_min`` and above ``v_max``, which the projection
    clips.

    Arguments as in ``categorical_projection``. A thousandth of an atom's distance is not beyond: where the support ends
    at the very value of a reward without end, R + discount * v_max is v_max.
    """
    num_atoms = next_probability.shape[1]
    support = torch.linspace(v_min, v_max, num_atoms, device=reward.device)
    shifted = reward.unsqueeze(1) + discount.unsqueeze(1) * support
    slack = 1e-3 * (v_max - v_min) / (num_atoms - 1)
    below = (next_probability * (shifted < v_min - slack)).sum(dim=1).mean()
    return below, (next_probability * (shifted > v_max + slack)).sum(dim=1).mean()


def categorical_loss(log_probability: Tensor, target_probability: Tensor) -> Tensor:
    """Return KL(m || p) = sum_i m_i (log m_i - log p_i), (B,): the loss of C51 up to a constant (Bellemare et al. 2017,
    algorithm 1).

    Both (B, Z); gradients flow through ``log_probability``. It is also the priority of Rainbow (Hessel et al. 2018,
    section "The integrated agent").
    """
    return (torch.xlogy(target_probability, target_probability) - target_probability * log_probability).sum(dim=1)


def categorical_mean(logits: Tensor, v_min: float, v_max: float) -> Tensor:
    """Return Q = sum_i z_i softmax(logits)_i over the last axis (Bellemare et al. 2017, algorithm 1)."""
    support = torch.linspace(v_min, v_max, logits.shape[-1], device=logits.device)
    return (functional.softmax(logits, dim=-1) * support).sum(dim=-1)  # no product of matrices: autocast would round it
