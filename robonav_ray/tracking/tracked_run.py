"""What trackers are told of a run, read from its directory; and how files that were made after training reach them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.config.words import shown_words
from robonav_ray.runs.run_directory import RunDirectory, search_of
from robonav_ray.text import command_text
from robonav_ray.tracking.fanout import Asked, keep_files
from robonav_ray.tracking.items import Item
from robonav_ray.tracking.run_facts import RunFacts, RunKind


def run_facts(
    run: RunDirectory, config: RunConfig, resume_step: int | None = None, kind: RunKind | None = None
) -> RunFacts:
    """Return what trackers are told of ``run``: which search it is a trial of is seen from where it lies."""
    search = search_of(run)
    return RunFacts(
        name=run.path.name,
        directory=run.path,
        config=config.model_dump(mode="json"),
        tags={**session_tags(run.read_json("run.json")), "seed": str(config.seed)},
        kind=kind or ("train" if search is None else "trial"),
        group=None if search is None else search.name,
        resume_step=resume_step,
        parent=search,
    )


def session_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return who began the newest session that ``run.json`` or ``experiment.json`` tells of, as tags."""
    sessions = facts.get("sessions")
    newest: Any = sessions[-1] if isinstance(sessions, list) and sessions else {}
    newest = newest if isinstance(newest, dict) else {}
    project = newest.get("project")
    project = project if isinstance(project, dict) else {}
    command = newest.get("command")
    words = shown_words([str(word) for word in command]) if isinstance(command, list) else []
    tags = {
        "git_revision": newest.get("git_revision"),
        "project": project.get("folder") and Path(str(project["folder"])).name,
        "project_revision": project.get("git_revision"),
        "project_dirty": project.get("dirty"),
        "host": socket.gethostname(),
        "wiring": newest.get("wiring"),
        "ray_job": newest.get("ray_job"),
        "command": command_text(*words) if words else None,
    }
    return {name: str(value) for name, value in tags.items() if value is not None}


def keep_tracked(
    run: RunDirectory,
    step: int,
    paths: Sequence[Path],
    config: RunConfig | None = None,
    items: Sequence[Item] = (),
    *,
    asked: Asked,
) -> None:
    """Give what was made of ``run`` after training, at env step ``step``, to its trackers; ``config`` where it is known
    already.

    Trackers that are silent are waited for, for a bounded time and until ``asked`` is true.
    """
    config = config or run.config
    keep_files(config.tracking, run.path, step, paths, run_facts(run, config, kind="evaluation"), items, asked)
