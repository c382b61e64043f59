"""The plots of docs/scaling.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from proofs.scale.model import LIMITS, Costs, recommend
from proofs.scale.report import WORKLOADS, model_rows

BLUE, ORANGE, GREY, GREEN = "#1f6fb4", "#d9702b", "#8a8a8a", "#3a8f4d"
PARTS = ("rollout", "rank", "shard", "ledger", "curriculum", "weights", "mailbox", "host", "driver", "ray")
COLORS = ("#1f6fb4", "#d9702b", "#3a8f4d", "#8c5fb3", "#c44e52", "#937860", "#da8bc3", "#bcbd22", "#64b5cd", "#b0b0b0")


def draw_workers(result: Mapping[str, Any], cores: float, path: Path) -> None:
    """Env steps/s of sleeping workers beside the straight line, and which parts use the cores."""
    points = result["points"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.0))
    x, y = [p["workers"] for p in points], [p["env_steps_per_s"] for p in points]
    _against_linear(left, x, y, "rollout workers", "env steps/s")
    left.set_title(f"worlds that sleep {result['step_s']:g} s a vector step", fontsize=10)
    _stack(right, x, [p["cpu_cores"] for p in points], cores, "rollout workers")
    _finish(figure, path)


def draw_shards(result: Mapping[str, Any], cores: float, path: Path) -> None:
    """Rows sampled per second of sleeping and of real shards, and which parts use the cores."""
    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.0))
    for kind, color, label in (("latency", BLUE, "shards that sleep"), ("real", ORANGE, "real shards")):
        points = result[kind]
        _against_linear(
            axes[0],
            [p["shards"] for p in points],
            [p["samples_per_s"] for p in points],
            "shards",
            "rows sampled/s",
            color,
            label,
        )
    axes[0].legend(fontsize=8, frameon=False)
    for ax, kind, title in ((axes[1], "latency", "shards that sleep"), (axes[2], "real", "real shards")):
        _stack(ax, [p["shards"] for p in result[kind]], [p["cpu_cores"] for p in result[kind]], cores, "shards")
        ax.set_title(title, fontsize=10)
    _finish(figure, path)


def draw_model(results: Mapping[str, Mapping[str, Any]], cores: float, path: Path) -> None:
    """Predicted against measured rates, and what the model expects of 6 to 1,000 cores."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.0))
    rows = model_rows(results, cores)
    groups = (
        ("sleeping workers", BLUE, "sleeping workers"),
        ("shard", GREEN, "rows sampled"),
        ("ours", ORANGE, "whole system, our worlds"),
    )
    taken: set[str] = set()
    for key, color, label in groups:
        mine = [
            row
            for row in rows
            if key in row[0] and row[0] not in taken and (key != "shard" or "rows sampled" in row[0])
        ]
        taken |= {row[0] for row in mine}
        left.scatter([row[2] for row in mine], [row[1] for row in mine], s=22, color=color, label=label)
    span = [min(min(r[1], r[2]) for r in rows), max(max(r[1], r[2]) for r in rows)]
    left.plot(span, span, color=GREY, lw=1)
    left.set(xscale="log", yscale="log", xlabel="predicted per second", ylabel="measured per second")
    left.legend(fontsize=8, frameon=False)
    costs = Costs.from_dict(results["capacities"]["costs"])
    grid = (6, 10, 20, 40, 70, 100, 200, 400, 700, 1000)
    for (name, world_s), color in zip(WORKLOADS.items(), (BLUE, ORANGE), strict=True):
        found = [recommend(c, costs, world_s=world_s) for c in grid]
        right.plot(grid, [r.prediction.rows_per_s for r in found], color=color, marker="o", ms=4, label=name)
        last = ""
        for c, r in zip(grid, found, strict=True):
            if r.prediction.bottleneck != last:
                last = r.prediction.bottleneck
                at = (c, r.prediction.rows_per_s)
                right.annotate(last, at, textcoords="offset points", xytext=(2, 7), fontsize=8, color=color)
    right.set(xscale="log", yscale="log", xlabel="CPU cores", ylabel="env steps/s (model)")
    right.legend(fontsize=8, frameon=False, loc="lower right")
    right.set_title(f"extrapolated; services kept under {LIMITS['ledger']:.0%} busy", fontsize=10)
    _finish(figure, path)


def _against_linear(
    ax: Axes,
    x: Sequence[float],
    y: Sequence[float],
    xlabel: str,
    ylabel: str,
    color: str = BLUE,
    label: str = "measured",
) -> None:
    ax.plot(
        x,
        [y[0] * value / x[0] for value in x],
        color=GREY if color == BLUE else color,
        lw=1,
        ls="--",
        label="linear" if color == BLUE else None,
    )
    ax.plot(x, y, color=color, marker="o", ms=5, label=label)
    frac = y[-1] / y[0] * x[0] / x[-1]
    if frac > 0.5:
        ax.annotate(
            f"{frac:.0%} of linear",
            (x[-1], y[-1]),
            textcoords="offset points",
            xytext=(-66, -22),
            fontsize=8,
            color=color,
        )
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.set_xticks(list(x), [f"{value:g}" for value in x])
    ax.minorticks_off()
    ax.legend(fontsize=8, frameon=False)


def _stack(ax: Axes, x: Sequence[float], by_point: Sequence[Mapping[str, float]], cores: float, xlabel: str) -> None:
    """Cores in use by part, a bar a point, and the line where the machine ends."""
    base, places = [0.0] * len(x), range(len(x))
    for part, color in zip(PARTS, COLORS, strict=True):
        heights = [cpu.get(part, 0.0) for cpu in by_point]
        if max(heights) > 0.0:
            ax.bar(places, heights, bottom=base, color=color, width=0.7, label=part)
        base = [b + h for b, h in zip(base, heights, strict=True)]
    ax.axhline(cores, color="black", lw=1, ls=":")
    ax.annotate("all cores of the machine", (0, cores), textcoords="offset points", xytext=(-8, 3), fontsize=8)
    ax.set(xlabel=xlabel, ylabel="cores in use", ylim=(0, cores * 1.4))
    ax.set_xticks(list(places), [f"{value:g}" for value in x])
    ax.legend(
        fontsize=7, frameon=False, loc="upper left", ncols=5, columnspacing=0.9, handlelength=1.1, handletextpad=0.4
    )


def _finish(figure: Any, path: Path) -> None:
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
