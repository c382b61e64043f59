"""What a person watches while a search runs: a live table in a terminal, plain lines in a log, one quiet line in a
notebook.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from rich.live import Live

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.screen import Screen, in_notebook
from robonav_ray.text import one_line
from robonav_ray.tracking.panel import MIN_LIVE_WIDTH, format_count, format_seconds
from robonav_ray.tuning.search_records import Exploit, History, TrialHistory
from robonav_ray.tuning.views.search_block import MAX_ROWS, plain_line, search_block
from robonav_ray.tuning.views.summary import (
    Summary,
    changes_text,
    number_text,
    outcome_text,
    params_at,
    report_text,
    short_names,
    short_params,
    stage_names,
    summarize,
)

Mode = Literal["auto", "live", "plain", "off"]
_HEADER_LINES = 14
"""Lines of the live table that are no trial."""
_DRAW_EVERY_S, _PLAIN_EVERY_S, _NOTEBOOK_EVERY_S = 0.25, 30.0, 10.0


class TrialTable:
    """Shows nothing, and is the context manager that all tables share."""

    def __init__(self, config: TuningConfig, name: str) -> None:
        """``name`` is that of the experiment."""
        self._config, self._name = config, name
        self._keys, self._stages = short_names(config.space), stage_names(config)
        self._began: tuple[float, int] | None = None
        self._latest: tuple[History, float] | None = None

    def update(self, history: History, now: float) -> None:
        """Show ``history`` at ``now`` (seconds since the epoch); cheap enough to call several times a second."""
        self._began = self._began or (now, history.env_steps)
        self._latest = (history, now)
        self._show(history, now)

    def close(self) -> None:
        """End the view, leaving the last state on the screen; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _show(self, history: History, now: float) -> None:
        pass

    def _summary(self, history: History, now: float) -> Summary:
        return summarize(history, self._config, began=self._began, now=now)


class LiveTable(TrialTable):
    """One block that is drawn over itself, four times a second at most."""

    def __init__(self, config: TuningConfig, name: str, console: Screen) -> None:
        super().__init__(config, name)
        self._console = console
        self._drawn = float("-inf")
        self._is_open = True
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def close(self) -> None:
        """Leave the last state on the screen."""
        if self._is_open:
            self._is_open = False
            if self._latest is not None:
                self._draw(*self._latest)
            self._live.stop()

    def _show(self, history: History, now: float) -> None:
        if self._is_open and not 0.0 <= now - self._drawn < _DRAW_EVERY_S:
            self._draw(history, now)

    def _draw(self, history: History, now: float) -> None:
        self._drawn = now
        rows = max(3, min(MAX_ROWS, self._console.height - _HEADER_LINES))
        summary = self._summary(history, now)
        self._live.update(
            search_block(history, self._config, self._name, summary, self._console, now, rows), refresh=True
        )


class PlainTable(TrialTable):
    """A line when a trial begins, ends, fails or goes on from another, or is the best so far; a summary each 30 s when
    there is news.
    """

    def __init__(self, config: TuningConfig, name: str, console: Screen) -> None:
        super().__init__(config, name)
        self._console = console
        self._seen: dict[str, tuple[str, int, int]] | None = None
        self._best: tuple[str, float] | None = None
        self._told: tuple[float, int] = (float("-inf"), -1)

    def close(self) -> None:
        """Write what has not been written."""
        if self._latest is not None and self._told[1] != _num_events(self._latest[0]):
            self._tell(*self._latest)

    def _show(self, history: History, now: float) -> None:
        marks = {trial.id: (trial.state, len(trial.exploits), len(trial.failures)) for trial in history.trials.values()}
        clock = f"[{format_seconds(now - self._began[0])}] " if self._began else ""
        if self._seen is not None:
            for trial in history.trials.values():
                self._write([clock + line for line in _news(trial, self._seen.get(trial.id), self._keys)])
            self._write([clock + line for line in self._new_best(history.best_trial)])
        self._seen = marks
        self._best = _mark_of(history.best_trial)
        if now - self._told[0] >= _PLAIN_EVERY_S and self._told[1] != _num_events(history):
            self._tell(history, now)

    def _new_best(self, trial: TrialHistory | None) -> list[str]:
        if trial is None or trial.best is None or _mark_of(trial) == self._best:
            return []
        values = short_params(params_at(trial, trial.best), self._keys)
        return [f"new best {report_text(trial.best, self._stages)}: trial {trial.id}, {values}"]

    def _tell(self, history: History, now: float) -> None:
        self._told = (now, _num_events(history))
        self._write([plain_line(self._name, self._summary(history, now), self._stages)])

    def _write(self, lines: Sequence[str]) -> None:
        if lines:
            self._console.write("".join(f"{one_line(line)}\n" for line in lines))


