"""The one place where ``NAME@champion`` becomes a run: whatever takes a run or a checkpoint is given it from here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from robonav_ray.registry.models import Models
from robonav_ray.registry.names import model_named
from robonav_ray.registry.versions import Version
from robonav_ray.runs import located as runs_located
from robonav_ray.runs.checkpoint_index import Which
from robonav_ray.runs.located import LocatedRun

REGISTRY_VARIABLE = "ROBONAV_REGISTRY"
DEFAULT_PLACE = "runs/models"
"""Below the folder that runs lie in unless ``output_dir`` says otherwise."""


def default_place() -> str:
    """Return where models are looked for: ``ROBONAV_REGISTRY``, a folder or a bucket, else ``runs/models``."""
    return os.environ.get(REGISTRY_VARIABLE, "").strip() or DEFAULT_PLACE


def model_location(word: str) -> str:
    """Return ``word``, or the folder or URI of the version where it names a model (``NAME@champion``, ``NAME@3``).

    A registry elsewhere stands before the name: ``s3://bucket/models/NAME@champion``.

    Raises:
        RegistryError: When there is no such model, alias or version.
    """
    version = version_named(word)
    return word if version is None else version.location


def version_named(word: str) -> Version | None:
    """Return the version that ``word`` names; None where it is no model's name; RegistryError where there is none."""
    named = model_named(word)
    return None if named is None else Models(named.place or default_place()).version(named.name, named.ref)


@contextlib.contextmanager
def located(where: str | Path, *, writes: bool = False, which: Which | None = None) -> Iterator[LocatedRun]:
    """As ``runs.located.located``, of all that it takes and of a model by name.

    Raises:
        RegistryError: When there is no such model, alias or version.
    """
    with runs_located.located(model_location(str(where)), writes=writes, which=which) as found:
        yield found
