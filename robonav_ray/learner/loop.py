"""The learner's loop, the same in one process and in every rank of many.

::

                     replay                                      runtime
        sample(rows, num_batches)  update_priorities       exchange(metrics)  reply
                 |                       ^                     |  ^             ^
                 v                       |                     v  |             |
      +--> [ chunk of batches ] --> [ updates ] --> [ look at the mailbox: obey commands ] --+
      |          |                       |                                                   |
      |          |                       +--> publish(snapshot) every publish_interval       |
      +----------+-------------------------------------- until stop <------------------------+

What it waits for, and what unblocks it:

* ``sample`` waits while replay is too empty or the learner too far ahead. It returns None after a bounded time, and the
  loop looks at the mailbox every ``LOOK_S`` seconds meanwhile, so a starved learner still saves, pauses and stops.
* ``exchange`` and ``reply`` are short calls; ``update_priorities`` and ``publish`` answer at once.
* With several ranks, ``agree`` waits for the slowest rank: one small all-reduce per chunk, in which every rank says
  whether it has its batches and rank 0 whether it wants to look. Unless *all* have them no rank trains, and a rank
  keeps what it drew until all do. So all ranks make the same updates and obey the same commands at the same step, and a
  dry rank delays the others without blocking them: its ``sample`` comes back in bounded time.
* ``Cut`` and ``TakeOver`` hold the loop at a step boundary; it goes on looking, so that ``Resume`` or a stop ends that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from robonav_ray.commands import CommandBatch
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.interfaces import BatchSource, CommandChannel, PrioritySink, WeightSink
from robonav_ray.learner.command_handler import CommandHandler
from robonav_ray.learner.meters import LearnerMeters
from robonav_ray.learner.ranks import OneRank
from robonav_ray.learner.state import LearnerState
from robonav_ray.learner.update import Update
from robonav_ray.records import ReplaySample, TransitionSpec

LOOK_S = 0.25
"""Longest time between two looks at the mailbox, within the bound of one ``sample`` or one chunk."""
PAUSED_LOOK_S = 0.02
"""The same while paused."""


class LearnerLoop:
    """Trains ``state`` on what ``source`` gives until told to stop. Plain: a process of Ray Train runs it, and so does
    a test.
    """

    def __init__(
        self,
        state: LearnerState,
        algo: AlgoConfig,
        learner: LearnerConfig,
        spec: TransitionSpec,
        *,
        source: BatchSource,
        priorities: PrioritySink,
        weights: WeightSink,
        commands: CommandChannel,
        ranks: OneRank | None = None,
        model: nn.Module | None = None,
        on_committed: Callable[[str], None] | None = None,
        dump_directory: Path | None = None,
    ) -> None:
        """Wire the loop; nothing runs yet.

        Args:
            state: What is trained.
            algo: The learning rule.
            learner: Optimiser and intervals; ``batch_size`` is global, each rank draws its part.
            spec: Columns of the samples.
            source: Batches for this rank.
            priorities: Gets |td_error| of every chunk.
            weights: Gets snapshots, from rank 0.
            commands: The mailbox, seen by rank 0.
            ranks: None for a learner of one process.
            model: ``state.online`` wrapped for gradient averaging; None with one rank.
            on_committed: Called on every rank with the path of a checkpoint that has become real.
            dump_directory: Where the batch is kept that ends the run because nothing in it is finite; None for nowhere.
        """
        self.state = state
        self._ranks = ranks or OneRank()
        self._source, self._priorities, self._weights, self._commands = source, priorities, weights, commands
        self._update = Update(state, algo, learner, spec, model, self._ranks, dump_directory)
        self._handler = CommandHandler(state, learner, self._update, self._ranks, on_committed)
        self._rows_per_rank = learner.batch_size // self._ranks.world_size
        self._rows_global = self._rows_per_rank * self._ranks.world_size
        self._batches_per_call = learner.batches_per_call
        self._version_column = spec.index("policy_version")
        self._kept: list[ReplaySample] | None = None
        self._meters = LearnerMeters(state.learner_step)
        self._looked_at, self._looked_step = time.monotonic(), state.learner_step
        self._has_told = False
        """Whether the mailbox has heard of an update: of the first ones at once, as the driver waits for them."""

    @property
    def stopping(self) -> bool:
        """Whether a command has asked to stop."""
        return self._handler.stopping

    def publish(self) -> None:
        """Publish the weights under the next version; rank 0 sends, all ranks count."""
        self.state.policy_version += 1
        if self._ranks.rank == 0:
            self._weights.publish(self.state.snapshot())

    def run(self) -> None:
        """Publish the weights as they are, then train until a command says stop; raises what the parts raise."""
        self.publish()
        while not self.stopping:
            batches = None if self._handler.paused else self._kept or self._draw(self._batches_per_call)
            train, look = self._ranks.agree(batches is not None, self._wants_look())
            if train and batches is not None:
                self._kept = None
                self._train_on(batches)
            else:
                self._kept = self._kept or batches
            if look:
                self.look()
            elif self._handler.paused:
                time.sleep(PAUSED_LOOK_S / 4)

    def advance(self, max_updates: int) -> int:
        """Make up to ``max_updates`` updates on batches drawn for just that many; return how many, fewer when the
        source is dry.

        For a wiring that owns the loop: deterministic, and nothing that was drawn stays behind. One rank only.
        """
        made = 0
        while made < max_updates and not self._handler.paused:
            batches = self._draw(min(self._batches_per_call, max_updates - made))
            if batches is None:
                break
            self._train_on(batches)
            made += len(batches)
        return made

    def look(self) -> None:
        """Hand the metrics over and obey the commands that wait. A collective with several ranks."""
        metrics = self._meters.report(self.state, self._update, self._ranks)
        metrics["learner/importance_exponent"] = float(self._source.importance_exponent)
        batch = self._commands.exchange(metrics) if self._ranks.rank == 0 else CommandBatch()
        batch = self._ranks.broadcast(batch)
        if batch.budget_frac is not None:
            self.state.budget_frac = batch.budget_frac
        for command in batch.commands:
            answer = self._handler.answer(command)
            if self._ranks.rank == 0:
                self._commands.reply(command.id, answer)
        if self._handler.take_reloaded():
            self._kept = None
            self._update.take_means()
            self._meters.begin(self.state.learner_step)
            self.publish()
        self._has_told |= self.state.learner_step > self._looked_step
        self._handler.stopping |= batch.stop
        self._looked_at, self._looked_step = time.monotonic(), self.state.learner_step

    def _wants_look(self) -> bool:
        waited = time.monotonic() - self._looked_at
        if self._handler.paused:
            return waited >= PAUSED_LOOK_S
        since = self.state.learner_step - self._looked_step
        return waited >= LOOK_S or since >= (self._handler.config.report_interval if self._has_told else 1)

    def _draw(self, num_batches: int) -> list[ReplaySample] | None:
        self._source.set_learner_step(self.state.learner_step)
        start = time.perf_counter()
        batches = self._source.sample(self._rows_per_rank, num_batches)
        self._meters.waited_s += time.perf_counter() - start
        return batches

    def _train_on(self, batches: Sequence[ReplaySample]) -> None:
        """Update once per batch, publishing where it is due, and send the new priorities of all of them in one call."""
        versions = np.concatenate([sample.columns[self._version_column] for sample in batches])
        self._meters.note_lag(self.state.policy_version, versions)
        item_ids: list[np.ndarray] = []
        errors: list[np.ndarray] = []
        for sample in batches:
            error = self._update(sample)
            self.state.samples += self._rows_global
            if error is None:
                continue
            item_ids.append(sample.item_id)
            errors.append(error)
            if self.state.learner_step % self._handler.config.publish_interval == 0:
                self.publish()
        if errors:
            stale = self._priorities.update_priorities(np.concatenate(item_ids), np.concatenate(errors))
            self._meters.num_stale += stale
