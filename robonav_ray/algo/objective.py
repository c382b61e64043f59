"""What one gradient step minimises: a row's loss, made of the equations in ``losses`` and its neighbours.

::

    draws = objective.draw(online, seed, learner_step, num_rows, device, rank, world_size)  # all randomness of the step
    rows = objective.rows(model, online, target, batch, draws)                              # no randomness, no state
    (importance_weight * rows.loss).mean().backward()

``rows`` has fixed shapes and asks no tensor for its value, so that it can be compiled or captured as a CUDA graph.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from robonav_ray.algo.categorical import beyond_support, categorical_loss, categorical_mean, categorical_projection
from robonav_ray.algo.losses import double_q_target, huber_loss, q_target, td_error
from robonav_ray.algo.munchausen import munchausen_bonus, munchausen_target, soft_quantiles
from robonav_ray.algo.networks import QNetwork
from robonav_ray.algo.quantile import quantile_huber_loss, quantile_target
from robonav_ray.algo.update_draws import NO_DRAWS, Draws, dropout_mask, make_draws, midpoints
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
    """Per row of a batch, (B,) each: what is minimised (before importance weights), what becomes the priority, and mean
    Q.
    """

    loss: Tensor
    """With gradient."""
    td_error: Tensor
    """Detached; its absolute value is the row's new priority. With c51 it is the KL divergence, as in Rainbow (Hessel
    et al. 2018); with quantiles the difference of the means, which is in the same units as the priority that an actor
    gives a new row."""
    q: Tensor
    """Detached mean over actions of Q(s, .)."""


class Rows(Protocol):
    """(model, online, target, batch, draws) -> RowLoss."""

    def __call__(
        self, model: nn.Module, online: QNetwork, target: QNetwork, batch: Batch, draws: Draws = NO_DRAWS, /
    ) -> RowLoss:
        """Return the losses. ``model`` is ``online``, perhaps wrapped (DDP, compile); gradients flow through it
        only.
        """
        ...


class Objective(NamedTuple):
    """How ``algo`` turns a batch into losses."""

    rows: Rows
    is_random: bool
    """Whether an update draws anything at all."""
    num_tau: int
    """Fractions that each row draws."""

    def draw(
        self,
        online: QNetwork,
        seed: int,
        learner_step: int,
        num_rows: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> Draws:
        """Return the random numbers of the update that follows ``learner_step`` steps, for this rank's ``num_rows``
        rows.
        """
        if not self.is_random:
            return NO_DRAWS
        num_uniform = self.num_tau + online.num_dropout
        return make_draws(num_uniform, online.num_noise, seed, learner_step, num_rows, device, rank, world_size)


def make_objective(algo: AlgoConfig) -> Objective:
    """Return the objective that the switches of ``algo`` ask for."""
    make_rows = {"none": _q_rows, "c51": _categorical_rows, "qr": _quantile_rows, "iqn": _quantile_rows}[
        algo.distribution
    ]
    num_tau = algo.num_tau + algo.num_target_tau if algo.distribution == "iqn" else 0
    return Objective(make_rows(algo), num_tau > 0 or algo.noisy or algo.dropout > 0.0, num_tau)


@torch.no_grad()
def beyond_support_of(algo: AlgoConfig, target: QNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return what parts of the targets' probability lie below and above the support of c51 (see ``beyond_support``),
    without noise.
    """
    logits = target(batch.next_obs, None, None).float()
    best = categorical_mean(logits, algo.v_min, algo.v_max).argmax(dim=1)
    probability = functional.softmax(_of_action(logits, best), dim=1)
    return beyond_support(batch.reward, batch.discount, probability, algo.v_min, algo.v_max)


