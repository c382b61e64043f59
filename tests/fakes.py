"""In-process stand-ins for what a learner is wired to; their data says where it comes from."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.commands import Answer, Command, CommandBatch
from robonav_ray.records import Metrics, PolicySnapshot, ReplaySample, TransitionSpec, pack_item_id


class FakeReplay:
    """BatchSource and PrioritySink over a fixed table of rows.

    With the default table, row i has id (shard 0, life 0, i), ``obs[:, 0] == i`` and ``next_obs[:, 0] == i + 0.5``.
    Draws are uniform; row i has importance weight 1.
    """

    def __init__(
        self,
        obs_dim: int,
        num_actions: int,
        num_rows: int = 256,
        seed: int = 0,
        columns: tuple[np.ndarray, ...] | None = None,
        policy_version: int = 0,
    ) -> None:
        self.spec = TransitionSpec.for_discrete((obs_dim,))
        rng = np.random.default_rng(seed)
        if columns is None:
            columns = self.spec.allocate(num_rows)
            obs, action, reward, next_obs, discount, version = columns
            obs[:], next_obs[:] = rng.standard_normal(obs.shape), rng.standard_normal(obs.shape)
            obs[:, 0], next_obs[:, 0] = np.arange(num_rows), np.arange(num_rows) + 0.5
            action[:] = rng.integers(0, num_actions, num_rows)
            reward[:] = rng.standard_normal(num_rows)
            discount[:] = np.where(rng.random(num_rows) < 0.1, 0.0, 0.97)
            version[:] = policy_version
        self.spec.check_columns(columns)
        self.columns = columns
        self.priority = np.full(len(columns[0]), np.nan, np.float32)
        self.rng = rng
        self.dry_for = 0
        """Calls of ``sample`` that will answer None."""
        self.poison_for = 0
        """Batches that will carry a NaN reward."""
        self.calls: list[tuple[int, int]] = []
        self.updates: list[int] = []
        self.learner_step = -1
        self.closed = False

    def sample(self, batch_size: int, num_batches: int) -> list[ReplaySample] | None:
        self.calls.append((batch_size, num_batches))
        if self.dry_for > 0:
            self.dry_for -= 1
            return None
        return [self._batch(batch_size) for _ in range(num_batches)]

    def _batch(self, batch_size: int) -> ReplaySample:
        row = self.rng.integers(0, len(self.columns[0]), batch_size)
        columns = tuple(column[row] for column in self.columns)
        if self.poison_for > 0:
            self.poison_for -= 1
            columns[self.spec.index("reward")][0] = np.nan
        for column in columns:  # as from Ray's object store
            column.flags.writeable = False
        probability = np.full(batch_size, 1.0 / len(self.columns[0]))
        return ReplaySample(columns, pack_item_id(0, 0, row), probability, np.ones(batch_size, np.float32))

    def update_priorities(self, item_id: np.ndarray, priority: np.ndarray) -> int:
        assert item_id.dtype == np.int64
        assert priority.dtype == np.float32
        assert item_id.shape == priority.shape
        assert np.isfinite(priority).all()
        if not self.priority.flags.writeable:  # this copy came out of Ray's object store
            self.priority = self.priority.copy()
        self.updates.append(len(item_id))
        self.priority[item_id] = priority
        return 1

    def set_learner_step(self, step: int) -> None:
        self.learner_step = step

    @property
    def importance_exponent(self) -> float:
        return 0.0

    def close(self) -> None:
        self.closed = True


class MarkedReplay(FakeReplay):
    """Writes down which process draws from it, gives no more than 1,000 batches a second, and bad ones once it is
    spoilt."""

    def __init__(self, obs_dim: int, num_actions: int, pid_file: str) -> None:
        super().__init__(obs_dim, num_actions)
        self.pid_file = Path(pid_file)
        self._written_by = 0

    @property
    def _spoilt(self) -> Path:
        return self.pid_file.with_name("spoilt")

    def spoil(self) -> None:
        """From now on every batch has a NaN, in whichever process it is drawn."""
        self._spoilt.touch()

    def sample(self, batch_size: int, num_batches: int) -> list[ReplaySample] | None:
        if self._written_by != os.getpid():  # once, and whole: another process reads it meanwhile
            self._written_by = os.getpid()
            aside = self.pid_file.with_name("aside")
            aside.write_text(str(os.getpid()))
            aside.replace(self.pid_file)
        if self._spoilt.exists():
            self.poison_for = 10**9
        time.sleep(0.001 * num_batches)
        return super().sample(batch_size, num_batches)


class FakeWeights:
    """WeightSink and WeightSource that remembers everything."""

    def __init__(self, version: int = -1) -> None:
        self.snapshots: list[PolicySnapshot] = []
        self._floor = version

    @property
    def newest(self) -> int:
        return self.snapshots[-1].version if self.snapshots else self._floor

    def publish(self, snapshot: PolicySnapshot) -> None:
        if snapshot.version <= self.newest:
            raise ValueError(f"version {snapshot.version} does not rise above {self.newest}")
        self.snapshots.append(snapshot)

    def newer_than(self, version: int) -> PolicySnapshot | None:
        if self.snapshots:
            return self.snapshots[-1] if self.newest > version else None
        return PolicySnapshot(self._floor, 0, (), ()) if self._floor > version else None

    def wait_newer_than(self, version: int) -> PolicySnapshot | None:
        return self.newer_than(version)


class ScriptedCommands:
    """CommandChannel that gives out one list of commands per exchange, and stops after the last or at
    ``until(metrics)``."""

    def __init__(
        self, *script: list[Command], until: Callable[[Metrics], bool] | None = None, timeout_s: float = 120.0
    ) -> None:
        self._script = deque(script)
        self._until = until
        self._deadline = time.monotonic() + timeout_s
        self.metrics: list[Metrics] = []
        self.answers: dict[int, Any] = {}

    def exchange(self, metrics: Metrics) -> CommandBatch:
        self.metrics.append(metrics)
        commands = tuple(self._script.popleft()) if self._script else ()
        over = self._until is None or self._until(metrics) or time.monotonic() > self._deadline
        return CommandBatch(commands, stop=not self._script and over)

    def reply(self, command_id: int, answer: Answer) -> None:
        assert command_id not in self.answers
        self.answers[command_id] = answer
