"""The parts of the Ray clients that need no Ray: waiting at the ledger, prefetching, the outbox, the view of the
shards."""

import asyncio
import threading
import time

import numpy as np
import pytest

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.errors import FencedError
from robonav_ray.records import pack_item_id
from robonav_ray.replay.ledger_service import LedgerService, Writer
from robonav_ray.replay.outbox import PriorityOutbox
from robonav_ray.replay.prefetch import Prefetcher
from robonav_ray.replay.shard_view import ShardView


def make_service(lease_s: float = 60.0) -> LedgerService:
    return LedgerService(ReplayConfig(capacity=1000, min_size=10, samples_per_insert=1.0, lease_s=lease_s), 10, 10)


def test_waiting_clients_are_admitted_in_order_when_room_is_made() -> None:
    async def story() -> None:
        service, order = make_service(), []

        async def client(name: int) -> None:
            admission = await service.reserve("sample", 10, 5.0)
            assert admission.reservation is not None
            order.append(name)
            await service.settle(admission.reservation)

        clients = []
        for name in range(4):
            clients.append(asyncio.create_task(client(name)))
            await asyncio.sleep(0)
        while not all(c.done() for c in clients):
            admission = await service.reserve("insert", 10, 0.01)
            if admission.reservation is not None:
                await service.settle(admission.reservation)
            await asyncio.sleep(0)
        assert order == [0, 1, 2, 3]

    asyncio.run(story())


def test_nobody_waits_longer_than_asked_and_the_dead_leave_the_queue() -> None:
    async def story() -> None:
        service = make_service(lease_s=0.05)
        start = time.monotonic()
        assert (await service.reserve("sample", 10, 0.05)).reservation is None
        assert time.monotonic() - start < 30.0
        dead = asyncio.create_task(service.reserve("sample", 10, 60.0))
        await asyncio.sleep(0)
        dead.cancel()
        while (await service.reserve("insert", 10, 0.0)).reservation is not None:
            pass
        # All of those reservations belong to clients that never come back.
        assert (await service.stats()).open_insert_rows > 0
        await asyncio.sleep(0.06)
        stats = await service.stats()
        assert (stats.num_inserted, stats.open_insert_rows, stats.balance) == (0, 0, -10.0)
        for _ in range(3):
            admission = await service.reserve("insert", 10, 0.0)
            assert admission.reservation is not None
            await service.settle(admission.reservation)
        assert (await service.reserve("sample", 10, 0.5)).reservation is not None

    asyncio.run(story())


def test_pause_drains_open_inserts_then_declares_them_late() -> None:
    async def story() -> None:
        service = make_service()
        one, two = (
            (await service.reserve("insert", 10, 0.0)).reservation,
            (await service.reserve("insert", 10, 0.0)).reservation,
        )
        assert one is not None
        assert two is not None
        pausing = asyncio.create_task(service.pause(0.2))
        await asyncio.sleep(0.02)
        await service.settle(one)
        waiting = asyncio.create_task(service.reserve("insert", 10, 5.0))
        mark = await pausing
        assert (mark.num_inserted, mark.open_insert_rows, mark.paused) == (10, 10, True)
        assert (await service.state_dict())["num_inserted"] == 10
        await service.settle(two)
        assert (await service.pause(5.0)).open_insert_rows == 0
        assert not waiting.done()
        await service.resume()
        assert (await waiting).reservation is not None

    asyncio.run(story())


def test_an_insert_that_waits_for_the_learner_goes_in_when_the_rows_are_lost() -> None:
    async def story() -> None:
        service = make_service()
        while (admission := await service.reserve("insert", 10, 0.0)).reservation is not None:
            await service.settle(admission.reservation)
        waiting = asyncio.create_task(service.reserve("insert", 10, 5.0))
        await asyncio.sleep(0)
        assert not await service.rebase(10)
        assert not waiting.done()
        assert await service.rebase(0)
        assert (await service.reserve("sample", 10, 0.0)).reservation is None
        reservation = (await waiting).reservation
        assert reservation is not None
        await service.settle(reservation)
        assert (await service.reserve("sample", 10, 0.0)).reservation is not None

    asyncio.run(story())


def test_a_call_that_was_not_announced_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="at most 10"):
        asyncio.run(make_service().reserve("sample", 11, 1.0))


def test_shards_carry_a_life() -> None:
    async def story() -> None:
        service = make_service()
        assert await service.set_shards(["a", "b"]) == 1
        assert (await service.reserve("insert", 1, 0.0)).life == 1
        assert await service.set_shards(["a", "c"]) == 2
        assert await service.shards() == (2, ["a", "c"])

    asyncio.run(story())


def test_prefetcher_keeps_order_and_its_bound() -> None:
    made: list[int] = []

    def produce() -> int:
        made.append(len(made))
        return made[-1]

    prefetcher = Prefetcher(produce, 3)
    got = [prefetcher.get(5.0) for _ in range(10)]
    assert got == list(range(10))
    left = prefetcher.close()
    assert len(made) <= 13
    assert left == list(range(10, len(made)))


