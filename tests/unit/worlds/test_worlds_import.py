"""Importing the room is cheap."""

from __future__ import annotations

import subprocess
import sys


def test_import_brings_nothing_heavy() -> None:
    code = (
        "import sys, robonav_ray.worlds, gymnasium; assert 'robonav_ray/Nav-v0' in gymnasium.registry; "
        "assert not {'numba', 'torch', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_making_worlds_needs_neither_torch_nor_ray() -> None:
    code = "import sys, robonav_ray.worlds.make, robonav_ray.planners.orca; assert not {'torch', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
