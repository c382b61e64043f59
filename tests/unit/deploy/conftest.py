"""A run with a small network and a bundle of it, made once; worlds whose robots act through robonav_policy."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from robonav_ray.deploy.export import ROS2, export
from robonav_ray.runs.run_directory import RunDirectory
from tests.made_up_runs import make_run

sys.path.insert(0, str(ROS2 / "robonav_nav"))  # the package of ROS 2 as it lies in a bundle
SMALL = ("algo.hidden_dims=[16]", "name=small")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return make_run(tmp_path_factory.mktemp("runs") / "small", SMALL, steps=(100,), success=0.5)


@pytest.fixture(scope="session")
def made_bundle(small_run: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `small_run`, with the network as ONNX and as arrays."""
    return export(small_run.path, out=tmp_path_factory.mktemp("bundles") / "small", format="onnx,numpy").folder


@pytest.fixture
def bundle(made_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of one's own."""
    return Path(shutil.copytree(made_bundle, tmp_path / "bundle"))
