"""Importing the room is cheap, and a stale kernel is never taken from Numba's cache."""

from __future__ import annotations

import subprocess
import sys

from robonav_ray.worlds import kernel, lidar, step


def test_import_brings_nothing_heavy() -> None:
    code = (
        "import sys, robonav_ray.worlds, gymnasium; assert 'robonav_ray/Nav-v0' in gymnasium.registry; "
        "assert not {'numba', 'torch', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_making_worlds_needs_neither_torch_nor_ray() -> None:
    code = "import sys, robonav_ray.worlds.make, robonav_ray.planners.orca; assert not {'torch', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cache_stamp_covers_all_kernel_sources(monkeypatch, tmp_path) -> None:
    before = kernel._source_fingerprint()
    for name in ("lidar.py", "layout.py", "step.py"):
        (tmp_path / name).write_bytes((kernel.Path(lidar.__file__).parent / name).read_bytes())
    monkeypatch.setattr(kernel, "__file__", str(tmp_path / "kernel.py"))
    first = kernel._source_fingerprint()
    assert first != before
    (tmp_path / "lidar.py").write_text((tmp_path / "lidar.py").read_text() + "\n# another line\n")
    assert kernel._source_fingerprint() != first
    assert step.step_batch._cache._cache_file._source_stamp[1] == before
