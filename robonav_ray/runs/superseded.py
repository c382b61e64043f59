"""Checkpoints that count no more: those that a resume leaves behind, those that newer ones have replaced, what crashed
writers left.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from robonav_ray.files.manifest import MANIFEST
from robonav_ray.files.plain_files import list_plain
from robonav_ray.runs.checkpoint import ASIDE, SUPERSEDED, folders_in, list_checkpoints
from robonav_ray.runs.policy_alone import judged_policies

MOST_FILES = 100_000
"""More than checkpoints of a run ever have."""


def set_newer_aside(folder: Path, checkpoint: Path) -> list[Path]:
    """Rename the checkpoints after ``checkpoint``, which a resume from it leaves behind, so that they stop counting;
    returns them.
    """
    newer = [path for path in list_checkpoints(folder) if path.name > checkpoint.name]
    return [path.rename(folder / f"{SUPERSEDED}{path.name}-{time.time_ns()}") for path in newer]


def steps_of(name: str) -> int:
    """Return the env steps of a checkpoint by its name, also of one that was set aside."""
    return int(name.removeprefix(SUPERSEDED).removeprefix("env-").partition("-")[0])


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files below ``RUN/checkpoints``, also of what was set aside; links are not followed."""
    return sum((folder / name).lstat().st_size for name in list_plain(folder, MOST_FILES))


def prune_checkpoints(folder: Path, keep: int, kept: frozenset[str] = frozenset()) -> list[Path]:
    """Remove all but the ``keep`` newest checkpoints and those named in ``kept``, judged policies but for those named,
    and what crashed writers left aside.

    Returns the checkpoints removed.
    One that was set aside goes when ``keep`` have been committed since.
    """
    committed = list_checkpoints(folder)
    removed = [path for path in (*committed[:-keep], *judged_policies(folder)) if path.name not in kept]
    younger = sorted((path / MANIFEST).stat().st_mtime_ns for path in committed)[-keep:]
    for path in [p for p in folders_in(folder) if p.name.startswith(SUPERSEDED)] if len(younger) == keep else []:
        since = path.name.rpartition("-")[2]
        if since.isdecimal() and int(since) < younger[0]:
            removed.append(path)
    for path in removed:
        path.rename(folder / f"{ASIDE}{path.name}-{time.time_ns()}")  # first it stops being a checkpoint, then it goes
    for path in [p for p in folders_in(folder) if p.name.startswith(ASIDE)] if folder.is_dir() else []:
        if not path.name.startswith(tuple(f"{ASIDE}{name}-" for name in kept)):  # it is being written
            shutil.rmtree(path)
    return removed
