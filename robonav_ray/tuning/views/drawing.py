"""How the pictures of a search look: colours, axes, and a figure that touches no state of matplotlib's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import replacing_path
from robonav_ray.text import picture_text
from robonav_ray.tuning.search_records import State

INK, FAINT, GRID = "#22313f", "#66727f", "#e6e9ed"
BEST = "#1a9a6c"
STATE_COLOURS: dict[State, str] = {
    "running": "#e08e24",
    "finished": "#2d6fb4",
    "stopped": "#9aa5b1",
    "failed": "#d1495b",
    "pending": "#c9d1d9",
}
BANDS = ("#f5f8fc", "#ebf1f9")


def make_figure(width: float, height: float) -> Any:
    """Return a figure of ``width`` x ``height`` inches that no global state knows (no pyplot)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def prepare(axes: Any, title: str, *, x: str = "", y: str = "", grid: str = "y") -> None:
    """Give axes a title, labels and a light grid, and take the box away."""
    axes.set_title(picture_text(title), fontsize=10, color=INK, loc="left")
    axes.set_xlabel(picture_text(x), color=FAINT, fontsize=9)
    axes.set_ylabel(picture_text(y), color=FAINT, fontsize=9)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=FAINT, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def count_axis(axis: Any) -> None:
    """Write the ticks of an axis of env steps as 200k and 1.2M."""
    from matplotlib.ticker import EngFormatter

    axis.set_major_formatter(EngFormatter(sep=""))


def written(path: Path, write: Callable[[Path], object]) -> Path:
    """Have ``write`` make the file aside, then put it in its place at once; return ``path``."""
    with replacing_path(path) as aside:
        write(aside)
    return path
