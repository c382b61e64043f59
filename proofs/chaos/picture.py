"""The run as a picture: how fast it went, and what was done to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from proofs.chaos.record import Commit, Reading, times_of_change

_INK = {"env_steps": "#1f5f8b", "learner_step": "#2f7d4f"}
_LABEL = {"env_steps": "env steps / s", "learner_step": "learner steps / s"}
_COLOURS = (
    "#c0392b", "#c0792b", "#7d3c98", "#2471a3", "#117a65", "#b7950b", "#5d6d7e", "#a04000", "#6c3483", "#1a5276",
    "#0e6251", "#7e5109",
    "#424949", "#922b21", "#1e8449", "#283747", "#943126",
)  # fmt: skip
_GRID_S, _WINDOW_S, _LATE_S = 0.5, 2.0, 0.5


def speeds(readings: Sequence[Reading], name: str, grid: np.ndarray) -> np.ndarray:
    """Return steps per second around each time of ``grid`` (epoch seconds), over 2 s; a step back counts as none."""
    changes = times_of_change(readings, name)
    if len(changes) < 2:
        return np.zeros_like(grid)
    quiet = [
        (b[0] - _LATE_S, a[1]) for a, b in pairwise(changes) if b[0] - a[0] > 2 * _LATE_S
    ]  # it stood still, and then went on
    changes = sorted([*changes, *quiet], key=lambda change: change[0])
    time, value = np.array([c[0] for c in changes]), np.array([c[1] for c in changes], np.float64)
    made = np.concatenate([[0.0], np.cumsum(np.maximum(np.diff(value), 0.0))])
    at = np.interp(np.concatenate([grid - _WINDOW_S / 2, grid + _WINDOW_S / 2]), time, made)
    return (at[len(grid) :] - at[: len(grid)]) / _WINDOW_S


def draw_timeline(
    readings: Sequence[Reading], faults: Sequence[Mapping[str, Any]], commits: Sequence[Commit], path: Path, title: str
) -> None:
    """Draw both speeds over time, a mark at every fault, a band for as long as the learner stood still, a tick at every
    commit.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    began, ended = readings[0].time, readings[-1].time
    grid = np.arange(began, ended, _GRID_S)
    kinds = list(dict.fromkeys(fault["kind"] for fault in faults))
    colours = {kind: _COLOURS[i % len(_COLOURS)] for i, kind in enumerate(kinds)}
    figure, (lanes, *axes) = plt.subplots(
        3, 1, figsize=(13, 3.6 + 0.3 * len(kinds)), sharex=True, layout="constrained",
        gridspec_kw={"height_ratios": [0.24 * len(kinds) + 0.3, 1.5, 1.5]},
    )  # fmt: skip
    for axis, name in zip(axes, ("env_steps", "learner_step"), strict=True):
        speed = speeds(readings, name, grid)
        axis.fill_between(grid - began, speed, color=_INK[name], alpha=0.25, linewidth=0)
        axis.plot(grid - began, speed, color=_INK[name], linewidth=1.1)
        axis.set_ylabel(_LABEL[name])
        axis.set_ylim(bottom=0)
    for fault in faults:
        colour, at = colours[fault["kind"]], fault["time"] - began
        lane = len(kinds) - 1 - kinds.index(fault["kind"])
        lasted = fault["back_s"] if fault["back_s"] is not None else ended - fault["time"]
        lanes.barh(lane, lasted, left=at, height=0.55, color=colour, alpha=0.45)
        lanes.plot(at, lane, marker="v", markersize=5, color=colour)
        for axis in axes:
            axis.axvline(at, color=colour, linewidth=0.8, alpha=0.7)
    lanes.set_yticks(range(len(kinds)), list(reversed(kinds)), fontsize=9)
    lanes.set_ylim(-0.6, len(kinds) - 0.4)
    lanes.set_title(title, loc="left", fontsize=11)
    lanes.tick_params(axis="x", length=0)
    inside = [commit.time - began for commit in commits if began <= commit.time <= ended]
    axes[1].plot(
        inside,
        np.zeros(len(inside)),
        marker="|",
        linestyle="",
        color="#444444",
        markersize=9,
        clip_on=False,
        label="checkpoint",
    )
    if inside:
        axes[1].legend(loc="upper left", fontsize=8, frameon=False)
    axes[1].set_xlabel("seconds; a bar lasts from the fault until what was lost is at work again")
    for axis in (lanes, *axes):
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlim(0, ended - began)
    figure.savefig(path, dpi=120)
    plt.close(figure)
