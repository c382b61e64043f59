"""The pictures of the report, as SVG and PNG, in the one drawing style."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from robonav_ray.evaluation.comparing.rates import Interval
from robonav_ray.evaluation.exam_report.view import Contestant, ExamView
from robonav_ray.records import Outcome
from robonav_ray.report.document import Figure
from robonav_ray.report.style import (
    BANDS,
    FAINT,
    INK,
    bare_axes,
    line_of,
    make_figure,
    png_of,
    svg_of,
)
from robonav_ray.text import picture_text

WIDTH_CM, _MOST_CM = 16.8, 19.0
"""The width of the text, and the height of a picture that has room for its caption below."""
_SMALL = 7.5


def drawn(name: str, figure: Any, caption: str, alt: str, width: float = 1.0) -> Figure:
    """Return a figure of matplotlib as a block of the document."""
    return Figure(name, caption, alt, svg_of(figure), width=width, as_png=partial(png_of, figure))


def short(name: str, most: int = 28) -> str:
    """Return a name for a picture, its middle left out where it is long."""
    return picture_text(name if len(name) <= most else f"{name[: most - 9]}\N{HORIZONTAL ELLIPSIS}{name[-8:]}")


def forest(view: ExamView, rows: Sequence[tuple[Contestant, Interval]], caption: str) -> Figure:
    """Draw a point with its interval for each contestant, the best on top, and the figure beside it."""
    figure = make_figure(WIDTH_CM, 1.5 + 0.62 * len(rows))
    axes = figure.add_subplot()
    bare_axes(axes, grid="x")
    scale = 100.0 if view.tells_success else 1.0
    for y, (one, found) in enumerate(rows):
        _point(axes, one, found, y, scale, 5.5)
        axes.text(
            1.015,
            y,
            _figure(view, found.value),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=INK,
        )
    axes.set_yticks(range(len(rows)), [short(one.shown) for one, _ in rows])
    axes.tick_params(axis="y", labelsize=8, colors=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(_axis(view), fontsize=_SMALL, color=FAINT)
    return drawn("overall", figure, caption, "success of each entrant with its interval")


def _point(
    axes: Any, one: Contestant, found: Interval, y: float, scale: float, size: float, label: str | None = None
) -> None:
    """Draw an estimate at height ``y`` on the bar of its interval, in the contestant's colour."""
    colour, marker = line_of(one.number)
    bar = [found.low * scale, found.high * scale]
    axes.plot(bar, [y, y], color=colour, linewidth=0.57 * size, alpha=0.38, solid_capstyle="round")
    axes.plot([found.value * scale], [y], marker=marker, color=colour, markersize=size, linestyle="none", label=label)


def _figure(view: ExamView, value: float) -> str:
    return f"{100 * value:.1f}%" if view.tells_success else f"{value:.3g}"


def _axis(view: ExamView) -> str:
    return "success (%)" if view.tells_success else view.metric.name


_SHARES = (
    ("success", (Outcome.SUCCESS,), "#1a9a6c"),
    ("collision, moving", (Outcome.COLLISION_DYNAMIC, Outcome.COLLISION_ROBOT), "#d1495b"),
    ("collision, static", (Outcome.COLLISION_STATIC, Outcome.COLLISION_WALL), "#e8a0a9"),
    ("timeout", (Outcome.TIMEOUT, Outcome.NONE, Outcome.CUT_OFF), "#c5ccd4"),
)


