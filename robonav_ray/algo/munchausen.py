"""Munchausen reinforcement learning (Vieillard, Pietquin and Geist 2020): the log-policy as a reward."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def scaled_log_policy(q: Tensor, tau: float) -> Tensor:
    """Return tau * log pi(a|s) with pi = softmax(q / tau), (B, A) (Vieillard et al. 2020, section 3 and appendix
    B.1).
    """
    return tau * functional.log_softmax(q * (1.0 / tau), dim=1)


def munchausen_bonus(q_target: Tensor, action: Tensor, alpha: float, tau: float, clip: float) -> Tensor:
    """Return alpha * max(tau * log pi(a|s), l_0), (B,) (Vieillard et al. 2020, section 3).

    Args:
        q_target: (B, A): the target network at s.
        action: (B,) int64.
        alpha: Weight.
        tau: Temperature.
        clip: l_0 < 0.
    """
    chosen = scaled_log_policy(q_target, tau).gather(1, action.unsqueeze(1)).squeeze(1)
    return alpha * chosen.clamp(clip, 0.0)


def soft_value(next_q_target: Tensor, tau: float) -> Tensor:
    """Return sum_a pi(a|s') (Q(s', a) - tau log pi(a|s')), (B,), of ``next_q_target`` (B, A) (Vieillard et al. 2020,
    eq. 1).
    """
    log_policy = scaled_log_policy(next_q_target, tau)
    return ((log_policy * (1.0 / tau)).exp() * (next_q_target - log_policy)).sum(dim=1)


def soft_quantiles(next_quantile: Tensor, next_q_target: Tensor, tau: float) -> Tensor:
    """Return sum_a pi(a|s') (z_j(s', a) - tau log pi(a|s')), (B, N') (Vieillard et al. 2020, section 4.1, M-IQN).

    Args:
        next_quantile: (B, A, N').
        next_q_target: (B, A), their means, from which pi is made.
        tau: Temperature.
    """
    log_policy = scaled_log_policy(next_q_target, tau)
    policy = (log_policy * (1.0 / tau)).exp()
    return (policy.unsqueeze(2) * (next_quantile - log_policy.unsqueeze(2))).sum(dim=1)


def munchausen_target(
    reward: Tensor,
    discount: Tensor,
    q_target: Tensor,
    action: Tensor,
    next_q_target: Tensor,
    alpha: float,
    tau: float,
    clip: float,
) -> Tensor:
    """Return R + alpha [tau log pi(a|s)]_{l_0}^0 + discount * sum_a' pi(a'|s') (Q(s', a') - tau log pi(a'|s')), (B,).

    Vieillard et al. 2020, eq. 2. Of an n-step return only the first step's log-policy is known, and added.
    """
    return reward + munchausen_bonus(q_target, action, alpha, tau, clip) + discount * soft_value(next_q_target, tau)
