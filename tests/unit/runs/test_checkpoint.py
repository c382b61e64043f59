"""Checkpoints: committed or not there, every flipped bit found, the newest good one wins, at whatever operation the
writer stops."""

import errno
import json
import random
from pathlib import Path

import pytest

from robonav_ray.files.storage import open_folder, write_file
from robonav_ray.runs.checkpoint import (
    CheckpointError,
    CheckpointWriter,
    Counters,
    list_checkpoints,
    newest_good_checkpoint,
    open_checkpoint,
)
from robonav_ray.runs.superseded import prune_checkpoints
from tests.disk_faults import DiskOperations, Stopped


def commit(folder: Path, env_steps: int) -> Path:
    """Write a checkpoint with one file that another process has hashed, one without a hash, and a document."""
    writer = CheckpointWriter(folder, Counters(env_steps=env_steps, learner_steps=env_steps // 10))
    entry = write_file(open_folder(str(writer.path / "learner")), "net.bin", random.Random(env_steps).randbytes(5000))
    writer.add([entry.below("learner")])
    (writer.path / "rollout").mkdir()
    (writer.path / "rollout" / "worlds.bin").write_bytes(random.Random(-env_steps).randbytes(300))
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


@pytest.mark.parametrize("seed", range(4))
def test_every_bit_flip_and_truncation_is_found_and_named(tmp_path: Path, seed: int) -> None:
    """In all 100 flips and 20 truncations, anywhere in any file, the manifest included; each falls back to the
    checkpoint before."""
    before, path = commit(tmp_path, 1), commit(tmp_path, 2)
    files = [p for p in path.rglob("*") if p.is_file()]
    assert len(files) == 5
    rng = random.Random(seed)
    for turn in range(30):
        file = rng.choice(files)
        good = file.read_bytes()
        bad = bytearray(good)
        if turn < 25:
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        else:
            del bad[rng.randrange(len(bad)) :]
        file.write_bytes(bytes(bad))
        with pytest.raises(CheckpointError, match=file.name):
            open_checkpoint(path)
        found, damaged = newest_good_checkpoint(tmp_path)
        assert found is not None
        assert found.path == before
        assert len(damaged) == 1
        assert file.name in damaged[0]
        file.write_bytes(good)
    open_checkpoint(path)


def test_every_bit_of_the_manifest_counts(tmp_path: Path) -> None:
    path = commit(tmp_path, 1)
    manifest = path / "manifest.json"
    good = manifest.read_bytes()
    for offset in range(len(good)):
        bad = bytearray(good)
        bad[offset] ^= 1 << offset % 8
        manifest.write_bytes(bytes(bad))
        with pytest.raises(CheckpointError, match=r"manifest\.json"):
            open_checkpoint(path)


def test_a_file_that_another_process_wrote_elsewhere_is_no_commit(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path / "checkpoints", Counters(env_steps=5))
    entry = write_file(open_folder(str(tmp_path / "another machine")), "rows.npy", b"rows")
    writer.add([entry.below("replay/shard_000")])
    with pytest.raises(OSError, match="not visible from the driver"):
        writer.commit()
    assert list_checkpoints(tmp_path / "checkpoints") == []


def test_what_a_disk_lost_after_it_was_hashed_is_found(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, Counters(env_steps=5))
    entry = write_file(open_folder(str(writer.path)), "rows.npy", b"rows")
    writer.add([entry._replace(sha256="0" * 64)])
    with pytest.raises(CheckpointError, match=r"rows\.npy"):
        open_checkpoint(writer.commit().path)


@pytest.mark.parametrize("name", ["../../other", "/etc/passwd"])
def test_a_manifest_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    writer = CheckpointWriter(tmp_path, Counters(env_steps=5))
    entry = write_file(open_folder(str(writer.path)), "rows.npy", b"rows")
    path = writer.commit().path
    from robonav_ray.runs.checkpoint import _manifest_bytes

    (path / "manifest.json").write_bytes(_manifest_bytes(0.0, [entry._replace(name=name)]))
    with pytest.raises(CheckpointError, match="outside of the checkpoint"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "text", ["", "{", '{"files": 3}', '{"format_version": 99, "created": 0, "files": {}}', "[]", "null"]
)
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


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> DiskOperations:
    return DiskOperations(monkeypatch.setattr)


def test_killed_at_any_operation_the_newest_committed_checkpoint_loads(
    tmp_path: Path, operations: DiskOperations
) -> None:
    """Committing and pruning are stopped before every single operation in turn; what was committed stays, the old and
    the new."""
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        operations.at = -1
        committed = [commit(folder, 1), commit(folder, 2)]
        operations.count, operations.at = 0, at
        try:
            committed.append(commit(folder, 3))
            prune_checkpoints(folder, keep=2)
        except Stopped:
            pass
        stopped = operations.count >= at
        operations.at = -1
        found, damaged = newest_good_checkpoint(folder)
        assert damaged == []
        assert found is not None
        assert found.path.name in ("env-000000000002", "env-000000000003")
        assert found.path >= committed[-1], f"stopped before operation {at}: {found.path} is older than {committed[-1]}"
        after = commit(folder, 4)
        prune_checkpoints(folder, keep=1)
        assert list(folder.iterdir()) == [after], "what a kill left behind is swept"
        if not stopped:
            break
    assert at > 60, "every write of every file is an operation"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_operation_leaves_the_last_checkpoint(
    tmp_path: Path, operations: DiskOperations, code: int
) -> None:
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        operations.at = -1
        before = commit(folder, 1)
        operations.count, operations.at, operations.error = 0, at, OSError(code, "injected")
        failed = False
        try:
            commit(folder, 2)
        except OSError:
            failed = True
        operations.at = -1
        found, damaged = newest_good_checkpoint(folder)
        assert damaged == []
        assert found is not None
        if operations.count < at:
            break
        assert found.path == before or found.counters.env_steps == 2
        assert failed or found.counters.env_steps == 2
    assert at > 40
