"""One suite for the replay in one process and over Ray: the holder of the arrows cannot tell which it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.files.manifest import FileEntry
from robonav_ray.interfaces import BatchSource, PrioritySink, TransitionSink
from robonav_ray.records import ReplaySample, unpack_item_id
from robonav_ray.replay.buffer import ReplayBuffer
from tests.oracles_replay import SPEC, check_serial_columns, chi_square_p, serial_fragment

CONFIG = ReplayConfig(
    capacity=200, num_shards=2, min_size=60, samples_per_insert=4.0, priority_exponent=1.0, priority_epsilon=1e-6
)
ROWS, BATCH, CALL = 12, 16, 3


@dataclass
class Wiring:
    """The three arrows, and what a test needs to look behind them."""

    sink: TransitionSink
    source: BatchSource
    priorities: PrioritySink
    settle: Callable[[], int]
    """Wait for everything under way; return the stale updates that came to light."""
    sizes: Callable[[], list[int]]
    save: Callable[[Path], list[FileEntry]]
    load: Callable[[Path], None]
    close: Callable[[], None]

    def sample(self) -> list[ReplaySample]:
        deadline = time.monotonic() + 120
        while (samples := self.source.sample(BATCH, CALL)) is None:
            assert time.monotonic() < deadline, "no batch within two minutes"
        return samples


def local_wiring(config: ReplayConfig) -> Wiring:
    buffer = ReplayBuffer(config, SPEC, 0, ROWS, BATCH * CALL)
    return Wiring(
        buffer,
        buffer,
        buffer,
        lambda: 0,
        lambda: [s.size for s in buffer.stats()],
        buffer.save,
        buffer.load,
        lambda: None,
    )


def remote_wiring(config: ReplayConfig) -> Wiring:
    from robonav_ray.replay.remote import start_replay

    replay = start_replay(config, SPEC, 0, max_insert_rows=ROWS, max_sample_rows=BATCH * CALL, cpus_per_shard=0.1)
    replay.wait_ready(200)
    sink, source, priorities = replay.transition_sink(2), replay.batch_source(0, 1), replay.priority_sink()

    def settle() -> int:
        sink.flush()
        return priorities.flush()

    def save(directory: Path) -> list[FileEntry]:
        replay.pause()
        files = replay.save(directory)
        replay.resume()
        return files

    def close() -> None:
        source.close()
        replay.shutdown()

    return Wiring(
        sink, source, priorities, settle, lambda: [s.size for s in replay.stats().shards], save, replay.load, close
    )


@pytest.fixture(params=["local", pytest.param("remote", marks=pytest.mark.ray)])
def make_wiring(request: pytest.FixtureRequest) -> Iterator[Callable[..., Wiring]]:
    if request.param == "remote":
        request.getfixturevalue("ray_session")
    made: list[Wiring] = []

    def make(config: ReplayConfig = CONFIG) -> Wiring:
        made.append(local_wiring(config) if request.param == "local" else remote_wiring(config))
        return made[-1]

    yield make
    for wiring in made:
        wiring.close()


def fill(wiring: Wiring, num: int = 6, priority: Any = None) -> None:
    for sequence in range(num):
        wiring.sink.insert(serial_fragment(sequence, ROWS, priority=priority))
    wiring.settle()


def test_replay_contract(make_wiring: Callable[..., Wiring], tmp_path: Path) -> None:
    """One story, because a Ray replay takes seconds to start: protocols, warm-up, batches, once only, priorities, save
    and load."""
    wiring = make_wiring()
    assert isinstance(wiring.sink, TransitionSink)
    assert isinstance(wiring.source, BatchSource)
    assert isinstance(wiring.priorities, PrioritySink)

    assert wiring.source.sample(BATCH, CALL) is None, "sampled during warm-up"
    fill(wiring)
    assert wiring.sizes() == [36, 36], "fragments are shared out evenly"
    for _ in range(3):
        fill(wiring, 2)
    assert wiring.sizes() == [36, 36], "a repeated fragment was stored twice"

    samples = wiring.sample()
    assert len(samples) == CALL
    for sample in samples:
        number = check_serial_columns(sample.columns)
        assert len(number) == BATCH == len(sample.item_id) == len(sample.importance_weight)
        np.testing.assert_allclose(sample.probability, 1 / 72, rtol=1e-9)
        np.testing.assert_allclose(sample.importance_weight, 1.0, rtol=1e-6)
        for column in sample.columns:
            assert column.flags.writeable
            assert column.flags.c_contiguous
        # Fragment k lies in shard k % 2 as its (k // 2)-th: the id and the row name the same transition.
        parts = unpack_item_id(sample.item_id)
        np.testing.assert_array_equal(parts.shard, number // ROWS % 2)
        np.testing.assert_array_equal(parts.sequence, number // ROWS // 2 * ROWS + number % ROWS)

    ids = np.unique(np.concatenate([s.item_id for s in samples]))
    assert wiring.priorities.update_priorities(ids, np.full(len(ids), 9.0, np.float32)) + wiring.settle() == 0

    files = wiring.save(tmp_path / "replay")
    assert sorted(file.name for file in files) == sorted(
        p.relative_to(tmp_path / "replay").as_posix() for p in (tmp_path / "replay").rglob("*") if p.is_file()
    )
    again = make_wiring()
    again.load(tmp_path / "replay")
    assert again.sizes() == wiring.sizes()
    mass = 9.0 * len(ids) + (72 - len(ids))
    for sample in again.sample():
        check_serial_columns(sample.columns)
        np.testing.assert_allclose(
            sample.probability, np.where(np.isin(sample.item_id, ids), 9.0, 1.0) / mass, rtol=1e-4
        )

    for sequence in range(6, 26):
        again.sample()
        again.sink.insert(serial_fragment(sequence, ROWS))
    again.settle()
    assert again.sizes() == [100, 100]
    stale = again.priorities.update_priorities(ids, np.full(len(ids), 1e6, np.float32)) + again.settle()
    assert stale == len(ids), "a late priority landed on a newer item"


def test_sampled_frequencies_are_those_of_one_buffer(make_wiring: Callable[..., Wiring]) -> None:
    wiring = make_wiring(CONFIG.model_copy(update={"error_buffer": 1e9}))
    fill(wiring, 10, np.arange(1, ROWS + 1))
    counts, total = np.zeros(10 * ROWS), 10 * ROWS * (ROWS + 1) / 2
    for _ in range(100):
        for sample in wiring.sample():
            number = check_serial_columns(sample.columns)
            counts += np.bincount(number, minlength=10 * ROWS)
            np.testing.assert_allclose(sample.probability, (number % ROWS + 1) / total, rtol=1e-5)
            np.testing.assert_allclose(
                sample.importance_weight, (number % ROWS + 1.0) ** -sample_exponent(sample, number), rtol=1e-3
            )
    assert chi_square_p(counts, np.tile(np.arange(1, ROWS + 1), 10) / total) > 1e-3


def sample_exponent(sample: ReplaySample, number: np.ndarray) -> float:
    """Return the beta that a batch was weighted with, from its row of highest priority."""
    top = int(np.argmax(number % ROWS))
    return float(-np.log(sample.importance_weight[top]) / np.log(number[top] % ROWS + 1.0))
