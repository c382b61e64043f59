"""The bundle that a version carries: what a robot drives with, beside the versions, which never change.

::

    MODELS/NAME/bundles/3/manifest.json     written last, with the hash of each file
                          policy.onnx  spec.json  README.md  robonav_policy/...
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from robonav_ray.files.locations import above
from robonav_ray.files.manifest import MANIFEST, FileEntry, check_manifest, leads_outside, manifest_entries
from robonav_ray.files.place_lock import Hold, write_whole
from robonav_ray.files.plain_files import PlainFileError
from robonav_ray.files.storage import DamagedError, check, exists, inside, join, read_bytes, remove
from robonav_ray.registry.names import RegistryError, location_word
from robonav_ray.registry.versions import Version

BUNDLES = "bundles"
_MAX_MANIFEST_BYTES = 1_000_000


@dataclass(frozen=True)
class CarriedBundle:
    """Where the bundle of a version lies, and which one it is."""

    location: str
    sha256: str
    """Of its manifest."""
    files: Mapping[str, FileEntry]

    @property
    def shown(self) -> str:
        """The place as people are shown it."""
        return location_word(self.location)

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return {
            "location": self.location,
            "sha256": self.sha256,
            "bytes": sum(e.num_bytes for e in self.files.values()),
        }


def carried_bundle(version: Version) -> CarriedBundle | None:
    """Return the bundle that a version carries, None where it carries none; RegistryError when its manifest is
    damaged.
    """
    model, below = above(above(version.location)), f"{BUNDLES}/{version.number}"
    place = join(model, BUNDLES, str(version.number), MANIFEST)
    if not exists(place):
        return None
    try:
        data = read_bytes(inside(model, f"{below}/{MANIFEST}"), _MAX_MANIFEST_BYTES)
        check_manifest(data)
        files = {entry.name: entry for entry in manifest_entries(json.loads(data))}
        if any(leads_outside(name) for name in files):
            raise ValueError("names a file outside of it")
    except (PlainFileError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RegistryError(f"{version.ref}: {below}/{MANIFEST}: {error}; export the version again") from None
    return CarriedBundle(join(model, BUNDLES, str(version.number)), hashlib.sha256(data).hexdigest(), files)


def check_carried(version: Version) -> None:
    """Hold the bundle that a version carries against its hashes; RegistryError that names what differs."""
    bundle = carried_bundle(version)
    if bundle is None:
        return
    try:
        check(bundle.location, dict(bundle.files))
    except (FileNotFoundError, DamagedError, PlainFileError) as error:
        raise RegistryError(f"{version.ref}: {error}; export the version again") from None


def write_carried(version: Version, files: Mapping[str, bytes], hold: Hold) -> None:
    """Write the files of a bundle, the manifest last, in place of one that the version carried; the model is held.

    Raises:
        OSError: When that fails; the version carries none then.
    """
    model, below = above(above(version.location)), f"{BUNDLES}/{version.number}"
    inside(model, below)
    remove(join(model, BUNDLES, str(version.number), MANIFEST), folder=False)
    remove(join(model, BUNDLES, str(version.number)), folder=True)
    for name in sorted(files, key=lambda name: (name == MANIFEST, name)):
        hold.check()
        write_whole(inside(model, f"{below}/{name}"), files[name])
