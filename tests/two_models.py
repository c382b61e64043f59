"""A registry with three versions of one model, made once for all tests that copy it."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from robonav_ray.registry.registry import Registry
from tests.made_up_runs import make_run

SMALL = ("algo.hidden_dims=[8]", "env.world.lidar.num_beams=9")


@cache
def _made() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="robonav-models-")
    registry = Registry(Path(folder.name) / "models")
    for seed, alias in enumerate(("champion", "challenger", None)):
        run = make_run(Path(folder.name) / f"run{seed}", (*SMALL, f"seed={seed}"), steps=(100 + seed,))
        registry.add(run.path, "robot_nav", alias=alias)
    return folder


def models_in(folder: Path) -> Registry:
    """Return a registry of one's own in ``folder``: robot_nav, whose champion is version 1 and challenger version 2."""
    shutil.copytree(Path(_made().name) / "models", folder)
    return Registry(folder)
