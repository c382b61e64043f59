"""What a location says: a path on this machine, or the URI of something in a bucket."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from robonav_ray.errors import UserError

_SCHEMES = ("s3", "gs", "gcs", "abfs", "file")
_LOST_SLASH = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):/(?!/)")


def is_uri(location: str) -> bool:
    """Whether a location is in a bucket (s3://, gs://, abfs://) or otherwise named by a URI (file://), not by a
    path.
    """
    return "://" in location


def with_lost_slash(text: str) -> str:
    """Return ``text`` with the slash put back that a URI loses where it is taken for a path (``s3:/bucket``)."""
    if text.startswith("file:/") and not is_uri(text):  # three slashes have become one
        return f"file://{text[len('file:') :]}"
    return text if is_uri(text) else _LOST_SLASH.sub(r"\1://", text)


_OWNER = re.compile(r"(?<=://)(?!/)[^\s'\"]*@")
_SECRET_OPTION = re.compile(
    r"(?i)(?<=[?&;])([\w.-]*(?:pass(?:word|wd)?|secret|token|credentials?|key)[\w.-]*)=[^&;#\s'\"]*"
)


def without_secrets(text: str) -> str:
    """Return ``text`` without the names, passwords and keys of the URIs in it: ``http://me:word@host/?token=a`` becomes
    ``http://...@host/?token=...``.
    """
    return _SECRET_OPTION.sub(r"\1=...", _OWNER.sub("...@", text))


def has_secret(uri: str) -> bool:
    """Whether a URI holds a name, password or key."""
    return without_secrets(uri) != uri


def as_folder(location: str) -> Path | None:
    """Return the path on this machine's file system that a location names; None for a bucket."""
    if not is_uri(location):
        return Path(location).absolute()
    return Path(resolve(location)[1]) if location.startswith("file://") else None


def check_location(location: str) -> str:
    """Return ``location``; ValueError when it is no path and no URI that can be written to, or holds a secret."""
    if not is_uri(location):
        if not location or "\0" in location:
            raise ValueError("name a folder, or a bucket such as s3://bucket/prefix")
        if not Path(location).is_absolute():
            raise ValueError(f"{location!r} is another folder for every process: write an absolute one, or a bucket")
        return location
    scheme, _, rest = location.partition("://")
    if scheme not in _SCHEMES:
        raise ValueError(
            f"{scheme}:// is no storage that is known; take a folder, or one of "
            f"{', '.join(s + '://' for s in _SCHEMES)}"
        )
    owner, at, _ = rest.partition("/")[0].rpartition("@")
    if at and (scheme != "abfs" or ":" in owner):  # abfs://container@account names no secret
        raise ValueError(
            f"{scheme}://...: has a name or a password in it, which would be written down with the config: give them "
            "in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS)"
        )
    if any(word in rest.partition("?")[2].lower() for word in ("secret", "access_key", "token", "password")):
        raise ValueError(
            f"{scheme}://...: has a secret among its options, which would be written down: give it in the environment"
        )
    if not rest.strip("/"):
        raise ValueError(f"{location!r} names no bucket: write {scheme}://bucket/prefix")
    return location


def resolve(location: str) -> tuple[Any, str]:
    """Return pyarrow's file system for a location, and its path there."""
    from pyarrow import fs

    if not is_uri(location):
        return fs.LocalFileSystem(), str(Path(location).absolute())
    with arrow_told(location):
        return fs.FileSystem.from_uri(location)


@contextlib.contextmanager
def arrow_told(location: str) -> Iterator[None]:
    """Make an OSError of pyarrow's own errors, which are ValueErrors, KeyErrors, RuntimeErrors and others."""
    try:
        yield
    except _arrow_error() as error:  # looked up when something is raised
        raise OSError(f"{location.partition('?')[0]}: {error}") from error


def _arrow_error() -> type[Exception]:
    from pyarrow.lib import ArrowException

    return ArrowException


def above(location: str) -> str:
    """Return the location of the folder that ``location`` lies in; the options of a URI stay."""
    base, mark, options = location.partition("?") if is_uri(location) else (location, "", "")
    return f"{base.rstrip('/').rpartition('/')[0]}{mark}{options}"


def name_of(location: str) -> str:
    """Return what the last part of a location names, as ``join`` was given it; UserError when that is nothing, or leads
    elsewhere.
    """
    last = (location.partition("?")[0] if is_uri(location) else location).rstrip("/").rpartition("/")[2]
    name = unquote(last) if is_uri(location) else last
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise UserError(f"{location.partition('?')[0]}: its last part is no name of a run")
    return name
