"""Is the one-process replay deterministic, does it come back bit for bit, and does it ask for memory before it takes
it?"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.records import TransitionSpec
from robonav_ray.replay import memory
from robonav_ray.replay.buffer import ReplayBuffer
from robonav_ray.replay.memory import check_memory, machine_memory_bytes, replay_bytes, shard_capacities
from tests.oracles_replay import SPEC, serial_fragment


def make_buffer(seed: int = 0, **options: Any) -> ReplayBuffer:
    settings: dict[str, Any] = {"capacity": 101, "num_shards": 2, "min_size": 40, "samples_per_insert": 4.0}
    return ReplayBuffer(ReplayConfig(**(settings | options)), SPEC, seed, 10, 48)


def play(buffer: ReplayBuffer, first: int, rounds: int) -> list[bytes]:
    rng, log = np.random.default_rng(first), []
    for sequence in range(first, first + rounds):
        while not buffer.can_insert(10):
            samples = buffer.sample(16, 3)
            assert samples is not None
            for sample in samples:
                buffer.update_priorities(sample.item_id, rng.random(16).astype(np.float32))
                log += [c.tobytes() for c in sample.columns]
                log += [sample.item_id.tobytes(), sample.probability.tobytes(), sample.importance_weight.tobytes()]
        buffer.insert(serial_fragment(sequence, 10, priority=rng.random(10)))
        buffer.check_valid()
    return log


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    assert play(make_buffer(), 0, 30) == play(make_buffer(), 0, 30)
    assert play(make_buffer(), 0, 30) != play(make_buffer(1), 0, 30)


@pytest.mark.parametrize("through", ["state_dict", "disk"])
def test_stop_and_resume_is_not_stopping(through: str, tmp_path: Path) -> None:
    buffer, again = make_buffer(), make_buffer(9)
    play(buffer, 0, 30)
    if through == "disk":
        files = buffer.save(tmp_path / "replay")
        written = [
            p.relative_to(tmp_path / "replay").as_posix() for p in (tmp_path / "replay").rglob("*") if p.is_file()
        ]
        assert sorted(file.name for file in files) == sorted(written)
        again.load(tmp_path / "replay")
    else:
        again.load_state_dict(buffer.state_dict())
    log = play(buffer, 30, 30)
    assert log
    assert play(again, 30, 30) == log


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    buffer = make_buffer()
    play(buffer, 0, 10)
    buffer.save(tmp_path)
    with pytest.raises(ValueError, match=r"has 2 shards, replay\.num_shards is 3"):
        make_buffer(num_shards=3).load(tmp_path)
    with pytest.raises(ValueError, match="expected 3 shards"):
        make_buffer(num_shards=3).load_state_dict(buffer.state_dict())
    text = (tmp_path / "replay.json").read_text()
    for bad in ("{", "[]", json.dumps(json.loads(text) | {"more": 1})):
        (tmp_path / "replay.json").write_text(bad)
        with pytest.raises(ValueError, match=r"replay\.json"):
            make_buffer().load(tmp_path)


def test_takes_up_what_was_saved_over_ray(tmp_path: Path) -> None:
    """There the mixer's rng and the learner's step are not in replay.json; rows, priorities and ledger are the same."""
    buffer = make_buffer()
    play(buffer, 0, 30)
    buffer.save(tmp_path)
    saved = json.loads((tmp_path / "replay.json").read_text())
    (tmp_path / "replay.json").write_text(json.dumps({name: saved[name] for name in ("num_shards", "ledger")}))
    again = make_buffer()
    again.set_learner_step(7)
    again.load(tmp_path)
    assert again.stats() == buffer.stats()
    assert again.ledger.state_dict() == buffer.ledger.state_dict()
    assert again.importance_exponent == pytest.approx(0.4 + 0.6 * 7 / 20_000)
    (tmp_path / "replay.json").write_text(json.dumps({"ledger": saved["ledger"]}))
    with pytest.raises(ValueError, match="must have the keys num_shards, ledger"):
        again.load(tmp_path)


def test_new_workers_under_old_names_are_heard_when_the_old_ones_are_forgotten(tmp_path: Path) -> None:
    buffer, again = make_buffer(), make_buffer()
    for life in (0, 3):
        for sequence in range(4):
            buffer.insert(replace(serial_fragment(sequence, 10), life=life))
            buffer.sample(16, 3)
    buffer.save(tmp_path)
    again.load(tmp_path)
    again.ledger.rebase(0)
    again.insert(serial_fragment(0, 10))
    assert sum(s.num_duplicates for s in again.stats()) == 1
    again.forget_writers()
    for sequence in range(4):
        again.insert(serial_fragment(sequence, 10))
        again.insert(serial_fragment(sequence, 10))
    assert sum(s.num_inserted for s in again.stats()) == sum(s.num_inserted for s in buffer.stats()) + 40
    assert sum(s.num_duplicates for s in again.stats()) == 5


def test_insert_refuses_where_it_would_have_to_wait() -> None:
    buffer, sequence = make_buffer(), 0
    assert buffer.sample(16, 3) is None
    while buffer.can_insert(10):
        buffer.insert(serial_fragment(sequence, 10))
        sequence += 1
    with pytest.raises(RuntimeError, match="can_insert"):
        buffer.insert(serial_fragment(sequence, 10))
    assert buffer.sample(16, 3) is not None


def test_a_bad_fragment_leaves_the_ledger_as_it_was() -> None:
    buffer = make_buffer()
    with pytest.raises(ValueError, match="finite"):
        buffer.insert(serial_fragment(0, 10, priority=np.full(10, np.nan)))
    assert buffer.ledger.stats()[:4] == (0, 0, 0, 0)
    buffer.insert(serial_fragment(0, 10))
    buffer.insert(serial_fragment(0, 10))
    assert buffer.ledger.stats().num_inserted == 10


def test_capacity_is_shared_out_and_its_bytes_are_counted() -> None:
    config = ReplayConfig(capacity=101, num_shards=4, min_size=1)
    assert shard_capacities(config) == [26, 25, 25, 25]
    big = ReplayConfig(capacity=100_000, num_shards=3)
    buffer = ReplayBuffer(big, SPEC, 0, 10, 10)
    arrays = [a for s in buffer.shards for a in (s._rows, s._item_id, s._index._sums, s._index._mins, s._index._dirty)]
    assert replay_bytes(SPEC, big) == sum(a.nbytes for a in arrays)


def test_too_little_memory_is_refused_with_figures_and_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec, config = TransitionSpec.for_discrete((122,)), ReplayConfig(capacity=1_000_000, max_memory_frac=0.5)
    needed = replay_bytes(spec, config)
    assert check_memory(spec, config, 2 * needed + 2) == needed
    with pytest.raises(
        ValueError, match=r"1000000 rows of 992 bytes.*replay\.capacity to \d+ or less.*replay\.max_memory_frac"
    ) as error:
        check_memory(spec, config, needed)
    fitting = int(str(error.value).split("replay.capacity to ")[1].split()[0])
    check_memory(spec, ReplayConfig(capacity=fitting, max_memory_frac=0.5), needed)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (limit, tmp_path / "missing"))
    limit.write_text("max\n")
    whole = machine_memory_bytes()
    limit.write_text("12345678\n")
    assert machine_memory_bytes() == 12345678 < whole
