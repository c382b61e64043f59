"""One picture of the results: learning curves, solved bits, updates of the cliffwalk, seconds of the peers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from proofs.reproduction.entry import Training
from proofs.reproduction.episodes import read_episodes
from proofs.reproduction.report import Row
from proofs.reproduction.store import Trial

Judged = Sequence[tuple[Row, Sequence[Trial]]]
Draw = Callable[[Any], None]
_WINDOW = 20
"""Episodes over which a curve is smoothed."""
_INK, _OTHER, _LEVEL, _BOUND = "#1f5f8b", "#c0792b", "#444444", "#c0392b"


def draw_overview(judged: Judged, path: Path) -> Path | None:
    """Draw one panel per training with a curve to show, and one for each group that is shown together; None when there
    is nothing.
    """
    panels = make_panels(judged)
    if not panels:
        return None
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4.2 * columns, 3.0 * lines), squeeze=False, layout="constrained"
    )
    for axis, draw in zip(axes.flat, panels, strict=False):
        draw(axis)
        axis.grid(alpha=0.25)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def make_panels(judged: Judged) -> list[Draw]:
    """Return what draws each panel, in the order of the table."""
    panels: list[Draw] = []
    for row, trials in judged:
        shown = [trial for trial in trials if (trial.folder / "episodes.csv").is_file()]
        if shown and isinstance(row.entry.task, Training) and row.entry.unit == "return":
            panels.append(partial(_draw_training, row=row, trials=shown))
    rows = [row for row, _ in judged if row.values]
    bits = [row for row in rows if row.entry.group == "her_bitflip"]
    walks = [(row, _output(trials)) for row, trials in judged if row.values and row.entry.group == "per_cliffwalk"]
    races = [_output(trials) for row, trials in judged if row.values and row.entry.group == "peers"]
    panels += [partial(_draw_bits, rows=bits)] if bits else []
    panels += [partial(_draw_cliffwalk, walks=walks)] if walks else []
    panels += [partial(_draw_races, races=races[0]["races"])] if races else []
    return panels


def _output(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the JSON object that a command printed."""
    result = trials[0].result
    assert result is not None
    return json.loads(json.dumps(result.facts["output"]))


def _draw_training(axis: Any, row: Row, trials: Sequence[Trial]) -> None:
    entry = row.entry
    episodes = [read_episodes(trial.folder / "episodes.csv") for trial in trials]
    most = max((int(e.env_steps[-1]) for e in episodes if len(e.env_steps)), default=1)
    grid = np.linspace(0, most, 200)
    curves = np.array(
        [np.where(grid <= e.env_steps[-1], e.curve(grid, _WINDOW), np.nan) for e in episodes if len(e.env_steps)]
    )
    for curve in curves:
        axis.plot(grid / 1000, curve, color=_INK, linewidth=0.7, alpha=0.5)
    seen = np.isfinite(curves)
    total = np.where(seen, curves, 0.0).sum(axis=0)
    mean = np.divide(total, seen.sum(axis=0), out=np.full(len(grid), np.nan), where=seen.any(axis=0))
    axis.plot(
        grid / 1000,
        mean,
        color=_INK,
        linewidth=2.2,
        label="training" if len(curves) == 1 else f"training, mean of {len(curves)} seeds",
    )
    if entry.level is not None:
        axis.axhline(entry.level, color=_LEVEL, linewidth=1.2, label=f"published: {entry.published}")
    if entry.threshold != entry.level:
        axis.axhline(
            entry.threshold, color=_BOUND, linewidth=0.9, linestyle="--", label=f"{entry.bound} {entry.threshold:.1f}"
        )
    axis.set_title(f"{entry.name}: {entry.shown(row.figure)}", fontsize=10)
    axis.set_xlabel("thousand env steps", fontsize=9)
    axis.set_ylabel(f"return ({_WINDOW} episodes)", fontsize=9)
    axis.legend(fontsize=7, loc="lower right")


def _draw_bits(axis: Any, rows: Sequence[Row]) -> None:
    sizes = sorted({int(row.entry.name.rpartition("_")[2]) for row in rows})
    for offset, prefix, label, colour in ((-0.2, "her_", "with HER", _INK), (0.2, "dqn_", "without", _OTHER)):
        mine = {int(row.entry.name.rpartition("_")[2]): row.mean for row in rows if row.entry.name.startswith(prefix)}
        if not mine:
            continue
        places = [sizes.index(n) + offset for n in mine]
        axis.bar(places, [max(value, 0.005) for value in mine.values()], 0.4, color=colour, label=label)
    axis.axhline(0.95, color=_BOUND, linewidth=0.9, linestyle="--", label="solved: 95 %")
    axis.set_xticks(range(len(sizes)), [str(n) for n in sizes])
    axis.set_title("bit flipping", fontsize=10)
    axis.set_xlabel("bits", fontsize=9)
    axis.set_ylabel("greedy success", fontsize=9)
    axis.legend(fontsize=7, loc="center right")


def _draw_cliffwalk(axis: Any, walks: Sequence[tuple[Row, dict[str, Any]]]) -> None:
    styles = {"uniform": _OTHER, "oracle": _LEVEL, "proportional": _INK, "rank": "#7a4fa3"}
    drawn: set[str] = set()
    for _, output in walks:
        table: dict[str, dict[str, float]] = output["num_updates_median"]
        transitions = [2 ** (int(n) + 1) - 2 for n in table]
        for kind in next(iter(table.values())):
            if kind not in drawn:
                axis.loglog(transitions, [table[n][kind] for n in table], color=styles[kind], marker=".", label=kind)
                drawn.add(kind)
    axis.set_title("blind cliffwalk", fontsize=10)
    axis.set_xlabel("transitions in the memory", fontsize=9)
    axis.set_ylabel("updates to solve (median)", fontsize=9)
    axis.legend(fontsize=7)


def _draw_races(axis: Any, races: Sequence[dict[str, Any]]) -> None:
    stages = sorted({race["stage"] for race in races})
    learners = list(dict.fromkeys(race["learner"] for race in races))
    colours = (_INK, _OTHER, "#7a4fa3")
    for i, learner in enumerate(learners):
        for place, stage in enumerate(stages):
            mine = [race for race in races if (race["learner"], race["stage"]) == (learner, stage)]
            seconds = float(np.median([race["seconds"] or race["lasted_s"] for race in mine]))
            reached = all(race["seconds"] is not None for race in mine)
            axis.bar(
                place + 0.27 * (i - 1), seconds, 0.25, color=colours[i % 3] if reached else "none",
                edgecolor=colours[i % 3], hatch=None if reached else "///", label=learner if place == 0 else None,
            )  # fmt: skip
    axis.set_yscale("log")
    axis.set_xticks(range(len(stages)), [f"stage {stage}" for stage in stages])
    axis.set_title("seconds to the same success (hatched: not reached)", fontsize=9)
    axis.legend(fontsize=7)
