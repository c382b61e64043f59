"""The one drawing style: ink, grid, the palette of lines, and figures of matplotlib that come out as the same bytes
each time.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

INK, FAINT, GRID = "#22313f", "#7f8c9a", "#e6e9ed"
GREEN, RED, BLUE, ORANGE, VIOLET = "#1a9a6c", "#d1495b", "#2d6fb4", "#e08e24", "#7a5ba6"
TEAL, BROWN, ROSE, SLATE, OLIVE = "#1797a6", "#8c5b3f", "#c2619b", "#5d6d7e", "#8a9a2b"
LINES = (BLUE, ORANGE, GREEN, VIOLET, RED, TEAL, BROWN, ROSE, SLATE, OLIVE)
"""Colours of entrants, in their order; told apart by people who do not see red or green, the first four at least."""
MARKERS = "os^DvPX<>h*"
"""Shapes beside the colours, for paper without colour; one more than colours, so that no two of 110 are alike."""
BANDS = ("#f2f6fb", "#e6eef8", "#d9e6f4", "#cbdcef")
NO_DATES: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
"""Metadata of a figure's file by its kind, so that the same figure is the same bytes."""


def line_of(number: int) -> tuple[str, str]:
    """Return colour and marker of the entrant with this number."""
    return LINES[number % len(LINES)], MARKERS[number % len(MARKERS)]


def make_figure(width_cm: float, height_cm: float, dpi: int = 120) -> Any:
    """Return an empty figure of matplotlib with a white ground, its own canvas, and nothing of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_cm / 2.54, height_cm / 2.54), dpi=dpi, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def bare_axes(axes: Any, *, grid: str = "y", size: float = 7.5) -> None:
    """Give ``axes`` a light grid and faint ticks, and take its box away."""
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, labelsize=size, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure of matplotlib; a character that its font lacks is a box, and no warning."""
    with _steady():
        figure.savefig(path, metadata=NO_DATES.get(path.suffix.lower().lstrip(".")))


def svg_of(figure: Any) -> str:
    """Return a figure as SVG for the inside of a page: letters as paths, ids and bytes the same each time, no date, no
    outside reference.
    """
    out = io.BytesIO()
    with _steady():
        figure.savefig(out, format="svg", metadata=NO_DATES["svg"])
    text = out.getvalue().decode()
    return re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL).strip()


def png_of(figure: Any, dpi: int = 200) -> bytes:
    """Return a figure as PNG, without date and program."""
    out = io.BytesIO()
    with _steady():
        figure.savefig(out, format="png", dpi=dpi, metadata=NO_DATES["png"])
    return out.getvalue()


@contextlib.contextmanager
def _steady() -> Iterator[None]:
    """While a figure is written: no warning of missing glyphs, ids made of the content, letters as paths."""
    import matplotlib as mpl

    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "robonav_ray", "svg.fonttype": "path"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
