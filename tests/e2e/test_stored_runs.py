"""A run whose checkpoints lie in a storage goes on on a machine that has nothing else of it."""

import json
import shutil
from pathlib import Path

import pytest

from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.runtime.checkpoint import (
    CheckpointError,
    CheckpointWriter,
    Counters,
    fetch_checkpoint,
    list_checkpoints,
    newest_good_checkpoint,
)
from robonav_ray.runtime.run_directory import RunDirectory, create_run
from robonav_ray.runtime.stored_runs import (
    StoredRunError,
    bring_run,
    check_writable,
    find_stored_run,
    prune_stored,
    set_newer_aside_stored,
    store_notes,
    stored_checkpoints,
    stored_run,
)
from robonav_ray.storage import exists, join, local_folder, open_folder, write_file
from tests.e2e.test_cli import QUICK, robonav

CONFIG = load_run_config(None, [])


def commit(run: RunDirectory, location: str, env_steps: int) -> str:
    """Commit a checkpoint as learner, one shard and the driver do; return its name."""
    writer = CheckpointWriter(run.checkpoints, Counters(env_steps=env_steps), location)
    writer.add([write_file(open_folder(writer.part("learner")), "learner.json", b'{"step": 1}').below("learner")])
    rows = f'{{"rows": {env_steps}}}'.encode()
    writer.add([write_file(open_folder(writer.part("replay/shard_000")), "shard.json", rows).below("replay/shard_000")])
    writer.write_json("curriculum.json", {"stage": env_steps})
    store_notes(run, location)
    return writer.commit().path.name


