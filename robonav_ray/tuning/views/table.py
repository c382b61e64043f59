"""What a person watches while a search runs: a live table in a terminal, plain lines in a log, one quiet line in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel as Frame
from rich.table import Table
from rich.text import Text

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.screen import Screen, in_notebook
from robonav_ray.text import one_line
from robonav_ray.tracking.panel import MIN_LIVE_WIDTH, format_count, format_seconds
from robonav_ray.tuning.search_records import Exploit, History, TrialHistory
from robonav_ray.tuning.views.summary import (
    STATES,
    Summary,
    at_work_s,
    changes_text,
    has_success,
    number_text,
    outcome_text,
    params_at,
    percent_text,
    ranked,
    report_text,
    short_names,
    short_params,
    short_value,
    shown_params,
    stage_names,
    stage_text,
    summarize,
)

Mode = Literal["auto", "live", "plain", "off"]
MAX_ROWS = 20
STYLES = {"running": "cyan", "pending": "dim", "finished": "green", "stopped": "dim", "failed": "red"}
_MAX_WIDTH, _WITH_NAMES, _WIDE, _NARROW = 160, 130, 100, 70
_COLUMNS: dict[str, Literal["left", "right"]] = {
    "": "left", "trial": "left", "state": "left", "stage": "left", "success": "right", "objective": "right", "last": "right",
    "env steps": "right", "age": "right", "exploits": "right", "values": "left",
}  # fmt: skip
_SHORTER = {"env steps": "steps", "exploits": "expl."}
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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
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
        self._live.update(search_block(history, self._config, self._name, summary, self._console, now, rows), refresh=True)


class PlainTable(TrialTable):
    """A line when a trial begins, ends, fails or goes on from another, or is the best so far; a summary each 30 s when there is news."""

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

    ``auto`` is one quiet line in a notebook, live in a terminal at least ``MIN_LIVE_WIDTH`` wide that can move its cursor, plain lines
    elsewhere. Colours follow ``NO_COLOR``.

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


def search_block(
    history: History, config: TuningConfig, name: str, summary: Summary, console: Screen, now: float | None, max_rows: int
) -> RenderableType:
    """Return header and trials as one block that fits the console; at most ``max_rows`` trials, running ones first, then the best."""
    width, stages = min(console.width, _MAX_WIDTH), stage_names(config)
    is_ascii = not console.encoding.lower().startswith("utf")
    best = summary.best
    rows: list[RenderableType] = [_line(f"{summary.counts_text} trials", style="bold"), Text()]
    if best is None or best.best is None:
        rows.append(_line("no trial has reported yet", style="dim"))
    else:
        told = report_text(best.best, stages, with_name=width >= _WIDE)
        grid = Table.grid(padding=(0, 2))
        grid.add_row(Text("best", style="dim"), _cut(Text.assemble((f"trial {best.id}  ", "bold green"), told)))
        grid.add_row("", Text(short_params(params_at(best, best.best), short_names(config.space))))
        rows.append(grid)
    if history.trials:
        rows += [Text(), _trials(history, config, width - 4, stages, now, max_rows, is_ascii)]
    dot = "-" if is_ascii else "·"
    return Frame(
        Group(*rows),
        title=Text(f"{name} ({method_text(config)})", style="bold", overflow="ellipsis"),
        title_align="left",
        subtitle=_line(_times(summary, f" {dot} ")),
        subtitle_align="right",
        border_style="green" if history.ended else "cyan",
        width=width,
    )


def method_text(config: TuningConfig) -> str:
    """Return who proposes and who is stopped, for instance ``bayesopt, asha``."""
    search, kind = config.search, config.scheduler.kind
    if config.scheduler.is_population:
        return kind
    return f"{search.method}{f' {search.sampler}' if search.method == 'optuna' else ''}, {kind}"


def plain_line(name: str, summary: Summary, stages: tuple[str, ...]) -> str:
    """Return the whole search on one line."""
    best = summary.best
    parts = [
        name,
        f"trials: {summary.counts_text}",
        f"best {report_text(best.best, stages)} by {best.id}" if best and best.best else "no report yet",
        _times(summary, " | "),
    ]
    return " | ".join(parts)


def _times(summary: Summary, between: str) -> str:
    parts = [f"{format_count(summary.env_steps)} env steps"]
    if summary.elapsed_s is None:
        parts.append(f"{format_seconds(summary.trial_s)} of trials at work")
    else:
        parts.append(f"{format_seconds(summary.elapsed_s)} elapsed")
    if summary.eta_s is not None:
        parts.append(f"about {format_seconds(summary.eta_s)} to go")
    return between.join(parts)


def shown_first(history: History, max_rows: int) -> list[TrialHistory]:
    """Return the trials that get a row: running ones, then the best, then those without a report; the best one always."""
    order = {state: 0 if state == "running" else 2 if state == "pending" else 1 for state in STATES}
    trials = sorted(ranked(history.trials.values()), key=lambda trial: order[trial.state])
    shown, best = trials[:max_rows], history.best_trial
    return [*shown[:-1], best] if best is not None and best not in shown and shown else shown


def _trials(
    history: History, config: TuningConfig, width: int, stages: tuple[str, ...], now: float | None, max_rows: int, is_ascii: bool
) -> RenderableType:
    shown, best = shown_first(history, max_rows), history.best_trial
    left_out = set() if has_success(history) else {"success"}
    left_out |= {"stage"} if len(stages) == 1 else set()
    left_out |= set() if config.scheduler.is_population else {"exploits"}
    left_out |= set() if width >= _WIDE else {"last"}
    left_out |= set() if width >= _NARROW else {"exploits", "age", "values"}
    headers = {column: column for column in _COLUMNS if column not in left_out}
    headers |= {} if width >= _WIDE else {c: short for c, short in _SHORTER.items() if c in headers}
    mark = "*" if is_ascii else "★"
    rows = [_cells(trial, now, width >= _WITH_NAMES, mark if trial is best else "") for trial in shown]
    gap = 2 if width >= _WIDE else 1
    used = sum(max(len(headers[c]), *(row[c].cell_len for row in rows)) + gap for c in headers if c != "values")
    headers["values"], values = _values(shown, short_names(config.space), width - used)
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim", expand="values" not in left_out)
    for column, justify in _COLUMNS.items():
        if column not in left_out:
            ratio = 1 if column == "values" else None
            table.add_column(headers[column], justify=justify, no_wrap=True, overflow="ellipsis", ratio=ratio)
    for trial, row, value in zip(shown, rows, values, strict=True):
        style = "bold" if trial is best else "dim" if trial.state in ("stopped", "pending") else ""
        table.add_row(*({**row, "values": Text(value)}[c] for c in _COLUMNS if c not in left_out), style=style)
    return table if len(shown) == len(history.trials) else Group(table, _hidden_line(history, shown))


def _values(trials: Sequence[TrialHistory], names: dict[str, str], width: int) -> tuple[str, list[str]]:
    """Return header and cells of the searched values; where names beside them do not fit, they stand in the header alone."""
    named = [short_params(shown_params(trial), names) for trial in trials]
    if max(map(len, named)) <= width:
        return "values", named
    columns = [[short_value(shown_params(trial).get(key, "-")) for trial in trials] for key in names]
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return " ".join(names.values()), [" ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in rows]


def _hidden_line(history: History, shown: Sequence[TrialHistory]) -> Text:
    hidden = [trial for trial in history.trials.values() if trial not in shown]
    counts = {state: sum(trial.state == state for trial in hidden) for state in STATES}
    told = ", ".join(f"{num} {state}" for state, num in counts.items() if num)
    return _line(f"... and {len(hidden)} more ({told})", style="dim")


def _cells(trial: TrialHistory, now: float | None, with_name: bool, mark: str) -> dict[str, Text]:
    last, best, age = trial.last, trial.best, at_work_s(trial, now)  # the figures are the best report's, as in header and report
    return {
        "": Text(mark, style="green"),
        "trial": Text(trial.id),
        "state": Text(trial.state, style=STYLES[trial.state]),
        "stage": Text(stage_text(best, with_name=with_name)),
        "success": Text(percent_text(best.success_frac if best else None)),
        "objective": Text(number_text(best.objective if best else None)),
        "last": Text(number_text(last.objective if last else None)),
        "env steps": Text(format_count(last.env_steps) if last else "-"),
        "age": Text(format_seconds(age) if age else "-"),
        "exploits": Text(str(len(trial.exploits))),
    }


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
        f"trial {trial.id} ({number_text(exploit.objective)}) goes on from {exploit.donor} ({number_text(exploit.donor_objective)}) "
        f"at {format_count(exploit.env_steps)} env steps: {changes_text(exploit.params_before, exploit.params, names)}"
    )


def _mark_of(trial: TrialHistory | None) -> tuple[str, float] | None:
    return None if trial is None or trial.best is None else (trial.id, trial.best.objective)


def _num_events(history: History) -> int:
    return sum(1 + len(t.reports) + len(t.exploits) + len(t.failures) + t.is_over for t in history.trials.values())


def _line(text: str, style: str = "") -> Text:
    return _cut(Text(text, style=style))


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
