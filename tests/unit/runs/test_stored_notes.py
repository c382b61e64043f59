"""A stored run that a bad neighbour has made: nothing behind its links is read, listed or written, and nothing of it is
endless."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from pyarrow.lib import ArrowInvalid

from robonav_ray.files import plain_files, storage
from robonav_ray.files.locations import is_uri, with_lost_slash
from robonav_ray.files.plain_files import PlainFileError
from robonav_ray.runs import stored_notes
from robonav_ray.runs.checkpoint import CheckpointError, fetch_checkpoint
from robonav_ray.runs.stored_notes import StoredNotes, bring_notes
from robonav_ray.runs.stored_runs import stored_checkpoints


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A stored run in whose folders links lead in circles and out of it."""
    run, secret = tmp_path / "stored", tmp_path / "secret"
    (run / "evaluations" / "1").mkdir(parents=True)
    (run / "evaluations" / "1" / "evaluation.json").write_text("{}")
    (run / "config.yaml").write_text("name: x")
    secret.mkdir()
    (secret / "key").write_text("secret")
    for link in ("evaluations/a", "evaluations/b"):
        (run / link).symlink_to(".")
    (run / "evaluations" / "out").symlink_to("../../secret")
    (run / "evaluations" / "key").symlink_to("../../secret/key")
    (run / "tensorboard").symlink_to("../secret")
    (run / "env-000000000100").symlink_to("../secret")
    return run


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_links_in_a_stored_run_are_not_followed(scheme: str, stored: Path, tmp_path: Path) -> None:
    bring_notes(f"{scheme}{stored}", tmp_path / "run")
    found = [path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert sorted(found) == ["config.yaml", "evaluations/1/evaluation.json"]
    (tmp_path / "secret" / "manifest.json").write_text("{}")
    assert stored_checkpoints(f"{scheme}{stored}") == []
    with pytest.raises(CheckpointError, match="is a link, where a folder belongs"):
        fetch_checkpoint(f"{scheme}{stored}/env-000000000100", tmp_path / "checkpoints")


def test_the_way_to_a_stored_run_may_be_a_link(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(stored.name)
    bring_notes(str(tmp_path / "way"), tmp_path / "run")
    assert (tmp_path / "run" / "evaluations" / "1" / "evaluation.json").is_file()
    assert [name for name, is_folder, _ in storage.list_folder(str(tmp_path), follow=True) if is_folder] == [
        *("run", "secret", "stored", "way")
    ]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_nothing_is_written_through_a_linked_folder(scheme: str, stored: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "tensorboard").mkdir(parents=True)
    (run / "tensorboard" / "events").write_text("mine")
    with pytest.raises(PlainFileError, match="tensorboard: is a link, where a folder belongs"):
        StoredNotes(run, f"{scheme}{stored}").update()
    for folder in (storage.LocalFolder(stored), storage.BucketFolder(f"file://{stored}")):
        with pytest.raises(PlainFileError, match="is a link"):
            folder.create("tensorboard/rows.npy")
    (run / "evaluations").symlink_to(tmp_path / "secret")
    with pytest.raises(PlainFileError, match="evaluations: is a link"):
        bring_notes(f"{scheme}{stored}", run)
    assert sorted(os.listdir(tmp_path / "secret")) == ["key"]


def test_a_stored_run_is_looked_at_within_bounds(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = stored / "evaluations" / "/".join("d" * 20)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    with pytest.raises(PlainFileError, match="more than 16 folders in each other"):
        bring_notes(str(stored), tmp_path / "run")
    looked, scandir = [], os.scandir
    monkeypatch.setattr(plain_files.os, "scandir", lambda path: looked.append(path) or scandir(path))
    for number in range(50):
        (stored / "evaluations" / "1" / str(number)).mkdir()
    with pytest.raises(PlainFileError, match="more than 30 files"):
        storage.list_tree(str(stored / "evaluations" / "1"), 30)
    assert len(looked) == 1


def test_errors_of_pyarrow_are_those_of_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def invalid() -> None:
        raise ArrowInvalid("no such option")

    monkeypatch.setattr(storage.time, "sleep", lambda _: None)
    with pytest.raises(OSError, match=r"s3://bucket/run: no such option"):
        storage._tried(invalid, "s3://bucket/run?x=1")
    with pytest.raises(OSError, match="file://host/x"):
        storage.write_bytes("file://host/x", b"")
    (tmp_path / "log.txt").write_text("line")
    again = threading.Event()
    failures = [lambda: storage._tried(invalid, str(tmp_path)), lambda: again.set()]
    monkeypatch.setattr(stored_notes, "write_bytes", lambda *_: failures.pop(0)() if failures else None)
    with StoredNotes(tmp_path, "memory").kept_up(0.01):
        assert again.wait(30)


def test_a_uri_is_told_from_a_path_also_without_its_second_slash() -> None:
    for text in ("s3://b", "s3:/b", "S3:/b", "abfs:/a@b/c", "file:///x", "file:/x"):
        assert is_uri(with_lost_slash(text)), text
    assert with_lost_slash("file:/x") == with_lost_slash("file:///x") == "file:///x"
    for text in ("runs", "/runs", "runs/a:/b", "a:b", ":/x", "3:/x"):
        assert with_lost_slash(text) == text
        assert not is_uri(text)
