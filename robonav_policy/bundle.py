"""A bundle: a folder with a policy, what it sees and does, and the hash of every file.

::

    BUNDLE/policy.onnx          obs (N, D) float32 -> q_values (N, A) float32      or policy.npz, policy.pt2 beside it
           spec.json            what an observation and an action are; see spec.py
           manifest.json        size and SHA-256 of each file, and the hash of itself
           README.md            for people
           robonav_policy/      this package

Hashes say that a bundle is whole, not who made it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from robonav_policy.errors import BundleError
from robonav_policy.spec import FORMAT_VERSION, KIND, Spec, parse_spec

MANIFEST, SPEC, ONNX, NUMPY, PT2 = "manifest.json", "spec.json", "policy.onnx", "policy.npz", "policy.pt2"
MAX_MANIFEST_BYTES, MAX_FILE_BYTES, MAX_FILES = 1_000_000, 256_000_000, 1000
_SELF = re.compile(rb'"manifest_sha256": "([0-9a-f]{64})"')
_SAFELY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Bundle:
    """A whole bundle; its files are in memory, so that nothing is read again that might have changed since."""

    folder: Path
    spec: Spec
    sha256: str
    """Of the manifest: the same for the same bundle."""
    files: Mapping[str, bytes]
    """Name -> content of all files that the manifest names."""


def read_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Return the bundle in ``folder``, all of whose files are as its manifest says.

    Raises:
        BundleError: When there is none, or a file is missing, damaged, a link, or not one of a bundle.
    """
    path = Path(folder)
    if not path.is_dir():
        raise BundleError(f"{path}: is no folder; name one that `robonav export` has written")
    data = _read(path, MANIFEST, MAX_MANIFEST_BYTES)
    files = {name: _whole(path, name, entry) for name, entry in _entries(path, data).items()}
    if SPEC not in files or not {ONNX, NUMPY, PT2} & files.keys():
        raise BundleError(f"{path / MANIFEST}: names no {SPEC}, or no policy; export the run again")
    try:
        spec = parse_spec(json.loads(files[SPEC]))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path / SPEC}: is no JSON ({error}); export the run again") from None
    except BundleError as error:
        raise BundleError(f"{path}/{error}") from None
    return Bundle(path, spec, hashlib.sha256(data).hexdigest(), files)


def strangers(bundle: Bundle) -> list[str]:
    """Return the files that lie in the bundle's folder and are not named by its manifest, but for what Python keeps of
    modules.
    """
    found = []
    for folder, folders, files in os.walk(bundle.folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in (*files, *links):
            below = Path(folder, name).relative_to(bundle.folder).as_posix()
            if below not in bundle.files and below != MANIFEST:
                found.append(below)
    return sorted(found)


def _entries(path: Path, data: bytes) -> dict[str, tuple[int, str]]:
    """Return name -> (bytes, sha256) of a manifest that is as it was written."""
    place = path / MANIFEST
    found = _SELF.search(data)
    if found is None or hashlib.sha256(data.replace(found[1], b"0" * 64, 1)).hexdigest().encode() != found[1]:
        raise BundleError(f"{place}: does not match the hash that it holds of itself (damaged); export the run again")
    try:
        document = json.loads(data)
        version, kind, files = document["format_version"], document["kind"], document["files"]
        entries = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(f"{place}: is no manifest of a bundle ({error}); export the run again") from None
    if kind != KIND or version != FORMAT_VERSION:
        raise BundleError(
            f"{place}: is of version {version!r} of {kind!r}, and this robonav_policy reads {FORMAT_VERSION} of "
            f"{KIND!r}; take the robonav_policy that lies in the bundle, or export the run again"
        )
    for name, (num_bytes, _) in entries.items():
        if _leads_outside(name) or not 0 <= num_bytes <= MAX_FILE_BYTES or len(entries) > MAX_FILES:
            raise BundleError(f"{place}: names the file {name[:60]!r}, which cannot belong to a bundle")
    return entries


def _leads_outside(name: str) -> bool:
    pure = PurePosixPath(name)
    return pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or pure.as_posix() != name


def _whole(path: Path, name: str, entry: tuple[int, str]) -> bytes:
    data = _read(path, name, entry[0])
    if (len(data), hashlib.sha256(data).hexdigest()) != entry:
        raise BundleError(f"{path / name}: does not match its hash in {MANIFEST} (damaged); export the run again")
    return data


def _read(path: Path, name: str, limit: int) -> bytes:
    """Return a plain file of at most ``limit`` bytes; BundleError for anything else, a link among it."""
    place = path / name
    for above in list(PurePosixPath(name).parents)[:-1]:
        if (path / above).is_symlink():
            raise BundleError(f"{path / above}: is a link, and a bundle holds none")
    try:
        descriptor = os.open(place, _SAFELY)
    except FileNotFoundError:
        raise BundleError(f"{place}: is missing; name a folder that `robonav export` has written") from None
    except OSError as error:
        raise BundleError(f"{place}: cannot be read as a plain file ({error.strerror})") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleError(f"{place}: is no plain file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BundleError(f"{place}: is larger than {limit} bytes, so that it is not the file of this bundle (damaged)")
    return data


def to_dict(bundle: Bundle) -> dict[str, Any]:
    """Return what a bundle is, as JSON takes it."""
    return {
        "folder": str(bundle.folder),
        "sha256": bundle.sha256,
        "bytes": sum(map(len, bundle.files.values())),
        "files": {name: len(data) for name, data in sorted(bundle.files.items())},
        "policy": bundle.spec.name,
        "obs_dim": bundle.spec.obs_dim,
        "num_actions": bundle.spec.num_actions,
    }
