"""What has happened in a search, one JSON line an event; all that a resume trusts, and all that tables, plots and
reports read.

``records.jsonl`` only grows. A line is flushed to the disk before what it says is acted on, and a last line that was
cut off by a crash is left away. Tune's own state files are pickles and are never read
(docs/decisions/0007-searches-resume-from-records.md).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import append, open_appending, read_lines
from robonav_ray.tuning.trial_objective import METRIC, TRACKED_PREFIX, highest

RECORDS_FILE = "records.jsonl"
State = Literal["pending", "running", "stopped", "finished", "failed"]


class RecordsError(UserError):
    """The records of a search are missing or damaged; the message names the file and the line."""


@dataclass(frozen=True)
class Judged:
    """What one report of a trial tells of the checkpoint that was judged."""

    env_steps: int
    """Env steps that this trial has made itself, over all sessions; only rises."""
    learner_steps: int
    """Updates behind the weights; after an exploit those of the donor and its own since."""
    stage: int
    """Stage that the curriculum is in, from 0."""
    stage_name: str
    passed: bool
    success_frac: float | None
    """Part of the greedy held-out episodes that were won; None for an environment that knows no success."""
    collision_frac: float | None
    mean_return: float
    objective: float
    """What is maximised: comparable between trials in different stages."""
    checkpoint: str
    """Name of the checkpoint that was judged, in ``trials/ID/checkpoints``."""


@dataclass(frozen=True)
class TrialFacts(Judged):
    """A report as the trial sends it."""

    life_s: float
    """Seconds since this life of the trial began."""
    done: bool
    """Whether the trial has used its env steps."""

    def to_result(self) -> dict[str, Any]:
        """Return it as Tune hands it on: flat, under the names of the fields."""
        return asdict(self)

    @classmethod
    def of_result(cls, result: Mapping[str, Any]) -> TrialFacts:
        """Return what ``to_result`` gave, out of what Tune has added to it; KeyError when that is not all there."""
        return cls(**{part.name: result[part.name] for part in fields(cls)})


def tracked(facts: Judged) -> dict[str, float]:
    """Return the figures of a report that a trial's trackers are given, by the names of metrics."""
    figures = {name: getattr(facts, name) for name in (METRIC, "success_frac", "collision_frac", "mean_return")}
    return {TRACKED_PREFIX + name: float(value) for name, value in figures.items() if value is not None}


@dataclass(frozen=True)
class TrialReport(Judged):
    """A report as it is kept."""

    time: float
    """Seconds since the epoch."""
    session: int
    iteration: int
    """Number of the report within the trial, from 1, over all sessions."""
    seconds: float
    """Seconds that the trial has been at work, start included, over all sessions; only rises."""


@dataclass(frozen=True)
class Exploit:
    """A trial that went on from another trial's weights with other values."""

    time: float
    env_steps: int
    """Of the clone."""
    objective: float
    """Of the clone before."""
    donor: str
    """Id of the trial that was copied."""
    donor_objective: float
    donor_checkpoint: str
    """Directory of the donor's checkpoint, relative to the experiment's directory."""
    params_before: dict[str, Any]
    params: dict[str, Any]
    """Values that the clone goes on with."""


def best_report(reports: Iterable[TrialReport]) -> TrialReport | None:
    """Return the report that "best" means everywhere: the highest finite objective, the earliest of equals."""
    return highest(reports, lambda report: report.objective)


