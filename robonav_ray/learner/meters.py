"""The learner's metrics between two looks at the mailbox."""

from __future__ import annotations

import time

import numpy as np

from robonav_ray.learner.ranks import OneRank
from robonav_ray.learner.state import LearnerState
from robonav_ray.learner.update import Update
from robonav_ray.records import Metrics


class LearnerMeters:
    """Sums since the last report, and the figures made of them."""

    def __init__(self, learner_step: int) -> None:
        self.num_stale = 0
        """Priority updates that came too late, since the process started."""
        self._last_chunk: float | None = None
        self.begin(learner_step)

    def begin(self, learner_step: int) -> None:
        """Start the sums anew."""
        self._began, self._first_step = time.perf_counter(), learner_step
        self.waited_s = self._gap_s = 0.0
        self._lag_sum, self._lag_max, self._num_chunks = 0.0, 0, 0

    def note_lag(self, own_version: int, sampled_version: np.ndarray) -> None:
        """Take note that a chunk begins, and of how old the policies were that chose its actions (B,).

        Once per chunk: between two updates the interpreter's and numpy's code is cold, and a few small calls cost 2 %
        of an update.
        """
        now = time.perf_counter()
        if self._last_chunk is not None:
            self._gap_s = max(self._gap_s, now - self._last_chunk)
        self._last_chunk = now
        self._lag_sum += own_version - float(sampled_version.mean())
        self._lag_max = max(self._lag_max, own_version - int(sampled_version.min()))
        self._num_chunks += 1

    def report(self, state: LearnerState, update: Update, ranks: OneRank) -> Metrics:
        """Return the metrics since the last report and start anew. A collective with several ranks.

        Means are over ranks too; what has no value yet (no update since the last report) is left out.
        """
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        metrics: Metrics = {
            "learner/learner_step": float(state.learner_step),
            "learner/policy_version": float(state.policy_version),
            "learner/samples": float(state.samples),
            "learner/steps_per_s": (state.learner_step - self._first_step) / elapsed,
            "learner/learning_rate": state.optimizer.learning_rate,
            "learner/bad_updates": float(update.num_bad),
        }
        if self._last_chunk is not None:  # also the gap that is open now: a learner that stands says so
            metrics["learner/gap_s_max"] = max(self._gap_s, time.perf_counter() - self._last_chunk)
        if state.precision.scaler is not None:
            metrics["learner/loss_scale"] = state.precision.loss_scale
            metrics["learner/loss_overflows"] = float(state.precision.num_overflows)
        over_ranks = {
            "learner/wait_frac": self.waited_s / elapsed,
            "learner/stale_priorities": float(self.num_stale * ranks.world_size),
        }
        if self._num_chunks:
            over_ranks["learner/policy_lag_mean"] = self._lag_sum / self._num_chunks
            over_ranks["learner/policy_lag_max"] = float(self._lag_max)
        means = update.take_means()
        if means is not None:
            over_ranks["learner/loss"] = means.loss
            over_ranks["learner/td_error_mean"] = means.td_error
            over_ranks["learner/q_mean"] = means.q
            over_ranks["learner/grad_norm"] = means.grad_norm
            beyond = update.beyond_support()
            if beyond is not None:
                over_ranks["learner/support_below_frac"], over_ranks["learner/support_above_frac"] = beyond
        metrics.update(zip(over_ranks, ranks.mean(list(over_ranks.values())), strict=True))
        self.begin(state.learner_step)
        return metrics
