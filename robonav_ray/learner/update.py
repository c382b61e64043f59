"""One gradient step on one batch: objective, gradients, clipping, optimiser, target network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from robonav_ray.algo.losses import hard_update, polyak_update
from robonav_ray.algo.objective import Batch, beyond_support_of, make_objective
from robonav_ray.algo.update_draws import Draws
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.histograms import Histogram
from robonav_ray.learner.accumulation import averaged, begin_gradients, pieces
from robonav_ray.learner.bad_batches import BadBatches
from robonav_ray.learner.batch_stage import BatchStage
from robonav_ray.learner.compilation import compiled
from robonav_ray.learner.distributions import learner_histograms
from robonav_ray.learner.ranks import OneRank
from robonav_ray.learner.schedule import is_scheduled, learning_rate
from robonav_ray.learner.state import LearnerState
from robonav_ray.records import ReplaySample, TransitionSpec


class StepMeans(NamedTuple):
    """Means over the updates since they were last taken."""

    loss: float
    td_error: float
    q: float
    grad_norm: float


class Losses(NamedTuple):
    """What the forward pass of some rows gives: td errors (B,), the rest scalars; ``loss`` has the gradient."""

    loss: Tensor
    td_error: Tensor
    mean_td_error: Tensor
    mean_q: Tensor


class Update:
    """Applies gradient steps to a LearnerState. Ranks that are given halves of a batch end with the weights of the
    whole one.
    """

    def __init__(
        self,
        state: LearnerState,
        algo: AlgoConfig,
        learner: LearnerConfig,
        spec: TransitionSpec,
        model: nn.Module | None = None,
        ranks: OneRank | None = None,
        dump_directory: Path | None = None,
    ) -> None:
        """Make ready.

        Args:
            state: What is trained.
            algo: The learning rule.
            learner: Optimiser, precision, accumulation, compilation.
            spec: Columns of the samples.
            model: ``state.online`` wrapped so that its gradients are averaged over ranks; None with one rank.
            ranks: None with one rank.
            dump_directory: Where a batch that ends the run is kept; None for nowhere.
        """
        self.state = state
        self._ranks = ranks or OneRank()
        self._model = model if model is not None else state.online
        self._online = list(state.online.parameters())
        self._target = list(state.target.parameters())
        self._algo = algo
        self._objective = make_objective(algo)
        self._losses = compiled(self._forward, learner.compile)
        # a captured graph writes its outputs to the same place every time
        self._must_copy = learner.compile == "reduce-overhead"
        self._num_pieces = learner.accumulation_steps
        self._stage = BatchStage(spec, state.device)
        self.configure(learner)
        self._bad = BadBatches(spec, self._ranks, dump_directory)
        self._sums = torch.zeros(4, device=state.device)
        self._num_summed = 0
        self._newest: Batch | None = None
        self._newest_error: np.ndarray | None = None

    @property
    def num_bad(self) -> int:
        """Updates that were dropped because a loss or gradient was not finite."""
        return self._bad.num_bad

    def configure(self, learner: LearnerConfig) -> None:
        """Take over learning rate, epsilon, clipping and target update from ``learner``."""
        self._config = learner
        self.state.optimizer.eps = learner.adam_eps
        self._is_scheduled = is_scheduled(learner)
        self._set_learning_rate()

    def __call__(self, sample: ReplaySample) -> np.ndarray | None:
        """Make one step and return the new |td_error| (B,) float32; None when the update was dropped.

        An update whose loss or gradient is not finite leaves weights and moments as they are and is counted; with
        several ranks all of them drop it, since one rank's NaN reaches the others through the averaged gradient. In
        fp16 an overflow that the scale of the loss explains is skipped without being counted as bad.

        Raises:
            FloatingPointError: After ``bad_batches.MAX_BAD_IN_A_ROW`` such updates in a row.
        """
        state = self.state
        self._newest, self._newest_error = self._stage.load(sample), None
        error, stats = self.gradients(self._newest)
        state.precision.unscale(state.optimizer)
        norm = nn.utils.clip_grad_norm_(self._online, self._config.max_grad_norm, foreach=True)
        if not np.isfinite(norm.item()):
            self._skip(sample, float(stats[0]))
            return None
        self._bad.in_a_row = 0
        if self._is_scheduled:
            self._set_learning_rate()
        state.precision.step(state.optimizer)
        state.learner_step += 1
        self._update_target()
        self._sums += torch.stack((*stats, norm))
        self._num_summed += 1
        self._newest_error = error.abs().cpu().numpy()
        return self._newest_error

    def gradients(self, batch: Batch) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Fill the gradients of the online network with those of ``mean(w * row loss)``, times the scale of the loss in
        fp16.

        Returns:
            The td errors (B,), and loss, mean |td_error| and mean Q as scalars.
        """
        state = self.state
        begin_gradients(self._online, in_place=self._must_copy and self._num_pieces > 1)
        draws = self._objective.draw(
            state.online,
            state.seed,
            state.learner_step,
            len(batch.reward),
            state.device,
            self._ranks.rank,
            self._ranks.world_size,
        )
        if self._num_pieces == 1:
            found = self._backward(batch, draws, 1.0)
            return found.td_error, (found.loss, found.mean_td_error, found.mean_q)
        errors, sums = [], torch.zeros(3, device=state.device)
        for piece in pieces(len(batch.reward), self._num_pieces):
            part = Batch(*(column[piece.start : piece.stop] for column in batch))
            with averaged(self._model, piece.is_last):
                found = self._backward(part, draws.part(piece.start, piece.stop), piece.weight)
            errors.append(found.td_error)
            sums += piece.weight * torch.stack((found.loss, found.mean_td_error, found.mean_q))
        return torch.cat(errors), (sums[0], sums[1], sums[2])

    def take_means(self) -> StepMeans | None:
        """Return the means since the last call and start anew; None when there was no update."""
        if self._num_summed == 0:
            return None
        means = StepMeans(*(self._sums / self._num_summed).tolist())
        self._sums.zero_()
        self._num_summed = 0
        return means

    def beyond_support(self) -> tuple[float, float] | None:
        """Return what parts of the newest batch's targets lie below and above the support; None without c51 or a
        batch.
        """
        if self._algo.distribution != "c51" or self._newest is None:
            return None
        below, above = beyond_support_of(self._algo, self.state.target, self._newest)
        return below.item(), above.item()

    def histograms(self) -> tuple[Histogram, ...]:
        """Return the distributions of weights, gradients, and the newest batch's Q values and TD errors."""
        return learner_histograms(self.state.online, self._newest, self._newest_error)

    def _forward(self, batch: Batch, draws: Draws) -> Losses:
        state = self.state
        with state.precision.autocast():
            rows = self._objective.rows(self._model, state.online, state.target, batch, draws)
        loss = (batch.importance_weight * rows.loss).mean()
        return Losses(loss, rows.td_error, rows.td_error.abs().mean(), rows.q.mean())

    def _backward(self, batch: Batch, draws: Draws, weight: float) -> Losses:
        """Add the gradients of ``weight`` times the mean loss of these rows; the loss that is returned has none."""
        if self._must_copy:
            torch.compiler.cudagraph_mark_step_begin()
        found = self._losses(batch, draws)
        value = found.loss.detach()
        # Huber's slope is bounded, so an infinite error would pass for a finite gradient: inf - inf makes it NaN on
        # every rank.
        self.state.precision.backward(found.loss * (weight + (value - value)))
        kept = found._replace(loss=value)
        return Losses(*(t.clone() for t in kept)) if self._must_copy else kept

    def _set_learning_rate(self) -> None:
        self.state.optimizer.learning_rate = learning_rate(
            self._config, self.state.learner_step, self.state.budget_frac
        )

    def _update_target(self) -> None:
        if self._config.target_update == "polyak":
            polyak_update(self._target, self._online, self._config.target_tau)
        elif self.state.learner_step % self._config.target_interval == 0:
            hard_update(self._target, self._online)

    def _skip(self, sample: ReplaySample, loss: float) -> None:
        finite = math.isfinite(loss)
        if self.state.precision.scaler is not None:  # all ranks must call it the same; their losses differ
            finite = self._ranks.mean([float(not finite)])[0] == 0.0
        if not self.state.precision.skip(finite):
            self._bad.drop(sample, self.state, loss)
