"""The state of a search as a block of a terminal: header, the best trial and a row for each trial; and on one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Group, RenderableType
from rich.panel import Panel as Frame
from rich.table import Table
from rich.text import Text

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.screen import Screen
from robonav_ray.tracking.panel import format_count, format_seconds
from robonav_ray.tuning.search_records import History, TrialHistory
from robonav_ray.tuning.views.summary import (
    STATES,
    Summary,
    at_work_s,
    has_success,
    number_text,
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
)

MAX_ROWS = 20
STYLES = {"running": "cyan", "pending": "dim", "finished": "green", "stopped": "dim", "failed": "red"}
_MAX_WIDTH, _WITH_NAMES, _WIDE, _NARROW = 160, 130, 100, 70
_COLUMNS: dict[str, Literal["left", "right"]] = {
    "": "left", "trial": "left", "state": "left", "stage": "left", "success": "right", "objective": "right",
    "last": "right", "env steps": "right", "age": "right", "exploits": "right", "values": "left",
}  # fmt: skip
_SHORTER = {"env steps": "steps", "exploits": "expl."}


def search_block(
    history: History,
    config: TuningConfig,
    name: str,
    summary: Summary,
    console: Screen,
    now: float | None,
    max_rows: int,
) -> RenderableType:
    """Return header and trials as one block that fits the console; at most ``max_rows`` trials, running ones first,
    then the best.
    """
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
    """Return the trials that get a row: running ones, then the best, then those without a report; the best one
    always.
    """
    order = {state: 0 if state == "running" else 2 if state == "pending" else 1 for state in STATES}
    trials = sorted(ranked(history.trials.values()), key=lambda trial: order[trial.state])
    shown, best = trials[:max_rows], history.best_trial
    return [*shown[:-1], best] if best is not None and best not in shown and shown else shown


def _trials(
    history: History,
    config: TuningConfig,
    width: int,
    stages: tuple[str, ...],
    now: float | None,
    max_rows: int,
    is_ascii: bool,
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
    """Return header and cells of the searched values; where names beside them do not fit, they stand in the header
    alone.
    """
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
    # the figures are the best report's, as in header and report
    last, best, age = trial.last, trial.best, at_work_s(trial, now)
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


def _line(text: str, style: str = "") -> Text:
    return _cut(Text(text, style=style))


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
