"""Checkpoints: committed or not there, every flipped byte found, the newest good one wins."""

import json
import random
from pathlib import Path

import pytest

from robonav_ray.runtime.checkpoint import (
    CheckpointError,
    CheckpointWriter,
    Counters,
    list_checkpoints,
    newest_good_checkpoint,
    open_checkpoint,
    prune_checkpoints,
)


def commit(folder: Path, env_steps: int) -> Path:
    writer = CheckpointWriter(folder, Counters(env_steps=env_steps, learner_steps=env_steps // 10))
    (writer.path / "learner").mkdir()
    (writer.path / "learner" / "net.bin").write_bytes(random.Random(env_steps).randbytes(5000))
    writer.write_json("curriculum.json", {"stage": env_steps})
    return writer.commit().path


def test_round_trip(tmp_path: Path) -> None:
    path = commit(tmp_path, 120)
    checkpoint = open_checkpoint(path)
    assert checkpoint.counters == Counters(env_steps=120, learner_steps=12)
    assert checkpoint.read_json("curriculum.json") == {"stage": 120}
    assert path.name == "env-000000000120"


def test_uncommitted_directories_are_not_checkpoints(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, Counters(env_steps=5))
    writer.write_json("curriculum.json", {})
    assert list_checkpoints(tmp_path) == []
    with pytest.raises(CheckpointError, match="never committed"):
        open_checkpoint(writer.path)


def test_the_same_step_twice_keeps_both_until_pruned(tmp_path: Path) -> None:
    first, second = commit(tmp_path, 7), commit(tmp_path, 7)
    assert first != second
    assert list_checkpoints(tmp_path) == [first, second]


def test_every_bit_flip_and_truncation_is_found_and_named(tmp_path: Path) -> None:
    path = commit(tmp_path, 1)
    files = [p for p in path.rglob("*") if p.is_file() and p.name != "manifest.json"]
    rng = random.Random(3)
    for _ in range(60):
        file = rng.choice(files)
        good = file.read_bytes()
        bad = bytearray(good)
        if rng.random() < 0.7:
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        else:
            del bad[rng.randrange(len(bad)) :]
        file.write_bytes(bytes(bad))
        with pytest.raises(CheckpointError, match=file.name):
            open_checkpoint(path)
        file.write_bytes(good)
    open_checkpoint(path)


def test_damage_falls_back_to_the_previous_good_one(tmp_path: Path) -> None:
    good, bad = commit(tmp_path, 1), commit(tmp_path, 2)
    (bad / "learner" / "net.bin").write_bytes(b"x")
    checkpoint, damaged = newest_good_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.path == good
    assert len(damaged) == 1
    assert "net.bin" in damaged[0]


@pytest.mark.parametrize("text", ["", "{", '{"files": 3}', '{"format_version": 99, "created": 0, "files": {}}'])
def test_damaged_manifest(tmp_path: Path, text: str) -> None:
    path = commit(tmp_path, 1)
    (path / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        open_checkpoint(path)


def test_pruning_keeps_the_newest_and_sweeps_what_crashes_left(tmp_path: Path) -> None:
    paths = [commit(tmp_path, step) for step in (1, 2, 3)]
    CheckpointWriter(tmp_path, Counters(env_steps=9))
    prune_checkpoints(tmp_path, keep=2)
    assert list_checkpoints(tmp_path) == paths[1:]
    assert sorted(p.name for p in tmp_path.iterdir()) == [p.name for p in paths[1:]]


def test_manifest_names_every_file(tmp_path: Path) -> None:
    path = commit(tmp_path, 4)
    named = set(json.loads((path / "manifest.json").read_text())["files"])
    there = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} - {"manifest.json"}
    assert named == there
