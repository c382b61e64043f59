"""A snapshot is the shard at its mark, bit for bit, also when rows come, are drawn and updated while it is written."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.files.background_write import BackgroundWrite
from robonav_ray.files.hashed_file import HashedFile
from robonav_ray.files.manifest import FileEntry
from robonav_ray.files.storage import LocalFolder
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.replay.snapshot import ShardSnapshot, SnapshotAbandonedError
from tests import oracles_replay
from tests.oracles_replay import serial_fragment

CAPACITY = 200


class BetweenChunks:
    """A folder whose files call ``meanwhile`` at every write, as if the shard had been at work just then."""

    def __init__(self, path: Path, meanwhile: Callable[[], None]) -> None:
        self._folder, self._meanwhile = LocalFolder(path), meanwhile
        self.location = str(path)

    def create(self, name: str) -> HashedFile:
        file = self._folder.create(name)
        write = file.write

        def write_and_go_on(data: Any) -> None:
            self._meanwhile()
            write(data)

        file.write = write_and_go_on  # type: ignore[method-assign]
        return file


def make_shard(sampler: Any = "prioritized") -> ReplayShard:
    return oracles_replay.make_shard(CAPACITY, sampler=sampler)


def until_written(shard: ReplayShard) -> list[FileEntry]:
    while (entries := shard.poll_save()) is None:
        time.sleep(0.001)
    return entries


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, np.ndarray):
            assert value.tobytes() == other[name].tobytes(), name
        else:
            assert value == other[name], name


@pytest.mark.parametrize("sampler", ["prioritized", "rank", "uniform"])
@pytest.mark.parametrize("rows_before", [0, 130, 200, 530])
@pytest.mark.parametrize("most_per_chunk", [0, 15, 90])
def test_what_is_written_is_what_was_marked(
    tmp_path: Path, sampler: Any, rows_before: int, most_per_chunk: int
) -> None:
    """Inserts slower than the writer, as fast, and so fast that they lap the ring before it is done."""
    rng = np.random.default_rng(rows_before + most_per_chunk)
    shard = make_shard(sampler)
    sequence = 0

    def insert(rows: int) -> None:
        nonlocal sequence
        shard.insert(serial_fragment(sequence, rows, priority=rng.random(rows).astype(np.float32)))
        sequence += 1

    def work() -> None:
        if most_per_chunk:
            insert(int(rng.integers(1, most_per_chunk)))
            drawn = shard.sample(8)
            shard.update_priorities(drawn.item_id, rng.random(8).astype(np.float32))

    for _ in range(rows_before // 10):
        insert(10)
    expected = shard.state_dict()
    snapshot = shard._mark()
    snapshot._chunk_rows = 17
    shard._snapshot = snapshot
    entries = snapshot.write(BetweenChunks(tmp_path / "s", work))

    for entry in entries:
        data = (tmp_path / "s" / entry.name).read_bytes()
        assert entry == FileEntry(entry.name, len(data), hashlib.sha256(data).hexdigest())
    again = make_shard(sampler)
    again.load(str(tmp_path / "s"))
    assert_same(again.state_dict(), expected)
    again.check_valid()
    shard.check_valid()
    assert snapshot.num_copied <= len(expected["rows"])
    if most_per_chunk == 0:
        assert snapshot.num_copied == 0
    if most_per_chunk == 90 and rows_before >= CAPACITY:
        assert snapshot.num_copied > 0
        assert shard.state_dict()["next_sequence"] > expected["next_sequence"] + CAPACITY


def test_two_threads_agree_on_every_row(tmp_path: Path) -> None:
    """The same with a real writer thread: rows carry their own number, so that one mixed in from later would show."""
    shard = oracles_replay.make_shard(20_000)
    for sequence in range(250):
        shard.insert(serial_fragment(sequence, 100))
    expected = shard.state_dict()
    shard.begin_save(str(tmp_path / "s"))
    sequence = 250
    while shard.poll_save() is None:
        shard.insert(serial_fragment(sequence, 100))
        sequence += 1
    again = oracles_replay.make_shard(20_000)
    again.load(str(tmp_path / "s"))
    assert_same(again.state_dict(), expected)
    assert shard._snapshot is None, "the shard must not go on copying for a snapshot that is done"


def test_one_snapshot_at_a_time(tmp_path: Path) -> None:
    shard, go_on = make_shard(), threading.Event()
    with pytest.raises(RuntimeError, match="no snapshot"):
        shard.poll_save()
    shard._writing = BackgroundWrite(lambda: [] * go_on.wait(30))
    assert shard.poll_save() is None
    with pytest.raises(RuntimeError, match="already"):
        shard.begin_save(str(tmp_path))
    go_on.set()
    assert until_written(shard) == []
    shard.begin_save(str(tmp_path))
    assert len(until_written(shard)) == 4


def test_a_snapshot_that_fails_leaves_the_shard_at_work(tmp_path: Path) -> None:
    shard = make_shard()
    shard.insert(serial_fragment(0, 50))
    (tmp_path / "file").write_text("")
    shard.begin_save(str(tmp_path / "file" / "below"))
    with pytest.raises(OSError, match="below"):
        until_written(shard)
    shard.insert(serial_fragment(1, 50))
    shard.begin_save(str(tmp_path / "good"))
    entries = until_written(shard)
    assert sorted(e.name for e in entries) == ["item_id.npy", "leaf.npy", "rows.npy", "shard.json"]
    again = make_shard()
    again.load(str(tmp_path / "good"))
    assert_same(again.state_dict(), shard.state_dict())


def test_an_abandoned_snapshot_stops_at_its_next_chunk(tmp_path: Path) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        at_work.set()
        assert go_on.wait(30)

    shard = make_shard()
    shard.insert(serial_fragment(0, 150))
    snapshot = ShardSnapshot(shard._rows, 150, {}, {}, chunk_bytes=1)
    raised: list[BaseException] = []

    def write() -> None:
        try:
            snapshot.write(BetweenChunks(tmp_path / "s", wait))
        except SnapshotAbandonedError as error:
            raised.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    assert at_work.wait(30)
    snapshot.abandon()
    go_on.set()
    thread.join(30)
    assert len(raised) == 1
