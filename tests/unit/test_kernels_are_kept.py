"""A stale kernel is never taken from Numba's cache, and what one job has compiled the next one finds, wherever its sources lie."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from robonav_ray import compiled
from robonav_ray.worlds import step

PACKAGE = Path(compiled.__file__).parent
DRAW = "from robonav_ray import counter_rng as c; c.uniform01(1, 2); s = c.uniform01.stats; print(len(s.cache_hits), len(s.cache_misses))"


def copy_of_the_kernels(folder: Path) -> Path:
    for room in ("", "worlds", "planners", "algo", "replay"):
        (folder / room).mkdir(parents=True, exist_ok=True)
        for path in (PACKAGE / room).glob("*.py"):
            shutil.copy(path, folder / room)
    return folder


def hits_and_misses(sources: Path, cache: Path) -> list[int]:
    """Compile one kernel, or find it, in a process that has ``sources`` for its package."""
    environment = {**os.environ, "PYTHONPATH": str(sources.parent), "XDG_CACHE_HOME": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", DRAW], env=environment, cwd=sources.parent, capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize(
    "changed", ["counter_rng.py", "worlds/lidar.py", "worlds/layout.py", "algo/forward.py", "replay/sum_tree.py"]
)
def test_the_stamp_covers_every_source_of_kernels(changed, tmp_path) -> None:
    package = copy_of_the_kernels(tmp_path)
    before = compiled.fingerprint.__wrapped__(package)
    assert before == compiled.fingerprint()
    (package / changed).write_text((package / changed).read_text() + "\n# another line\n")
    assert compiled.fingerprint.__wrapped__(package) != before


def test_kernels_carry_the_stamp() -> None:
    assert step.step_batch._cache._cache_file._source_stamp[1] == compiled.fingerprint()


def test_a_job_finds_what_another_one_has_compiled(tmp_path) -> None:
    first, second = (
        copy_of_the_kernels(tmp_path / node / "runtime_resources" / "working_dir_files" / "package" / "robonav_ray")
        for node in ("one", "two")
    )
    cache = tmp_path / "cache"
    assert hits_and_misses(first, cache) == [0, 1]
    assert hits_and_misses(second, cache) == [1, 0]
    assert stat.S_IMODE((cache / "robonav_ray" / "kernels").stat().st_mode) & 0o022 == 0
    (second / "algo" / "n_step.py").write_text((second / "algo" / "n_step.py").read_text() + "\n# changed\n")
    assert hits_and_misses(second, cache) == [0, 1]


def test_a_checkout_keeps_its_kernels_beside_its_sources(tmp_path) -> None:
    package = copy_of_the_kernels(tmp_path / "checkout" / "robonav_ray")
    assert hits_and_misses(package, tmp_path / "cache") == [0, 1]
    assert not (tmp_path / "cache" / "robonav_ray").exists()
    assert hits_and_misses(package, tmp_path / "cache") == [1, 0]


def test_a_cache_that_cannot_be_written_is_passed_over(tmp_path) -> None:
    package = copy_of_the_kernels(tmp_path / "runtime_resources" / "robonav_ray")
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert hits_and_misses(package, tmp_path / "cache") == [0, 1]
    assert hits_and_misses(package, tmp_path / "cache") == [1, 0]
