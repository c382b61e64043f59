"""The Ray shells: several workers at once, dead shards, dead workers, bad input. What is common to both wirings is in
contracts/."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.calls import PartGoneError
from robonav_ray.config.replay import ReplayConfig
from robonav_ray.records import ReplaySample, unpack_item_id
from robonav_ray.replay.buffer import ReplayBuffer
from robonav_ray.replay.shard_view import ShardView
from tests.oracles_replay import SPEC, check_serial_columns, serial_fragment

pytestmark = pytest.mark.ray

CONFIG = ReplayConfig(
    capacity=4000, num_shards=2, min_size=100, samples_per_insert=4.0, shard_timeout_s=1.0, lease_s=1.0
)
ROWS, BATCH, CALL = 20, 32, 4


@pytest.fixture
def start(ray_session: None) -> Iterator[Callable[..., Any]]:
    from robonav_ray.replay.remote import start_replay

    started = []

    def make(config: ReplayConfig = CONFIG, **options: Any) -> Any:
        options = {"max_insert_rows": ROWS, "max_sample_rows": BATCH * CALL, "cpus_per_shard": 0.1} | options
        started.append(start_replay(config, SPEC, 0, **options))
        return started[-1]

    yield make
    for replay in started:
        replay.shutdown()


@pytest.fixture(scope="module")
def kept() -> Iterator[list[tuple[Any, Path]]]:
    """The replay that tests share, if there is one, and its snapshot from when it was empty."""
    kept: list[tuple[Any, Path]] = []
    yield kept
    for replay, _ in kept:
        replay.shutdown()


@pytest.fixture
def replay(
    ray_session: None,
    kept: list[tuple[Any, Path]],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Any]:
    """An empty replay of ``CONFIG`` that tests share, in a later life each; another one after a test that failed."""
    from robonav_ray.replay.remote import start_replay

    if not kept:
        started = start_replay(CONFIG, SPEC, 0, max_insert_rows=ROWS, max_sample_rows=BATCH * CALL, cpus_per_shard=0.1)
        kept.append((started, tmp_path_factory.mktemp("empty")))
        started.wait_ready(200)
        started.pause()
        started.save(kept[0][1])
        started.resume()
    failures, loaded = request.session.testsfailed, False
    try:
        kept[0][0].load(kept[0][1])
        loaded = True
        yield kept[0][0]
    finally:
        if not loaded or request.session.testsfailed > failures:
            kept.pop()[0].shutdown()


def gone(replay: Any) -> list[int]:
    """The shards of which the supervisor hears that their process is dead."""

    def is_gone(index: int) -> bool:
        try:
            replay.ask(index).result()
        except PartGoneError:
            return True
        return False

    return [index for index in range(replay.num_shards) if is_gone(index)]


def replace(replay: Any, index: int, saved: Path | None = None) -> int:
    """Have a shard come back as the supervisor does; return how many rows it has."""
    replay.begin_replacing(index, saved)
    until_replaced(replay, index, saved)
    size = {stats.shard: stats.size for stats in replay.stats().shards}
    replay.rebase(sum(size.values()))
    return size[index]


def until_replaced(replay: Any, index: int, saved: Path | None = None) -> None:
    until = time.monotonic() + 120.0
    while replay.take_replaced(saved) != [index]:
        assert time.monotonic() < until, "not up within two minutes"
        time.sleep(0.05)


def until_batch(source: Any, num_batches: int = CALL) -> list[ReplaySample]:
    deadline = time.monotonic() + 120
    while (samples := source.sample(BATCH, num_batches)) is None:
        assert time.monotonic() < deadline, "no batch within two minutes"
    return samples


def batches_until_shipped(source: Any, shipping: list[Any]) -> Iterator[ReplaySample]:
    """What a learner samples while rollouts ship: the pacing may have either side wait for the other, so none may stop
    first."""
    import ray

    while ray.wait(shipping, num_returns=len(shipping), timeout=0)[1]:
        yield from source.sample(BATCH, CALL) or []


def test_many_workers_and_a_learner_at_once(replay: Any, tmp_path: Path) -> None:
    import ray

    class Worker:
        """A rollout that only ships."""

        def __init__(self, sink: Any, worker: int) -> None:
            self.sink, self.worker = sink, worker

        def ship(self, first: int, num: int) -> int:
            for sequence in range(first, first + num):
                self.sink.insert(serial_fragment(sequence, ROWS, worker=self.worker))
                if sequence % 3 == 0:
                    self.sink.insert(serial_fragment(sequence, ROWS, worker=self.worker))
            self.sink.flush()
            return self.sink.num_lost_rows

    (life,) = {shard.life for shard in replay.stats().shards}
    no_torch = ray.get(
        [s.__ray_call__.remote(lambda _: "torch" not in __import__("sys").modules) for s in replay.shards]
    )
    assert all(no_torch), "a shard's process holds torch"

    worker_class: Any = ray.remote(num_cpus=0.1)(Worker)
    workers = [worker_class.remote(replay.transition_sink(2), i) for i in range(3)]
    running = [w.ship.remote(0, 42) for w in workers]
    source, priorities = replay.batch_source(0, 2), replay.priority_sink()
    stale = 0
    for batch in batches_until_shipped(source, running):
        check_serial_columns(batch.columns)
        assert (batch.importance_weight <= 1).all()
        stale += priorities.update_priorities(batch.item_id, np.ones(BATCH, np.float32))
    assert ray.get(running) == [0, 0, 0]
    stale += priorities.flush()
    assert priorities.num_dropped_rows == 0

    stats = replay.stats()
    assert sum(s.num_inserted for s in stats.shards) == 3 * 42 * ROWS == stats.ledger.num_inserted
    assert sum(s.num_duplicates for s in stats.shards) == 3 * 14
    assert sum(s.num_stale for s in stats.shards) == stale == 0
    least = (4.0 * ROWS + BATCH * CALL) / 2
    assert abs(stats.ledger.balance) <= 2 * least
    assert stats.ledger.achieved_samples_per_insert == pytest.approx(4.0, rel=0.05)

    mark = replay.pause()
    assert mark.open_insert_rows == 0
    blocked = workers[0].ship.remote(100, 1)
    files = replay.save(tmp_path)
    assert not ray.wait([blocked], timeout=0.3)[0], "admitted while paused"
    assert len(files) == 1 + 2 * 4
    replay.resume()
    for _ in batches_until_shipped(source, [blocked]):
        pass
    source.close()
    before = replay.stats().ledger.num_inserted
    replay.load(tmp_path)
    stats = replay.stats()
    assert stats.ledger.num_inserted == mark.num_inserted == before - ROWS
    assert [s.life for s in stats.shards] == [life + 1] * 2
    assert stats.ledger.num_sampled == mark.num_sampled
    # The mark may have been set while the learner was ahead: then it waits for rows, which get ids of the new life.
    shipped = workers[1].ship.remote(200, 2)
    batches = list(batches_until_shipped(source, [shipped])) or until_batch(source)
    assert ray.get(shipped) == 0
    for batch in batches:
        number = check_serial_columns(batch.columns)
        new = (number >= 100_000 + 200 * ROWS) & (number < 100_000 + 202 * ROWS)
        np.testing.assert_array_equal(unpack_item_id(batch.item_id).life, life + new)
    source.close()


def test_a_dead_shard_is_left_out_and_comes_back_from_its_snapshot(start: Callable[..., Any], tmp_path: Path) -> None:
    import ray

    replay = start(CONFIG.model_copy(update={"error_buffer": 1e9}))
    sink, source, priorities = replay.transition_sink(2), replay.batch_source(0, 1), replay.priority_sink()
    for sequence in range(10):
        sink.insert(serial_fragment(sequence, ROWS))
    sink.flush()
    old_ids = np.concatenate([b.item_id for b in until_batch(source)])
    replay.pause()
    replay.save(tmp_path)
    replay.resume()
    for sequence in range(10, 20):
        sink.insert(serial_fragment(sequence, ROWS))
    sink.flush()
    lost_ids = np.concatenate([b.item_id for _ in range(4) for b in until_batch(source)])

    ray.kill(replay.shards[1])
    for sequence in range(20, 30):
        sink.insert(serial_fragment(sequence, ROWS))
    sink.flush()
    assert sink.num_lost_rows == 0
    assert gone(replay) == [1]
    for _ in range(3):
        until_batch(source)
    for batch in until_batch(source):
        check_serial_columns(batch.columns)
        assert (unpack_item_id(batch.item_id).shard == 0).all()
    priorities.update_priorities(old_ids, np.ones(len(old_ids), np.float32))
    priorities.flush()
    assert priorities.num_dropped_rows == int((unpack_item_id(old_ids).shard == 1).sum())

    assert replace(replay, 1, tmp_path) == 5 * ROWS
    assert gone(replay) == []
    for sequence in range(30, 40):
        sink.insert(serial_fragment(sequence, ROWS))
    sink.flush()
    shards: set[int] = set()
    lives: set[int] = set()
    for _ in range(10):
        for batch in until_batch(source):
            check_serial_columns(batch.columns)
            parts = unpack_item_id(batch.item_id)
            shards |= set(parts.shard.tolist())
            lives |= set(parts.life[parts.shard == 1].tolist())
    assert shards == {0, 1}
    assert lives == {0, 1}, "restored rows keep their ids, new ones get ids of the new life"
    in_lost = (unpack_item_id(lost_ids).shard == 1) & (unpack_item_id(lost_ids).sequence >= 5 * ROWS)
    assert in_lost.any()
    time.sleep(0.6)
    priorities.update_priorities(lost_ids[in_lost], np.full(int(in_lost.sum()), 5.0, np.float32))
    priorities.flush()
    time.sleep(0.6)
    priorities.update_priorities(lost_ids[in_lost], np.full(int(in_lost.sum()), 5.0, np.float32))
    assert priorities.flush() == int(in_lost.sum()), "ids of lost rows must be stale in the new life"
    stats = replay.stats()
    assert stats.num_restarts == 1
    assert stats.ledger.open_insert_rows == 0
    assert stats.ledger.num_inserted == 40 * ROWS
    ray.get([s.check_valid.remote() for s in replay.shards])
    source.close()

    for shard in replay.shards:
        ray.kill(shard)
    rescue = threading.Timer(0.7, replace, (replay, 0))
    rescue.start()
    sink.insert(serial_fragment(40, ROWS))
    sink.flush()
    rescue.join()
    assert sink.num_lost_rows == 0, "with no shard at all the sink waits for one"
    assert replay.stats().shards[0].num_inserted == ROWS


def pid_of(shard: Any) -> int:
    import ray

    return ray.get([shard.__ray_call__.remote(lambda _: __import__("os").getpid())])[0]


def test_a_frozen_shard_holds_nobody_for_longer_than_was_said(replay: Any, tmp_path: Path) -> None:
    from ray.exceptions import GetTimeoutError

    pid = pid_of(replay.shards[1])
    replay.pause()
    replay.save(tmp_path / "before")
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(GetTimeoutError):
            replay.save(tmp_path / "frozen", timeout_s=0.5)
        with pytest.raises(RuntimeError, match=r"not restored.*within 0\.5 s"):
            replay.load(tmp_path / "before", timeout_s=0.5)
        assert time.monotonic() - began < 10
    finally:
        os.kill(pid, signal.SIGCONT)
    replay.resume()
    replay.pause()
    assert len(replay.save(tmp_path / "thawed")) == 1 + 2 * 4
    replay.resume()


@pytest.mark.slow
def test_the_only_shard_comes_back_empty_and_the_run_goes_on(
    start: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its snapshot is missing, and the rollouts were waiting for the learner: without a new warm-up both would wait for
    ever."""
    import ray

    replay = start(CONFIG.model_copy(update={"num_shards": 1, "capacity": 1000}))
    sink, source = replay.transition_sink(1), replay.batch_source(0, 1)
    sequence = 0
    while (admission := ray.get(replay.ledger.reserve.remote("insert", ROWS, 0.2))).reservation is not None:
        ray.get(replay.ledger.settle.remote(admission.reservation, 0))
        sink.insert(serial_fragment(sequence, ROWS))
        sequence += 1
    sink.flush()
    assert replay.stats().ledger.num_inserted == sequence * ROWS >= CONFIG.min_size
    ray.kill(replay.shards[0])
    with caplog.at_level(logging.WARNING):
        assert replace(replay, 0, tmp_path / "nowhere") == 0
    assert "replay shard 0 begins empty" in caplog.text
    assert "missing or damaged" in caplog.text
    assert source.sample(BATCH, CALL) is None
    for more in range(CONFIG.min_size // ROWS):
        sink.insert(serial_fragment(sequence + more, ROWS))
    sink.flush()
    for batch in until_batch(source):
        assert (check_serial_columns(batch.columns) >= sequence * ROWS).all()
    source.close()


@pytest.mark.slow
def test_a_shard_that_cannot_be_restored_at_first_tries_again_from_the_newest_checkpoint(
    start: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replay = start(CONFIG.model_copy(update={"num_shards": 1}))
    sink = replay.transition_sink(1)
    for sequence in range(3):
        sink.insert(serial_fragment(sequence, ROWS))
    sink.flush()
    replay.save(tmp_path / "newest")
    with caplog.at_level(logging.WARNING):
        replay.begin_replacing(0, tmp_path / "pruned by now")
        until_replaced(replay, 0, tmp_path / "newest")
    assert [shard.size for shard in replay.stats().shards] == [3 * ROWS]
    assert "begins empty" not in caplog.text


@pytest.mark.slow
def test_a_shard_that_finds_no_room_comes_when_there_is_some(start: Callable[..., Any]) -> None:
    import ray

    replay = start(cpus_per_shard=3.0)
    replay.wait_ready(200)
    blocker_class: Any = ray.remote(num_cpus=3)(ShardView)
    ray.kill(replay.shards[1])
    blocker = blocker_class.remote()
    ray.get(blocker.live.remote())
    replay.begin_replacing(1)
    time.sleep(0.3)
    assert replay.take_replaced() == []
    assert replay.replacing_s(1) >= 0.3
    assert gone(replay) == [1]
    assert replay.stats().num_restarts == 0
    ray.kill(blocker)
    until_replaced(replay, 1)
    assert gone(replay) == []
    stats = replay.stats()
    assert stats.num_restarts == 1
    assert [s.life for s in stats.shards] == [0, 1], "it was the actor that had been waiting"


def test_either_wiring_takes_up_what_the_other_has_saved(replay: Any, tmp_path: Path) -> None:
    sink = replay.transition_sink(2)
    for sequence in range(6):
        sink.insert(serial_fragment(sequence, ROWS))
    sink.flush()
    replay.pause()
    replay.save(tmp_path / "ray")
    local = ReplayBuffer(CONFIG, SPEC, 0, ROWS, BATCH * CALL)
    local.load(tmp_path / "ray")
    local.forget_writers()
    assert sum(s.size for s in local.stats()) == 6 * ROWS
    local.insert(serial_fragment(0, ROWS))
    samples = local.sample(BATCH, CALL)
    assert samples is not None
    for batch in samples:
        check_serial_columns(batch.columns)
    local.save(tmp_path / "local")
    replay.load(tmp_path / "local")
    stats = replay.stats()
    assert [s.size for s in stats.shards] == [s.size for s in local.stats()]
    assert stats.ledger == local.ledger.stats()._replace(num_lost_inserts=stats.ledger.num_lost_inserts)


def test_dead_workers_and_bad_input_block_nobody(start: Callable[..., Any]) -> None:
    import ray

    replay = start()
    replay.wait_ready(200)
    while ray.get(replay.ledger.reserve.remote("insert", ROWS, 0.0)).reservation is not None:
        pass
    assert replay.stats().ledger.open_insert_rows >= CONFIG.min_size, "these were reserved by a worker that is dead"
    sink, source, priorities = replay.transition_sink(1), replay.batch_source(0, 1), replay.priority_sink()
    sink.insert(serial_fragment(0, ROWS, priority=np.full(ROWS, np.nan)))
    with pytest.raises(ValueError, match="NaN or Inf"):
        sink.flush()
    with pytest.raises(ValueError, match="at most 20"):
        sink.insert(serial_fragment(0, ROWS + 1))
    for sequence in range(5):
        sink.insert(serial_fragment(sequence, ROWS))
    sink.flush()
    assert replay.stats().ledger.num_inserted == 5 * ROWS
    ids = until_batch(source)[0].item_id
    priorities.update_priorities(ids, np.full(BATCH, np.inf, np.float32))
    with pytest.raises(ValueError, match="NaN or Inf"):
        priorities.flush()
    with pytest.raises(ValueError, match="at most 128"):
        until_batch(source, CALL + 1)
    source.close()
    ray.kill(replay.ledger)
    with pytest.raises(ray.exceptions.RayActorError):
        until_batch(source)


def test_a_cluster_too_small_is_told_so(start: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"replay\.error_buffer"):
        start(CONFIG.model_copy(update={"error_buffer": 1.0}))
    with pytest.raises(RuntimeError, match=r"shard 0, shard 1 is not running.*runtime\.cpus_per_shard"):
        start(cpus_per_shard=1000).wait_ready(2.0)
