"""With ``checkpoint.storage`` nothing of a run is on its machine alone, and every verb that takes a run takes the URI
of a stored one."""

import errno
import json
import logging
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.cli import main
from robonav_ray.config.load import load_run_config
from robonav_ray.errors import UserError
from robonav_ray.files.locations import name_of
from robonav_ray.files.plain_files import open_writing
from robonav_ray.runs import located, stored_notes
from robonav_ray.runs.run_directory import RunDirectoryError, create_run
from robonav_ray.runs.stored_notes import StoredNotes, bring_notes
from robonav_ray.runs.stored_runs import StoredRunError, holds_run, stored_checkpoints, stored_run
from robonav_ray.tuning.experiment import Experiment
from tests.e2e.test_cli import QUICK


def verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a verb in this process; return its exit code and what it said."""
    monkeypatch.setattr(sys, "argv", ["robonav", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out + told.err


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run in a storage; its own directory is gone, as that of a pod."""
    folder = tmp_path_factory.mktemp("stored")
    limits = ["budget.max_env_steps=1500", "evaluation.gif_episodes=1", f"checkpoint.storage=file://{folder}/bucket"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["robonav", "train", "--local", "--out", "run", *QUICK, *limits])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    here, there = (
        {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (folder / "run", folder / "bucket" / "run")
    )
    notes = {name for name in here if not name.startswith((".", "checkpoints/"))}
    assert notes >= {
        "config.yaml",
        "evaluation.json",
        "evaluation.md",
        "curves.png",
        "play.gif",
        "log.txt",
        "metrics.jsonl",
        "run.json",
    }
    assert any(name.startswith("tensorboard/events") for name in notes)
    assert {name for name in there if not name.startswith("env-")} == notes
    assert all(there[name] == here[name] for name in notes), "as they are here, the last of them included"
    assert json.loads(there["status.json"])["status"] == "finished"
    shutil.rmtree(folder / "run")
    return folder / "bucket" / "run"


def test_a_stored_run_is_evaluated_and_its_results_lie_with_it(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (name,) = stored_checkpoints(str(stored))[-1:]
    for given in (f"file://{stored}", f"file://{stored}/{name}", str(stored), str(stored / name)):
        code, told = verb(monkeypatch, capsys, "evaluate", given, "--episodes", "4", "--stages", "0")
        assert code == 0, told
        assert f"{stored}/evaluations/" in told
        (folder,) = (stored / "evaluations").iterdir()
        assert {p.name for p in folder.iterdir()} == {"evaluation.json", "evaluation.md"}
        shutil.rmtree(stored / "evaluations")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine.txt").write_text("mine")
    evaluate = ("evaluate", f"file://{stored}", "--episodes", "4", "--stages", "0", "--out", "results")
    code, told = verb(monkeypatch, capsys, *evaluate)
    assert code == 0, told
    assert told.splitlines()[-1] == "written: results/evaluation.json, results/evaluation.md", (
        "and nothing else that lies there"
    )
    assert (tmp_path / "results" / "evaluation.json").is_file()
    assert not (stored / "evaluations").exists()
    with monkeypatch.context() as patch:
        patch.setattr("robonav_ray.runs.located.located", None)  # refused before the run is looked at
        code, told = verb(monkeypatch, capsys, *evaluate)
    assert code == 2
    assert told.startswith("robonav: --out results: holds results/evaluation.json already")
    code, told = verb(monkeypatch, capsys, "play", f"file://{stored}", "--episodes", "1", "--stage", "0")
    assert code == 0, told
    assert (tmp_path / "run-play-stage0-seed7.gif").read_bytes()[:3] == b"GIF"
    assert {p.name for p in tmp_path.iterdir()} == {"results", "run-play-stage0-seed7.gif"}, "the copy is gone"


@pytest.mark.parametrize(("lost", "code"), [("a reader", 0), ("room", 1)])
def test_an_evaluation_whose_output_nobody_takes_is_written_all_the_same(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robonav_ray.runtime.watching.LINE_S", 0.0)
    monkeypatch.setattr(
        sys, "argv", ["robonav", "evaluate", str(stored), "--stages", "0,1", "--episodes", "4", "--out", "results"]
    )
    reader, writer = os.pipe()
    os.close(reader)
    taken = writer if lost == "a reader" else os.open("/dev/full", os.O_WRONLY)
    before = os.dup(1)
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    os.dup2(taken, 1)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        os.dup2(before, 1)
        for descriptor in {before, writer, taken}:
            os.close(descriptor)
    assert ended.value.code == code
    report = json.loads((tmp_path / "results" / "evaluation.json").read_text())
    assert [level["summary"]["num_episodes"] for level in report["levels"]] == [4, 4]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_results_that_have_no_room_are_told_in_one_sentence(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def full(aside: Path) -> Any:
        if aside.is_absolute():  # of the run, not of its results
            return open_writing(aside)
        raise OSError(number, os.strerror(number))  # as a write raises it, without a name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robonav_ray.files.plain_files.open_writing", full)
    reason = os.strerror(number)
    code, told = verb(
        monkeypatch, capsys, "evaluate", str(stored), "--stages", "0", "--episodes", "4", "--out", "results"
    )
    assert (code, told.splitlines()[-1]) == (1, f"robonav: results/evaluation.json: {reason}")
    if number == errno.ENOSPC:
        code, told = verb(
            monkeypatch, capsys, "play", str(stored), "--episodes", "1", "--stage", "0", "--output", "x.gif"
        )
        assert (code, told) == (1, f"robonav: x.gif: {reason}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert not list((tmp_path / "results").iterdir())


def test_a_storage_that_may_only_be_read_is_refused_before_the_work(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: object) -> None:
        raise OSError("AccessDenied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robonav_ray.runs.stored_runs.probe", denied)
    code, told = verb(monkeypatch, capsys, "evaluate", f"file://{stored}")
    assert code == 2
    assert "--out DIR" in told
    assert "AccessDenied" in told
    code, told = verb(
        monkeypatch, capsys, "evaluate", f"file://{stored}", "--episodes", "4", "--stages", "0", "--out", "results"
    )
    assert code == 0, told


def test_a_run_goes_on_from_its_uri_with_all_that_was_stored(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {p.name for p in (stored / "tensorboard").iterdir()}
    less = ["budget.max_env_steps=2000", "evaluation.gif_episodes=0"]
    code, told = verb(monkeypatch, capsys, "train", "--local", "--resume", f"file://{stored}", *less)
    assert code == 0, told
    assert "resuming" in told
    events = {p.name for p in (tmp_path / "runs" / "run" / "tensorboard").iterdir()}
    assert events > before, "the curves of both sessions"
    assert {p.name for p in (stored / "tensorboard").iterdir()} == events


NO_PATHS = [
    (["train", "--local", "output_dir=s3://bucket/runs"], ["output_dir", "checkpoint.storage"]),
    (["config", "validate", "output_dir=file:///mnt/runs"], ["output_dir", "checkpoint.storage"]),
    (["tune", "configs/tuning/asha.yaml", "output_dir=gs://bucket/runs"], ["output_dir", "run.checkpoint.storage"]),
    (["tune", "configs/tuning/asha.yaml", "--out", "s3://bucket/search"], ["--out", "run.checkpoint.storage"]),
    (["train", "--local", "--out", "s3://bucket/run"], ["--out", "checkpoint.storage"]),
    (["tune", "show", "s3://bucket/search"], ["s3://bucket/search", "folder"]),
    (["tune", "--resume", "s3://bucket/search"], ["s3://bucket/search", "folder"]),
    (["evaluate", "runs/one", "--out", "s3://bucket/results"], ["--out"]),
    (["play", "runs/one", "--output", "s3://bucket/film.gif"], ["--output"]),
    (["evaluate", "s3://key:secret@bucket/run"], ["in the environment"]),
    (["play", "ftp://bucket/run"], ["ftp://"]),
    (["evaluate", "file:///nowhere/run"], ["file:///nowhere/run", "not a stored run"]),
    (["play", "file:///nowhere/run/env-000000000010"], ["file:///nowhere/run", "not a stored run"]),
]


@pytest.mark.parametrize(("arguments", "parts"), NO_PATHS, ids=[" ".join(a) for a, _ in NO_PATHS])
def test_a_uri_is_taken_or_refused_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    parts: list[str],
) -> None:
    shipped = Path("configs").absolute()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robonav_ray.runs.stored_runs.probe", lambda *_: None)
    code, told = verb(
        monkeypatch,
        capsys,
        *(a.replace("configs", str(shipped), 1) if a.startswith("configs") else a for a in arguments),
    )
    assert code == 2, told
    assert "Traceback" not in told
    assert "secret@" not in told
    for part in parts:
        assert part in told
    assert not list(tmp_path.iterdir())


def test_only_what_has_changed_is_stored_again_and_what_leads_out_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, there = tmp_path / "run", tmp_path / "bucket" / "run"
    for name in (
        "log.txt",
        "evaluations/1/evaluation.json",
        "checkpoints/env-1/net",
        "ray_train/state",
        ".lock",
        ".log.txt.1",
    ):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    (tmp_path / "secret").write_text("not the run's")
    (run / "notes.txt").symlink_to(tmp_path / "secret")
    (run / "folder").symlink_to(tmp_path)
    os.mkfifo(run / "pipe")
    notes = StoredNotes(run, f"file://{there}")
    assert notes.update() == 2
    assert {p.relative_to(there).as_posix() for p in there.rglob("*") if p.is_file()} == {
        "log.txt",
        "evaluations/1/evaluation.json",
    }
    assert notes.update() == 0
    (run / "log.txt").write_text("log.txt, and more")
    assert notes.update("evaluations") == 0
    assert notes.update() == 1
    assert (there / "log.txt").read_text() == "log.txt, and more"
    monkeypatch.setattr(stored_notes, "LARGEST_NOTE_BYTES", 100)
    (run / "film.gif").write_bytes(bytes(101))
    assert notes.update() == notes.update() == 0
    assert [record.message for record in caplog.records if "film.gif" in record.message] == [
        "film.gif: has more than 100 bytes and is not stored; it stays here"
    ]
    bring_notes(f"file://{there}", tmp_path / "copy")
    assert (tmp_path / "copy" / "evaluations" / "1" / "evaluation.json").read_text() == "evaluations/1/evaluation.json"
    monkeypatch.setattr(stored_notes, "MOST_NOTES", 1)
    with pytest.raises(OSError, match="more than 1 files"):
        bring_notes(f"file://{there}", tmp_path / "another")


def test_a_storage_that_fails_for_a_while_is_tried_again_and_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log.txt").write_text("line")
    stored, write, failures = threading.Event(), stored_notes.write_bytes, [OSError("away")] * 3

    def flaky(location: str, data: bytes) -> None:
        if failures:
            raise failures.pop()
        write(location, data)
        stored.set()

    monkeypatch.setattr(stored_notes, "write_bytes", flaky)
    with caplog.at_level(logging.WARNING), StoredNotes(tmp_path, f"file://{tmp_path}/bucket").kept_up(every_s=0.01):
        assert stored.wait(30)
    assert sum("could not be stored (away)" in record.message for record in caplog.records) == 1


def test_results_that_cannot_be_stored_are_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_run_config(None, [f"checkpoint.storage={tmp_path}/bucket"])
    run = create_run(config, tmp_path / "run")
    lost: Any = located.LocatedRun(run, None, f"file://{tmp_path}/bucket/run")  # type: ignore[arg-type]
    here: Any = located.LocatedRun(run, None, None)  # type: ignore[arg-type]
    StoredNotes(run.path, f"{tmp_path}/bucket/run").update()

    def write(folder: Path) -> list[Path]:
        (folder / "evaluation.json").write_text("{}")
        return [folder / "evaluation.json"]

    def denied(*_: object) -> None:
        raise OSError("AccessDenied")

    monkeypatch.setattr(stored_notes, "write_bytes", denied)
    with pytest.raises(StoredRunError, match=r"AccessDenied.*--out DIR"):
        lost.keep(write, "evaluations")
    shutil.rmtree(run.path / "evaluations")
    (shown,) = here.keep(write, "evaluations")
    assert Path(shown).read_text() == "{}"


@pytest.mark.parametrize("name", ["a b[red]'x", "q?x#y", "p%20q", "ü&=+;", "-"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_run_lies_in_the_storage_under_its_own_name_whatever_that_is(tmp_path: Path, name: str, scheme: str) -> None:
    config = load_run_config(None, [])
    run, storage = create_run(config, tmp_path / "here" / name), f"{scheme}{tmp_path}/bucket"
    location = stored_run(storage, run)
    StoredNotes(run.path, location).update()
    assert [p.name for p in (tmp_path / "bucket").iterdir()] == [name]
    assert holds_run(storage, name)
    assert name_of(location) == name
    bring_notes(location, tmp_path / "there")
    assert (tmp_path / "there" / "config.yaml").read_bytes() == (run.path / "config.yaml").read_bytes()


def test_two_runs_never_share_a_place_in_the_storage(tmp_path: Path) -> None:
    config = load_run_config(None, [f"output_dir={tmp_path}/here"])
    (tmp_path / "bucket" / "one").mkdir(parents=True)
    (tmp_path / "bucket" / "one" / "config.yaml").write_text("name: other\n")

    def is_taken(path: Path) -> bool:
        return holds_run(str(tmp_path / "bucket"), path.name)

    with pytest.raises(RunDirectoryError, match="holds a run called one already"):
        create_run(config, tmp_path / "here" / "one", is_taken)
    assert create_run(config, tmp_path / "here" / "two", is_taken).path.name == "two"
    taken: list[str] = []
    run = create_run(config, None, lambda path: len(taken) < 2 and not taken.append(path.name))
    assert run.path.name == f"{taken[0]}-2"


def test_trials_of_two_searches_never_share_a_place_in_the_storage(tmp_path: Path) -> None:
    from robonav_ray.config.load import load_tuning_config

    config = load_tuning_config(Path("configs/tuning/asha.yaml"), ["run.checkpoint.storage=s3://bucket/runs"])
    places = {
        Experiment(tmp_path / name, config).trial_config("trial_1", {}).checkpoint.storage
        for name in ("asha-1", "asha-2")
    }
    assert places == {"s3://bucket/runs/asha-1", "s3://bucket/runs/asha-2"}


def test_a_slash_that_a_path_lost_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert located.whole_uri("s3:/bucket/x") == "s3://bucket/x"
    assert located.whole_uri("runs/a:/b") == "runs/a:/b"
    (tmp_path / "s3:" / "bucket").mkdir(parents=True)
    assert located.whole_uri("s3:/bucket") == "s3:/bucket"
    with pytest.raises(UserError, match="--out"):
        located.refuse_uri(Path("gs://bucket/x"), "--out")
