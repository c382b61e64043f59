"""What one gradient step minimises: a row's loss, made of the equations in ``losses``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robonav_ray.algo.losses import double_q_target, huber_loss, q_target, td_error
from robonav_ray.config.algo import AlgoConfig


class Batch(NamedTuple):
    """A batch on the learner's device: obs and next_obs (B, D), all others (B,)."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    discount: Tensor
    importance_weight: Tensor


class RowLoss(NamedTuple):
    """Per row of a batch, (B,) each: what is minimised (before importance weights), what becomes the priority, and mean Q."""

    loss: Tensor
    """With gradient."""
    td_error: Tensor
    """Detached; its absolute value is the row's new priority."""
    q: Tensor
    """Detached mean over actions of Q(s, .)."""


class Objective(NamedTuple):
    """How ``algo`` turns a batch into losses. ``model`` is ``online``, perhaps wrapped (DDP, compile); gradients flow through it only."""

    rows: Callable[[nn.Module, nn.Module, nn.Module, Batch], RowLoss]
    """(model, online, target, batch) -> RowLoss."""


def make_objective(algo: AlgoConfig) -> Objective:
    """Return the objective that the switches of ``algo`` ask for."""

    def q_learning(model: nn.Module, online: nn.Module, target: nn.Module, batch: Batch) -> RowLoss:
        with torch.no_grad():
            next_q = target(batch.next_obs)
            if algo.double:
                y = double_q_target(batch.reward, batch.discount, online(batch.next_obs), next_q)
            else:
                y = q_target(batch.reward, batch.discount, next_q)
        q = model(batch.obs)
        error = td_error(q, batch.action, y)
        return RowLoss(huber_loss(error, algo.huber_delta), error.detach(), q.detach().mean(dim=1))

    return Objective(q_learning)