class NotebookTable(TrialTable):
    """One line, written over itself every 10 s at most."""

    def __init__(self, config: TuningConfig, name: str, console: Screen) -> None:
        super().__init__(config, name)
        self._file = console.file
        self._written = float("-inf")
        self._width = 0
        self._is_open = True

    def close(self) -> None:
        """Write the last state and end the line."""
        if self._is_open and self._latest is not None:
            self._write(*self._latest)
            self._file.write("\n")
            self._file.flush()
        self._is_open = False

    def _show(self, history: History, now: float) -> None:
        if self._is_open and now - self._written >= _NOTEBOOK_EVERY_S:
            self._write(history, now)

    def _write(self, history: History, now: float) -> None:
        self._written = now
        line = one_line(plain_line(self._name, self._summary(history, now), self._stages))
        self._file.write(f"\r{line:<{self._width}}")
        self._file.flush()
        self._width = len(line)


def make_table(mode: Mode, config: TuningConfig, name: str, console: Screen | None = None) -> TrialTable:
    """Return the table that ``mode`` asks for.

    ``auto`` is one quiet line in a notebook, live in a terminal at least ``MIN_LIVE_WIDTH`` wide that can move its
    cursor, plain lines elsewhere. Colours follow ``NO_COLOR``.

    Args:
        mode: What is asked for.
        config: Of the search.
        name: Of the experiment, as the table shows it.
        console: Where to; standard output if None.
    """
    if mode == "off":
        return TrialTable(config, name)
    console = console or Screen(file=sys.stdout)
    if mode == "auto" and in_notebook():
        return NotebookTable(config, name, console)
    can_draw = console.is_terminal and not console.is_dumb_terminal and console.width >= MIN_LIVE_WIDTH
    if mode == "live" or (mode == "auto" and can_draw):
        return LiveTable(config, name, console)
    return PlainTable(config, name, console)


def _news(trial: TrialHistory, seen: tuple[str, int, int] | None, names: dict[str, str]) -> list[str]:
    """Return a line for each thing that has happened to a trial since it was ``seen``."""
    state, num_exploits, num_failures = seen or ("pending", 0, 0)
    lines = [exploit_text(trial, exploit, names) for exploit in trial.exploits[num_exploits:]]
    lines += [f"trial {trial.id} had a failure: {told}" for told in trial.failures[num_failures:]]
    if trial.state == state:
        return lines
    if trial.state == "running":
        return [*lines, f"trial {trial.id} running: {short_params(trial.params, names)}"]
    last = trial.last
    told = f" at {format_count(last.env_steps)} env steps, objective {number_text(last.objective)}" if last else ""
    why = outcome_text(trial)
    return [*lines, f"trial {trial.id} {trial.state}{told}{f': {why}' if why else ''}"]


def exploit_text(trial: TrialHistory, exploit: Exploit, names: dict[str, str]) -> str:
    """Return one exploit as a sentence."""
    return (
        f"trial {trial.id} ({number_text(exploit.objective)}) goes on from {exploit.donor} "
        f"({number_text(exploit.donor_objective)}) at {format_count(exploit.env_steps)} env steps: "
        f"{changes_text(exploit.params_before, exploit.params, names)}"
    )


def _mark_of(trial: TrialHistory | None) -> tuple[str, float] | None:
    return None if trial is None or trial.best is None else (trial.id, trial.best.objective)


def _num_events(history: History) -> int:
    return sum(1 + len(t.reports) + len(t.exploits) + len(t.failures) + t.is_over for t in history.trials.values())