def _pass_noise(algo: AlgoConfig, draws: Draws) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the noise of the pass with gradients, of the choice of the next action and of the target network."""
    return (draws.noise[0], draws.noise[1], draws.noise[2]) if algo.noisy else (None, None, None)


def _forward(model: nn.Module, algo: AlgoConfig, batch: Batch, draws: Draws, tau: Tensor | None = None) -> Tensor:
    """Return what ``model`` says of the observations, float32, with everything that is drawn for the pass with
    gradients.
    """
    if tau is None and not algo.noisy and algo.dropout == 0.0:
        return model(batch.obs).float()
    num_tau = 0 if tau is None else algo.num_tau + algo.num_target_tau
    keep = dropout_mask(draws.rows[:, num_tau:], algo.dropout) if algo.dropout > 0.0 else None
    return model(batch.obs, tau, _pass_noise(algo, draws)[0], keep).float()


def _of_action(values: Tensor, action: Tensor) -> Tensor:
    """Return (B, Z), the values (B, A, Z) of one action (B,) per row."""
    return values.gather(1, action.view(-1, 1, 1).expand(-1, 1, values.shape[2])).squeeze(1)


def _q_rows(algo: AlgoConfig) -> Rows:
    """Huber loss of the TD error (Mnih et al. 2015), double or not, or Munchausen."""

    def rows(model: nn.Module, online: QNetwork, target: QNetwork, batch: Batch, draws: Draws = NO_DRAWS) -> RowLoss:
        with torch.no_grad():
            _, noise_choice, noise_target = _pass_noise(algo, draws)
            next_q = target.q_values(batch.next_obs, noise_target).float()
            if algo.munchausen:
                q_there = target.q_values(batch.obs, noise_target).float()
                y = munchausen_target(
                    batch.reward, batch.discount, q_there, batch.action, next_q,
                    algo.munchausen_alpha, algo.munchausen_tau, algo.munchausen_clip,
                )  # fmt: skip
            elif algo.double:
                y = double_q_target(batch.reward, batch.discount, online.q_values(batch.next_obs, noise_choice), next_q)
            else:
                y = q_target(batch.reward, batch.discount, next_q)
        q = _forward(model, algo, batch, draws)
        error = td_error(q, batch.action, y)
        return RowLoss(huber_loss(error, algo.huber_delta), error.detach(), q.detach().mean(dim=1))

    return rows


def _categorical_rows(algo: AlgoConfig) -> Rows:
    """KL divergence from the projected distribution (Bellemare et al. 2017)."""
    v_min, v_max = algo.v_min, algo.v_max

    def rows(model: nn.Module, online: QNetwork, target: QNetwork, batch: Batch, draws: Draws = NO_DRAWS) -> RowLoss:
        with torch.no_grad():
            _, noise_choice, noise_target = _pass_noise(algo, draws)
            next_logits = target(batch.next_obs, None, noise_target).float()
            chooser = (
                online.q_values(batch.next_obs, noise_choice)
                if algo.double
                else categorical_mean(next_logits, v_min, v_max)
            )
            next_probability = functional.softmax(_of_action(next_logits, chooser.argmax(dim=1)), dim=1)
            goal = categorical_projection(batch.reward, batch.discount, next_probability, v_min, v_max)
        logits = _forward(model, algo, batch, draws)
        loss = categorical_loss(functional.log_softmax(_of_action(logits, batch.action), dim=1), goal)
        return RowLoss(loss, loss.detach(), categorical_mean(logits.detach(), v_min, v_max).mean(dim=1))

    return rows


def _quantile_rows(algo: AlgoConfig) -> Rows:
    """Quantile Huber loss at fixed (Dabney et al. 2018) or drawn fractions (Dabney et al. 2018b), Munchausen or not."""
    n, n_all = algo.num_tau, algo.num_tau + algo.num_target_tau

    def rows(model: nn.Module, online: QNetwork, target: QNetwork, batch: Batch, draws: Draws = NO_DRAWS) -> RowLoss:
        drawn = algo.distribution == "iqn"
        tau, target_tau = (draws.rows[:, :n], draws.rows[:, n:n_all]) if drawn else (None, None)
        with torch.no_grad():
            _, noise_choice, noise_target = _pass_noise(algo, draws)
            features = target.features(batch.next_obs, noise_target)
            next_quantile = target.outputs(features, target_tau, noise_target).float()
            if algo.double:
                chooser = online.q_values(batch.next_obs, noise_choice)
            else:
                chooser = (target.q_of_features(features, noise_target) if drawn else next_quantile.mean(dim=2)).float()
            if algo.munchausen:
                q_there = target.q_values(batch.obs, noise_target).float()
                reward = batch.reward + munchausen_bonus(
                    q_there, batch.action, algo.munchausen_alpha, algo.munchausen_tau, algo.munchausen_clip
                )
                goal = quantile_target(
                    reward, batch.discount, soft_quantiles(next_quantile, chooser, algo.munchausen_tau)
                )
            else:
                goal = quantile_target(batch.reward, batch.discount, _of_action(next_quantile, chooser.argmax(dim=1)))
        quantiles = _forward(model, algo, batch, draws, tau)
        taken = _of_action(quantiles, batch.action)
        fractions = midpoints(algo.num_quantiles, goal.device) if tau is None else tau
        error = goal.mean(dim=1) - taken.detach().mean(dim=1)
        return RowLoss(
            quantile_huber_loss(taken, fractions, goal, algo.huber_delta), error, quantiles.detach().mean(dim=(1, 2))
        )

    return rows
