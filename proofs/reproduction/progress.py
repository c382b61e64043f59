"""Where all trials stand: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table

from proofs.reproduction.entry import Command
from proofs.reproduction.store import Trial
from robonav_ray.screen import Screen
from robonav_ray.tracking.panel import format_count, format_seconds

_LINE_S = 15.0


class Board:
    """Shows the trials of one run of the script; a context manager."""

    def __init__(self, trials: Sequence[Trial], console: Screen | None = None):
        self._trials = list(trials)
        self._console = console or Screen()
        self._live = Live(console=self._console, refresh_per_second=2) if self._console.is_terminal else None
        self._said: dict[str, float] = {}
        self._kept = {trial.name for trial in trials if trial.result is not None}
        self._finished = set(self._kept)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def look(self, running: set[str]) -> None:
        """Show where the trials stand; ``running`` are the names of those that run now."""
        if self._live is not None:
            self._live.update(self._table(running))
            return
        for trial in self._trials:
            result = trial.result if trial.name not in self._finished else None
            if result is not None:
                self._finished.add(trial.name)
                self._print(f"{trial.name}: {trial.entry.shown(result.value)} after {format_seconds(result.seconds)}")
            elif trial.name in running and time.monotonic() - self._said.get(trial.name, float("-inf")) >= _LINE_S:
                self._said[trial.name] = time.monotonic()
                self._print("  ".join([trial.name, *(cell for cell in self._cells(trial) if cell)]))

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def _table(self, running: set[str]) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in ("trial", "env steps", "return", "eta", ""):
            table.add_column(column, justify="left" if column in ("trial", "") else "right")
        for trial in self._trials:
            result = trial.result
            if result is not None:
                state = "kept" if trial.name in self._kept else f"done in {format_seconds(result.seconds)}"
                steps = format_count(result.env_steps) if result.env_steps else ""
                table.add_row(trial.name, steps, trial.entry.shown(result.value), "", state, style="dim")
            elif trial.name in running:
                table.add_row(trial.name, *self._cells(trial), "running")
            else:
                table.add_row(trial.name, "", "", "", "waiting", style="dim")
        return table

    @staticmethod
    def _cells(trial: Trial) -> tuple[str, str, str]:
        """Env steps, return and time left of a running trial, as far as they are known."""
        facts = trial.progress
        if isinstance(trial.entry.task, Command) or not facts.get("env_steps"):
            return "", "", f"about {trial.entry.minutes:g} min"
        done, most = facts["env_steps"], facts["max_env_steps"]
        left = facts["seconds"] * (most - done) / done
        mean = "" if facts["return"] is None else f"{facts['return']:.1f}"
        return f"{format_count(done)}/{format_count(most)}", mean, format_seconds(max(0.0, left))
