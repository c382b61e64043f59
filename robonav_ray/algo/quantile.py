"""Quantile regression of the return: QR-DQN (Dabney et al. 2018) and IQN (Dabney et al. 2018b)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def quantile_target(reward: Tensor, discount: Tensor, next_quantile: Tensor) -> Tensor:
    """Return T theta_j = R + discount * theta_j(s', a*), (B, N') (Dabney et al. 2018, algorithm 1).

    Args:
        reward: (B,) n-step return.
        discount: (B,) gamma**n, 0 after a true termination.
        next_quantile: (B, N') of the action that was chosen.
    """
    return torch.addcmul(reward.unsqueeze(1), discount.unsqueeze(1), next_quantile)


class _QuantileHuber(torch.autograd.Function):
    """The loss with its slope written down: half the work of differentiating all N x N' pairs, and nothing of that size
    kept.
    """

    @staticmethod
    def forward(ctx: Any, quantile: Tensor, tau: Tensor, target: Tensor, kappa: float) -> Tensor:
        error = target.unsqueeze(1) - quantile.unsqueeze(2)
        clipped = error.clamp(-kappa, kappa)
        fraction = tau.unsqueeze(-1)
        slope = clipped * torch.where(error < 0.0, 1.0 - fraction, fraction)
        scale = 1.0 / (kappa * target.shape[1])
        ctx.save_for_backward(slope.sum(dim=2) * -scale)
        # Huber's loss is c (u - c / 2) with c = clip(u, -kappa, kappa).
        return error.sub_(clipped, alpha=0.5).mul_(slope).sum(dim=(1, 2)) * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return grads[0].unsqueeze(1) * slope, None, None, None


def quantile_huber_loss(quantile: Tensor, tau: Tensor, target: Tensor, kappa: float) -> Tensor:
    """Return sum_i mean_j |tau_i - 1{u_ij < 0}| L_kappa(u_ij) / kappa with u_ij = target_j - quantile_i, (B,).

    Dabney et al. 2018b, eq. 2-3; with kappa = 1 also Dabney et al. 2018, eq. 9-10. L_kappa is Huber's loss.

    Args:
        quantile: (B, N), with gradient.
        tau: (N,) or (B, N): the fraction that each quantile stands for.
        target: (B, N').
        kappa: Where the loss turns from squared to linear; towards 0 it becomes that of quantile regression.
    """
    return cast("Tensor", _QuantileHuber.apply(quantile, tau, target, kappa))
