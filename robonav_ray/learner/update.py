"""One gradient step on one batch: objective, gradients, clipping, optimiser, target network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from robonav_ray.algo.losses import hard_update, polyak_update
from robonav_ray.algo.objective import Batch, make_objective
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.learner.schedule import is_scheduled, learning_rate
from robonav_ray.learner.state import LearnerState
from robonav_ray.records import ReplaySample, TransitionSpec

MAX_BAD_IN_A_ROW = 3
_STAGED = (
    ("obs", torch.float32),
    ("action", torch.int64),
    ("reward", torch.float32),
    ("next_obs", torch.float32),
    ("discount", torch.float32),
)


class StepMeans(NamedTuple):
    """Means over the updates since they were last taken."""

    loss: float
    td_error: float
    q: float
    grad_norm: float


class BatchStage:
    """Copies samples (which may be read-only views of shared memory) into one set of tensors that is used again and again."""

    def __init__(self, spec: TransitionSpec, device: torch.device) -> None:
        self._columns = tuple((spec.index(name), dtype) for name, dtype in _STAGED)
        self._device = device
        self._host: tuple[Tensor, ...] = ()
        self._views: tuple[np.ndarray, ...] = ()

    def load(self, sample: ReplaySample) -> Batch:
        """Return the sample's columns as tensors; they are overwritten by the next ``load``."""
        sources = (*(sample.columns[i] for i, _ in self._columns), sample.importance_weight)
        if tuple(s.shape for s in sources) != tuple(v.shape for v in self._views):
            dtypes = (*(dtype for _, dtype in self._columns), torch.float32)
            pin = self._device.type == "cuda"
            self._host = tuple(torch.empty(s.shape, dtype=d, pin_memory=pin) for s, d in zip(sources, dtypes, strict=True))
            self._views = tuple(t.numpy() for t in self._host)
        for view, source in zip(self._views, sources, strict=True):
            np.copyto(view, source, casting="same_kind")
        if self._device.type == "cpu":
            return Batch(*self._host)
        return Batch(*(t.to(self._device, non_blocking=True) for t in self._host))


class Update:
    """Applies gradient steps to a LearnerState. Ranks that are given halves of a batch end with the weights of the whole one."""

    def __init__(
        self,
        state: LearnerState,
        algo: AlgoConfig,
        learner: LearnerConfig,
        spec: TransitionSpec,
        model: nn.Module | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """``model`` is ``state.online`` wrapped so that its gradients are averaged over ranks; None with one rank."""
        self.state = state
        self._rank, self._world_size = rank, world_size
        self._model = model if model is not None else state.online
        self._online = list(state.online.parameters())
        self._target = list(state.target.parameters())
        self._objective = make_objective(algo)
        self._stage = BatchStage(spec, state.device)
        self.configure(learner)
        self.num_bad = 0
        """Updates that were dropped because a gradient was not finite."""
        self._bad_in_a_row = 0
        self._sums = torch.zeros(4, device=state.device)
        self._num_summed = 0

    def configure(self, learner: LearnerConfig) -> None:
        """Take over learning rate, epsilon, clipping and target update from ``learner``."""
        self._config = learner
        self.state.optimizer.eps = learner.adam_eps
        self._is_scheduled = is_scheduled(learner)
        self._set_learning_rate()

    def __call__(self, sample: ReplaySample) -> np.ndarray | None:
        """Make one step and return the new |td_error| (B,) float32; None when the update was dropped.

        An update whose loss or gradient is not finite leaves weights and moments as they are and is counted; with several ranks all
        of them drop it, since one rank's NaN reaches the others through the averaged gradient.

        Raises:
            FloatingPointError: After ``MAX_BAD_IN_A_ROW`` such updates in a row.
        """
        error, stats = self.gradients(self._stage.load(sample))
        norm = nn.utils.clip_grad_norm_(self._online, self._config.max_grad_norm, foreach=True)
        if not np.isfinite(norm.item()):
            self._drop()
            return None
        self._bad_in_a_row = 0
        if self._is_scheduled:
            self._set_learning_rate()
        self.state.optimizer.step()
        self.state.learner_step += 1
        self._update_target()
        self._sums += torch.stack((*stats, norm))
        self._num_summed += 1
        return error.abs().cpu().numpy()

    def gradients(self, batch: Batch) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Fill the gradients of the online network with those of ``mean(w * row loss)``.

        Returns:
            The td errors (B,), and loss, mean |td_error| and mean Q as scalars.
        """
        self.state.optimizer.zero_grad()
        state = self.state
        draws = self._objective.draw(
            state.online, state.seed, state.learner_step, len(batch.reward), state.device, self._rank, self._world_size
        )
        rows = self._objective.rows(self._model, state.online, state.target, batch, draws)
        loss = (batch.importance_weight * rows.loss).mean()
        value = loss.detach()
        # Huber's slope is bounded, so an infinite error would pass for a finite gradient: inf - inf makes it NaN on every rank.
        (loss * (1.0 + (value - value))).backward()
        return rows.td_error, (value, rows.td_error.abs().mean(), rows.q.mean())

    def take_means(self) -> StepMeans | None:
        """Return the means since the last call and start anew; None when there was no update."""
        if self._num_summed == 0:
            return None
        means = StepMeans(*(self._sums / self._num_summed).tolist())
        self._sums.zero_()
        self._num_summed = 0
        return means

    def _set_learning_rate(self) -> None:
        self.state.optimizer.learning_rate = learning_rate(self._config, self.state.learner_step, self.state.budget_frac)

    def _update_target(self) -> None:
        if self._config.target_update == "polyak":
            polyak_update(self._target, self._online, self._config.target_tau)
        elif self.state.learner_step % self._config.target_interval == 0:
            hard_update(self._target, self._online)

    def _drop(self) -> None:
        self.num_bad += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row >= MAX_BAD_IN_A_ROW:
            raise FloatingPointError(
                f"{self._bad_in_a_row} updates in a row had a loss or gradient that is not finite (learner step "
                f"{self.state.learner_step}); lower learner.learning_rate or learner.max_grad_norm, or look for NaN in the observations"
            )
