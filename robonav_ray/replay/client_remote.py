"""The clients of the replay that rollouts and learners hold.

    rollout  --reserve-->  ledger          learner --reserve-->  ledger
             --insert--->  one shard               --sample--->  every shard
             (settled by the insert's result)      --update--->  the shards of the items

Clients can be pickled and handed to other actors; a copy starts with nothing in flight. They ask the ledger which
shards there are, so each client finds a replaced shard.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, ObjectLostError, RayError

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.counter_rng import ROLE_REPLAY, seed_for
from robonav_ray.records import Fragment, TransitionSpec
from robonav_ray.replay import buffer
from robonav_ray.replay.ledger_service import Admission, Writer
from robonav_ray.replay.mixing import MixedDraw
from robonav_ray.replay.outbox import PriorityOutbox
from robonav_ray.replay.pacing import Reservation, Side
from robonav_ray.replay.prefetched_source import PrefetchedSource
from robonav_ray.replay.row_layout import RowLayout
from robonav_ray.replay.shard_records import ShardSample
from robonav_ray.replay.shard_view import ShardedDraw, ShardView

_SHARD_GONE = (ActorDiedError, ObjectLostError)
WAIT_S, _MAX_ATTEMPTS = 0.5, 40
"""How long one question or look may wait, and how often a fragment is sent before it is given up."""


class RemoteShards(ShardView):
    """A ShardView that asks the ledger who the shards are."""

    def __init__(self, ledger: Any) -> None:
        super().__init__()
        self.ledger = ledger
        self._asked_at = -math.inf

    def refresh(self, older_than_s: float = 0.0, timeout_s: float | None = None) -> dict[int, Any]:
        """Ask who the shards are, unless that was asked less than ``older_than_s`` seconds ago; return the live
        ones.
        """
        if time.monotonic() - self._asked_at >= older_than_s:
            self._asked_at = time.monotonic()
            self.take(*ray.get(self.ledger.shards.remote(), timeout=timeout_s))
        return self.live()

    def answer(self, index: int, ref: Any, slow_s: float) -> Any:
        """Return what shard ``index`` has answered, or None: it is then left alone, for ``slow_s`` seconds unless it is
        dead.
        """
        try:
            return ray.get(ref, timeout=0)
        except (*_SHARD_GONE, GetTimeoutError, ActorUnavailableError) as error:
            self.block(index, math.inf if isinstance(error, _SHARD_GONE) else slow_s)
            return None

    def reserve(self, side: Side, rows: int, writer: Writer | None = None) -> Reservation | None:
        """Ask the ledger once, for at most ``WAIT_S``; notices on the way when shards were replaced."""
        admission: Admission = ray.get(self.ledger.reserve.remote(side, rows, WAIT_S, writer))
        if admission.life != self.life:
            self.refresh()
        return admission.reservation


class _Client:
    """What the clients share: a view of the shards, and pickling as a fresh client with the same arguments."""

    def __init__(self, ledger: Any, *arguments: Any) -> None:
        self._shards = RemoteShards(ledger)
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

    A fragment goes to one shard, chosen by its sequence; at most ``max_in_flight`` are under way, and their arrays must
    not be changed meanwhile. When a shard is unavailable the insert is repeated there (it stores nothing twice); when
    it is dead the fragment goes to another one. Rows that no shard took are given back to the ledger and counted in
    ``num_lost_rows``.
    """

    def __init__(self, ledger: Any, max_in_flight: int) -> None:
        """``ledger`` is the handle of a LedgerService actor."""
        super().__init__(ledger, max_in_flight)
        self._max_in_flight = max_in_flight
        self._sent: dict[Any, _Sent] = {}
        self._writer: Writer | None = None
        self.num_lost_rows = 0

    def insert(self, fragment: Fragment) -> None:
        """Send the fragment; waits while too many are in flight, or rollouts are too far ahead. ValueError for a bad
        fragment.

        What an insert finds wrong is raised by a later call, or by ``flush``.
        """
        self._reap(self._max_in_flight - 1)
        writer = self._writer = Writer(fragment.worker, fragment.life)
        while (reservation := self._shards.reserve("insert", fragment.num_rows, writer)) is None:
            self._reap(self._max_in_flight)
        self._send(_Sent(fragment, reservation))

    def flush(self) -> None:
        """Wait until nothing is in flight."""
        self._reap(0)

    def _send(self, sent: _Sent) -> None:
        while not (live := self._shards.live() or self._shards.refresh()) and sent.attempts < _MAX_ATTEMPTS:
            sent.attempts += 1
            self._wait()
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
            ready, _ = ray.wait(list(self._sent), num_returns=1, timeout=WAIT_S if len(self._sent) > most else 0)
            for ref in ready:
                self._finish(self._sent.pop(ref))
            if not ready and len(self._sent) <= most:
                return
            if not ready:
                self._touch()

    def _wait(self) -> None:
        self._touch()
        time.sleep(WAIT_S)

    def _touch(self) -> None:
        """Let the ledger know that this worker lives, though it waits for a shard."""
        if self._writer is not None:
            self._shards.ledger.touch.remote(self._writer)

    def _finish(self, sent: _Sent) -> None:
        try:
            ray.get(sent.inserted)
        except ActorUnavailableError:
            # It may have stored the fragment, so no other shard may get it: ask the same one until it answers or is
            # declared dead.
            self._wait()
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
    """BatchSource of one learner rank: a background thread keeps ``prefetch_calls`` calls ready, copied out of the
    object store.

    A shard that is dead, or does not answer within ``replay.shard_timeout_s``, is left out, its mass with it. Masses
    are those of the previous answers, at most ``prefetch_calls`` + 1 calls old. beta follows the batches that this rank
    handed out.
    """

    def __init__(
        self, ledger: Any, config: ReplayConfig, spec: TransitionSpec, seed: int, rank: int, prefetch_calls: int
    ) -> None:
        """Nothing is started before the first ``sample``."""
        _Client.__init__(self, ledger, config, spec, seed, rank, prefetch_calls)
        PrefetchedSource.__init__(self, buffer.make_annealing(config), prefetch_calls, WAIT_S)
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
    """PrioritySink of a learner rank: sends without waiting, ``calls_per_send`` updates together, at most
    ``max_in_flight`` per shard.

    When a shard cannot keep up, the oldest waiting updates are dropped beyond ``max_waiting`` of them; those for a dead
    shard are dropped at once. Dropped rows are counted in ``num_dropped_rows``. A priority that is not finite raises
    ValueError at a later call.
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
        """Take priorities (B,) of items (B,); return how many earlier ones have turned out to be too late since the
        last call.
        """
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
            stale += self._collect(timeout_s=WAIT_S)
            self._send()
        return stale

    def _send(self) -> None:
        live = self._shards.live()
        if not set(self._outbox.shards()) <= set(live):
            live = self._shards.refresh(older_than_s=WAIT_S)
        for index, item_id, priority in self._outbox.take_due(live):
            self._sent[live[index].update_priorities.remote(item_id, priority)] = (index, len(item_id))

    def _collect(self, timeout_s: float) -> int:
        if not self._sent:
            return 0
        ready, _ = ray.wait(list(self._sent), num_returns=1 if timeout_s else len(self._sent), timeout=timeout_s)
        sent = [(ref, *self._sent.pop(ref)) for ref in ready]
        return sum(self._outbox.answered(i, rows, self._shards.answer(i, ref, WAIT_S)) for ref, i, rows in sent)
