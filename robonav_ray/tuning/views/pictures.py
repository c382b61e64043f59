"""The pictures of a search, drawn from its history alone: curves, rungs, lineage, and values against what they came
to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robonav_ray.config.tuning import DimensionConfig, TuningConfig
from robonav_ray.report.style import save_figure
from robonav_ray.text import picture_text
from robonav_ray.tuning.search_records import History, State, TrialHistory, best_report
from robonav_ray.tuning.views.drawing import (
    BANDS,
    BEST,
    FAINT,
    INK,
    STATE_COLOURS,
    count_axis,
    make_figure,
    prepare,
    written,
)
from robonav_ray.tuning.views.picture_schedulers import draw_lineage, draw_rungs
from robonav_ray.tuning.views.summary import has_success, params_at, short_names, short_value, stage_names

CAPTIONS = {
    "learning_curves.png": "Objective at every report, by env steps of the trial itself. The best trial is green.",
    "rungs.png": "How many trials reached each rung and went on from it, and what stopping the others has saved.",
    "lineage.png": "Who went on from whom: an arrow leads from the donor to the trial that took over its weights.",
    "values.png": "Every searched value against the best objective of its trial. Trials that were stopped early had "
    "fewer env steps.",
}
"""By file name, in the order in which a report shows them."""
_MIN_FOR_RHO = 6
_MARKS: dict[State, str] = {"stopped": "x", "failed": "X", "finished": "o", "running": ">"}


class Point(NamedTuple):
    """Values that were tried, and their best objective."""

    trial: str
    state: State
    params: dict[str, Any]
    objective: float


def draw_pictures(history: History, config: TuningConfig, folder: Path) -> list[Path]:
    """Draw what applies to the search into ``folder`` (made if need be; aside, then renamed) and return where it is.

    Nothing is drawn before the first report.
    """
    drawers = {
        "learning_curves.png": draw_learning_curves,
        "rungs.png": draw_rungs,
        "lineage.png": draw_lineage,
        "values.png": draw_values,
    }
    if history.best_trial is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    figures = {name: drawers[name](history, config) for name in CAPTIONS}
    return [
        written(folder / name, partial(save_figure, figure)) for name, figure in figures.items() if figure is not None
    ]


def draw_learning_curves(history: History, config: TuningConfig) -> Any:
    """Return a figure with the objective of every trial over its env steps."""
    figure = make_figure(12, 5.4)
    axes = figure.add_subplot()
    with_stages = has_success(history)
    prepare(axes, "Learning curves", x="env steps of the trial", y="objective" if with_stages else "mean return")
    count_axis(axes.xaxis)
    trials, best = [trial for trial in history.trials.values() if trial.reports], history.best_trial
    alpha = min(0.85, max(0.25, 8.0 / max(len(trials), 1)))
    for trial in trials:
        if trial is not best:
            _draw_curve(axes, trial, STATE_COLOURS[trial.state], 0.9 if trial.state == "running" else alpha, 1.2)
    if best is not None and best.best is not None:
        _draw_curve(axes, best, BEST, 1.0, 2.6)
        at = (best.best.env_steps, best.best.objective)
        axes.plot(*at, marker="*", markersize=15, color=BEST, markeredgecolor="white", zorder=6, clip_on=False)
    furthest = max(trial.last.env_steps for trial in trials if trial.last)
    axes.set_xlim(0.0, max(config.trial.max_env_steps, furthest) * 1.02)
    if with_stages:
        _draw_stages(axes, history, stage_names(config))
    _curve_legend(axes, trials, best)
    return figure


def _draw_curve(axes: Any, trial: TrialHistory, colour: str, alpha: float, linewidth: float) -> None:
    steps, value = [r.env_steps for r in trial.reports], [r.objective for r in trial.reports]
    axes.plot(steps, value, color=colour, alpha=alpha, linewidth=linewidth, zorder=4 if linewidth > 2 else 3)
    size = 7 if trial.state in ("stopped", "failed") else 4
    axes.plot(
        steps[-1], value[-1], marker=_MARKS[trial.state], markersize=size, color=colour, linestyle="none", zorder=5
    )
    jumps = [r for r in trial.reports if any(e.env_steps == r.env_steps for e in trial.exploits)]
    axes.plot(
        [r.env_steps for r in jumps],
        [r.objective for r in jumps],
        "v",
        color=colour,
        markersize=6,
        markeredgecolor="white",
        zorder=5,
    )


def _draw_stages(axes: Any, history: History, names: Sequence[str]) -> None:
    """Bands and lines: objective k to k + 1 is stage k, counted from 0."""
    highest = max(trial.best.objective for trial in history.trials.values() if trial.best)
    top = max(math.ceil(highest), 1)
    where = axes.get_yaxis_transform()
    for stage in range(top):
        axes.axhspan(stage, stage + 1, color=BANDS[stage % 2], linewidth=0, zorder=0)
        if stage:
            axes.axhline(stage, color=FAINT, linewidth=0.8, linestyle=(0, (5, 4)), zorder=1)
        name = f" {names[stage].replace('_', chr(10))}" if stage < len(names) else ""
        axes.text(
            1.008, stage + 0.5, picture_text(f"{stage}{name}"), transform=where, va="center", fontsize=8, color=FAINT
        )
    axes.set_ylim(0.0, top)


def _curve_legend(axes: Any, trials: Sequence[TrialHistory], best: TrialHistory | None) -> None:
    from matplotlib.lines import Line2D

    handles = (
        []
        if best is None
        else [
            Line2D([], [], color=BEST, linewidth=2.6, marker="*", markersize=11, label=picture_text(f"best: {best.id}"))
        ]
    )
    for state, mark in _MARKS.items():
        num = sum(trial.state == state for trial in trials)
        if num:
            handles.append(
                Line2D([], [], color=STATE_COLOURS[state], marker=mark, markersize=6, label=f"{num} {state}")
            )
    if any(trial.exploits for trial in trials):
        handles.append(Line2D([], [], color=FAINT, marker="v", linestyle="none", label="goes on from another"))
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )


def tried_points(history: History) -> list[Point]:
    """Return a point for each trial that has reported; in a population, for each stretch between two exploits."""
    points = []
    for trial in history.trials.values():
        stretches: dict[int, list[Any]] = {}
        for report in trial.reports:
            stretches.setdefault(sum(e.env_steps < report.env_steps for e in trial.exploits), []).append(report)
        for reports in stretches.values():
            best = best_report(reports)
            if best is not None:
                points.append(Point(trial.id, trial.state, params_at(trial, best), best.objective))
    return points


def draw_values(history: History, config: TuningConfig) -> Any | None:
    """Return a figure with axes for every searched key; None when nothing was tried."""
    points, names = tried_points(history), short_names(config.space)
    keys = [key for key in config.space if any(key in point.params for point in points)]
    if not keys:
        return None
    num_columns = min(len(keys), 4 if len(keys) > 6 else 3)
    num_rows = -(-len(keys) // num_columns)
    figure = make_figure(12, 0.5 + 2.9 * num_rows)
    label = "best objective" if has_success(history) else "best mean return"
    first = None
    for i, key in enumerate(keys):
        axes = first = figure.add_subplot(num_rows, num_columns, i + 1, sharey=first)
        there = [point for point in points if key in point.params]
        prepare(axes, names[key] + _rho_text(config.space[key], there, key), y=label if i % num_columns == 0 else "")
        _draw_dimension(axes, config.space[key], there, key)
    handles = _state_handles(points)
    figure.legend(
        handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=9, labelcolor=INK
    )
    return figure


def _draw_dimension(axes: Any, dimension: DimensionConfig, points: Sequence[Point], key: str) -> None:
    if dimension.kind == "choice":
        labels = list(dict.fromkeys(short_value(value) for value in (dimension.choice or ())))
        labels += [t for t in dict.fromkeys(short_value(p.params[key]) for p in points) if t not in labels]
        jitter = [0.18 * math.sin(2.4 * i) for i in range(len(points))]
        places = [labels.index(short_value(p.params[key])) + shift for p, shift in zip(points, jitter, strict=True)]
        axes.set_xticks(range(len(labels)), [picture_text(_cut(label)) for label in labels])
        axes.set_xlim(-0.6, len(labels) - 0.4)
        if max(map(len, labels)) * len(labels) > 36:
            axes.tick_params(axis="x", labelrotation=25)
    else:
        places = [float(p.params[key]) for p in points]
        if dimension.kind.startswith("log"):
            axes.set_xscale("log")
        low, high = getattr(dimension, dimension.kind)
        axes.axvspan(low, high, color=BANDS[0], linewidth=0, zorder=0)
    best = max(range(len(points)), key=lambda i: points[i].objective)
    for place, point in zip(places, points, strict=True):
        hollow = point.state == "stopped"
        colour = STATE_COLOURS[point.state]
        axes.plot(
            place,
            point.objective,
            "o",
            color=colour,
            markersize=6,
            alpha=0.8,
            markerfacecolor="none" if hollow else colour,
        )
    axes.plot(
        places[best],
        points[best].objective,
        "*",
        color=BEST,
        markersize=16,
        markeredgecolor="white",
        zorder=5,
        clip_on=False,
    )


def _rho_text(dimension: DimensionConfig, points: Sequence[Point], key: str) -> str:
    """Return Spearman's rank correlation of a number with the objective; nothing for choices and for few points."""
    if dimension.kind == "choice" or len(points) < _MIN_FOR_RHO:
        return ""
    from scipy.stats import rankdata

    ranks = [rankdata([float(point.params[key]) for point in points]), rankdata([point.objective for point in points])]
    if any(np.ptp(rank) == 0.0 for rank in ranks):
        return ""
    return f"   rank correlation {np.corrcoef(*ranks)[0, 1]:+.2f}"


def _state_handles(points: Sequence[Point]) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=BEST, marker="*", markersize=11, linestyle="none", label="best")]
    for state in _MARKS:
        if any(point.state == state for point in points):
            fill = "none" if state == "stopped" else STATE_COLOURS[state]
            colour = STATE_COLOURS[state]
            handles.append(
                Line2D([], [], color=colour, marker="o", markerfacecolor=fill, linestyle="none", label=state)
            )
    return handles


def _cut(text: str, most: int = 18) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
