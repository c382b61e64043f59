"""Quantile regression of the return: QR-DQN (Dabney et al. 2018) and IQN (Dabney et al. 2018b)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def quantile_target(reward: Tensor, discount: Tensor, next_quantile: Tensor) -> Tensor:
    """Return T theta_j = R + discount * theta_j(s', a*), (B, N') (Dabney et al. 2018, algorithm 1).

    Args:
        reward: (B,) n-step return.
        discount: (B,) gamma**n, 0 after a true termination.
        next_quantile: (B, N') of the action that was chosen.
    """
    return torch.addcmul(reward.unsqueeze(1), discount.unsqueeze(1), next_quantile)


def quantile_huber_loss(quantile: Tensor, tau: Tensor, target: Tensor, kappa: float) -> Tensor:
    """Return sum_i mean_j |tau_i - 1{u_ij < 0}| L_kappa(u_ij) / kappa with u_ij = target_j - quantile_i, (B,).

    Dabney et al. 2018b, eq. 2-3; with kappa = 1 also Dabney et al. 2018, eq. 9-10. L_kappa is Huber's loss.

    Args:
        quantile: (B, N), with gradient.
        tau: (N,) or (B, N): the fraction that each quantile stands for.
        target: (B, N').
        kappa: Where the loss turns from squared to linear; towards 0 it becomes that of quantile regression.
    """
    error = target.unsqueeze(1) - quantile.unsqueeze(2)
    huber = functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=kappa)
    weight = (tau.unsqueeze(-1) - (error.detach() < 0.0).to(error.dtype)).abs()
    return (weight * huber).mean(dim=2).sum(dim=1) * (1.0 / kappa)
