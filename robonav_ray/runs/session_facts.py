"""Who began something: when, by which command, with which packages, and from which state of ours and of the user's
project.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from robonav_ray.config.words import shown_words

_PACKAGES = ("robonav_ray", "ray", "torch", "numpy", "numba", "gymnasium", "pydantic", "safetensors")
_DIRTY = "-dirty"


def session_facts(command: list[str]) -> dict[str, Any]:
    """Return who began something now: time, command, git revisions (``git_revision`` is ours, ``project`` the user's)
    and versions.
    """
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shown_words(command),
        "git_revision": own_revision(),
        "project": project_facts(Path()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def project_facts(folder: Path) -> dict[str, Any] | None:
    """Return the git repository that ``folder`` lies in, its revision, and whether files that git knows differ (None:
    not known).

    ``{"folder": "/home/me/robot", "git_revision": "0123456789ab", "dirty": true}``; None outside of a repository, or
    without git. The revision of a repository in which nothing was committed yet is None.
    """
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root is None:
        return None
    revision = _git(folder, "rev-parse", "--short=12", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"folder": root, "git_revision": revision, "dirty": None if changed is None else changed != ""}


def command_line() -> list[str]:
    """Return the command that started this process, as it may be written down: without what is secret in it."""
    return shown_words([Path(sys.argv[0]).name, *sys.argv[1:]])


def own_revision() -> str | None:
    """Return the revision of the checkout that this package runs from, ``-dirty`` behind it when files differ; None
    when installed.

    A package that is installed below a repository of another project, as in its virtual environment, is no part of it.
    """
    root = Path(__file__).parents[2]
    facts = project_facts(root) if (root / ".git").exists() else None
    if facts is None or facts["git_revision"] is None:
        return None
    return f"{facts['git_revision']}{_DIRTY * (facts['dirty'] is True)}"


def _git(folder: Path, *words: str) -> str | None:
    """Return what git says about ``folder``; None when it fails, or there is none. Nothing is written, and no hook is
    run.
    """
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
