"""The ablation as a picture: a bar per switch, as long as what is lost without it, with its interval and each seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robonav_ray.evaluation.ablation.table import AblationTable, Row, rows_by_loss
from robonav_ray.files.plain_files import replacing_path
from robonav_ray.report.style import BLUE, FAINT, GREEN, INK, RED, bare_axes, make_figure, save_figure
from robonav_ray.text import picture_text

PICTURE = "ablation.png"


def draw_losses(table: AblationTable, path: Path) -> Path | None:
    """Draw the picture into ``path`` (aside, then renamed); None, and nothing drawn, where nothing can be compared."""
    figure = losses_figure(table)
    if figure is None:
        return None
    with replacing_path(path) as aside:
        save_figure(figure, aside)
    return path


def losses_figure(table: AblationTable) -> Any:
    """Return the picture as a figure of matplotlib; None where nothing can be compared."""
    rows = rows_by_loss(table)
    if not rows:
        return None
    scale = 100.0 if table.measure == "success" else 1.0
    figure = make_figure(18.0, 2.6 + 0.75 * len(rows), dpi=150)
    axes = figure.add_subplot()
    bare_axes(axes, grid="x")
    for place, row in enumerate(reversed(rows)):
        _draw(axes, place, row, scale)
    axes.axvline(0.0, color=INK, linewidth=1.0)
    axes.set_yticks(range(len(rows)), [picture_text(f"without {row.switch}") for row in reversed(rows)])
    axes.tick_params(axis="y", labelsize=9, labelcolor=INK)
    unit = "points of success" if table.measure == "success" else "mean return"
    axes.set_xlabel(f"lost without it, {unit} ({table.confidence:.0%} interval over seeds)", color=FAINT, fontsize=8.5)
    title = picture_text(f"{table.name}: what each part is worth")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    return figure


def _draw(axes: Any, place: int, row: Row, scale: float) -> None:
    assert row.difference is not None
    loss = -scale * row.difference
    colour = {"worth having": GREEN, "better without": RED}.get(row.verdict, BLUE)
    axes.barh(place, loss, height=0.55, color=colour, alpha=0.75, zorder=2)
    if row.difference_low is not None and row.difference_high is not None:
        ends = [[loss + scale * row.difference_high], [-scale * row.difference_low - loss]]
        axes.errorbar([loss], [place], xerr=ends, fmt="none", ecolor=INK, elinewidth=1.3, capsize=3, zorder=3)
    seeds = [-scale * difference for difference in row.differences]
    axes.plot(seeds, [place] * len(seeds), "o", color="white", markeredgecolor=INK, markersize=4, zorder=4)
