"""Learning curves of the trainings: every seed thin, their mean thick, the published level as a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reproduction.entry import Training
from reproduction.episodes import read_episodes
from reproduction.report import Row
from reproduction.store import Trial

_WINDOW = 20
"""Episodes over which a curve is smoothed."""
_INK, _LEVEL, _BOUND = "#1f5f8b", "#444444", "#c0392b"


def draw_overview(rows: Sequence[tuple[Row, Sequence[Trial]]], path: Path) -> Path | None:
    """Draw one panel per training that has episodes; None (and no file) when there is none."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = [(row, [t for t in trials if (t.folder / "episodes.csv").is_file()]) for row, trials in rows]
    panels = [(row, trials) for row, trials in panels if trials and isinstance(row.entry.task, Training)]
    if not panels:
        return None
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(4.2 * columns, 3.0 * lines), squeeze=False, layout="constrained")
    for axis, (row, trials) in zip(axes.flat, panels, strict=False):
        _draw_panel(axis, row, trials)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw_panel(axis: Any, row: Row, trials: Sequence[Trial]) -> None:
    entry = row.entry
    episodes = [read_episodes(trial.folder / "episodes.csv") for trial in trials]
    most = max((int(e.env_steps[-1]) for e in episodes if len(e.env_steps)), default=1)
    grid = np.linspace(0, most, 200)
    curves = np.array([e.curve(grid, _WINDOW) for e in episodes])
    for curve in curves:
        axis.plot(grid / 1000, curve, color=_INK, linewidth=0.7, alpha=0.5)
    seen = np.isfinite(curves)
    mean = np.divide(
        np.where(seen, curves, 0.0).sum(axis=0), seen.sum(axis=0), out=np.full(len(grid), np.nan), where=seen.any(axis=0)
    )
    axis.plot(grid / 1000, mean, color=_INK, linewidth=2.2, label=f"ours: {row.ours}")
    if entry.level is not None:
        axis.axhline(entry.level, color=_LEVEL, linewidth=1.2, label=f"published: {entry.published}")
    if entry.unit == "return" and entry.threshold != entry.level:
        axis.axhline(entry.threshold, color=_BOUND, linewidth=0.9, linestyle="--", label=f"{entry.bound} {entry.threshold:.1f}")
    axis.set_title(entry.name, fontsize=10)
    axis.set_xlabel("thousand env steps")
    axis.set_ylabel(f"training return ({_WINDOW} episodes)", fontsize=9)
    axis.grid(alpha=0.25)
    axis.legend(fontsize=7, loc="lower right")