@dataclass
class TrialHistory:
    """All that is known of one trial."""

    id: str
    """``00000``, ``00001``, ...: the same in every session."""
    params: dict[str, Any]
    """Values now, by dotted key of the run's config; a population's change."""
    first_params: dict[str, Any]
    state: State = "pending"
    reports: list[TrialReport] = field(default_factory=list)
    exploits: list[Exploit] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What ended the trial's lives, one line each."""
    reason: str = ""
    """Why it ended."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""
        return self.state in ("stopped", "finished", "failed")

    @property
    def last(self) -> TrialReport | None:
        """The newest report."""
        return self.reports[-1] if self.reports else None

    @property
    def best(self) -> TrialReport | None:
        """The report with the highest objective; the earliest of equals, and none whose objective is not finite."""
        return best_report(self.reports)


def best_checkpoint(trial: TrialHistory) -> str:
    """Return the checkpoint of the trial's best report, from the search's directory on; its folder before the first
    report.
    """
    return f"trials/{trial.id}" + (f"/checkpoints/{trial.best.checkpoint}" if trial.best is not None else "")


@dataclass
class History:
    """All that is known of a search."""

    trials: dict[str, TrialHistory] = field(default_factory=dict)
    num_sessions: int = 0
    ended: bool = False
    """Whether the search came to its end."""

    @property
    def best_trial(self) -> TrialHistory | None:
        """The trial whose best report is the highest; the first of equals."""
        judged = [trial for trial in self.trials.values() if trial.best is not None]
        return max(judged, key=lambda trial: trial.best.objective, default=None)  # type: ignore[union-attr]

    @property
    def env_steps(self) -> int:
        """Env steps of all trials together."""
        return sum(trial.last.env_steps for trial in self.trials.values() if trial.last is not None)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event; KeyError or TypeError when it is none of ours."""
        kind, told = event["event"], {key: value for key, value in event.items() if key not in ("event", "trial")}
        if kind == "session":
            self.num_sessions = int(told["session"])
            self.ended = False
            return
        if kind == "over":
            self.ended = True
            return
        if kind == "trial":
            self.trials[event["trial"]] = TrialHistory(event["trial"], dict(told["params"]), dict(told["params"]))
            return
        trial = self.trials[event["trial"]]
        if kind == "started":
            trial.state = "running"
        elif kind == "report":
            trial.state = "running"
            trial.reports.append(TrialReport(**told))
        elif kind == "exploit":
            trial.exploits.append(Exploit(**told))
            trial.params = dict(told["params"])
        elif kind == "failure":
            trial.failures.append(str(told["message"]))
        elif kind == "end":
            trial.state, trial.reason = told["state"], str(told["reason"])
        else:
            raise KeyError(kind)


class Records:
    """The file of one experiment, and what it comes to."""

    def __init__(self, directory: Path) -> None:
        """Read what is there already.

        Raises:
            RecordsError: When a line other than the last one is damaged.
        """
        self.path = directory / RECORDS_FILE
        self.history = History()
        whole = 0
        for number, line in enumerate(self._lines(), start=1):
            if not line.endswith(b"\n"):
                break  # cut off by a crash while it was written
            try:
                self.history.take(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise RecordsError(
                    f"{self.path}:{number}: is damaged ({error}); restore the file from a copy"
                ) from None
            whole += len(line)
        self._file_size = whole
        self._lives: dict[str, tuple[float, float]] = {}
        """Of each trial: its seconds before this life, and those of this life as it last told."""

    def begin_session(self) -> int:
        """Cut off what a crash left half written, note a new session and return its number, from 1."""
        with open_appending(self.path) as file:
            file.truncate(self._file_size)
        session = self.history.num_sessions + 1
        self.add("session", session=session)
        return session

    def add(self, event: str, *, trial: str | None = None, **told: Any) -> None:
        """Append one event, on the disk when this returns. ``time`` is added where it is not given."""
        document = {"event": event, **({} if trial is None else {"trial": trial}), **told}
        if event in ("report", "exploit"):
            document.setdefault("time", time.time())
        line = json.dumps(document, allow_nan=False, default=_plain).encode() + b"\n"
        append(self.path, line, sync=True)
        self._file_size += len(line)
        self.history.take(json.loads(line))

    def add_report(self, trial: str, facts: TrialFacts, session: int) -> None:
        """Append a trial's report, the same one only once: each process that hears of it may hand it in."""
        past = self.history.trials[trial]
        if past.last is not None and facts.env_steps <= past.last.env_steps:
            return
        base, life_s = self._lives.get(trial, (past.last.seconds if past.last else 0.0, 0.0))
        if facts.life_s < life_s:  # another life of the trial
            base += life_s
        self._lives[trial] = (base, facts.life_s)
        judged = {part.name: getattr(facts, part.name) for part in fields(Judged)}
        self.add(
            "report",
            trial=trial,
            session=session,
            iteration=len(past.reports) + 1,
            seconds=base + facts.life_s,
            **judged,
        )

    def _lines(self) -> Iterable[bytes]:
        return read_lines(self.path) if os.path.lexists(self.path) else []


def _plain(value: Any) -> Any:
    """Numbers of NumPy as JSON takes them."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written into the records")
