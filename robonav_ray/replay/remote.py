"""The replay over Ray: shards and ledger as actors, in the hands of the runtime (see ``client_remote`` for those of the
others).

The ledger lives on the node of the process that started the replay: losing it ends the run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from robonav_ray.calls_remote import RayCall
from robonav_ray.config.replay import ReplayConfig
from robonav_ray.files.manifest import FileEntry
from robonav_ray.hosted_remote import MAX_CONCURRENCY, Host, end
from robonav_ray.own_processes import SERVES, step_back
from robonav_ray.ranges import within
from robonav_ray.records import TransitionSpec
from robonav_ray.replay import buffer
from robonav_ray.replay.client_remote import (
    RemoteBatchSource,
    RemotePrioritySink,
    RemoteShards,
    RemoteTransitionSink,
)
from robonav_ray.replay.ledger_service import LedgerService
from robonav_ray.replay.pacing import LedgerStats
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.replay.shard_lives import ShardLives
from robonav_ray.replay.shard_records import ShardStats
from robonav_ray.replay.shard_view import ReplayStats

_BATCHES_PER_SEND = 64
"""Batches whose priorities go to the shards together: a call less often costs less, and old priorities are drawn by for
longer."""
_LEDGER_S, _MARK_S, _WRITTEN_S = 10.0, 4.0, 10.0
"""Seconds that the driver waits for the ledger, for a shard that sets the mark of a snapshot (the learner stands
meanwhile), and for one that says whether it has written; a frozen process never answers."""


class ReplaySave:
    """A snapshot that shards are writing, each on its own node. A shard that dies meanwhile ends it."""

    def __init__(self, shards: list[Any], directory: Path | str, ledger: dict[str, Any]) -> None:
        """``ledger`` is its state at the cut."""
        self._shards, self._directory, self._ledger = list(shards), directory, ledger
        self._paths = buffer.shard_directories(directory, len(shards))

    def mark(self, timeout_s: float) -> None:
        """Have every shard set its mark; RayError when one does not within ``timeout_s``."""
        try:
            ray.get(
                [s.begin_save.remote(path) for s, path in zip(self._shards, self._paths, strict=True)],
                timeout=timeout_s,
            )
        except RayError:
            self.abandon()
            raise

    def poll(self) -> list[FileEntry] | None:
        """Return the entries of all files, seen from the replay's folder; None while a shard is writing; RayError when
        one failed.
        """
        parts = ray.get([shard.poll_save.remote() for shard in self._shards], timeout=_WRITTEN_S)
        if any(part is None for part in parts):
            return None
        entry = buffer.write_replay_json(self._directory, {"num_shards": len(self._shards), "ledger": self._ledger})
        return [entry, *(e.below(f"shard_{i:03d}") for i, part in enumerate(parts) for e in part)]

    def abandon(self) -> None:
        """Have the shards give it up; does not wait for them."""
        for shard in self._shards:
            shard.abandon_save.remote()


def _step_back(_shard: ReplayShard) -> None:
    """What a shard's process does first."""
    step_back(SERVES)


class _RayShards:
    """Implements ShardProcesses: every shard is an actor."""

    def __init__(
        self, config: ReplayConfig, spec: TransitionSpec, seed: int, cpus_per_shard: float, strategies: Sequence[Any]
    ) -> None:
        self._config, self._spec, self._seed, self._strategies = config, spec, seed, list(strategies)
        self._actor_class: Any = ray.remote(num_cpus=cpus_per_shard, max_restarts=0)(ReplayShard)

    def start(self, index: int, life: int) -> Any:
        actor_class = self._actor_class
        if self._strategies:
            actor_class = actor_class.options(scheduling_strategy=self._strategies[index])
        shard = actor_class.remote(self._config, self._spec, self._seed, index, life)
        shard.__ray_call__.remote(_step_back)
        return shard

    def first_answer(self, process: Any, index: int, life: int, directory: Path | str | None) -> RayCall:
        if directory is None:
            return RayCall(process.stats.remote())
        path = buffer.shard_directories(directory, self._config.num_shards)[index]
        return RayCall(process.restore.remote(path, life))

    def kill(self, process: Any) -> None:
        ray.kill(process)


