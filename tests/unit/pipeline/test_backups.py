"""Backups: only what has changed is sent, what is killed or fails loses nothing, and no name leads outside."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.config.steps.backup import BackupConfig
from robonav_ray.errors import UserError
from robonav_ray.files import storage
from robonav_ray.files.manifest import FileEntry, manifest_bytes
from robonav_ray.pipeline import backing_up, restoring
from robonav_ray.pipeline.backing_up import MARK, BackupError, BackupFailedError, back_up, restore
from robonav_ray.pipeline.backup_list import FORMAT_VERSION, KIND, LIST, read_list
from tests.disk_faults import DiskOperations, Stopped

FILES = {"config.yaml": b"a: 1\n", "runs/seed0/weights": b"w" * 5000, "runs/seed1/weights": b"w" * 5000, "ü/ log": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with FILES, of which two are alike."""
    path = tmp_path / "pipelines" / "quick"
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    (path / "ü/ log").rename(path / "ü/log")
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where backups go: a folder; with the parameter ``bucket`` one that is reached as a bucket is."""
    root, real = tmp_path / "there", storage.resolve
    if getattr(request, "param", "folder") == "folder":
        return str(root)

    def resolve(location: str) -> tuple[fs.FileSystem, str]:
        if location.startswith("s3://"):
            return fs.LocalFileSystem(), str(root / location.removeprefix("s3://lab/"))
        return real(location)

    monkeypatch.setattr(storage, "resolve", resolve)
    return "s3://lab/quick"


both = pytest.mark.parametrize("place", ["folder", "bucket"], indirect=True)


@both
def test_a_folder_comes_back_as_it_was(folder: Path, place: str, tmp_path: Path) -> None:
    (folder / "link").symlink_to(folder / "config.yaml")
    report = back_up(folder, place)
    assert (report.num_files, report.num_sent, report.num_bytes) == (5, 4, 10_038)  # two files are one object
    (folder / "link").unlink()
    assert restore(place, tmp_path / "back" / "quick").num_fetched == 5
    assert contents(tmp_path / "back" / "quick") == contents(folder)
    assert os.listdir(tmp_path / "back") == ["quick"]
    assert restore(place, tmp_path / "back" / "quick").num_fetched == 0  # it is there already


@both
def test_only_what_has_changed_is_sent_again(folder: Path, place: str, tmp_path: Path) -> None:
    back_up(folder, place)
    assert back_up(folder, place).num_sent == 0
    (folder / "config.yaml").write_text("a: 2\n")
    (folder / "runs/seed0/weights").unlink()
    report = back_up(folder, place, exclude=["ü/*"])
    assert (report.num_files, report.num_sent, report.bytes_sent) == (3, 1, 5)
    assert report.text().startswith("backed up to ")
    kept = [path for path in (tmp_path / "there").rglob("*") if path.is_file()]
    assert len(kept) == 4  # the list, and three files; what it does not name any more is gone
    restore(place, tmp_path / "back")
    assert (tmp_path / "back/config.yaml").read_text() == "a: 2\n"
    back_up(tmp_path / "back", place)  # a restored folder goes on in its backup


some = pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
"""Of the operations at which a disk stops."""


@some
def test_a_backup_that_is_stopped_leaves_the_one_before(
    every: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(folder, str(tmp_path / "first"))
    before = contents(folder)
    (folder / "config.yaml").write_text("a: 2\n")
    (folder / "new").write_bytes(b"new" * 1000)
    after = contents(folder)
    disk = DiskOperations(monkeypatch.setattr)
    stopped, full, there = 0, list[str](), tmp_path
    for fault in (Stopped(), OSError(errno.ENOSPC, "No space left on device")):
        at, disk.count = 0, 1
        while disk.count >= at:
            at += every
            there = tmp_path / f"there{type(fault).__name__}{at}"
            shutil.copytree(tmp_path / "first", there)
            disk.count, disk.at, disk.error = 0, at, fault
            try:
                back_up(folder, str(there))
            except Stopped:
                stopped += 1
            except BackupFailedError as error:
                full.append(str(error))
            disk.at = -1
            restore(str(there), tmp_path / "back")
            assert contents(tmp_path / "back") in (before, after)
            shutil.rmtree(tmp_path / "back")
    back_up(folder, str(there))
    restore(str(there), tmp_path / "back")
    assert contents(tmp_path / "back") == after
    assert stopped
    assert full
    assert all("No space left on device; make room there: the backup before is as it was" in text for text in full)


@some
def test_a_restore_that_is_stopped_is_taken_up(
    every: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(folder, str(tmp_path / "there"))
    disk = DiskOperations(monkeypatch.setattr)
    back = tmp_path / "back"
    for fault in (Stopped(), OSError(errno.ENOSPC, "No space left on device")):
        at, disk.count = 0, 1
        while disk.count >= at:
            at += every
            disk.count, disk.at, disk.error = 0, at, fault
            with suppress(Stopped, BackupFailedError):
                restore(str(tmp_path / "there"), back)
            disk.at = -1
            if back.exists():  # only the last operations come after it
                assert contents(back) == contents(folder)
            restore(str(tmp_path / "there"), back)
            assert contents(back) == contents(folder)
            shutil.rmtree(back)
        assert at > 10


def test_what_a_stopped_try_has_brought_is_not_fetched_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(folder, str(tmp_path / "there"))
    fetched, fetch = list[str](), restoring.fetch

    def count(location: str, target: Path, *rest: Any) -> None:
        if len(fetched) == 3:
            raise Stopped
        fetched.append(target.name)
        fetch(location, target, *rest)

    monkeypatch.setattr(restoring, "fetch", count)
    with pytest.raises(Stopped):
        restore(str(tmp_path / "there"), tmp_path / "back")
    aside = next(tmp_path.glob(".back.restoring-*[0-9a-f]"))
    (aside / "evil").symlink_to(tmp_path)
    (aside / ".half.1-2").write_text("half")
    monkeypatch.setattr(restoring, "fetch", fetch)
    assert restore(str(tmp_path / "there"), tmp_path / "back").num_fetched == 2
    assert contents(tmp_path / "back") == contents(folder)
    assert list(tmp_path.glob(".back*")) == []


EVIL = {
    "/etc/cron.d/x": "leads outside",
    "../x": "leads outside",
    "a/../../x": "leads outside",
    "a//b": "leads outside",
    "./a": "leads outside",
    "": "leads outside",
    "a\\b": "leads outside",
    "a\0b": "leads outside",
    "C:x": "drive of Windows",
    "a/C:": "drive of Windows",
    "a\nb": "cannot be shown",
    "a\u202eb": "cannot be shown",
    " a": "a space or a dot",
    "a./b": "a space or a dot",
    "x" * 300: "too long",
    "/".join("a" * 30): "too deep",
}


@pytest.mark.parametrize("name", EVIL, ids=repr)
def test_no_name_leads_outside(name: str, tmp_path: Path) -> None:
    entries = [FileEntry(name, 1, "0" * 64), FileEntry("good", 1, "0" * 64)]
    head = {"kind": KIND, "format_version": FORMAT_VERSION, "id": "a", "name": "b"}
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / LIST).write_bytes(manifest_bytes(head, entries, {}))
    with pytest.raises(BackupError, match=EVIL[name]):
        restore(str(tmp_path / "there"), tmp_path / "back")
    assert os.listdir(tmp_path) == ["there"]


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    head: dict[str, Any] = {"kind": KIND, "format_version": FORMAT_VERSION, "id": "a", "name": "b"}
    one = FileEntry("a", 1, "0" * 64)
    lists = {
        b"{}": "is damaged",
        manifest_bytes(head, [one], {}).replace(b'"bytes": 1', b'"bytes": 2'): "is damaged",
        manifest_bytes({**head, "kind": "x"}, [one], {}): "is no list of a backup",
        manifest_bytes({**head, "format_version": 9}, [one], {}): "another version",
        manifest_bytes({}, [one], {}): "is no list of a backup",
        manifest_bytes(head, [one, one._replace(name="a/b")], {}): "is a folder too",
        manifest_bytes(head, [one._replace(sha256="x/../y")], {}): "has no size and hash",
        manifest_bytes(head, [one._replace(num_bytes=-1)], {}): "has no size and hash",
        manifest_bytes(head, [one._replace(num_bytes=10**18)], {}): "are needed, and",
    }
    there = tmp_path / "there"
    there.mkdir()
    for data, says in lists.items():
        (there / LIST).write_bytes(data)
        with pytest.raises((BackupError, BackupFailedError), match=says):
            restore(str(there), tmp_path / "back")
        assert not (tmp_path / "back").exists()
    (there / LIST).unlink()
    with pytest.raises(BackupError, match="holds no backup"):
        restore(str(there), tmp_path / "back")


def test_an_object_that_is_not_as_it_was_written_is_named(folder: Path, tmp_path: Path) -> None:
    back_up(folder, str(tmp_path / "there"))
    known = read_list(str(tmp_path / "there"))
    assert known is not None
    sha256 = next(entry.sha256 for entry in known.entries if entry.name == "config.yaml")
    stored = tmp_path / "there/objects" / sha256[:2] / sha256
    stored.write_bytes(b"a: 9\n")
    with pytest.raises(BackupError, match=rf"{sha256}: is not as it was written, so config.yaml cannot"):
        restore(str(tmp_path / "there"), tmp_path / "back")
    stored.unlink()
    stored.symlink_to(folder / "config.yaml")
    with pytest.raises(UserError, match="is a link, where a plain file belongs"):
        restore(str(tmp_path / "there"), tmp_path / "back")
    stored.unlink()
    assert back_up(folder, str(tmp_path / "there")).num_sent == 1
    restore(str(tmp_path / "there"), tmp_path / "back")


def test_what_belongs_to_another_is_never_replaced(folder: Path, tmp_path: Path) -> None:
    back_up(folder, str(tmp_path / "there"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").write_text("x")
    with pytest.raises(BackupError, match="holds the backup of another folder \\('quick'\\)"):
        back_up(other, str(tmp_path / "there"))
    with pytest.raises(BackupError, match="holds something else than the backup"):
        restore(str(tmp_path / "there"), other)
    assert contents(other) == {"x": b"x"}
    with pytest.raises(BackupError, match="holds 'x' already"):
        back_up(folder, str(other))
    for there in (folder / "in", folder.parent):
        with pytest.raises(BackupError, match="lies in the other"):
            back_up(folder, str(there))
    with pytest.raises(BackupError, match="is no folder"):
        back_up(tmp_path / "gone", str(tmp_path / "there2"))
    (tmp_path / "link").symlink_to(other)
    with pytest.raises(UserError, match="is a link, where a folder belongs"):
        restore(str(tmp_path / "there"), tmp_path / "link")


def test_a_name_that_could_not_come_back_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "a\nb").write_text("x")
    with pytest.raises(BackupError, match="cannot be shown; rename it"):
        back_up(folder, str(tmp_path / "there"))
    back_up(folder, str(tmp_path / "there"), exclude=["a?b"])


def test_a_log_that_grows_is_taken_as_it_was(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check: Callable[..., None] = backing_up._copied

    def grow(path: Path, *rest: Any) -> Any:
        if path.name == "config.yaml":
            with path.open("ab") as file:
                file.write(b"more")
        return check(path, *rest)

    monkeypatch.setattr(backing_up, "_copied", grow)
    back_up(folder, str(tmp_path / "there"))
    restore(str(tmp_path / "there"), tmp_path / "back")
    assert (tmp_path / "back/config.yaml").read_bytes() == b"a: 1\n"


@both
def test_a_file_that_is_written_meanwhile_is_named(
    folder: Path, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, number = backing_up._copied, iter(range(100))

    def change(path: Path, *rest: Any) -> Any:
        if path.name == "config.yaml":
            path.write_text(f"b: {next(number)}\n")
        return copied(path, *rest)

    monkeypatch.setattr(backing_up, "_copied", change)
    with pytest.raises(BackupFailedError, match=r"config.yaml: is written to by another process"):
        back_up(folder, place)
    monkeypatch.undo() if place.startswith("/") else monkeypatch.setattr(backing_up, "_copied", copied)
    back_up(folder, place)
    restore(place, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)


def test_a_bucket_that_does_not_answer(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(location: str) -> Any:
        raise OSError(f"{location}: curlCode: 7, Couldn't connect to server")

    monkeypatch.setattr(storage, "resolve", resolve)
    monkeypatch.setattr(storage, "TRIES", 1)
    with pytest.raises(BackupFailedError, match=r"cannot back up .*quick \(s3://lab/x\): .*connect.*credentials"):
        back_up(folder, "s3://lab/x")
    with pytest.raises(BackupFailedError, match=r"cannot restore .*connect to server; look at it"):
        restore("s3:/lab/x", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("uri", ["", "ftp://x/y", "s3://", "s3://me:sesame@lab/x", "s3://lab/x?secret_key=sesame"])
def test_where_no_backup_can_lie(uri: str, folder: Path) -> None:
    with pytest.raises(BackupError) as refused:
        back_up(folder, uri)
    with pytest.raises(ConfigError) as told:
        check_section(BackupConfig, {"uri": uri}, "pipeline.yaml")
    assert "sesame" not in str(refused.value) + str(told.value)
    assert not (folder / MARK).exists()
