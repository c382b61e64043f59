"""A run whose checkpoints lie in a storage goes on on a machine that has nothing else of it."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.errors import PartLostError, RunInterruptedError
from robonav_ray.files.manifest import MANIFEST, FileEntry, manifest_bytes, manifest_entries
from robonav_ray.files.storage import (
    DamagedError,
    exists,
    join,
    local_folder,
    open_folder,
    read_bytes,
    write_bytes,
    write_file,
)
from robonav_ray.runs.checkpoint import (
    CheckpointError,
    CheckpointWriter,
    Counters,
    fetch_checkpoint,
    list_checkpoints,
    newest_good_checkpoint,
)
from robonav_ray.runs.checkpoint_index import CheckpointIndex, read_index, write_index
from robonav_ray.runs.run_directory import RunDirectory, create_run
from robonav_ray.runs.stored_notes import StoredNotes
from robonav_ray.runs.stored_runs import (
    StoredRunError,
    bring_policy,
    bring_run,
    check_writable,
    find_stored_run,
    prune_stored,
    set_newer_aside_stored,
    stored_checkpoints,
    stored_run,
)
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.train import _session_after
from robonav_ray.runtime.wiring import RunSession
from tests.conftest import Robonav
from tests.e2e.test_cli import QUICK, robonav
from tests.unit.runs.test_checkpoint_index import FIRST

CONFIG = load_run_config(None, [])


def commit(run: RunDirectory, location: str, env_steps: int) -> str:
    """Commit a checkpoint as learner, one shard and the driver do; return its name."""
    writer = CheckpointWriter(run.checkpoints, Counters(env_steps=env_steps), location)
    writer.add([write_file(open_folder(writer.part("learner")), "learner.json", b'{"step": 1}').below("learner")])
    rows = f'{{"rows": {env_steps}}}'.encode()
    writer.add([write_file(open_folder(writer.part("replay/shard_000")), "shard.json", rows).below("replay/shard_000")])
    writer.write_json("curriculum.json", {"stage": env_steps})
    StoredNotes(run.path, location).update()
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
    StoredNotes(run.path, location).update()
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


def test_the_best_stays_in_the_storage_and_is_what_another_machine_takes(tmp_path: Path, storage: str) -> None:
    run = create_run(CONFIG, tmp_path / "here" / "run-1")
    location = stored_run(storage, run)
    names = [commit(run, location, env_steps) for env_steps in (10, 20, 30)]
    index = CheckpointIndex(
        tuple(replace(FIRST, checkpoint=name, success_frac=0.9 - i / 10) for i, name in enumerate(names))
    )
    write_index(run.path, index)
    names.append(commit(run, location, 40))
    prune_stored(location, 1, index.kept(keep_best=True))
    assert stored_checkpoints(location) == [names[0], names[3]]
    for which, name in ((None, names[0]), ("best", names[0]), ("last", names[3])):
        there = bring_policy(location, tmp_path / f"policy-{which}" / "run-1", which=which)  # type: ignore[arg-type]
        assert [path.name for path in list_checkpoints(there.checkpoints)] == [name]
    resumed = bring_run(location, tmp_path / "there" / "run-1")
    assert [path.name for path in list_checkpoints(resumed.checkpoints)] == [names[0], names[3]]
    assert read_index(resumed.path) == index
    (tmp_path / "bucket" / "run-1" / names[0] / "learner" / "learner.json").write_bytes(b'{"step": 2}')
    fallen = bring_policy(location, tmp_path / "fallen" / "run-1")
    assert [path.name for path in list_checkpoints(fallen.checkpoints)] == [names[3]]
    with pytest.raises(CheckpointError, match=r"learner\.json"):
        bring_policy(location, tmp_path / "asked" / "run-1", which="best")
    set_newer_aside_stored(location, names[0])
    assert stored_checkpoints(location) == [names[0]]


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


def test_without_one_whole_checkpoint_nothing_is_begun_anew(tmp_path: Path, storage: str) -> None:
    run = create_run(CONFIG, tmp_path / "here" / "run-1")
    location = stored_run(storage, run)
    name = commit(run, location, 10)
    (tmp_path / "bucket" / "run-1" / name / "replay" / "shard_000" / "shard.json").unlink()
    with pytest.raises(StoredRunError, match="none of its 1 checkpoints is whole"):
        bring_run(location, tmp_path / "there" / "run-1")


def test_a_storage_that_does_not_answer_is_not_taken_for_damage(
    tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(CONFIG, tmp_path / "here" / "run-1")
    location = stored_run(storage, run)
    name = commit(run, location, 10)
    checkpoint, _ = newest_good_checkpoint(run.checkpoints)
    session = RunSession(CONFIG, describe_task(CONFIG), run, checkpoint, 0.0)

    def away(*_: object) -> None:
        raise OSError("no answer")

    monkeypatch.setattr("robonav_ray.runs.checkpoint.check", away)
    with pytest.raises(RunInterruptedError, match="no answer"):
        _session_after(session, PartLostError("the ledger died"), [0.0])
    with pytest.raises(StoredRunError, match="cannot be read"):
        bring_run(location, tmp_path / "there" / "run-1")
    monkeypatch.undo()
    again = _session_after(session, PartLostError("the ledger died"), [0.0])
    assert again.counters.env_steps == 10
    (tmp_path / "bucket" / "run-1" / name / "replay" / "shard_000" / "shard.json").write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="no checkpoint is whole"):  # and never from the beginning
        _session_after(session, PartLostError("the ledger died"), [0.0])


@pytest.mark.parametrize("name", ["replay/shard_000/../../../stranger", "replay/shard_000//etc/stranger"])
def test_a_stored_manifest_that_names_files_outside_writes_none(tmp_path: Path, storage: str, name: str) -> None:
    run = create_run(CONFIG, tmp_path / "here" / "run-1")
    location = stored_run(storage, run)
    stored = join(location, commit(run, location, 10))
    document = json.loads(read_bytes(join(stored, MANIFEST)))
    entries = [*manifest_entries(document), FileEntry(name, 2, hashlib.sha256(b"{}").hexdigest())]
    write_bytes(join(stored, MANIFEST), manifest_bytes({"format_version": 2, "created": 1.0}, entries, {}))
    with (
        pytest.raises(DamagedError, match="outside of the checkpoint"),
        local_folder(join(stored, "replay", "shard_000")),
    ):
        pass
    with pytest.raises(CheckpointError, match="outside of the checkpoint"):
        fetch_checkpoint(stored, tmp_path / "elsewhere")
    write_bytes(join(stored, MANIFEST), read_bytes(join(stored, MANIFEST)).replace(b"stranger", b"STRANGER"))
    with (
        pytest.raises(DamagedError, match="hash that it holds of itself"),
        local_folder(join(stored, "replay", "shard_000")),
    ):
        pass
    assert not list(tmp_path.rglob("*stranger*"))


def test_a_run_is_found_by_its_whole_name(tmp_path: Path, storage: str) -> None:
    for name in ("nav", "nav-lidar"):
        run = create_run(load_run_config(None, [f"name={name}"]), tmp_path / "here" / f"{name}-1")
        run.write_status("running")
        commit(run, stored_run(storage, run), 10)
    for name in ("nav", "nav-lidar"):
        assert find_stored_run(storage, unfinished_only=True, name=name) == join(storage, f"{name}-1")
    for number, text in enumerate(("a: &a [*a]", "- nav", "name: [")):  # what is no config of ours is passed over
        stranger = create_run(load_run_config(None, ["name=nav"]), tmp_path / "here" / f"nav-{2 + number}")
        commit(stranger, stored_run(storage, stranger), 10)
        (tmp_path / "bucket" / f"nav-{2 + number}" / "config.yaml").write_text(text)
    assert find_stored_run(storage, unfinished_only=False, name="nav") == join(storage, "nav-1")


@pytest.mark.parametrize("location", ["s3://key:secret@bucket/run", "s3://bucket/run?secret_key=secret"])
def test_secrets_in_what_is_to_be_resumed_are_refused_and_not_shown(
    tmp_path: Path, location: str, robonav_here: Robonav
) -> None:
    done = robonav_here("train", "--resume", location, cwd=tmp_path)
    assert done.returncode == 2
    assert "in the environment" in done.stderr + done.stdout
    assert "secret@" not in done.stderr + done.stdout
    assert "=secret" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("storage", "part"),
    [
        ("s3://key:secret@bucket/runs", "in the environment"),
        ("s3://bucket/runs?secret_key=x", "in the environment"),
        ("ftp://bucket/runs", "ftp://"),
        ("s3://", "names no bucket"),
        ("", "name a folder"),
        ("runs", "absolute"),
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
    storage = f"checkpoint.storage={'' if local else 'file://'}{tmp_path}/bucket"
    arguments = ["train", *["--local"] * local, "--resume", "auto", *QUICK, storage]
    done = robonav(*arguments, "budget.max_env_steps=3000", cwd=tmp_path, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    (name,) = [path.name for path in (tmp_path / "runs").iterdir()]
    location = f"file://{tmp_path}/bucket/{name}"
    assert stored_checkpoints(location)
    before = json.loads((tmp_path / "bucket" / name / "metrics.jsonl").read_text().splitlines()[0])
    shutil.rmtree(tmp_path / "runs")  # the machine is gone
    (tmp_path / "bucket" / name / "status.json").write_text('{"status": "running"}')
    done = robonav(*arguments, "budget.max_env_steps=6000", cwd=tmp_path, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resuming" in done.stdout
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]
    lines = [json.loads(line) for line in (tmp_path / "runs" / name / "metrics.jsonl").read_text().splitlines()]
    assert lines[0] == before, "the notes of the first session came along"
    points = [(line["step"], tag) for line in lines for tag in line.keys() - {"step", "time", "items"}]
    assert len(points) == len(set(points))
    done = robonav(
        *arguments[: -len(QUICK) - 3], "--resume", location, "budget.max_env_steps=7000", cwd=tmp_path, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