class ReplayHandles:
    """The running replay, in the hands of the runtime.

    Every call is bounded. What does not answer in time raises GetTimeoutError, a RayError like that of an actor that
    has died.
    """

    def __init__(
        self,
        config: ReplayConfig,
        spec: TransitionSpec,
        seed: int,
        cpus_per_shard: float,
        ledger: Any,
        strategies: Sequence[Any] = (),
    ) -> None:
        """Made by ``start_replay``."""
        self.config, self.spec, self.seed, self.ledger = config, spec, seed, ledger
        self._lives = ShardLives(_RayShards(config, spec, seed, cpus_per_shard, strategies), config.num_shards)
        self._view = RemoteShards(ledger)
        self._known = ledger.set_shards.remote(self.shards)

    @property
    def shards(self) -> list[Any]:
        """The actor of each shard."""
        return self._lives.present

    @property
    def num_shards(self) -> int:
        """How many there are."""
        return len(self._lives.present)

    @property
    def num_restarts(self) -> int:
        """How many replacements have come up."""
        return self._lives.num_restarts

    def ask(self, index: int) -> RayCall:
        """Ask a shard for its ShardStats."""
        return RayCall(self.shards[index].stats.remote())

    def ask_priorities(self) -> list[RayCall]:
        """Ask every shard for its ``priority_counts``."""
        return [RayCall(shard.priority_counts.remote()) for shard in self.shards]

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until every actor runs; RuntimeError says what did not come up."""
        refs = {"the ledger": self._known} | {f"shard {i}": s.stats.remote() for i, s in enumerate(self.shards)}
        ray.wait(list(refs.values()), num_returns=len(refs), timeout=timeout_s)
        late = [name for name, ref in refs.items() if not ray.wait([ref], timeout=0)[0]]
        if late:
            raise RuntimeError(
                f"the replay did not start within {timeout_s:g} s: {', '.join(late)} is not running. The cluster may "
                "be too small: lower replay.num_shards or runtime.cpus_per_shard, or raise runtime.start_timeout_s"
            )
        ray.get(list(refs.values()))

    def transition_sink(self, max_in_flight: int) -> RemoteTransitionSink:
        """Return a client for one rollout worker."""
        return RemoteTransitionSink(self.ledger, max_in_flight)

    def batch_source(self, rank: int, prefetch_calls: int) -> RemoteBatchSource:
        """Return a client for one learner rank."""
        return RemoteBatchSource(self.ledger, self.config, self.spec, self.seed, rank, prefetch_calls)

    def priority_sink(self, batches_per_call: int = 16) -> RemotePrioritySink:
        """Return a client for one learner rank, which tells priorities after so many batches; some of them travel
        together.
        """
        return RemotePrioritySink(self.ledger, max(1, _BATCHES_PER_SEND // batches_per_call))

    def stats(self, timeout_s: float = 2.0) -> ReplayStats:
        """Return the figures; shards that do not answer in time, or are dead, are left out."""
        return ReplayStats(
            self._ask_shards(timeout_s), ray.get(self.ledger.stats.remote(), timeout=_LEDGER_S), self.num_restarts
        )

    def begin_replacing(self, index: int, directory: Path | str | None = None) -> None:
        """As ``ShardLives.begin_replacing``; ``take_replaced`` puts the new life in its place once it is up."""
        self._lives.begin_replacing(index, directory)

    def begin_again(self, index: int, directory: Path | str | None) -> None:
        """As ``ShardLives.begin_again``."""
        self._lives.begin_again(index, directory)

    def take_replaced(self, saved: Path | str | None = None) -> list[int]:
        """As ``ShardLives.take_replaced``; clients find the new ones at their next reservation.

        Tell ``rebase`` the rows of the whole replay afterwards.
        """
        done = self._lives.take_replaced(saved)
        if done:
            self._known = self.ledger.set_shards.remote(self.shards)
        return done

    def replacing_s(self, index: int) -> float | None:
        """As ``ShardLives.replacing_s``."""
        return self._lives.replacing_s(index)

    def rebase(self, size: int) -> None:
        """Begin the warm-up anew when only ``size`` rows, less than ``replay.min_size``, are left; does not wait."""
        self._known = self.ledger.rebase.remote(size)

    def pause(self, drain_s: float = 2.0) -> LedgerStats:
        """Set the mark for a checkpoint: nothing is admitted until ``resume``; see ``LedgerService.pause``."""
        return ray.get(self.ledger.pause.remote(drain_s), timeout=drain_s + _LEDGER_S)

    def resume(self) -> None:
        """Admit again."""
        ray.get(self.ledger.resume.remote(), timeout=_LEDGER_S)

    def begin_save(self, directory: Path | str, timeout_s: float = _MARK_S) -> ReplaySave:
        """Set the mark of a snapshot in every shard, and return what to ask whether it is written below ``directory``.

        Call between ``pause`` and ``resume``; see ``LedgerService.pause`` for what is in. Replace dead shards first.
        The replay may go on as soon as this returns. RayError when a shard does not set the mark within ``timeout_s``.
        """
        ledger: Any = ray.get(self.ledger.state_dict.remote(), timeout=_LEDGER_S)
        save = ReplaySave(self.shards, directory, ledger)
        save.mark(timeout_s)
        return save

    def save(self, directory: Path | str, timeout_s: float = 60.0) -> list[FileEntry]:
        """As ``begin_save``, and wait until all is written; return the files' entries, named relative to ``directory``.

        RayError when a shard fails or is not done within ``timeout_s`` seconds.
        """
        until = time.monotonic() + timeout_s
        save = self.begin_save(directory, min(timeout_s, _MARK_S))
        while (entries := save.poll()) is None:
            if time.monotonic() > until:
                save.abandon()
                raise GetTimeoutError(f"the replay was not written to {directory} within {timeout_s:g} s")
            time.sleep(0.01)
        return entries

    def load(self, directory: Path | str, timeout_s: float = 120.0) -> None:
        """Restore what ``save`` wrote, here or in one process, in new lives, before any client is used.

        ValueError names what is missing or different; RuntimeError when the shards are not up and restored within
        ``timeout_s``.
        """
        saved = buffer.read_replay_json(directory, len(self.shards))
        paths = buffer.shard_directories(directory, len(self.shards))
        refs = [s.restore.remote(p, k + 1) for s, p, k in zip(self.shards, paths, self._lives.numbers, strict=True)]
        try:
            self._lives.numbers = ray.get(refs, timeout=timeout_s)
            with within("replay/replay.json: "):
                ray.get(self.ledger.load_state_dict.remote(saved["ledger"]), timeout=timeout_s)
            # all that are to come are new
            ray.get([shard.forget_writers.remote() for shard in self.shards], timeout=timeout_s)
            found: list[ShardStats] = ray.get([shard.stats.remote() for shard in self.shards], timeout=timeout_s)
            if not any(stats.size for stats in found):
                # counts alone do not make rows that can be drawn
                ray.get(self.ledger.rebase.remote(0), timeout=timeout_s)
        except GetTimeoutError:
            raise RuntimeError(
                f"the replay was not restored from {directory} within {timeout_s:g} s; `ray status` shows whether its "
                "shards have found room: lower replay.num_shards or runtime.cpus_per_shard"
            ) from None

    def shutdown(self) -> None:
        """End all actors; clients that still ask get ActorDiedError."""
        self._lives.kill()
        end(self.ledger)

    def _ask_shards(self, timeout_s: float) -> list[ShardStats]:
        """Return the figures of the shards that answer in time."""
        self._view.refresh(timeout_s=_LEDGER_S)
        refs = [shard.stats.remote() for shard in self.shards]
        ray.wait(refs, num_returns=len(refs), timeout=timeout_s)
        answers = [self._view.answer(i, ref, slow_s=0.0) for i, ref in enumerate(refs)]
        return [answer for answer in answers if answer is not None]


def start_replay(
    config: ReplayConfig,
    spec: TransitionSpec,
    seed: int,
    *,
    max_insert_rows: int,
    max_sample_rows: int,
    cpus_per_shard: float,
    strategies: Sequence[Any] = (),
    host: Host | None = None,
) -> ReplayHandles:
    """Start ledger and shards in parallel and return at once; ``wait_ready`` waits for them.

    ``max_insert_rows`` is the largest fragment; ``max_sample_rows`` the rows of one call of one rank times the ranks.
    ValueError for a pacing that could block without end. The ledger is in ``host``, or an actor of its own.
    ``strategies`` are Ray's scheduling strategies of the shards. Memory is checked by the caller
    (``memory.check_memory``), who knows the nodes.
    """
    buffer.make_ledger(config, max_insert_rows, max_sample_rows)  # refuses here, not in an actor
    arguments = (config, max_insert_rows, max_sample_rows)
    if host is not None:
        ledger: Any = host.start(LedgerService, *arguments)
    else:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        ledger_class: Any = ray.remote(LedgerService)
        ledger = ledger_class.options(num_cpus=0, max_concurrency=MAX_CONCURRENCY, scheduling_strategy=here).remote(
            *arguments
        )
    return ReplayHandles(config, spec, seed, cpus_per_shard, ledger, strategies)
