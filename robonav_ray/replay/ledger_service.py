"""The ledger as a service for many clients: fair waiting with a time limit, leases, and the list of shards. Plain asyncio."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, NamedTuple

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.replay.buffer import make_ledger
from robonav_ray.replay.pacing import LedgerStats, Reservation, Side

_LOOK_S = 0.5
"""How often a waiting call looks for expired leases."""


class Admission(NamedTuple):
    """Answer to ``reserve``."""

    reservation: Reservation | None
    """None: not within the time asked for; ask again."""
    generation: int
    """Rises when a shard was replaced: ask for ``shards`` again."""


class ShardList(NamedTuple):
    """Who the shards are now."""

    generation: int
    shards: list[Any]
    """Handles by shard index; what they are is the caller's business."""


class _Waiter(NamedTuple):
    rows: int
    future: asyncio.Future[Reservation]


class LedgerService:
    """Clients of one side are admitted first come, first served, and wait at most as long as they asked to.

    A client that dies while waiting leaves the queue when its time is up; one that dies with a reservation loses it after
    ``replay.lease_s``. So nobody can block others for good. All methods run on one event loop.
    """

    def __init__(self, config: ReplayConfig, max_insert_rows: int, max_sample_rows: int) -> None:
        """Start with no shards; see ``SamplesPerInsertLedger`` for the two limits."""
        self.ledger = make_ledger(config, max_insert_rows, max_sample_rows)
        self._lease_s = config.lease_s
        self._waiting: dict[Side, deque[_Waiter]] = {"insert": deque(), "sample": deque()}
        self._shard_list = ShardList(0, [])

    async def set_shards(self, shards: list[Any]) -> int:
        """Make ``shards`` the present ones; return the new generation."""
        self._shard_list = ShardList(self._shard_list.generation + 1, list(shards))
        return self._shard_list.generation

    async def shards(self) -> ShardList:
        """Return the present shards and their generation."""
        return self._shard_list

    async def reserve(self, side: Side, rows: int, wait_s: float) -> Admission:
        """Wait up to ``wait_s`` seconds for leave to insert or sample ``rows`` (see ``SamplesPerInsertLedger``)."""
        if side == "insert":
            self.ledger.can_insert(rows)  # raises for a call that is too large, before it can stand in the queue
        else:
            self.ledger.can_sample(rows)
        waiter = _Waiter(rows, asyncio.get_running_loop().create_future())
        self._waiting[side].append(waiter)
        deadline = time.monotonic() + wait_s
        self._admit()
        while not waiter.future.done() and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait({waiter.future}, timeout=min(left, _LOOK_S))
            self._admit()
        if waiter.future.done():
            return Admission(waiter.future.result(), self._shard_list.generation)
        waiter.future.cancel()
        self._admit()
        return Admission(None, self._shard_list.generation)

    async def settle(self, reservation: Reservation, rows_done: int | None = None) -> None:
        """Close a reservation: ``rows_done`` (all by default) were inserted, or handed to the learner."""
        self.ledger.settle(reservation, rows_done)
        self._admit()

    async def pause(self, drain_s: float) -> LedgerStats:
        """Admit nothing more, wait up to ``drain_s`` seconds for open inserts to settle, and return the figures.

        The cut of a checkpoint that is written between ``pause`` and ``resume``: in are the fragments whose inserts have settled
        when this returns, the rows handed to the learner by then, the priorities that have reached the shards, the shards' rngs.
        Out are prefetched batches, priorities in flight and inserts that did not settle in time. Those are not counted in the saved
        ledger; should one land all the same before its shard is written, its rows are in and not counted: at most ``open_insert_rows``.
        """
        self.ledger.pause()
        deadline = time.monotonic() + drain_s
        while self.ledger.open_rows("insert") and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
            self.ledger.expire(time.monotonic())
        return self.ledger.stats()

    async def rebase(self, size: int) -> bool:
        """Start the warm-up anew if only ``size`` rows are left and that is too few (see ``SamplesPerInsertLedger.rebase``)."""
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

    def _admit(self) -> None:
        """Cancel expired leases, then let in whoever is first and may go."""
        now = time.monotonic()
        self.ledger.expire(now)
        for side, queue in self._waiting.items():
            reserve = self.ledger.reserve_insert if side == "insert" else self.ledger.reserve_sample
            while queue:
                if queue[0].future.done():
                    queue.popleft()
                elif (reservation := reserve(queue[0].rows, now + self._lease_s)) is not None:
                    queue.popleft().future.set_result(reservation)
                else:
                    break
