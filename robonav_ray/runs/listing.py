"""All runs below a folder, with what one wants to know of each at a glance; read from their small files alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import is_plain
from robonav_ray.runs.checkpoint import list_checkpoints
from robonav_ray.runs.checkpoint_index import INDEX_FILE
from robonav_ray.runs.run_directory import EVALUATION_JSON, REGISTRY_FILE, RunDirectory, open_run
from robonav_ray.runs.superseded import bytes_below, steps_of
from robonav_ray.text import command_text

logger = logging.getLogger(__name__)
MAX_DEPTH = 6
"""Folders in each other that are searched for runs; a trial of a search lies three below ``runs``."""
MAX_FOLDERS = 100_000


@dataclass(frozen=True)
class RunFacts:
    """One run at a glance. None where a run has not written it, or not in a form that is ours."""

    name: str
    """Of its directory."""
    status: str
    """``finished``, ``unfinished``, ``failed``, or ``running`` while a process trains it."""
    seed: int | None
    steps: int | None
    """Env steps so far."""
    success: float | None
    """Success rate of the last stage in its evaluation, 0 to 1."""
    started: datetime | None
    """When its first session began."""
    path: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON takes them."""
        return {**vars(self), "started": self.started and self.started.isoformat(), "path": str(self.path)}


def list_runs(folder: Path) -> list[RunFacts]:
    """Return the runs in ``folder`` and in folders below it, trials of searches too, the one that was started last at
    the end.

    Links are not followed. What looks like a run and cannot be read is passed over with a warning: it may be another
    program's.

    Raises:
        UserError: When there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; runs lie in `runs` below the folder that they were begun in")
    found = list[RunFacts]()
    for path in run_folders(folder):
        try:
            found.append(run_facts(open_run(path)))
        except UserError as error:
            logger.warning("passed over: %s", (str(error).splitlines() or [""])[0])
    return sorted(found, key=lambda facts: (facts.started.timestamp() if facts.started else 0.0, str(facts.path)))


def run_folders(folder: Path) -> Iterator[Path]:
    """Give ``folder`` if it is a run, else the runs below it; nothing inside of a run or a registry is one."""
    left, seen = [(folder, 0)], 0
    while left:
        here, depth = left.pop()
        if is_plain(here / "config.yaml"):
            yield here
            continue
        if is_plain(here / REGISTRY_FILE):
            continue
        try:
            below = sorted(entry.name for entry in os.scandir(here) if entry.is_dir(follow_symlinks=False))
        except OSError as error:
            logger.warning("passed over: %s: %s", here, error.strerror)
            continue
        seen += len(below)
        if seen > MAX_FOLDERS:
            logger.warning(
                "%s: holds more than %d folders; the runs in the rest are not looked for", folder, MAX_FOLDERS
            )
            return
        if depth < MAX_DEPTH:
            left += [(here / name, depth + 1) for name in below if not name.startswith(".")]


def run_facts(run: RunDirectory) -> RunFacts:
    """Return what the small files of ``run`` say."""
    sessions = [entry for entry in _list_of(run.read_json("run.json").get("sessions")) if isinstance(entry, dict)] or [
        {}
    ]
    return RunFacts(
        name=run.path.name,
        status=_status(run),
        seed=_whole(sessions[-1].get("seed")),
        steps=_steps(run),
        success=_success(run.read_json(EVALUATION_JSON)),
        started=_moment(sessions[0].get("started")),
        path=run.path,
    )


def describe_run(run: RunDirectory) -> dict[str, Any]:
    """Return one run in full, as JSON takes it: its facts, how it ended, its verdicts, checkpoints and sessions."""
    sessions = [entry for entry in _list_of(run.read_json("run.json").get("sessions")) if isinstance(entry, dict)] or [
        {}
    ]
    last, summary, config = sessions[-1], run.read_json("summary.json"), run.config
    command = last.get("command")
    return {
        **run_facts(run).to_dict(),
        "reason": run.read_json("status.json").get("reason"),
        "env": config.env.id,
        "preset": config.preset,
        "train_s": summary.get("train_s"),
        "learner_steps": _whole(summary.get("learner_steps")),
        "verdict": _list_of(run.read_json(EVALUATION_JSON).get("verdict")),
        "command": command_text(*command) if isinstance(command, list) else None,
        "sessions": len(sessions),
        "wiring": last.get("wiring"),
        "git_revision": last.get("git_revision"),
        "project": last.get("project"),
        "init_from": run.read_json("run.json").get("init_from"),
        "best": _best(run),
        "checkpoints": [path.name for path in list_checkpoints(run.checkpoints)],
        "checkpoints_bytes": bytes_below(run.checkpoints),
        "storage": config.checkpoint.storage,
    }


def _status(run: RunDirectory) -> str:
    if run.is_locked:
        return "running"
    status = run.status
    return "unfinished" if status == "running" else str(status)  # its process is gone and could not say so


def _steps(run: RunDirectory) -> int | None:
    steps = _whole(run.read_json("summary.json").get("env_steps"))
    if steps is None and (checkpoints := list_checkpoints(run.checkpoints)):
        digits = checkpoints[-1].name.removeprefix("env-").partition("-")[0]
        return steps_of(checkpoints[-1].name) if digits.isdecimal() else None
    return steps


def _success(evaluation: dict[str, Any]) -> float | None:
    levels = _list_of(evaluation.get("levels"))
    last: Any = levels[-1] if levels else None
    for key in ("summary", "success", "frac"):
        last = last.get(key) if isinstance(last, dict) else None
    return float(last) if isinstance(last, int | float) and 0.0 <= last <= 1.0 else None


def _best(run: RunDirectory) -> dict[str, Any] | None:
    """Return which checkpoint is the best by the judgements beside the training, and why; None without any."""
    best = run.read_json(INDEX_FILE).get("best")
    return best if isinstance(best, dict) else None


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except (TypeError, ValueError):
        return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
