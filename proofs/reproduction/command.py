"""One trial of a command: a suite of tests, or a script that prints JSON as its last line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from proofs.common.checkout import ROOT
from proofs.reproduction.entry import Command
from proofs.reproduction.store import Trial, TrialResult, write_json

_COUNT = re.compile(r"(\d+) (passed|failed|errors?)\b")


class CommandError(RuntimeError):
    """A command did not end as it should; the message holds the end of what it printed."""


def run_command(trial: Trial) -> TrialResult:
    """Run the command in the repository's root, keep what it prints in ``log.txt``, read its figure."""
    task = trial.entry.task
    assert isinstance(task, Command)
    trial.folder.mkdir(parents=True, exist_ok=True)
    write_json(trial.folder / "progress.json", {"what": "running"})
    arguments = [part.replace("{output}", str(trial.folder)) for part in task.arguments]
    log = trial.folder / "log.txt"
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=_environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    seconds = round(time.monotonic() - began, 1)
    value, facts = (_read_pytest if task.reads == "pytest" else _read_json)(log, task, done.returncode)
    result = TrialResult(value, 0, seconds, {"command": ["python", *task.arguments], **facts})
    trial.finish(result)
    return result


def _environment() -> dict[str, str]:
    """The environment without what a Ray worker adds to it, so that the command may start a Ray of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_") or key == "RAY_AUTH_MODE"}
    return kept | {"OMP_NUM_THREADS": "1"}


def _read_pytest(log: Path, task: Command, code: int) -> tuple[float, dict[str, object]]:
    """Return the part that passed; a suite that could not be collected, or held no test, is an error."""
    text = log.read_text(encoding="utf-8")
    counts = {"passed": 0, "failed": 0, "error": 0}
    for number, kind in _COUNT.findall(text.rstrip().rpartition("\n")[2]):
        counts[kind.rstrip("s")] += int(number)
    total = sum(counts.values())
    if code not in (0, 1) or not total:
        raise CommandError(f"`{' '.join(task.arguments)}` ended with {code}:\n{text[-2000:]}")
    return counts["passed"] / total, {"tests": total, "passed": counts["passed"]}


def _read_json(log: Path, task: Command, code: int) -> tuple[float, dict[str, object]]:
    text = log.read_text(encoding="utf-8").rstrip()
    if code:
        raise CommandError(f"`{' '.join(task.arguments)}` ended with {code}:\n{text[-2000:]}")
    try:
        found = json.loads(text.rpartition("\n")[2])
        return read_figure(found, task.key), {"output": found}
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise CommandError(
            f"`{' '.join(task.arguments)}`: the last line is no JSON object with {task.key!r}: {error}"
        ) from None


def read_figure(found: Any, key: str) -> float:
    """Return the number at ``a.b.c`` in nested JSON objects, or the ratio ``a.b / c.d`` of two; KeyError where there is
    none.
    """
    figures = []
    for path in key.split(" / "):
        node = found
        for part in path.split("."):
            node = node[part]
        figures.append(float(node))
    return figures[0] / figures[1] if len(figures) == 2 else figures[0]
