"""The ledger as a service for many clients: fair waiting with a time limit, leases, fences, and the list of shards.
Plain asyncio.

Every fragment passes here before it is stored, so this is where a writer that was given up is kept out (``fence``), and
where one that has gone silent shows without a call of its own (``report``): a worker that waits asks again twice a
second, one that works comes by with every fragment.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, NamedTuple

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.errors import FencedError
from robonav_ray.replay.buffer import make_ledger
from robonav_ray.replay.pacing import LedgerStats, Reservation, Side

_LOOK_S = 0.5
"""How often a waiting call looks for expired leases."""


class Admission(NamedTuple):
    """Answer to ``reserve``."""

    reservation: Reservation | None
    """None: not within the time asked for; ask again."""
    life: int
    """Rises when a shard was replaced: ask for ``shards`` again."""


class ShardList(NamedTuple):
    """Who the shards are now."""

    life: int
    shards: list[Any]
    """Handles by shard index; what they are is the caller's business."""


class Writer(NamedTuple):
    """One life of a rollout worker."""

    worker: int
    life: int


class Quiet(NamedTuple):
    """How long a writer has not been heard of."""

    silent_s: float
    """Seconds since its last call ended; 0 while one is open."""
    longest_s: float
    """The longest silence between two of its calls so far: what a fragment of it takes to make."""


class LedgerReport(NamedTuple):
    """What the runtime asks for once a second."""

    stats: LedgerStats
    quiet: dict[int, Quiet]
    """By worker; those that have not been heard of in their present life are missing."""


class _Waiter(NamedTuple):
    rows: int
    future: asyncio.Future[Reservation]
    writer: Writer | None


class _Heard:
    """When a writer's last call began or ended."""

    def __init__(self, now: float) -> None:
        self.open_calls, self.last_s, self.longest_s = 0, now, 0.0

    def begin(self, now: float) -> None:
        if not self.open_calls:
            self.longest_s = max(self.longest_s, now - self.last_s)
        self.open_calls += 1

    def end(self, now: float) -> None:
        self.open_calls -= 1
        self.last_s = now

    def quiet(self, now: float) -> Quiet:
        return Quiet(0.0 if self.open_calls else now - self.last_s, self.longest_s)


