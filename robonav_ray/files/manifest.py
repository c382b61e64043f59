"""The list of a checkpoint's files: their sizes and hashes, and a hash of the list itself.

``manifest.json`` is written last and makes a folder a checkpoint. The reader of a manifest, the driver or a part of a
run on its own node, finds out here that it is whole and names nothing outside of its folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

MANIFEST = "manifest.json"
_SELF = re.compile(rb'"manifest_sha256": "([0-9a-f]{64})"')
_UNKNOWN = b"0" * 64
"""Stands in the manifest where its own hash will be, while that is computed."""


class FileEntry(NamedTuple):
    """A file of a checkpoint, as its manifest has it."""

    name: str
    """Relative to the folder that the entry came from, with ``/``."""
    num_bytes: int
    sha256: str
    """Of what was handed over to be written, so that what a disk made of it is found out."""

    def below(self, folder: str) -> FileEntry:
        """Return the entry as seen from the folder above ``folder``."""
        return self._replace(name=f"{folder}/{self.name}")


def leads_outside(name: str) -> bool:
    """Whether a file's name is not plainly one below the folder of its manifest."""
    pure = PurePosixPath(name)
    return pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or pure.as_posix() != name


def manifest_bytes(head: Mapping[str, Any], entries: Iterable[FileEntry], tail: Mapping[str, Any]) -> bytes:
    """Return a manifest: JSON with ``head``, the files and ``tail``, and the SHA-256 of its own bytes with zeros in
    that hash's place.
    """
    files = {entry.name: {"bytes": entry.num_bytes, "sha256": entry.sha256} for entry in sorted(entries)}
    text = json.dumps({"manifest_sha256": _UNKNOWN.decode(), **head, "files": files, **tail}, indent=1).encode()
    return text.replace(_UNKNOWN, hashlib.sha256(text).hexdigest().encode(), 1)


def check_manifest(data: bytes) -> None:
    """Raise ValueError unless a manifest is as it was written."""
    found = _SELF.search(data)
    if found is None or hashlib.sha256(data.replace(found[1], _UNKNOWN, 1)).hexdigest().encode() != found[1]:
        raise ValueError("does not match the hash that it holds of itself (damaged)")


def manifest_entries(document: Mapping[str, Any]) -> list[FileEntry]:
    """Return the files that a manifest names; ValueError, KeyError, TypeError or AttributeError when it is none of
    ours.
    """
    return [FileEntry(name, int(entry["bytes"]), str(entry["sha256"])) for name, entry in document["files"].items()]