def outcome_bars(view: ExamView, scenarios: Sequence[int]) -> Figure:
    """Draw how the episodes of each contestant ended, stacked to 100 %, with a panel for each scenario."""
    columns = min(len(scenarios), 4)
    rows = -(-len(scenarios) // columns)
    figure = make_figure(WIDTH_CM, rows * (1.3 + 0.42 * len(view.ranked)) + 0.9)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    names = [short(one.shown, 26) for one in view.ranked]
    for panel, s in zip(grid.flat, scenarios, strict=False):
        bare_axes(panel, grid="")
        left = np.zeros(len(names))
        for label, kinds, colour in _SHARES:
            part = np.array([_share(view, one, s, kinds) for one in view.ranked])
            panel.barh(range(len(names)), part, left=left, color=colour, height=0.68, label=label)
            left += part
        panel.set_title(short(view.table.scenario_names[s].replace("_", " ")), fontsize=8, color=INK, loc="left")
        panel.set_xlim(0, 100)
        panel.set_xticks([0, 50, 100])
    for panel in grid.flat[len(scenarios) :]:
        panel.set_axis_off()
    grid.flat[0].set_yticks(range(len(names)), names)
    grid.flat[0].invert_yaxis()
    for row in grid:
        row[0].tick_params(axis="y", labelsize=_SMALL, colors=INK)
    figure.legend(
        *grid.flat[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=_SMALL,
        labelcolor=INK,
    )
    caption = (
        "How the episodes ended, in percent of all: one bar for each entrant, one panel for each scenario. Read the "
        "green from the left: it is the success; red is a collision with what moves, rose with what stands, grey an "
        "episode that ran out of time."
    )
    return drawn("outcomes", figure, caption, "bars of success, collisions and timeouts by entrant and scenario")


def _share(view: ExamView, one: Contestant, scenario: int, kinds: tuple[Outcome, ...]) -> float:
    if not view.has(one, scenario):
        return 0.0
    outcome = view.table.columns["outcome"][np.concatenate([view.rows(e, scenario) for e in one.entrants])]
    return 100.0 * float(np.isin(outcome, kinds).mean())


def sweep_curves(view: ExamView, factors: dict[str, list[int]], name: str) -> Figure:
    """Draw success over the level of each factor, a panel for each, a line for each contestant, its interval as a
    band.
    """
    columns = 3 if len(factors) <= 9 else 4
    rows = -(-len(factors) // columns)
    figure = make_figure(WIDTH_CM, (4.2 if columns == 3 else 3.5) * rows + 1.0)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for panel, (factor, scenarios) in zip(grid.flat, factors.items(), strict=False):
        bare_axes(panel)
        for one in view.contestants:
            _curve(view, panel, one, scenarios)
        panel.set_title(short(factor.replace("_", " ")), fontsize=8.5, color=INK, loc="left")
        panel.set_xticks(sorted({float(view.table.scenarios[s].level or 0.0) for s in scenarios}))
        panel.xaxis.set_major_formatter("{x:g}")
    for panel in grid.flat[len(factors) :]:
        panel.set_axis_off()
    if view.tells_success:
        grid.flat[0].set_ylim(-3, 103)
    for row in grid:
        row[0].set_ylabel(_axis(view), fontsize=_SMALL, color=FAINT)
    handles = [h for panel in grid.flat[:1] for h in panel.get_legend_handles_labels()[0]]
    labels = [h.get_label() for h in handles]
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=_SMALL, labelcolor=INK)
    caption = (
        "Success over the level of one disturbance at a time; 0 is none, 3 the strongest. A line that stays flat is "
        f"robust; one that falls shows from which level on the entrant fails. Bands are {view.confidence:.0%} "
        "intervals."
    )
    return drawn(name, figure, caption, "curves of success over the level of each disturbance")


def _curve(view: ExamView, axes: Any, one: Contestant, scenarios: Sequence[int]) -> None:
    scale = 100.0 if view.tells_success else 1.0
    points = [(float(view.table.scenarios[s].level or 0.0), view.estimate(one, [s])) for s in scenarios]
    known = [(level, found) for level, found in points if found is not None]
    colour, marker = line_of(one.number)
    levels = [level for level, _ in known]
    axes.fill_between(
        levels,
        [f.low * scale for _, f in known],
        [f.high * scale for _, f in known],
        color=colour,
        alpha=0.13,
        linewidth=0,
    )
    axes.plot(
        levels,
        [f.value * scale for _, f in known],
        color=colour,
        marker=marker,
        markersize=3.4,
        linewidth=1.5,
        label=short(one.shown),
    )


def _row_cm(view: ExamView) -> float:
    return 0.34 * len(view.contestants) + 0.35


def rows_on_a_page(view: ExamView) -> int:
    """Return how many scenarios ``dots`` can draw on one page."""
    return max(1, int((_MOST_CM - 1.9) / _row_cm(view)))


def dots(view: ExamView, scenarios: Sequence[int], name: str, caption: str) -> Figure:
    """Draw one row for each scenario, on it a point with its interval for each contestant."""
    figure = make_figure(WIDTH_CM, 1.9 + len(scenarios) * _row_cm(view))
    axes = figure.add_subplot()
    bare_axes(axes, grid="x")
    scale = 100.0 if view.tells_success else 1.0
    step = 0.8 / max(len(view.contestants), 1)
    for y, s in enumerate(scenarios):
        if y % 2 == 0:
            axes.axhspan(y - 0.5, y + 0.5, color=BANDS[0], linewidth=0)
        for one in view.contestants:
            found = view.estimate(one, [s])
            if found is None:
                continue
            at = y + (one.number - (len(view.contestants) - 1) / 2) * step
            _point(axes, one, found, at, scale, 4.0, short(one.shown) if y == 0 else None)
    axes.set_yticks(range(len(scenarios)), [short(view.table.scenario_names[s].replace("_", " ")) for s in scenarios])
    axes.tick_params(axis="y", labelsize=8, colors=INK)
    axes.set_ylim(len(scenarios) - 0.5, -0.5)
    axes.set_xlabel(_axis(view), fontsize=_SMALL, color=FAINT)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=_SMALL, labelcolor=INK)
    return drawn(name, figure, caption, "points with intervals by scenario and entrant")


def profile_lines(
    thresholds: np.ndarray, lines: Sequence[tuple[Contestant, np.ndarray]], caption: str, label: str
) -> Figure:
    """Draw performance profiles: the share of scores above each threshold."""
    figure = make_figure(WIDTH_CM * 0.75, 5.6)
    axes = figure.add_subplot()
    bare_axes(axes, grid="both")
    for one, share in lines:
        colour, marker = line_of(one.number)
        looks = {"color": colour, "linewidth": 1.6, "marker": marker, "markersize": 3.4, "markevery": 20}
        axes.step(thresholds, share, where="post", label=short(one.shown), **looks)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(label, fontsize=_SMALL, color=FAINT)
    axes.set_ylabel("share of scores above", fontsize=_SMALL, color=FAINT)
    figure.legend(loc="outside right upper", frameon=False, fontsize=_SMALL, labelcolor=INK)
    return drawn("profiles", figure, caption, "performance profiles of the entrants", 0.8)
