"""Two commands that go on with one run: what to go on from is decided by who holds the run, and no command's training
is set aside unsaid.
"""

import contextlib
import shutil
import threading
import time
from pathlib import Path
from typing import IO, Any

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.errors import UserError
from robonav_ray.runs import run_directory, which_run
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters, list_checkpoints, newest_good_checkpoint
from robonav_ray.runs.commit_watch import CommitWatch, ForeignCommitError
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError, RunHeldError, create_run, find_latest_run
from robonav_ray.runs.stored_notes import StoredNotes
from robonav_ray.runs.stored_runs import stored_checkpoints
from robonav_ray.runs.superseded import prune_checkpoints, set_newer_aside
from robonav_ray.runtime import opening as opening_module
from robonav_ray.runtime.opening import Opening, resolve_opening
from robonav_ray.screen import make_screen
from tests.e2e.test_local_wiring import SMALL


def commit(run: RunDirectory, env_steps: int, storage: str | None = None) -> str:
    writer = CheckpointWriter(run.checkpoints, Counters(env_steps, 1, 1.0, 1), storage)
    writer.write_json("curriculum.json", {})
    return writer.commit().path.name


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = create_run(load_run_config(None, SMALL), tmp_path / "run")
    commit(run, 100)
    run.write_status("unfinished")
    return run


def opened(run: RunDirectory, resume: str | None = None) -> Opening:
    return resolve_opening(None, [], resume or str(run.path), None, time.monotonic(), make_screen())


def begins_at(opening: Opening) -> int:
    assert opening.resumed is not None
    assert opening.resumed[1] is not None
    return opening.resumed[1].counters.env_steps


