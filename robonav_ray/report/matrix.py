"""A table of shares as a picture: the darker, the more; the figure in each field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robonav_ray.report.style import BLUE, FAINT, INK, bare_axes

MOST_FIGURES = 24
"""Columns up to which fields have room for their figures."""
_MOST_SLANTED = 12
"""Columns from which on their names stand upright."""


def draw_matrix(
    axes: Any,
    share: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    *,
    colour: str = BLUE,
    form: str = "{:.1f}",
    times: float = 100.0,
    is_square: bool = False,
) -> None:
    """Draw ``share`` (R, C) from 0 to 1; nan is an empty field. Names are as pictures take them.

    Args:
        axes: Of matplotlib.
        share: From 0 (white) to 1 (``colour``).
        rows: Their names.
        columns: Likewise.
        label: What it is, below it.
        colour: Of a share of 1.
        form: Of the figure in a field, which is share x ``times``.
        times: See ``form``; 100 for percent.
        is_square: Whether fields are as wide as they are high, and the names of columns upright.
    """
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("share", ["#ffffff", colour])
    aspect = "equal" if is_square else "auto"
    axes.imshow(np.ma.masked_invalid(share), cmap=colours, vmin=0.0, vmax=1.0, aspect=aspect)
    is_upright = is_square or len(columns) >= _MOST_SLANTED
    axes.set_xticks(
        range(len(columns)), columns, rotation=90 if is_upright else 30, ha="center" if is_upright else "left"
    )
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    bare_axes(axes, grid="", size=7.5)
    axes.tick_params(colors=INK)
    if len(columns) <= MOST_FIGURES:
        for i, j in np.argwhere(np.isfinite(share)).tolist():
            ink = "white" if share[i, j] > 0.6 else INK
            axes.text(j, i, form.format(times * share[i, j]), ha="center", va="center", fontsize=6.5, color=ink)
    axes.set_xlabel(label, color=FAINT, fontsize=8)