def test_prefetcher_says_not_yet_and_raises_what_went_wrong() -> None:
    gate = threading.Event()

    def produce() -> int | None:
        if not gate.wait(0.01):
            return None
        raise OSError("broken")

    prefetcher = Prefetcher(produce, 1)
    assert prefetcher.get(5.0) is None
    gate.set()
    with pytest.raises(OSError, match="broken"):
        [prefetcher.get(5.0) for _ in range(2)]
    assert prefetcher.close() == []
    blocked = threading.Event()
    slow = Prefetcher(lambda: blocked.wait(5.0), 1)
    assert slow.get(0.01) is None
    blocked.set()
    assert slow.close() == [True]


def test_outbox_splits_by_shard_and_drops_the_oldest() -> None:
    outbox = PriorityOutbox(max_waiting=2, max_in_flight=1)
    ids = {s: pack_item_id(s, 0, np.arange(3)) for s in (0, 4)}
    both = np.concatenate([ids[0], ids[4]])[[0, 3, 1, 4, 2, 5]]
    for k in range(3):
        outbox.add(both, np.array([0, 10, 1, 11, 2, 12], np.float32) + 100 * k)
    assert outbox.num_dropped_rows == 6
    assert outbox.shards() == [0, 4]
    [(index, item_id, priority)] = outbox.take_due({4})
    assert index == 4
    np.testing.assert_array_equal(item_id, np.tile(ids[4], 2))
    np.testing.assert_array_equal(priority, [110, 111, 112, 210, 211, 212])
    assert outbox.num_dropped_rows == 12, "what waits for a dead shard is dropped"
    assert outbox.shards() == []
    outbox.add(ids[4], np.zeros(3, np.float32))
    assert outbox.take_due({4}) == [], "one send is under way already"
    assert outbox.answered(4, 6, 5) == 5
    assert len(outbox.take_due({4})) == 1
    assert outbox.answered(4, 3, None) == 0
    assert outbox.num_dropped_rows == 15


def test_view_trusts_a_replaced_shard_again() -> None:
    view = ShardView()
    view.take(1, ["a", "b", "c"])
    view.block(0)
    view.block(1, 0.02)
    view.block(2)
    assert view.live() == {}
    view.take(2, ["a", "b", "d"])
    assert view.live() == {2: "d"}
    time.sleep(0.03)
    assert view.live() == {1: "b", 2: "d"}


def test_a_writer_that_was_given_up_is_kept_out_and_what_it_had_reserved_is_given_back() -> None:
    async def story() -> None:
        service, old, new, other = make_service(), Writer(3, 7), Writer(3, 8), Writer(4, 1)
        taken = (await service.reserve("insert", 10, 0.0, old)).reservation
        assert taken is not None
        while (await service.reserve("insert", 10, 0.0, other)).reservation is not None:
            pass
        waiting = asyncio.create_task(service.reserve("insert", 10, 60.0, old))
        await asyncio.sleep(0.01)
        before = await service.stats()
        assert await service.fence(3, 7) == 10
        with pytest.raises(FencedError, match="worker 3, life 7"):
            await waiting
        with pytest.raises(FencedError):
            await service.reserve("insert", 10, 0.0, old)
        with pytest.raises(FencedError):
            await service.reserve("insert", 10, 0.0, Writer(3, 6))
        stats = await service.stats()
        assert stats.open_insert_rows == before.open_insert_rows - 10
        assert (stats.num_lost_inserts, stats.num_lost_insert_rows) == (1, 10)
        assert (await service.reserve("insert", 10, 0.5, new)).reservation is not None, "its successor takes the room"
        await service.settle(taken)  # the insert had arrived after all
        assert (await service.stats()).num_lost_inserts == 0
        assert (await service.stats()).num_inserted == 10

    asyncio.run(story())


def test_silence_is_told_by_worker_and_a_waiting_worker_is_not_silent() -> None:
    async def story() -> None:
        service = make_service()
        while (await service.reserve("insert", 10, 0.0, Writer(0, 1))).reservation is not None:
            pass
        waiting = asyncio.create_task(service.reserve("insert", 10, 60.0, Writer(1, 1)))
        await asyncio.sleep(0.15)
        quiet = (await service.report()).quiet
        assert set(quiet) == {0, 1}
        assert quiet[0].silent_s >= 0.15
        assert quiet[1].silent_s == 0.0
        assert (await service.reserve("insert", 10, 0.0, Writer(0, 1))).reservation is None
        assert (await service.report()).quiet[0].longest_s >= 0.15
        waiting.cancel()

    asyncio.run(story())


def test_larger_fragments_are_announced_and_the_error_buffer_follows() -> None:
    async def story() -> None:
        service = make_service()
        with pytest.raises(ValueError, match="not announced"):
            await service.reserve("insert", 11, 0.0)
        await service.announce(40)
        assert (await service.reserve("insert", 40, 0.0)).reservation is not None
        given = LedgerService(
            ReplayConfig(capacity=1000, min_size=10, samples_per_insert=1.0, error_buffer=10.0), 10, 10
        )
        with pytest.raises(ValueError, match="error_buffer"):
            await given.announce(40)

    asyncio.run(story())