@pytest.fixture(params=["path", "uri"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "bucket"
    return str(folder) if request.param == "path" else f"file://{folder}"


def test_another_machine_gets_the_newest_checkpoint_and_the_notes(tmp_path: Path, storage: str) -> None:
    run = create_run(CONFIG, tmp_path / "here" / "curriculum-1")
    run.write_status("running")
    location = stored_run(storage, run)
    first, second = commit(run, location, 10), commit(run, location, 20)
    assert stored_checkpoints(location) == [first, second]
    assert find_stored_run(storage, unfinished_only=True, name="curriculum") == location
    assert find_stored_run(storage, unfinished_only=True, name="other") is None
    there = bring_run(location, tmp_path / "there" / "curriculum-1")
    assert there.config == CONFIG
    (path,) = list_checkpoints(there.checkpoints)
    checkpoint = fetch_checkpoint(join(location, second), there.checkpoints)
    assert checkpoint.path == path
    assert checkpoint.read_json("curriculum.json") == {"stage": 20}
    assert checkpoint.location == join(location, second)
    assert not checkpoint.replay.exists()
    assert checkpoint.rows == join(location, second, "replay")
    with local_folder(join(checkpoint.rows, "shard_000")) as folder:
        assert json.loads((folder / "shard.json").read_text()) == {"rows": 20}
    run.write_status("finished")
    store_notes(run, location)
    assert find_stored_run(storage, unfinished_only=True) is None
    assert find_stored_run(storage, unfinished_only=False) == location
    set_newer_aside_stored(location, first)
    assert stored_checkpoints(location) == [first]


def test_what_was_never_committed_or_is_damaged_is_passed_over(tmp_path: Path, storage: str) -> None:
    run = create_run(CONFIG, tmp_path / "here" / "run-1")
    location = stored_run(storage, run)
    first, second = commit(run, location, 10), commit(run, location, 20)
    writer = CheckpointWriter(run.checkpoints, Counters(env_steps=30), location)
    write_file(open_folder(writer.part("learner")), "learner.json", b"{}")
    assert stored_checkpoints(location) == [first, second]
    damaged = tmp_path / "bucket" / "run-1" / second / "learner" / "learner.json"
    damaged.write_bytes(b'{"step": 2}')
    with pytest.raises((CheckpointError, OSError), match=r"learner\.json"):
        fetch_checkpoint(join(location, second), tmp_path / "elsewhere")
    there = bring_run(location, tmp_path / "there" / "run-1")
    assert [path.name for path in list_checkpoints(there.checkpoints)] == [first]
    damaged.write_bytes(b'{"step": 1}')
    third, fourth = commit(run, location, 40), commit(run, location, 50)
    prune_stored(location, keep=2)
    assert stored_checkpoints(location) == [third, fourth]
    assert not exists(join(location, first, "counters.json"))
    assert not exists(join(writer.part("learner"), "learner.json")), "what a killed writer left behind goes as well"


@pytest.mark.parametrize("machine", ["here", "there"])
def test_stored_rows_that_are_damaged_are_named_and_the_checkpoint_before_is_taken(
    tmp_path: Path, storage: str, machine: str
) -> None:
    run = create_run(CONFIG, tmp_path / "here" / "run-1")
    location = stored_run(storage, run)
    first, second = commit(run, location, 10), commit(run, location, 20)
    rows = tmp_path / "bucket" / "run-1" / second / "replay" / "shard_000" / "shard.json"
    rows.write_bytes(b'{"rows": 21}')
    with (
        pytest.raises(OSError, match=r"shard\.json: does not match"),
        local_folder(join(location, second, "replay", "shard_000")),
    ):
        pass
    found = bring_run(location, tmp_path / machine / "run-1")
    checkpoint, passed_over = newest_good_checkpoint(found.checkpoints, with_rows=True)
    assert checkpoint is not None
    assert checkpoint.path.name == first
    assert len(passed_over) == 1
    assert "shard.json" in passed_over[0]
    rows.unlink()
    checkpoint, passed_over = newest_good_checkpoint(found.checkpoints, with_rows=True)
    assert checkpoint is not None
    assert checkpoint.path.name == first
    assert "shard.json" in passed_over[0]


@pytest.mark.parametrize(
    ("storage", "part"),
    [
        ("s3://key:secret@bucket/runs", "in the environment"),
        ("s3://bucket/runs?secret_key=x", "in the environment"),
        ("ftp://bucket/runs", "ftp://"),
        ("s3://", "names no bucket"),
        ("", "name a folder"),
    ],
)
def test_a_storage_that_cannot_be_is_refused(storage: str, part: str) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint\.storage") as raised:
        load_run_config(None, [f"checkpoint.storage={json.dumps(storage)}"])
    assert part in str(raised.value)


def test_a_storage_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoredRunError, match=r"checkpoint\.storage: .*cannot be written"):
        check_writable(f"file://{tmp_path}/file/below")
    check_writable(f"file://{tmp_path}/new/folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("local", [True, False])
def test_a_run_goes_on_where_nothing_but_the_storage_is_left(tmp_path: Path, local: bool) -> None:
    storage = f"checkpoint.storage=file://{tmp_path}/bucket"
    arguments = ["train", *["--local"] * local, "--resume", "auto", *QUICK, storage]
    done = robonav(*arguments, "budget.max_env_steps=3000", cwd=tmp_path, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    (name,) = [path.name for path in (tmp_path / "runs").iterdir()]
    location = f"file://{tmp_path}/bucket/{name}"
    assert stored_checkpoints(location)
    shutil.rmtree(tmp_path / "runs")  # the machine is gone
    (tmp_path / "bucket" / name / "status.json").write_text('{"status": "running"}')
    done = robonav(*arguments, "budget.max_env_steps=6000", cwd=tmp_path, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resuming" in done.stdout
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]
    lines = [json.loads(line) for line in (tmp_path / "runs" / name / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["step"] < 3000, "the notes of the first session came along"
    points = [(line["step"], tag) for line in lines for tag in line.keys() - {"step", "time"}]
    assert len(points) == len(set(points))
    done = robonav(*arguments[: -len(QUICK) - 3], "--resume", location, "budget.max_env_steps=7000", cwd=tmp_path, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
