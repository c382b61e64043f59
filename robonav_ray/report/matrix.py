"""A table of shares as a picture: the darker, the more; the figure in each field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robonav_ray.report.style import BLUE, FAINT, INK, bare_axes

MOST_FIGURES = 24
"""Columns up to which fields have room for their figures."""


def draw_matrix(axes: Any, share: np.ndarray, rows: Sequence[str], columns: Sequence[str], label: str) -> None:
    """Draw ``share`` (R, C) from 0 to 1, in percent; nan is an empty field. Names are as pictures take them."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("share", ["#ffffff", BLUE])
    axes.imshow(np.ma.masked_invalid(share), cmap=colours, vmin=0.0, vmax=1.0, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=30 if len(columns) < 12 else 90, ha="left")
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    bare_axes(axes, grid="", size=7.5)
    axes.tick_params(colors=INK)
    if len(columns) <= MOST_FIGURES:
        for i, j in np.argwhere(np.isfinite(share)).tolist():
            colour = "white" if share[i, j] > 0.6 else INK
            axes.text(j, i, f"{100 * share[i, j]:.1f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xlabel(label, color=FAINT, fontsize=8)
