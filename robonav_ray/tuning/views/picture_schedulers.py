"""Pictures of what a scheduler did: which trial was stopped at which rung, which went on from which."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.text import picture_text
from robonav_ray.tracking.panel import format_count
from robonav_ray.tuning.search_records import Exploit, History, State, TrialHistory
from robonav_ray.tuning.views.drawing import BEST, FAINT, INK, STATE_COLOURS, count_axis, make_figure, prepare
from robonav_ray.tuning.views.summary import has_success, ranked, short_names, short_value


@dataclass(frozen=True)
class Rung:
    """How trials fared at one rung of successive halving."""

    env_steps: float
    went_on: int
    here: int
    """Have come as far, and nothing is known beyond."""
    stopped: int
    failed: int

    @property
    def reached(self) -> int:
        """All that came as far."""
        return self.went_on + self.here + self.stopped + self.failed


def count_rungs(history: History, config: TuningConfig) -> list[Rung]:
    """Return the rungs below ``trial.max_env_steps``: ``grace_env_steps`` times powers of ``reduction_factor``."""
    milestones, at = [], float(config.scheduler.grace_env_steps)
    while at < config.trial.max_env_steps:
        milestones.append(at)
        at *= config.scheduler.reduction_factor
    fates = [dict(_fates(trial, milestones)) for trial in history.trials.values()]
    return [
        Rung(at, *(sum(fate.get(at) == told for fate in fates) for told in ("went_on", "here", "stopped", "failed")))
        for at in milestones
    ]


def _fates(trial: TrialHistory, milestones: list[float]) -> list[tuple[float, str]]:
    """Return the fate of a trial at every rung it reached; a report beyond several rungs counts for the highest."""
    if trial.last is None:
        return []
    came_to = [at for at in milestones if trial.last.env_steps >= at]
    fates = [(at, "went_on") for at in came_to]
    is_at_last = came_to and all(r.env_steps < came_to[-1] for r in trial.reports[:-1])
    if is_at_last and trial.state != "finished":
        fates[-1] = (came_to[-1], trial.state if trial.state in ("stopped", "failed") else "here")
    return fates


def draw_rungs(history: History, config: TuningConfig) -> Any | None:
    """Return a figure for successive halving; None for other schedulers."""
    if config.scheduler.kind != "asha":
        return None
    figure = make_figure(12, 3.8)
    grid = figure.add_gridspec(1, 2, width_ratios=[1.5, 1])
    _draw_survivors(figure.add_subplot(grid[0]), history, config)
    _draw_cost(figure.add_subplot(grid[1]), history, config)
    return figure


def _draw_survivors(axes: Any, history: History, config: TuningConfig) -> None:
    prepare(axes, "Trials at each rung", y="trials")
    rungs = count_rungs(history, config)
    num_finished = sum(trial.state == "finished" for trial in history.trials.values())
    labels = [f"{format_count(rung.env_steps)}\nenv steps" for rung in rungs] + ["finished"]
    colours = {
        "went on": BEST,
        "is here": STATE_COLOURS["running"],
        "stopped": "#c9d1d9",
        "failed": STATE_COLOURS["failed"],
    }
    parts = {
        "went on": [*(rung.went_on for rung in rungs), 0],
        "is here": [*(rung.here for rung in rungs), 0],
        "stopped": [*(rung.stopped for rung in rungs), 0],
        "failed": [*(rung.failed for rung in rungs), 0],
    }
    bottom = [0] * len(labels)
    for name, counts in parts.items():
        if any(counts):
            bars = axes.bar(range(len(labels)), counts, 0.62, bottom=bottom, color=colours[name], label=name)
            _count_labels(axes, bars, counts, INK if name == "stopped" else "white")
            bottom = [a + b for a, b in zip(bottom, counts, strict=True)]
    bars = axes.bar(len(labels) - 1, num_finished, 0.62, color=STATE_COLOURS["finished"])
    _count_labels(axes, bars, [num_finished], "white")
    top = max(*bottom, num_finished, 1)
    for place, rung in enumerate(rungs):
        axes.text(place, rung.reached + 0.03 * top, f"{rung.reached} came here", ha="center", fontsize=8, color=FAINT)
    axes.set_ylim(0, 1.15 * top)
    axes.set_xticks(range(len(labels)), labels)
    axes.yaxis.get_major_locator().set_params(integer=True)
    if any(any(counts) for counts in parts.values()):
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _count_labels(axes: Any, bars: Any, counts: list[int], colour: str) -> None:
    axes.bar_label(bars, [str(num) if num else "" for num in counts], label_type="center", color=colour, fontsize=9)


def _draw_cost(axes: Any, history: History, config: TuningConfig) -> None:
    """Env steps that were made, by the trial's fate, against all trials to their end."""
    trials = [trial for trial in history.trials.values() if trial.last is not None]
    whole = len(trials) * config.trial.max_env_steps
    prepare(
        axes, f"Env steps: {history.env_steps / max(whole, 1):.0%} of all {len(trials)} trials to the end", grid="x"
    )
    axes.barh(0, whole, 0.5, color="#e6e9ed")
    left = 0
    states: tuple[State, ...] = ("finished", "running", "stopped", "failed")
    for state in states:
        made = sum(trial.last.env_steps for trial in trials if trial.state == state and trial.last)
        if made:
            axes.barh(1, made, 0.5, left=left, color=STATE_COLOURS[state], label=f"{state}: {format_count(made)}")
            left += made
    axes.text(left, 1, f" {format_count(left)}", va="center", fontsize=9, color=INK)
    axes.text(whole, 0, f"{format_count(whole)} ", va="center", ha="right", fontsize=9, color=INK)
    axes.set_yticks([0, 1], ["all to\nthe end", "made"])
    axes.set_ylim(-0.5, 2.2)
    axes.set_xlim(0, max(whole, 1) * 1.02)
    count_axis(axes.xaxis)
    if left:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left", ncols=2)