def test_a_run_is_held_from_before_it_is_decided_where_to_go_on_from(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []

    def look(folder: Path, **given: bool) -> object:
        looked.append(run.is_locked)
        return newest_good_checkpoint(folder, **given)

    monkeypatch.setattr(opening_module, "newest_good_checkpoint", look)
    opening = opened(run)
    assert looked == [True]
    with pytest.raises(RunDirectoryError, match="another process is training this run"):
        opened(run)
    commit(run, 200)  # the first one's training
    opening.held.close()
    second = opened(run)
    assert begins_at(second) == 200, "what the first one has learned"
    second.held.close()
    assert not run.is_locked


@pytest.fixture
def stored(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the run lies in a storage, with a newer checkpoint; the current folder is that of a fresh machine."""
    location = f"file://{tmp_path}/bucket/run"
    commit(run, 400, location)
    StoredNotes(run.path, location).update()
    (tmp_path / "machine").mkdir()
    monkeypatch.chdir(tmp_path / "machine")
    return location


def test_a_stored_run_is_held_on_a_fresh_machine_before_its_storage_is_looked_at(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(location: str) -> list[str]:
        looked.append(location)
        with pytest.raises(RunDirectoryError, match="another process is training this run"):
            opened(here, stored)
        return stored_checkpoints(location)

    here = RunDirectory(Path("runs/run").absolute())
    monkeypatch.setattr(opening_module, "stored_checkpoints", look)
    opening = opened(here, stored)
    assert looked == [stored]
    assert begins_at(opening) == 400
    assert here.is_locked
    opening.held.close()
    assert not here.is_locked
    assert here.config.seed == 0


def test_a_folder_that_was_made_for_nothing_goes_again(stored: str) -> None:
    with pytest.raises(UserError, match="is not a stored run"):
        resolve_opening(None, [], f"{stored}-of-nobody", None, time.monotonic(), make_screen())
    assert not list(Path().iterdir())


def test_a_lock_whose_file_was_removed_holds_nothing(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock(file: IO[bytes], operation: int) -> None:
        (run.path / ".lock").unlink()

    monkeypatch.setattr(run_directory.fcntl, "flock", lock)
    with pytest.raises(RunHeldError, match="has just removed it"), run.locked():
        pass


def auto(run: RunDirectory) -> Opening:
    return resolve_opening(
        None, [*SMALL, f"output_dir={run.path.parent}"], "auto", None, time.monotonic(), make_screen()
    )


def test_auto_looks_again_when_another_command_was_faster(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list[Opening]()

    def find(*args: Any, **kwargs: Any) -> RunDirectory | None:
        found = find_latest_run(*args, **kwargs)
        if not first:
            first.append(opened(run))  # between the look and the lock
        return found

    monkeypatch.setattr(which_run, "find_latest_run", find)
    assert auto(run).resumed is None, "a fresh run, as if the other one had been held all along"
    first[0].held.close()
    again = auto(run)
    assert begins_at(again) == 100
    again.held.close()


@pytest.mark.parametrize("where", ["here", "stored"])
def test_auto_begins_afresh_when_the_run_has_finished_before_it_was_held(
    run: RunDirectory, stored: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    name = {"here": "find_latest_run", "stored": "find_stored_run"}[where]
    finder = getattr(which_run, name)

    def find(*args: Any, **kwargs: Any) -> object:
        found = finder(*args, **kwargs)
        run.write_status("finished")
        StoredNotes(run.path, stored).update()
        return found

    monkeypatch.setattr(which_run, name, find)
    storage = [f"checkpoint.storage={stored.removesuffix('/run')}"] if where == "stored" else []
    output = run.path.parent if where == "here" else Path("runs")
    opening = resolve_opening(
        None, [*SMALL, *storage, f"output_dir={output}"], "auto", None, time.monotonic(), make_screen()
    )
    assert opening.resumed is None
    assert not run.is_locked
    assert not list(Path().iterdir())


def test_a_mistake_lets_go_of_the_run(run: RunDirectory) -> None:
    with pytest.raises(ValueError, match="algo"):
        resolve_opening(None, ["algo.n_step=5"], str(run.path), None, time.monotonic(), make_screen())
    assert not run.is_locked


def test_of_many_that_resume_together_one_goes_on_and_none_falls_back(run: RunDirectory) -> None:
    begun, refused = list[int](), list[str]()

    def resume() -> None:
        try:
            with opened(run).held as _, contextlib.nullcontext():
                newest, _damaged = newest_good_checkpoint(run.checkpoints)
                assert newest is not None
                begun.append(newest.counters.env_steps)
                commit(run, newest.counters.env_steps + 100)
        except RunDirectoryError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=resume) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) + len(refused) == 8
    assert begun == [100 * (i + 1) for i in range(len(begun))], "each goes on from what the one before has committed"
    assert len(list_checkpoints(run.checkpoints)) == len(begun) + 1


def test_who_only_looks_never_keeps_anybody_out(run: RunDirectory) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            _ = run.is_locked

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            with run.locked():
                pass
    finally:
        over.set()
        thread.join()


def test_what_was_set_aside_goes_when_as_many_as_are_kept_were_committed_since(run: RunDirectory) -> None:
    for env_steps in (200, 300):
        commit(run, env_steps)
    oldest = list_checkpoints(run.checkpoints)[0]
    aside = set_newer_aside(run.checkpoints, oldest)
    assert [path.name[:27] for path in aside] == ["superseded-env-000000000200", "superseded-env-000000000300"]
    commit(run, 150)
    prune_checkpoints(run.checkpoints, 2)
    assert all(path.exists() for path in aside), "one of the two that are kept is older"
    commit(run, 180)
    prune_checkpoints(run.checkpoints, 2)
    assert not any(path.exists() for path in aside)
    assert [path.name for path in list_checkpoints(run.checkpoints)] == ["env-000000000150", "env-000000000180"]


def test_two_machines_with_one_storage_are_told_before_the_first_commit(run: RunDirectory, tmp_path: Path) -> None:
    location = f"file://{tmp_path}/bucket/run"
    first = commit(run, 400, location)
    one, other = CommitWatch(location, [first]), CommitWatch(location, None)
    one.check()
    second = commit(run, 500, location)
    one.add(second)
    one.check()
    with pytest.raises(ForeignCommitError, match=f"another command trains this run too, and has committed {second}"):
        other.check()
    shutil.rmtree(tmp_path / "bucket")
