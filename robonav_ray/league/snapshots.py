"""Weights of members, stored by the hash of their content: the same weights once, damaged ones never."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping

import numpy as np

from robonav_ray.files.plain_files import PlainFileError
from robonav_ray.files.storage import join, list_folder, read_bytes, remove, write_bytes

FOLDER = "snapshots"
MAX_SNAPSHOT_BYTES = 1 << 30
_NAME = re.compile(r"([0-9a-f]{64})\.safetensors")

Weights = Mapping[str, np.ndarray]


class MissingSnapshotError(OSError):
    """A snapshot is not there, or is not what its name says; the message says which and where."""


def encoded(weights: Weights) -> tuple[str, bytes]:
    """Return the SHA-256 and the bytes (safetensors) of named arrays, the same for the same arrays in any order."""
    from safetensors.numpy import save

    data = save({name: np.ascontiguousarray(array) for name, array in sorted(weights.items())})
    return hashlib.sha256(data).hexdigest(), data


def decoded(sha256: str, data: bytes, where: str) -> dict[str, np.ndarray]:
    """Return the arrays in ``data``; MissingSnapshotError, naming ``where``, when it is not of that hash."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if hashlib.sha256(data).hexdigest() != sha256:
        raise MissingSnapshotError(f"{where}: is damaged: its content has another hash than its name says")
    try:
        return load(data)
    except SafetensorError as error:
        raise MissingSnapshotError(f"{where}: holds no arrays: {error}") from None


class Snapshots:
    """``LOCATION/snapshots/SHA256.safetensors``, below a folder or the URI of a bucket."""

    def __init__(self, location: str) -> None:
        self.location = join(location, FOLDER)

    def put(self, weights: Weights) -> str:
        """Store named arrays; return their hash. OSError when that cannot be."""
        sha256, data = encoded(weights)
        write_bytes(self._place(sha256), data)
        return sha256

    def get(self, sha256: str) -> dict[str, np.ndarray]:
        """Return the arrays of that hash.

        Raises:
            MissingSnapshotError: When they are not there, or damaged.
            OSError: When the storage does not answer.
        """
        place = self._place(sha256)
        try:
            data = read_bytes(place, MAX_SNAPSHOT_BYTES)
        except FileNotFoundError:
            raise MissingSnapshotError(f"{place}: is missing") from None
        except PlainFileError as error:
            raise MissingSnapshotError(str(error)) from None
        return decoded(sha256, data, place)

    def stored(self) -> set[str]:
        """Return the hashes of all that is stored."""
        names = (_NAME.fullmatch(name) for name, is_folder, _ in list_folder(self.location) if not is_folder)
        return {match[1] for match in names if match}

    def keep(self, wanted: Collection[str]) -> None:
        """Remove what is not among ``wanted``: call it when what names the wanted ones is committed."""
        for sha256 in sorted(self.stored() - set(wanted)):
            remove(self._place(sha256), folder=False)

    def _place(self, sha256: str) -> str:
        return join(self.location, f"{sha256}.safetensors")