def draw_lineage(history: History, config: TuningConfig) -> Any | None:
    """Return a figure for a population: a line per trial, an arrow per exploit; None for other schedulers."""
    if not config.scheduler.is_population:
        return None
    trials = ranked(trial for trial in history.trials.values() if trial.reports)[::-1]
    figure = make_figure(12, 1.7 + 0.55 * len(trials))
    axes = figure.add_subplot()
    key = mutated_key(history, config)
    prepare(
        axes, f"Lineage; numbers are {short_names(config.space).get(key, key)}", x="env steps of the trial", grid="x"
    )
    count_axis(axes.xaxis)
    rows = {trial.id: row for row, trial in enumerate(trials)}
    colours = _draw_lines(axes, trials)
    furthest = max([config.trial.max_env_steps, *(trial.last.env_steps for trial in trials if trial.last)])
    for trial in trials:
        for exploit in trial.exploits:
            _draw_arrow(axes, history, rows, trial, exploit)
        _draw_values(axes, rows[trial.id], trial, key, 0.055 * furthest)
    axes.set_yticks(list(rows.values()), [picture_text(trial_id) for trial_id in rows])
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.set_xlim(-0.01 * furthest, 1.03 * furthest)
    bar = figure.colorbar(colours, ax=axes, pad=0.01, aspect=30)
    bar.set_label("objective" if has_success(history) else "mean return", color=FAINT, fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=FAINT, labelsize=8, length=0)
    return figure


def mutated_key(history: History, config: TuningConfig) -> str:
    """Return the first searched key that an exploit changed; the first key of all before any did."""
    exploits = [exploit for trial in history.trials.values() for exploit in trial.exploits]
    keys = list(config.space)
    return next((k for k in keys if any(e.params_before.get(k) != e.params.get(k) for e in exploits)), keys[0])


def _draw_lines(axes: Any, trials: list[TrialHistory]) -> Any:
    """Draw each trial as a line that is coloured by the objective it was heading for; return what a colour bar
    needs.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    values = [report.objective for trial in trials for report in trial.reports if np.isfinite(report.objective)]
    segments, heights = [], []
    for row, trial in enumerate(trials):
        steps = [0, *(report.env_steps for report in trial.reports)]
        segments += [[(a, row), (b, row)] for a, b in itertools.pairwise(steps)]
        heights += [report.objective for report in trial.reports]
        axes.plot(steps[-1], row, "o", color=FAINT, markersize=4)
    lines = LineCollection(segments, cmap="viridis_r", norm=Normalize(min(values), max(values)), linewidths=5, zorder=2)
    lines.set_array(heights)
    axes.add_collection(lines)
    return lines


def _draw_arrow(axes: Any, history: History, rows: dict[str, int], clone: TrialHistory, exploit: Exploit) -> None:
    """From where the donor was when its checkpoint was made to where the clone goes on."""
    donor = history.trials.get(exploit.donor)
    if donor is None or donor.id not in rows:
        return
    name = Path(exploit.donor_checkpoint).name
    there = [report.env_steps for report in donor.reports if report.checkpoint == name]
    start = (there[0] if there else exploit.env_steps, rows[donor.id])
    end = (exploit.env_steps, rows[clone.id])
    style = {"arrowstyle": "-|>", "color": INK, "alpha": 0.75, "linewidth": 1.1, "shrinkA": 3, "shrinkB": 3}
    bend = -0.12 if end[1] > start[1] else 0.12  # to the left, where no value is written
    axes.annotate("", xy=end, xytext=start, arrowprops={**style, "connectionstyle": f"arc3,rad={bend}"}, zorder=4)
    axes.plot(*start, "o", color=INK, markersize=3.5, zorder=4)


def _draw_values(axes: Any, row: int, trial: TrialHistory, key: str, apart: float) -> None:
    """Write the key's value at the start and where an exploit changed it; left out where the last one stands too
    near.
    """
    told = [(0, trial.first_params.get(key)), *((e.env_steps, e.params.get(key)) for e in trial.exploits)]
    last = float("-inf")
    for at, value in told:
        if at - last >= apart:
            axes.annotate(
                picture_text(short_value(value)),
                (at, row),
                xytext=(5, 5),
                textcoords="offset points",
                fontsize=8,
                color=INK,
                zorder=5,
            )
            last = at
