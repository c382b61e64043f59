"""What may lie in place of a file: everything but a plain file, and plain files that no program should read whole."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path


def remove(path: Path) -> None:
    """Remove the file, link, folder or other thing that is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket has at most 107 characters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 5_000_000_000)


def _linked_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("x")


ODD_FILES: dict[str, Callable[[Path], None]] = {
    "link to a file": _linked_to("/etc/hostname"),
    "link to nothing": _linked_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a device": _linked_to("/dev/zero"),
    "link to a folder": _linked_to("/etc"),
    "pipe": os.mkfifo,
    "socket": _socket,
    "folder": _folder,
}
"""Makes each at a path where nothing is; none may be read or written."""
TOO_LARGE = _sparse
"""A plain file of 5 GB that takes no room."""


def put(kind: Callable[[Path], None], path: Path) -> None:
    """Put an odd file in place of the one at ``path``."""
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind(path)
