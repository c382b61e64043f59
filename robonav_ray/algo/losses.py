"""One function per published equation; tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional


def q_target(reward: Tensor, discount: Tensor, next_q_target: Tensor) -> Tensor:
    """Return y = R + discount * max_a Q_target(s', a), (B,) (Mnih et al. 2015).

    ``reward`` (B,) is the n-step return and ``discount`` (B,) is gamma**n, 0 after a true termination;
    ``next_q_target`` (B, A).
    """
    return torch.addcmul(reward, discount, next_q_target.amax(dim=1))


def double_q_target(reward: Tensor, discount: Tensor, next_q_online: Tensor, next_q_target: Tensor) -> Tensor:
    """Return y = R + discount * Q_target(s', argmax_a Q_online(s', a)), (B,) (van Hasselt et al. 2016, eq. 4).

    Shapes as in ``q_target``; both Q arrays are (B, A).
    """
    best = next_q_online.argmax(dim=1, keepdim=True)
    return torch.addcmul(reward, discount, next_q_target.gather(1, best).squeeze(1))


def td_error(q: Tensor, action: Tensor, target: Tensor) -> Tensor:
    """Return delta = y - Q(s, a), (B,), of ``q`` (B, A), ``action`` (B,) int64 and ``target`` (B,)."""
    return target - q.gather(1, action.unsqueeze(1)).squeeze(1)


def huber_loss(error: Tensor, delta: float) -> Tensor:
    """Return e**2 / 2 where |e| <= delta, else delta * (|e| - delta / 2), (B,) (Huber 1964)."""
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)


@torch.no_grad()
def polyak_update(target: Iterable[Tensor], online: Iterable[Tensor], tau: float) -> None:
    """Move ``target <- target + tau * (online - target)`` in place (Polyak and Juditsky 1992; Lillicrap et al.
    2016).
    """
    torch._foreach_lerp_(list(target), list(online), tau)  # pyright: ignore[reportPrivateImportUsage]


@torch.no_grad()
def hard_update(target: Iterable[Tensor], online: Iterable[Tensor]) -> None:
    """Copy ``target <- online`` in place (Mnih et al. 2015)."""
    torch._foreach_copy_(list(target), list(online))  # pyright: ignore[reportPrivateImportUsage]
