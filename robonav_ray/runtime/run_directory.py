"""The directory of one run: made once, never overwritten, found again for a resume.

::

    runs/curriculum-20261122-181500/
      config.yaml                 the resolved config; loads back to an equal one
      run.json                    versions, git revision, seeds, command, one entry per session
      metrics.jsonl  tensorboard/ curriculum_progress.json  curves.png  evaluation.json  play.gif
      checkpoints/env-.../        see checkpoint.py
      status.json                 running | unfinished | finished | failed
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, dump_config, load_run_config
from robonav_ray.errors import UserError

Status = Literal["running", "unfinished", "finished", "failed"]
_PACKAGES = ("robonav_ray", "ray", "torch", "numpy", "numba", "gymnasium", "pydantic", "safetensors")


class RunDirectoryError(UserError):
    """A run directory exists already, or does not exist, or is not one; the message says what to do."""


@dataclass(frozen=True)
class RunDirectory:
    """Paths inside one run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of committed checkpoints."""
        return self.path / "checkpoints"

    @property
    def config(self) -> RunConfig:
        """The resolved config that the run was started with."""
        return load_run_config(self.path / "config.yaml")

    @property
    def status(self) -> Status:
        """What the last session left; ``running`` also after a crash that could not say so."""
        try:
            return json.loads((self.path / "status.json").read_text(encoding="utf-8"))["status"]
        except (FileNotFoundError, ValueError, KeyError):
            return "unfinished"

    def write_status(self, status: Status, **facts: Any) -> None:
        """Replace ``status.json``."""
        self.write_json("status.json", {"status": status, "time": time.time(), **facts})

    def write_json(self, name: str, data: Any) -> None:
        """Write a JSON file aside and rename it."""
        aside = self.path / f".{name}.{os.getpid()}"
        aside.write_text(json.dumps(data, indent=1, default=str), encoding="utf-8")
        aside.replace(self.path / name)

    def add_session(self, command: list[str], wiring: str) -> None:
        """Append who ran what, with which versions and when, to ``run.json``."""
        path = self.path / "run.json"
        facts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"sessions": []}
        facts["sessions"].append(
            {
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "command": command,
                "wiring": wiring,
                "seed": self.config.seed,
                "git_revision": _git_revision(),
                "python": platform.python_version(),
                "platform": platform.platform(),
                "packages": {name: _version(name) for name in _PACKAGES},
            }
        )
        self.write_json("run.json", facts)


def create_run(config: RunConfig, directory: Path | None = None) -> RunDirectory:
    """Make a fresh run directory and write the resolved config into it.

    Raises:
        RunDirectoryError: when ``directory`` exists, or ``output_dir`` cannot be written.
    """
    name = f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    path = directory or Path(config.output_dir) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(100):
            try:
                candidate = path if attempt == 0 else path.with_name(f"{path.name}-{attempt}")
                candidate.mkdir()
                break
            except FileExistsError:
                if directory is not None:
                    raise RunDirectoryError(
                        f"{directory}: exists already and is never overwritten; "
                        f"continue it with `robonav train --resume {directory}`, or choose another directory"
                    ) from None
        else:
            raise RunDirectoryError(f"output_dir: {path} and 99 more exist already; choose another name")
    except OSError as error:
        raise RunDirectoryError(
            f"output_dir: cannot make {path}: {error.strerror}; set output_dir to a folder you may write"
        ) from None
    (candidate / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    return RunDirectory(candidate)


def open_run(path: Path) -> RunDirectory:
    """Return the run at ``path``; RunDirectoryError when it is not a run directory."""
    if not (path / "config.yaml").is_file():
        known = [p.parent.name for p in sorted(path.parent.glob("*/config.yaml"))][-3:] if path.parent.is_dir() else []
        hint = f"; runs beside it: {', '.join(known)}" if known else "; `robonav train` makes one"
        raise RunDirectoryError(f"{path}: is not a run directory (it has no config.yaml){hint}")
    return RunDirectory(path)


def find_latest_run(output_dir: Path, *, unfinished_only: bool, name: str | None = None) -> RunDirectory | None:
    """Return the newest run under ``output_dir`` (by last change of its status), or None."""
    runs = [RunDirectory(p.parent) for p in output_dir.glob("*/config.yaml")] if output_dir.is_dir() else []
    runs = [r for r in runs if (name is None or r.path.name.startswith(f"{name}-")) and r.checkpoints.is_dir()]
    if unfinished_only:
        runs = [r for r in runs if r.status in ("running", "unfinished")]
    return max(runs, key=lambda run: (run.path / "config.yaml").stat().st_mtime_ns, default=None)


def check_same_task(run: RunDirectory, config: RunConfig) -> None:
    """Refuse to resume under a config that changes what the saved arrays mean.

    Raises:
        ConfigError: naming the first section that differs.
    """
    saved = run.config
    for key in ("seed", "env", "algo", "replay"):
        if getattr(saved, key) != getattr(config, key):
            raise ConfigError(
                f"{run.path}/config.yaml: the run to resume has another `{key}` section than asked for now; "
                f"resume without changing it, or start a new run"
            )


def resume_command(run: RunDirectory) -> str:
    """Return what to type to go on with this run."""
    return f"robonav train --resume {run.path}"


def _git_revision() -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def command_line() -> list[str]:
    """Return the command that started this process."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
