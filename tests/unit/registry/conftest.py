"""Runs to make versions of, and registries that hold some; made once and copied."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import fs

from robonav_ray.files import storage
from robonav_ray.registry.registry import Registry
from tests.made_up_runs import make_run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `first`, `second` and `third`, and `models` with a version of each of the first two."""
    folder = tmp_path_factory.mktemp("registry")
    for name, steps in (("first", (100, 200)), ("second", (300,)), ("third", (400,))):
        make_run(folder / name, steps=steps)
    registry = Registry(folder / "models")
    registry.add(folder / "first", "robot_nav", alias="champion")
    registry.add(folder / "second", "robot_nav", alias="challenger")
    return folder


@pytest.fixture
def registry(made: Path, tmp_path: Path) -> Registry:
    """A registry of one's own with two versions of `robot_nav`: 1 is the champion, 2 the challenger."""
    return Registry(shutil.copytree(made / "models", tmp_path / "models"))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Has ``s3://lab/...`` lie in a folder, reached as a bucket is: no locks of the system, no renaming."""
    root, real = tmp_path / "s3", storage.resolve
    root.mkdir()

    def resolve(location: str) -> tuple[fs.FileSystem, str]:
        if location.startswith("s3://"):
            return fs.LocalFileSystem(), str(root / location.removeprefix("s3://"))
        return real(location)

    monkeypatch.setattr(storage, "resolve", resolve)
    return lambda name: root / name