class LedgerService:
    """Clients of one side are admitted first come, first served, and wait at most as long as they asked to.

    A client that dies while waiting leaves the queue when its time is up; one that dies with a reservation loses it
    after ``replay.lease_s``. So no client can block others for good. All methods run on one event loop.
    """

    def __init__(self, config: ReplayConfig, max_insert_rows: int, max_sample_rows: int) -> None:
        """Start with no shards; see ``SamplesPerInsertLedger`` for the two limits."""
        self.ledger = make_ledger(config, max_insert_rows, max_sample_rows)
        self._lease_s = config.lease_s
        self._waiting: dict[Side, deque[_Waiter]] = {"insert": deque(), "sample": deque()}
        self._shard_list = ShardList(0, [])
        self._heard: dict[int, _Heard] = {}
        self._fenced: dict[int, int] = {}
        self._open_of: dict[int, tuple[Writer, Reservation]] = {}

    async def set_shards(self, shards: list[Any]) -> int:
        """Make ``shards`` the present ones; return the new life."""
        self._shard_list = ShardList(self._shard_list.life + 1, list(shards))
        return self._shard_list.life

    async def shards(self) -> ShardList:
        """Return the present shards and their life."""
        return self._shard_list

    async def reserve(self, side: Side, rows: int, wait_s: float, writer: Writer | None = None) -> Admission:
        """Wait up to ``wait_s`` seconds for leave to insert or sample ``rows`` (see ``SamplesPerInsertLedger``).

        Raises:
            FencedError: When ``writer``, a life of a rollout worker, was given up; also when that happens while it
                waits.
        """
        if side == "insert":
            self.ledger.can_insert(rows)  # raises for a call that is too large, before it can stand in the queue
        else:
            self.ledger.can_sample(rows)
        if writer is None:
            return await self._reserve(side, rows, wait_s, None)
        self._check_fence(writer)
        heard = self._heard.setdefault(writer.worker, _Heard(time.monotonic()))
        heard.begin(time.monotonic())
        try:
            return await self._reserve(side, rows, wait_s, writer)
        finally:
            heard.end(time.monotonic())

    async def _reserve(self, side: Side, rows: int, wait_s: float, writer: Writer | None) -> Admission:
        waiter = _Waiter(rows, asyncio.get_running_loop().create_future(), writer)
        self._waiting[side].append(waiter)
        deadline = time.monotonic() + wait_s
        self._admit()
        while not waiter.future.done() and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait({waiter.future}, timeout=min(left, _LOOK_S))
            self._admit()
        if writer is not None:
            self._check_fence(writer)
        if waiter.future.done():
            return Admission(waiter.future.result(), self._shard_list.life)
        waiter.future.cancel()
        self._admit()
        return Admission(None, self._shard_list.life)

    async def settle(self, reservation: Reservation, rows_done: int | None = None) -> None:
        """Close a reservation: ``rows_done`` (all by default) were inserted, or handed to the learner."""
        self._open_of.pop(reservation.id, None)
        self.ledger.settle(reservation, rows_done)
        self._admit()

    async def fence(self, worker: int, life: int) -> int:
        """Admit the lives of ``worker`` up to ``life`` no more; return the rows that they had reserved and not stored.

        These no longer count as inserted; should one of their inserts have arrived all the same, its result counts when
        it settles.
        """
        self._fenced[worker] = max(life, self._fenced.get(worker, life))
        self._heard.pop(worker, None)
        for queue in self._waiting.values():
            for waiter in queue:
                if waiter.writer is not None and self._is_fenced(waiter.writer):
                    waiter.future.cancel()
        mine = [(id_, reservation) for id_, (writer, reservation) in self._open_of.items() if self._is_fenced(writer)]
        for id_, reservation in mine:
            del self._open_of[id_]
            self.ledger.cancel(reservation)
        self._admit()
        return sum(reservation.rows for _, reservation in mine)

    async def touch(self, writer: Writer) -> None:
        """Note that a writer is alive while it waits for another part."""
        heard = self._heard.get(writer.worker)
        if heard is not None and not self._is_fenced(writer):
            heard.last_s = time.monotonic()

    async def announce(self, max_insert_rows: int) -> None:
        """Let fragments be larger, or smaller, from now on (see ``SamplesPerInsertLedger.announce``)."""
        self.ledger.announce(max_insert_rows)
        self._admit()

    async def report(self) -> LedgerReport:
        """Return the figures, and who has been silent for how long."""
        self._admit()
        now = time.monotonic()
        return LedgerReport(self.ledger.stats(), {worker: heard.quiet(now) for worker, heard in self._heard.items()})

    async def pause(self, drain_s: float) -> LedgerStats:
        """Admit nothing more, wait up to ``drain_s`` seconds for open inserts to settle, and return the figures.

        The cut of a checkpoint that is written between ``pause`` and ``resume``: in are the fragments whose inserts
        have settled when this returns, the rows handed to the learner by then, the priorities that have reached the
        shards, the shards' rngs. Out are prefetched batches, priorities in flight and inserts that did not settle in
        time. Those are not counted in the saved ledger; should one land all the same before its shard is written, its
        rows are in and not counted: at most ``open_insert_rows``.
        """
        self.ledger.pause()
        deadline = time.monotonic() + drain_s
        while self.ledger.open_rows("insert") and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
            self.ledger.expire(time.monotonic())
        return self.ledger.stats()

    async def rebase(self, size: int) -> bool:
        """Start the warm-up anew if only ``size`` rows are left and that is too few (see
        ``SamplesPerInsertLedger.rebase``).
        """
        rebased = self.ledger.rebase(size)
        self._admit()
        return rebased

    async def resume(self) -> None:
        """Admit again."""
        self.ledger.resume()
        self._admit()

    async def stats(self) -> LedgerStats:
        """Return the ledger's figures."""
        self._admit()
        return self.ledger.stats()

    async def state_dict(self) -> dict[str, Any]:
        """Return the ledger's settled counts."""
        return self.ledger.state_dict()

    async def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from settled counts."""
        self.ledger.load_state_dict(state)
        self._admit()

    def _is_fenced(self, writer: Writer) -> bool:
        return writer.life <= self._fenced.get(writer.worker, writer.life - 1)

    def _check_fence(self, writer: Writer) -> None:
        if self._is_fenced(writer):
            raise FencedError(f"rollout worker {writer.worker}, life {writer.life}, was given up and replaced")

    def _admit(self) -> None:
        """Cancel expired leases, then admit the first in the queue that may go."""
        now = time.monotonic()
        self.ledger.expire(now)
        for side, queue in self._waiting.items():
            reserve = self.ledger.reserve_insert if side == "insert" else self.ledger.reserve_sample
            while queue:
                if queue[0].future.done():
                    queue.popleft()
                elif (reservation := reserve(queue[0].rows, now + self._lease_s)) is not None:
                    waiter = queue.popleft()
                    if waiter.writer is not None:
                        self._open_of[reservation.id] = (waiter.writer, reservation)
                    waiter.future.set_result(reservation)
                else:
                    break
