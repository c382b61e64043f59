"""What a finished run needs no more is freed; its policy stays, to the bit, whenever that is broken off."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.errors import UserError
from robonav_ray.runs import freeing
from robonav_ray.runs.checkpoint import CheckpointError, list_checkpoints
from robonav_ray.runs.checkpoint_index import CheckpointIndex, read_index, write_index
from robonav_ray.runs.freeing import free, freeable
from robonav_ray.runs.located import find_policy, located
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.policy_alone import refuse_policy_alone
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task
from tests.made_up_runs import make_run
from tests.unit.runs.test_checkpoint_index import FIRST

OBS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def q_values(where: Path | str) -> np.ndarray:
    with located(where) as found:
        return load_policy(found.checkpoint, found.run.config, describe_task(found.run.config)).q_values(OBS)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def freed(run: RunDirectory, *, force: bool = False) -> int:
    found = freeable(run, force=force)
    assert found is not None
    return free(found, force=force)


def test_the_policy_stays_and_the_rest_goes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    before, bytes_before = q_values(run.path), size(run.path)
    found = freeable(run)
    assert found is not None
    assert size(run.path) == bytes_before, "to ask changes nothing"
    num = free(found)
    assert num == bytes_before - size(run.path)
    assert num == pytest.approx(found.num_bytes, abs=4000)
    assert [path.name for path in list_checkpoints(run.checkpoints)] == ["env-000000000200-policy"]
    np.testing.assert_array_equal(q_values(run.path), before)
    assert freeable(run) is None, "a second time there is nothing"
    with pytest.raises(CheckpointError, match=r"holds the policy alone.*cannot go on.*train --init-from"):
        refuse_policy_alone(find_policy(run.path)[1])


def test_a_stored_run_is_freed_in_its_storage_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", storage=str(tmp_path / "storage"))
    stored = tmp_path / "storage" / "a"
    shutil.copytree(next(stored.glob("env-*")), stored / "policy-000000000050")
    before, held = q_values(run.path), size(stored) + size(run.checkpoints)
    num = freed(run)
    assert [path.name[:4] for path in stored.iterdir() if path.is_dir()] == ["env-"]
    assert num == pytest.approx(held - size(stored) - size(run.checkpoints), abs=20_000)
    np.testing.assert_array_equal(q_values(run.path), before)
    np.testing.assert_array_equal(q_values(stored.as_uri()), before)
    assert freeable(run) is None


@pytest.mark.parametrize("is_stored", [False, True])
def test_the_best_policy_is_the_one_that_stays(tmp_path: Path, is_stored: bool) -> None:
    run = make_run(tmp_path / "a", storage=str(tmp_path / "storage") if is_stored else None)
    best, last = (path.name for path in list_checkpoints(run.checkpoints))
    judgement = replace(FIRST, checkpoint=best)
    index = CheckpointIndex((judgement, replace(judgement, checkpoint=last, success_frac=0.4)))
    write_index(run.path, index)
    before = q_values(run.path)
    with located(run.path, which="last") as found:
        assert found.checkpoint.path.name == last
    freed(run)
    [left] = list_checkpoints(run.checkpoints)
    np.testing.assert_array_equal(q_values(run.path), before)
    kept = read_index(run.path).best
    assert kept is not None
    assert kept.checkpoint == left.name
    assert find_policy(run.path)[1].counters.env_steps == 100, "the steps behind the policy, not those of the run"
    assert freeable(run) is None
    if is_stored:
        np.testing.assert_array_equal(q_values((tmp_path / "storage" / "a").as_uri()), before)


@pytest.mark.parametrize("status", ["unfinished", "failed", "running"])
def test_what_has_not_finished_is_kept_whole_unless_forced(status: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", status=status)
    with pytest.raises(UserError, match=r"has not finished.*--force"):
        freeable(run)
    assert len(list_checkpoints(run.checkpoints)) == 2
    before = q_values(run.path)
    freed(run, force=True)
    np.testing.assert_array_equal(q_values(run.path), before)


def test_a_held_run_is_left_alone_also_when_forced(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    found = freeable(run)
    assert found is not None
    with run.locked():
        for force in (False, True):
            with pytest.raises(UserError, match="is training this run"):
                freeable(run, force=force)
            with pytest.raises(UserError, match="is training this run"):
                free(found, force=force)
    assert len(list_checkpoints(run.checkpoints)) == 2


def test_a_trial_belongs_to_its_search(tmp_path: Path) -> None:
    run = make_run(tmp_path / "search" / "trials" / "00000")
    (tmp_path / "search" / "tuning.yaml").write_text("")
    with pytest.raises(UserError, match=r"trial of a search.*--force"):
        freeable(run)
    assert freed(run, force=True) > 0


def test_links_are_never_followed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"x" * 1000)
    (run.checkpoints / "superseded-env-000000000001-1").symlink_to(elsewhere)
    (run.checkpoints / ".aside-x").symlink_to(elsewhere)
    freed(run)
    assert (elsewhere / "precious").is_file()
    (tmp_path / "link").symlink_to(run.path)
    with pytest.raises(UserError, match="is a link"):
        freeable(RunDirectory(tmp_path / "link"))


def test_a_damaged_run_keeps_what_is_left(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", steps=[100])
    (list_checkpoints(run.checkpoints)[0] / "counters.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no whole checkpoint, so what is left stays"):
        freeable(run)
    assert freeable(make_run(tmp_path / "b", steps=[])) is None


@pytest.mark.parametrize("step", ["_write_policy", "prune_checkpoints"])
def test_broken_off_at_any_step_a_second_call_goes_on(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "a")
    before, found = q_values(run.path), freeable(run)
    assert found is not None

    def fails(*_: object) -> None:
        raise OSError("disk")

    with monkeypatch.context() as patched:
        patched.setattr(freeing, step, fails)
        with pytest.raises(OSError, match="disk"):
            free(found)
    np.testing.assert_array_equal(q_values(run.path), before)
    freed(run)
    np.testing.assert_array_equal(q_values(run.path), before)
    assert len(list_checkpoints(run.checkpoints)) == 1
