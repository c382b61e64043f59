"""Files are opened without links, only if they are plain, and read within a bound."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.files.plain_files import PlainFileError
from tests.odd_files import ODD_FILES, TOO_LARGE, put

OPENERS: dict[str, Callable[[Path], object]] = {
    "read_bytes": plain_files.read_bytes,
    "read_text": plain_files.read_text,
    "read_json": plain_files.read_json,
    "read_lines": lambda path: list(plain_files.read_lines(path)),
    "open_reading": plain_files.open_reading,
    "open_appending": plain_files.open_appending,
    "append": lambda path: plain_files.append(path, "x"),
    "open_lock": plain_files.open_lock,
    "open_lock to look": lambda path: plain_files.open_lock(path, make=False),
}


@pytest.mark.parametrize("odd", ODD_FILES)
@pytest.mark.parametrize("opener", OPENERS)
def test_what_is_no_plain_file_is_neither_read_nor_written(opener: str, odd: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    put(ODD_FILES[odd], path)
    with pytest.raises(PlainFileError, match=r"file: (is a|is no)"):
        OPENERS[opener](path)
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_devices_are_refused_under_their_own_name() -> None:
    for opener in OPENERS.values():
        with pytest.raises(PlainFileError, match="/dev/zero: is a device"):
            opener(Path("/dev/zero"))


def test_what_is_behind_a_link_stays_as_it_was(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("dear")
    link.symlink_to(victim)
    for opener in OPENERS.values():
        with pytest.raises(PlainFileError):
            opener(link)
    plain_files.replace(link, "mine")
    assert (victim.read_text(), link.read_text(), link.is_symlink()) == ("dear", "mine", False)


def test_a_pipe_with_a_writer_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(PlainFileError, match="a pipe"):
            plain_files.open_appending(path)
    finally:
        os.close(reader)


def test_a_file_named_for_this_call_may_be_a_link_to_a_plain_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("a: 1")
    (tmp_path / "link").symlink_to("real")
    assert plain_files.read_text(tmp_path / "link", follow=True) == "a: 1"
    for odd in ODD_FILES.keys() - {"link to a file", "link to nothing"}:
        put(ODD_FILES[odd], tmp_path / "odd")
        with pytest.raises(PlainFileError):
            plain_files.read_text(tmp_path / "odd", follow=True)


def test_the_folder_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "runs").symlink_to("data")
    plain_files.replace(tmp_path / "runs" / "file", "x")
    plain_files.append(tmp_path / "runs" / "file", "y")
    assert plain_files.read_text(tmp_path / "runs" / "file") == "xy"


def test_the_size_is_looked_at_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TOO_LARGE(tmp_path / "file")
    with pytest.raises(PlainFileError, match=r"file: is larger than 64000000 bytes \(5000000000\)"):
        plain_files.read_bytes(tmp_path / "file")
    with pytest.raises(PlainFileError, match="a line of more than"):
        list(plain_files.read_lines(tmp_path / "file"))
    (tmp_path / "file").write_bytes(b"12345")
    assert plain_files.read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(PlainFileError, match="larger than 4 bytes"):
        plain_files.read_bytes(tmp_path / "file", 4)
    (tmp_path / "file").write_bytes(b"1" * 10)  # grows behind the look at its size
    monkeypatch.setattr(os, "fstat", lambda fd, real=os.fstat: os.stat_result([*real(fd)[:6], 3, *real(fd)[7:10]]))
    with pytest.raises(PlainFileError, match="larger than 4 bytes"):
        plain_files.read_bytes(tmp_path / "file", 4)


def test_lines_and_documents(tmp_path: Path) -> None:
    path = tmp_path / "file"
    plain_files.append(path, "one\n")
    plain_files.append(path, b"two\nthr")
    assert list(plain_files.read_lines(path)) == [b"one\n", b"two\n", b"thr"]
    assert list(plain_files.read_lines(path, 4)) == [b"two\n", b"thr"]
    for text, what in (
        (b"{", "not the JSON"),
        (b"[" * 100_000, "not the JSON"),
        (b"\xff", r":1: is not UTF-8 text \(byte 0xff\)"),
    ):
        path.write_bytes(text)
        with pytest.raises(PlainFileError, match=what):
            plain_files.read_json(path)
    path.write_text('{"a": [1]}')
    assert plain_files.read_json(path) == {"a": [1]}


def test_missing_files_are_said_to_be_missing(tmp_path: Path) -> None:
    for opener in (
        plain_files.read_bytes,
        plain_files.open_reading,
        OPENERS["read_lines"],
        OPENERS["open_lock to look"],
    ):
        with pytest.raises(FileNotFoundError):
            opener(tmp_path / "file")
    (tmp_path / "file").write_text("")
    with pytest.raises(PlainFileError, match="below something that is no folder"):
        plain_files.read_bytes(tmp_path / "file" / "inside")
    with pytest.raises(PlainFileError, match="is no name"):
        plain_files.read_bytes(tmp_path / "nul\0")


@pytest.mark.parametrize("opener", OPENERS)
def test_a_file_that_may_not_be_opened_is_named(opener: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(UserError, match="file: may not be opened by you"):
        OPENERS[opener](tmp_path / "file")


def test_a_full_disk_stays_an_error_that_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space") as caught:
        plain_files.append(tmp_path / "file", "x")
    assert not isinstance(caught.value, UserError)


def test_a_lock_never_empties_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("held by 12")
    plain_files.open_lock(path).close()
    assert path.read_text() == "held by 12"


def test_replace_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    plain_files.replace(path, "old")

    def broken() -> None:
        with plain_files.replacing(path) as file:
            file.write(b"half")
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError):
        broken()
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["file"])
    plain_files.replace(path, "new \udcff")
    assert path.read_text() == "new \\udcff"
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("odd", ["pipe", "socket", "folder", "link to a device", "link to a folder", "link to itself"])
def test_replace_takes_the_place_of_plain_files_only(odd: str, tmp_path: Path) -> None:
    put(ODD_FILES[odd], tmp_path / "file")
    before = os.lstat(tmp_path / "file")
    with pytest.raises(PlainFileError, match="file: is"):
        plain_files.replace(tmp_path / "file", "x")
    assert (os.lstat(tmp_path / "file"), os.listdir(tmp_path)) == (before, ["file"])


def test_a_link_that_waits_under_the_new_files_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    monkeypatch.setattr(plain_files.secrets, "token_hex", lambda _: "guessed")
    aside = tmp_path / f".file.{os.getpid()}-guessed"
    aside.symlink_to(victim)
    with pytest.raises(FileExistsError):
        plain_files.replace(tmp_path / "file", "mine")
    assert victim.read_text() == "dear"
    assert aside.is_symlink()  # what we have not made we do not remove


def test_folders_are_folders_and_no_links(tmp_path: Path) -> None:
    plain_files.check_folder(tmp_path / "missing")
    plain_files.check_folder(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(PlainFileError, match="where a folder belongs"):
            plain_files.check_folder(tmp_path / name)


def test_a_new_file_is_private_when_it_shall_be(tmp_path: Path) -> None:
    with plain_files.open_new(tmp_path / "token", 0o600) as file:
        file.write(b"secret")
    assert os.stat(tmp_path / "token").st_mode & 0o777 == 0o600
    (tmp_path / "planted").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        plain_files.open_new(tmp_path / "planted")
