"""How much a working directory would send to the cluster, by Ray's own rules, before anything is sent."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from robonav_ray.errors import UserError

_QUIET = logging.getLogger(f"{__name__}.ray")
_QUIET.setLevel(logging.ERROR)


class PackageError(UserError):
    """A working directory that cannot be sent; the message says what in it is too much."""


def check_package(folder: Path, limit_bytes: int | None = None) -> int:
    """Return the bytes that a job would be given of ``folder``; .gitignore and .rayignore are obeyed, as Ray does when it packs.

    Raises:
        PackageError: When it is no directory, or holds more than Ray takes (``limit_bytes``; None: Ray's own limit).
    """
    from ray._private import ray_constants
    from ray._private.runtime_env import packaging

    if not folder.is_dir():
        raise PackageError(f"--working-dir {folder}: is no directory")
    root = folder.resolve()
    limit = packaging.GCS_STORAGE_MAX_SIZE if limit_bytes is None else limit_bytes
    sizes: Counter[str] = Counter()

    def add(path: Path) -> None:
        if path.is_file():
            sizes[path.relative_to(root).parts[0]] += path.stat().st_size

    excludes = packaging._get_excludes(root, ray_constants.get_runtime_env_default_excludes())
    packaging._dir_travel(root, [excludes], add, include_gitignore=True, logger=_QUIET)
    total = sizes.total()
    if total > limit:
        largest = ", ".join(f"{name} ({size / 1e6:,.0f} MB)" for name, size in sizes.most_common(4))
        raise PackageError(
            f"--working-dir {folder}: holds {total / 1e6:,.0f} MB, and a job takes {limit / 1e6:,.0f} MB: most of it is {largest}. Name "
            "what the run does not need in .gitignore or .rayignore, or submit from a directory with the configs alone"
        )
    return total
