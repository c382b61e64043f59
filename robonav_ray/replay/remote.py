"""The replay over Ray: shards and ledger as actors, and the clients that rollouts and learners hold.

    rollout  --reserve-->  ledger          learner --reserve-->  ledger
             --insert--->  one shard               --sample--->  every shard
             (settled by the insert's result)      --update--->  the shards of the items

Clients can be pickled and handed to other actors; a copy starts with nothing in flight. Who the shards are is asked of the
ledger, so a replaced shard is found by everyone. The ledger lives on the node of whoever started the replay: losing it ends the run.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, ObjectLostError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.counter_rng import ROLE_REPLAY, seed_for
from robonav_ray.records import Fragment, TransitionSpec
from robonav_ray.replay import buffer
from robonav_ray.replay.ledger_service import Admission, LedgerService
from robonav_ray.replay.mixing import MixedDraw
from robonav_ray.replay.outbox import PriorityOutbox
from robonav_ray.replay.pacing import LedgerStats, Reservation, Side
from robonav_ray.replay.prefetched_source import PrefetchedSource
from robonav_ray.replay.row_layout import RowLayout
from robonav_ray.replay.shard import ReplayShard, ShardSample, ShardStats
from robonav_ray.replay.shard_view import ReplayStats, ShardedDraw, ShardView

logger = logging.getLogger(__name__)
_SHARD_GONE = (ActorDiedError, ObjectLostError)
_WAIT_S, _MAX_ATTEMPTS = 0.5, 40
"""How long one question or look may wait, and how often a fragment is sent before it is given up."""
_LEDGER_S, _RESTORE_S = 30.0, 60.0
"""How long the driver waits for the ledger, and for a shard that restores itself; frozen processes answer never."""


class _Shards(ShardView):
    """A ShardView that asks the ledger who the shards are."""

    def __init__(self, ledger: Any) -> None:
        super().__init__()
        self.ledger = ledger
        self._asked_at = -math.inf

    def refresh(self, older_than_s: float = 0.0, timeout_s: float | None = None) -> dict[int, Any]:
        """Ask who the shards are, unless that was asked less than ``older_than_s`` seconds ago; return the live ones."""
        if time.monotonic() - self._asked_at >= older_than_s:
            self._asked_at = time.monotonic()
            self.take(*ray.get(self.ledger.shards.remote(), timeout=timeout_s))
        return self.live()

    def answer(self, index: int, ref: Any, slow_s: float) -> Any:
        """Return what shard ``index`` has answered, or None: it is then left alone, for ``slow_s`` seconds unless it is dead."""
        try:
            return ray.get(ref, timeout=0)
        except (*_SHARD_GONE, GetTimeoutError, ActorUnavailableError) as error:
            self.block(index, math.inf if isinstance(error, _SHARD_GONE) else slow_s)
            return None

    def reserve(self, side: Side, rows: int) -> Reservation | None:
        """Ask the ledger once, for at most ``_WAIT_S``; notices on the way when shards were replaced."""
        admission: Admission = ray.get(self.ledger.reserve.remote(side, rows, _WAIT_S))
        if admission.generation != self.generation:
            self.refresh()
        return admission.reservation


class _Client:
    """What the clients share: a view of the shards, and pickling as a fresh client with the same arguments."""

    def __init__(self, ledger: Any, *arguments: Any) -> None:
        self._shards = _Shards(ledger)
        self._arguments = (ledger, *arguments)

    def __reduce__(self) -> Any:
        return type(self), self._arguments


@dataclass(eq=False)
class _Sent:
    """A fragment on its way."""

    fragment: Fragment
    reservation: Reservation
    shard: int = -1
    attempts: int = 0
    inserted: Any = None
    settled: Any = None


class RemoteTransitionSink(_Client):
    """TransitionSink of a rollout worker.

    A fragment goes to one shard, chosen by its sequence; at most ``max_in_flight`` are under way, and their arrays must not be
    changed meanwhile. When a shard is unavailable the insert is repeated there (it stores nothing twice); when it is dead the
    fragment goes to another one. Rows that no shard took are given back to the ledger and counted in ``num_lost_rows``.
    """

    def __init__(self, ledger: Any, max_in_flight: int) -> None:
        """``ledger`` is the handle of a LedgerService actor."""
        super().__init__(ledger, max_in_flight)
        self._max_in_flight = max_in_flight
        self._sent: dict[Any, _Sent] = {}
        self.num_lost_rows = 0

    def insert(self, fragment: Fragment) -> None:
        """Send the fragment; waits while too many are in flight, or rollouts are too far ahead. ValueError for a bad fragment.

        What an insert finds wrong is raised by a later call, or by ``flush``.
        """
        self._reap(self._max_in_flight - 1)
        while (reservation := self._shards.reserve("insert", fragment.num_rows)) is None:
            self._reap(self._max_in_flight)
        self._send(_Sent(fragment, reservation))

    def flush(self) -> None:
        """Wait until nothing is in flight."""
        self._reap(0)

    def _send(self, sent: _Sent) -> None:
        while not (live := self._shards.live() or self._shards.refresh()) and sent.attempts < _MAX_ATTEMPTS:
            sent.attempts += 1
            time.sleep(_WAIT_S)
        sent.attempts += 1
        if not live or sent.attempts > _MAX_ATTEMPTS:
            self._shards.ledger.settle.remote(sent.reservation, 0)
            self.num_lost_rows += sent.fragment.num_rows
            return
        if sent.shard not in live:
            sent.shard = sorted(live)[(sent.fragment.worker + sent.fragment.sequence) % len(live)]
        sent.inserted = live[sent.shard].insert.remote(sent.fragment)
        # Ray calls settle with the insert's result as soon as there is one, also when this worker is busy by then.
        sent.settled = self._shards.ledger.settle.remote(sent.reservation, sent.inserted)
        self._sent[sent.settled] = sent

    def _reap(self, most: int) -> None:
        """Wait until at most ``most`` fragments are in flight, and deal with what has failed."""
        while self._sent:
            ready, _ = ray.wait(list(self._sent), num_returns=1, timeout=_WAIT_S if len(self._sent) > most else 0)
            for ref in ready:
                self._finish(self._sent.pop(ref))
            if not ready and len(self._sent) <= most:
                return

    def _finish(self, sent: _Sent) -> None:
        try:
            ray.get(sent.inserted)
        except ActorUnavailableError:
            # It may have stored the fragment, so no other shard may get it: ask the same one until it answers or is declared dead.
            time.sleep(_WAIT_S)
            self._send(sent)
        except _SHARD_GONE:
            self._shards.block(sent.shard)
            self._send(sent)
        except RayError:
            self._shards.ledger.settle.remote(sent.reservation, 0)
            raise
        else:
            ray.get(sent.settled)


class RemoteBatchSource(_Client, PrefetchedSource):
    """BatchSource of one learner rank: a background thread keeps ``prefetch_calls`` calls ready, copied out of the object store.

    A shard that is dead, or does not answer within ``replay.shard_timeout_s``, is left out, its mass with it. Masses are those
    of the previous answers, at most ``prefetch_calls`` + 1 calls old. beta follows the batches that this rank handed out.
    """

    def __init__(
        self, ledger: Any, config: ReplayConfig, spec: TransitionSpec, seed: int, rank: int, prefetch_calls: int
    ) -> None:
        """Nothing is started before the first ``sample``."""
        _Client.__init__(self, ledger, config, spec, seed, rank, prefetch_calls)
        PrefetchedSource.__init__(self, buffer.make_annealing(config), prefetch_calls, _WAIT_S)
        self._timeout_s = config.shard_timeout_s
        self._draws = ShardedDraw(RowLayout(spec), seed_for(seed, ROLE_REPLAY, buffer.MIXER_INDEX + rank))

    def _make_call(self) -> tuple[Reservation, MixedDraw] | None:
        reservation = self._shards.reserve("sample", self._num_rows)
        if reservation is None:
            return None
        for _ in range(3):
            mixed = self._draws.draw(self._num_rows, self._shards.live(), self._ask)
            if mixed is not None:
                return reservation, mixed
        self._settle(reservation, 0)
        self._shards.refresh()
        time.sleep(0.05)
        return None

    def _settle(self, reservation: Reservation, rows_done: int | None) -> None:
        self._shards.ledger.settle.remote(reservation, rows_done)

    def _ask(self, wanted: dict[int, int]) -> dict[int, ShardSample]:
        """Return the answers by shard; shards without one are left alone from now on."""
        live = self._shards.live()
        refs = {i: live[i].sample.remote(num) for i, num in wanted.items() if i in live}
        ray.wait(list(refs.values()), num_returns=len(refs), timeout=self._timeout_s)
        answers = {i: self._shards.answer(i, ref, self._timeout_s) for i, ref in refs.items()}
        return {i: answer for i, answer in answers.items() if answer is not None}


class RemotePrioritySink(_Client):
    """PrioritySink of a learner rank: sends without waiting, ``calls_per_send`` updates together, at most ``max_in_flight`` per shard.

    When a shard cannot keep up, the oldest waiting updates are dropped beyond ``max_waiting`` of them; those for a dead shard
    are dropped at once. Dropped rows are counted in ``num_dropped_rows``. A priority that is not finite raises ValueError at a later call.
    """

    def __init__(self, ledger: Any, calls_per_send: int = 4, max_in_flight: int = 4, max_waiting: int = 64) -> None:
        """``ledger`` is the handle of a LedgerService actor."""
        super().__init__(ledger, calls_per_send, max_in_flight, max_waiting)
        self._calls_per_send, self._num_calls = calls_per_send, 0
        self._outbox = PriorityOutbox(max_waiting, max_in_flight)
        self._sent: dict[Any, tuple[int, int]] = {}

    @property
    def num_dropped_rows(self) -> int:
        """Rows whose updates never reached a shard."""
        return self._outbox.num_dropped_rows

    def update_priorities(self, item_id: np.ndarray, priority: np.ndarray) -> int:
        """Take priorities (B,) of items (B,); return how many earlier ones have turned out to be too late since the last call."""
        self._outbox.add(item_id, priority)
        self._num_calls += 1
        if self._num_calls % self._calls_per_send == 0:
            self._send()
        return self._collect(timeout_s=0)

    def flush(self, timeout_s: float = 10.0) -> int:
        """Send everything, wait for the answers up to ``timeout_s``, and return the stale updates not yet reported."""
        deadline, stale = time.monotonic() + timeout_s, 0
        self._send()
        while (self._sent or self._outbox.shards()) and time.monotonic() < deadline:
            stale += self._collect(timeout_s=_WAIT_S)
            self._send()
        return stale

    def _send(self) -> None:
        live = self._shards.live()
        if not set(self._outbox.shards()) <= set(live):
            live = self._shards.refresh(older_than_s=_WAIT_S)
        for index, item_id, priority in self._outbox.take_due(live):
            self._sent[live[index].update_priorities.remote(item_id, priority)] = (index, len(item_id))

    def _collect(self, timeout_s: float) -> int:
        if not self._sent:
            return 0
        ready, _ = ray.wait(list(self._sent), num_returns=1 if timeout_s else len(self._sent), timeout=timeout_s)
        sent = [(ref, *self._sent.pop(ref)) for ref in ready]
        return sum(self._outbox.answered(i, rows, self._shards.answer(i, ref, _WAIT_S)) for ref, i, rows in sent)


class ReplayHandles:
    """The running replay, in the hands of the runtime.

    Every call is bounded. What does not answer in time raises GetTimeoutError, a RayError like that of an actor that has died.
    """

    def __init__(self, config: ReplayConfig, spec: TransitionSpec, seed: int, cpus_per_shard: float, ledger: Any) -> None:
        """Made by ``start_replay``."""
        self.config, self.spec, self.seed, self.ledger = config, spec, seed, ledger
        self._shard_class: Any = ray.remote(num_cpus=cpus_per_shard, max_restarts=0)(ReplayShard)
        self._incarnations = [0] * config.num_shards
        self.shards = [self._start_shard(i) for i in range(config.num_shards)]
        self._coming: dict[int, Any] = {}
        self.num_restarts = 0
        self._view = _Shards(ledger)
        self._known = ledger.set_shards.remote(self.shards)

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until every actor runs; RuntimeError says what did not come up."""
        refs = {"the ledger": self._known} | {f"shard {i}": s.stats.remote() for i, s in enumerate(self.shards)}
        ray.wait(list(refs.values()), num_returns=len(refs), timeout=timeout_s)
        late = [name for name, ref in refs.items() if not ray.wait([ref], timeout=0)[0]]
        if late:
            raise RuntimeError(
                f"the replay did not start within {timeout_s:g} s: {', '.join(late)} is not running. The cluster may be too small: "
                "lower replay.num_shards or runtime.cpus_per_shard, or raise runtime.start_timeout_s"
            )
        ray.get(list(refs.values()))

    def transition_sink(self, max_in_flight: int) -> RemoteTransitionSink:
        """Return a client for one rollout worker."""
        return RemoteTransitionSink(self.ledger, max_in_flight)

    def batch_source(self, rank: int, prefetch_calls: int) -> RemoteBatchSource:
        """Return a client for one learner rank."""
        return RemoteBatchSource(self.ledger, self.config, self.spec, self.seed, rank, prefetch_calls)

    def priority_sink(self) -> RemotePrioritySink:
        """Return a client for one learner rank."""
        return RemotePrioritySink(self.ledger)

    def stats(self, timeout_s: float = 2.0) -> ReplayStats:
        """Return the figures; shards that do not answer in time, or are dead, are left out."""
        return ReplayStats(self._ask_shards(timeout_s), ray.get(self.ledger.stats.remote(), timeout=_LEDGER_S), self.num_restarts)

    def dead_shards(self) -> list[int]:
        """Return the shards whose actor has died; a slow one is not dead."""
        self._ask_shards(_WAIT_S)
        return [i for i in range(len(self.shards)) if self._view.is_dead(i)]

    def replace_shard(self, index: int, directory: Path | None = None, timeout_s: float = 10.0) -> int:
        """Start shard ``index`` anew in a new life, from its part of the replay saved in ``directory`` if given; return its rows.

        Rows that it had got since are lost; their ids never come back. Clients find the new shard at their next reservation. When
        the whole replay is now below ``replay.min_size``, the warm-up begins anew. A shard that cannot be restored begins empty,
        which is logged. When its actor is not up within ``timeout_s`` (no node has room) that is logged and 0 returned: the
        shard stays dead, and the next call goes on waiting for the same actor.
        """
        if index not in self._coming:
            ray.kill(self.shards[index])
            self._incarnations[index] += 1
            self._coming[index] = self._start_shard(index)
        shard = self._coming[index]
        try:
            ray.get(shard.stats.remote(), timeout=timeout_s)
        except RayError as error:
            if not isinstance(error, GetTimeoutError):
                del self._coming[index]
            logger.warning("replay shard %d does not come up, the others go on without it: %s", index, error)
            return 0
        if directory is not None:
            path = buffer.shard_directories(directory, len(self.shards))[index]
            try:
                [self._incarnations[index]] = ray.get([shard.restore.remote(path, self._incarnations[index])], timeout=_RESTORE_S)
            except RayError as error:
                logger.warning("replay shard %d begins empty, it cannot be restored from %s: %s", index, path, error)
                self.shards[index] = self._coming.pop(index)  # it may be half restored, so it goes as well
                return self.replace_shard(index, None, timeout_s)
        self.shards[index] = self._coming.pop(index)
        self.num_restarts += 1
        ray.get(self.ledger.set_shards.remote(self.shards), timeout=_LEDGER_S)
        sizes = {stats.shard: stats.size for stats in self._ask_shards(self.config.shard_timeout_s)}
        ray.get(self.ledger.rebase.remote(sum(sizes.values())), timeout=_LEDGER_S)
        return sizes.get(index, 0)

    def pause(self, drain_s: float = 2.0) -> LedgerStats:
        """Set the mark for a checkpoint: nothing is admitted until ``resume``; see ``LedgerService.pause``."""
        return ray.get(self.ledger.pause.remote(drain_s), timeout=drain_s + _LEDGER_S)

    def resume(self) -> None:
        """Admit again."""
        ray.get(self.ledger.resume.remote(), timeout=_LEDGER_S)

    def save(self, directory: Path, timeout_s: float = 60.0) -> list[str]:
        """Write ledger and shards (in parallel, each on its own node) into ``directory``; return the files' relative names.

        Call between ``pause`` and ``resume``; see ``LedgerService.pause`` for what is in. Replace dead shards first. RayError when a
        shard fails, or is not done within ``timeout_s`` seconds; OSError when what it wrote cannot be seen from here.
        """
        ledger = ray.get(self.ledger.state_dict.remote(), timeout=_LEDGER_S)
        files = [buffer.write_replay_json(directory, {"num_shards": len(self.shards), "ledger": ledger})]
        paths = buffer.shard_directories(directory, len(self.shards))
        parts = ray.get([shard.save.remote(path) for shard, path in zip(self.shards, paths, strict=True)], timeout=timeout_s)
        files += [f"{Path(path).name}/{file}" for path, part in zip(paths, parts, strict=True) for file in part]
        return buffer.check_visible(directory, files)

    def load(self, directory: Path, timeout_s: float = 120.0) -> None:
        """Restore what ``save`` wrote, here or in one process, in new lives, before any client is used.

        ValueError names what is missing or different; RuntimeError when the shards are not up and restored within ``timeout_s``.
        """
        saved = buffer.read_replay_json(directory, len(self.shards))
        paths = buffer.shard_directories(directory, len(self.shards))
        refs = [s.restore.remote(p, k + 1) for s, p, k in zip(self.shards, paths, self._incarnations, strict=True)]
        try:
            self._incarnations = ray.get(refs, timeout=timeout_s)
            ray.get(self.ledger.load_state_dict.remote(saved["ledger"]), timeout=timeout_s)
        except GetTimeoutError:
            raise RuntimeError(
                f"the replay was not restored from {directory} within {timeout_s:g} s; `ray status` shows whether its shards have "
                "found room: lower replay.num_shards or runtime.cpus_per_shard"
            ) from None

    def shutdown(self) -> None:
        """End all actors; clients that still ask get ActorDiedError."""
        for actor in (*self.shards, *self._coming.values(), self.ledger):
            ray.kill(actor)

    def _start_shard(self, index: int) -> Any:
        return self._shard_class.remote(
            **buffer.shard_arguments(self.config, self.spec, self.seed, index, self._incarnations[index])
        )

    def _ask_shards(self, timeout_s: float) -> list[ShardStats]:
        """Return the figures of the shards that answer in time."""
        self._view.refresh(timeout_s=_LEDGER_S)
        refs = [shard.stats.remote() for shard in self.shards]
        ray.wait(refs, num_returns=len(refs), timeout=timeout_s)
        answers = [self._view.answer(i, ref, slow_s=0.0) for i, ref in enumerate(refs)]
        return [answer for answer in answers if answer is not None]


def start_replay(
    config: ReplayConfig, spec: TransitionSpec, seed: int, *, max_insert_rows: int, max_sample_rows: int, cpus_per_shard: float
) -> ReplayHandles:
    """Start ledger and shards in parallel and return at once; ``wait_ready`` waits for them.

    ``max_insert_rows`` is the largest fragment; ``max_sample_rows`` the rows of one call of one rank times the ranks. ValueError
    for a pacing that could block for ever. Memory is checked by the caller (``memory.check_memory``), who knows the nodes.
    """
    buffer.make_ledger(config, max_insert_rows, max_sample_rows)  # refuses here, not in an actor
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    ledger_class: Any = ray.remote(LedgerService)
    ledger = ledger_class.options(num_cpus=0, max_concurrency=1000, scheduling_strategy=here).remote(
        config, max_insert_rows, max_sample_rows
    )
    return ReplayHandles(config, spec, seed, cpus_per_shard, ledger)
