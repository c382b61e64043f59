"""All steps of a pipeline in the terminal, drawn anew in their place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table
from rich.text import Text

from robonav_ray.pipeline.logs import How
from robonav_ray.pipeline.planning import StepPlan
from robonav_ray.screen import Screen

_STYLES = {"done": "green", "kept": "dim", "stopped": "yellow", "failed": "red", "at work": "bold", "waits": "dim"}
_PER_S = 4


@dataclass
class _Row:
    state: str = "waits"
    text: str = ""
    began: float = 0.0
    seconds: float | None = None


class LiveWatcher:
    """A Watcher that shows one row a step: its state, its seconds, and what it said last."""

    def __init__(self, steps: Sequence[StepPlan], screen: Screen) -> None:
        """``screen`` must not follow ``sys.stdout``, which belongs to the steps."""
        self._rows = {step.name: _Row(text=step.reason) for step in steps if step.state != "left out"}
        self._live = Live(get_renderable=self.render, console=screen, refresh_per_second=_PER_S, redirect_stdout=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def began(self, step: str, reason: str) -> None:
        """Show that it is at work."""
        self._rows[step] = _Row("at work", reason, time.monotonic())

    def said(self, step: str, line: str) -> None:
        """Show the line in place of the one before."""
        self._rows[step].text = line.strip()

    def ended(self, step: str, how: How, text: str, seconds: float) -> None:
        """Show how it ended."""
        self._rows[step] = _Row(how, text, 0.0, None if how == "kept" else seconds)

    def render(self) -> Table:
        """Return the table as it is now."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for name, row in self._rows.items():
            seconds = time.monotonic() - row.began if row.state == "at work" else row.seconds
            told = "" if seconds is None else f"{seconds:.0f} s"
            table.add_row(name, Text(row.state, _STYLES[row.state]), told, row.text)
        return table
