"""Where trials live, and which of them are finished.

::

    OUTPUT/trials/ENTRY/seed-1-1a2b3c4d/      one trial: (entry, seed, hash of what it runs)
      run/                                    the run directory of a training, checkpoints included until it is finished
      episodes.csv                            env_steps, length, return of every training episode
      progress.json                           where it stands, rewritten about once a second
      result.json                             written last: the trial is finished and is not run again
      log.txt                                 what a command printed
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proofs.reproduction.entry import Command, Entry, Training
from robonav_ray.files.plain_files import replace
from robonav_ray.runs.session_facts import own_revision

_NO_PART = ("name", "output_dir", "checkpoint", "tracking", "runtime")
"""Sections of the config that change nothing in the result."""


@dataclass(frozen=True)
class TrialResult:
    """The result of one finished trial."""

    value: float
    """The figure that is held against the bound, before the mean over seeds is taken."""
    env_steps: int = 0
    seconds: float = 0.0
    """Of all its lives together, measured in the process that trains."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Other figures of the trial."""


@dataclass(frozen=True)
class Trial:
    """One entry with one seed, and its folder."""

    entry: Entry
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """What the progress shows."""
        return f"{self.entry.name}/{self.seed}"

    @property
    def result(self) -> TrialResult | None:
        """The result of a finished trial."""
        found = read_json(self.folder / "result.json")
        return TrialResult(**found) if found else None

    @property
    def progress(self) -> dict[str, Any]:
        """What the trial last said; empty before its first word."""
        return read_json(self.folder / "progress.json")

    def finish(self, result: TrialResult) -> None:
        """Write the result; from now on the trial is finished."""
        result.facts.setdefault("revision", own_revision())
        write_json(self.folder / "result.json", asdict(result))


def trial_of(entry: Entry, seed: int, output: Path) -> Trial:
    """Return the trial; its folder's name changes with all that changes its result, but for the program's own code."""
    return Trial(entry, seed, output.absolute() / "trials" / entry.name / f"seed-{seed}-{task_hash(entry, seed)}")


def task_hash(entry: Entry, seed: int) -> str:
    """Return eight hexadecimal digits of what the entry asks for: all that its config sets, and how its figure is
    taken.

    The program's code and its defaults are not in it (each result names the revision that made it): ``--fresh`` runs it
    again.
    """
    task = entry.task
    if isinstance(task, Training):
        config = task.config(seed).model_dump(mode="json", exclude_defaults=True)
        what: Any = [{key: value for key, value in config.items() if key not in _NO_PART}, asdict(task.measure)]
    else:
        assert isinstance(task, Command)
        what = asdict(task)
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object at ``path``; empty when there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file aside and rename it: a reader never sees half of it."""
    replace(path, json.dumps(data, indent=1) + "\n")
