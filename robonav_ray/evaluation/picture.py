"""The learning curves of a run as one picture, drawn from its metrics.jsonl alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.files.plain_files import PlainFileError, read_json, read_lines, replacing_path
from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT64
from robonav_ray.report.style import (
    BANDS,
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    RED,
    VIOLET,
    bare_axes,
    make_figure,
    save_figure,
)
from robonav_ray.runs.checkpoint import CheckpointError
from robonav_ray.runs.checkpoint_index import Judgement, read_index
from robonav_ray.text import picture_text

CURVES_FILE = "curves.png"
_METRICS_FILE, _PROGRESS_FILE = "metrics.jsonl", "curriculum_progress.json"
_MAX_STAGES = 10_000

_GATE_LINES = (("curriculum/success_frac", "success", GREEN), ("curriculum/collision_frac", "collisions", RED))
_RETURN_LINES = (("curriculum/return_mean", "", BLUE),)
_RETURN = "task return (gate window)"
_SMALL_AXES: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (_RETURN, _RETURN_LINES),
    ("env steps per second", (("rollout/env_steps_per_s", "", GREEN),)),
    ("learner steps per second", (("learner/steps_per_s", "", VIOLET),)),
    ("samples per insert", (("replay/samples_per_insert", "", ORANGE),)),
    (
        "age of samples (policy versions)",
        (("learner/policy_lag_max", "max", FAINT), ("learner/policy_lag_mean", "mean", RED)),
    ),
    ("|TD error|, Q", (("learner/td_error_mean", "|TD error|", RED), ("learner/q_mean", "Q", BLUE))),
)
"""Title, and (metric, label, colour) of each line; axes without data are left out."""

FOUR_FILE = "four_plots.png"
_FOUR_AXES = (
    ("success and collisions (gate window)", _GATE_LINES),
    (_RETURN, _RETURN_LINES),
    ("|TD error|, Q", _SMALL_AXES[-1][1]),
    ("exploration (epsilon of the stage)", (("curriculum/epsilon", "", ORANGE),)),
)
_PARTS_OF_ONE = (0, 3)


@dataclass(frozen=True)
class Curves:
    """What a run logged, by metric: (steps, values), both (P,) float64, without gaps."""

    series: dict[str, tuple[np.ndarray, np.ndarray]]
    stage_names: tuple[str, ...]
    judgements: tuple[Judgement, ...] = ()
    """Of checkpoints, beside the training."""

    @property
    def last_step(self) -> float:
        """Last env step that anything was logged at."""
        return max((float(steps[-1]) for steps, _ in self.series.values()), default=0.0)


def load_curves(run: Path) -> Curves:
    """Read ``metrics.jsonl`` and, if it is there, the stages' names.

    Left out are lines that a crash tore, values that no line of ours holds, and steps that go back.

    Raises:
        ValueError: when the run has logged nothing.
    """
    path = run / _METRICS_FILE
    points: dict[str, list[tuple[float, float]]] = {}
    for text in read_lines(path) if path.exists() else ():
        line = _parsed(text)
        for name, value in line.items():
            if name in ("step", "time") or not _is_drawn(name, value):
                continue
            rows = points.setdefault(name, [])
            if not rows or line["step"] > rows[-1][0]:
                rows.append((line["step"], value))
    if not points:
        raise ValueError(f"{path} holds no metrics, so there is nothing to draw")
    series = {
        name: (np.array(rows, np.float64)[:, 0], np.array(rows, np.float64)[:, 1]) for name, rows in points.items()
    }
    return Curves(series, _stage_names(run / _PROGRESS_FILE), _judgements(run))


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text.decode(errors="replace"))
    except (ValueError, RecursionError):  # no JSON, or an integer of more digits than Python reads
        return {}
    step = line.get("step") if isinstance(line, dict) else None
    is_step = isinstance(step, int | float) and not isinstance(step, bool) and 0 <= step <= MAX_COUNT
    return line if is_step else {}


def _is_drawn(name: str, value: Any) -> bool:
    """Whether a value is a number that a picture can hold; a stage is one of few."""
    low, high = (0.0, _MAX_STAGES) if name == "curriculum/stage" else (-MAX_FLOAT64, MAX_FLOAT64)
    return type(value) in (int, float) and low <= value <= high


def _stage_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(str(stage["name"]) for stage in read_json(path).get("stages", ()))
    except (FileNotFoundError, PlainFileError, AttributeError, KeyError, TypeError):  # they only label the picture
        return ()


def _judgements(run: Path) -> tuple[Judgement, ...]:
    try:
        return read_index(run).judgements
    except CheckpointError:  # the picture is drawn without them
        return ()


def stage_spans(steps: np.ndarray, stage: np.ndarray, last_step: float) -> list[tuple[int, float, float]]:
    """Return (stage, first step, last step) of each stretch of equal ``stage``; the first begins at 0, all are
    adjacent.
    """
    changes = [0, *(np.flatnonzero(np.diff(stage)) + 1).tolist()]
    begins = [0.0, *(float(steps[i]) for i in changes[1:])]
    return [(int(stage[i]), a, b) for i, a, b in zip(changes, begins, [*begins[1:], last_step], strict=True)]


def smoothed(value: np.ndarray, num_points: int) -> np.ndarray:
    """Return the centred moving mean of ``value`` (P,), over fewer points at the ends."""
    half = min(num_points, len(value)) // 2
    total = np.concatenate([[0.0], np.cumsum(value)])
    low = np.maximum(np.arange(len(value)) - half, 0)
    high = np.minimum(np.arange(len(value)) + half + 1, len(value))
    return (total[high] - total[low]) / (high - low)


def smoothed_by_stage(steps: np.ndarray, value: np.ndarray, spans: Sequence[tuple[int, float, float]]) -> np.ndarray:
    """Return ``value`` (P,) smoothed within each stage: the drop at a transition is real and must stay sharp."""
    borders = np.searchsorted(steps, [begin for _, begin, _ in spans[1:]])
    num_points = max(3, len(value) // 25)
    return np.concatenate([smoothed(part, num_points) if len(part) else part for part in np.split(value, borders)])


def draw_curves(run: Path, path: Path | None = None, title: str | None = None) -> Path:
    """Draw ``run``'s curves into ``path`` (``RUN/curves.png`` if None; aside, then renamed) and return where they
    are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = load_curves(run)
    top = top_lines(curves)
    small = [
        (name, lines)
        for name, lines in _SMALL_AXES
        if lines != top and any(metric in curves.series for metric, _, _ in lines)
    ]
    num_rows = -(-len(small) // 3)
    figure = Figure(figsize=(12, 3.6 + 2.1 * num_rows), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1 + num_rows, 3, height_ratios=[1.6, *[1.0] * num_rows])
    spans = _spans(curves)
    _draw_gate(figure.add_subplot(grid[0, :]), curves, spans, top)
    for i, (name, lines) in enumerate(small):
        _draw_small(figure.add_subplot(grid[1 + i // 3, i % 3]), curves, spans, name, lines)
    figure.suptitle(picture_text(title or run.name), x=0.012, ha="left", fontsize=14, fontweight="bold", color=INK)
    path = path or run / CURVES_FILE
    with replacing_path(path) as aside:
        save_figure(figure, aside)
    return path


def draw_four(run: Path, path: Path | None = None) -> Path:
    """Draw the four curves that tell most, success, return, TD error and exploration, into ``path``
    (``RUN/four_plots.png`` if None; aside, then renamed) and return where they are.

    Raises:
        ValueError: when the run has logged nothing.
    """
    from matplotlib.ticker import PercentFormatter

    curves, path = load_curves(run), path or run / FOUR_FILE
    figure = make_figure(29.0, 17.0)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    spans = _spans(curves)
    for i, (name, lines) in enumerate(_FOUR_AXES):
        axes = figure.add_subplot(2, 2, i + 1)
        if any(metric in curves.series for metric, _, _ in lines):
            _draw_small(axes, curves, spans, name, lines)
        else:
            axes.set_title(f"{name}: nothing is told of it", fontsize=10, color=FAINT, loc="left")
            axes.axis("off")
        if i in _PARTS_OF_ONE:
            axes.set_ylim(0.0, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if i >= 2:
            axes.set_xlabel("env steps", color=FAINT, fontsize=9)
    with replacing_path(path) as aside:
        save_figure(figure, aside)
    return path


def top_lines(curves: Curves) -> tuple[tuple[str, str, str], ...]:
    """Return the lines of the large axes: success and collisions, or the return where an environment tells neither."""
    return _GATE_LINES if any(metric in curves.series for metric, _, _ in _GATE_LINES) else _RETURN_LINES


def _spans(curves: Curves) -> list[tuple[int, float, float]]:
    if "curriculum/stage" not in curves.series:
        return []
    return stage_spans(*curves.series["curriculum/stage"], curves.last_step)


def _draw_gate(
    axes: Any, curves: Curves, spans: Sequence[tuple[int, float, float]], lines: Sequence[tuple[str, str, str]]
) -> None:
    """Success and collisions of the gate's window over env steps, or its return where neither is told, with the stages
    behind them.
    """
    from matplotlib.ticker import PercentFormatter

    _prepare(axes, curves, spans)
    for metric, label, colour in lines:
        if metric in curves.series:
            steps, value = curves.series[metric]
            axes.plot(steps, value, color=colour, alpha=0.25, linewidth=0.9)
            axes.plot(
                steps, smoothed_by_stage(steps, value, spans), color=colour, linewidth=2.0, label=label or _RETURN
            )
    _draw_judgements(axes, curves, told_success=lines is _GATE_LINES)
    if lines is _GATE_LINES:
        axes.set_ylim(0.0, 1.0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("env steps", color=FAINT, fontsize=9)
    last = max(curves.last_step, 1.0)
    for stage, begin, end in spans:
        if (end - begin) / last > 0.06:
            name = curves.stage_names[stage].replace("_", " ") if stage < len(curves.stage_names) else f"stage {stage}"
            text = name if (end - begin) / last > 0.0068 * len(name) else str(stage)
            middle, where = (begin + end) / 2, axes.get_xaxis_transform()
            axes.text(
                middle, 1.02, picture_text(text), ha="center", va="bottom", fontsize=9, color=FAINT, transform=where
            )
    _draw_passed(axes, curves)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.07), frameon=False, fontsize=9, ncols=3, labelcolor=INK)


def _draw_judgements(axes: Any, curves: Curves, *, told_success: bool) -> None:
    """What judgements beside the training found, at the env steps of the checkpoints: success with its interval, or the
    mean return.
    """
    judged = [j for j in curves.judgements if (j.success_frac is not None) == told_success]
    if not judged:
        return
    steps, style = (
        [j.env_steps for j in judged],
        {"color": VIOLET, "markersize": 5, "linewidth": 1.2, "zorder": 3, "clip_on": False},
    )
    if not told_success:
        axes.plot(steps, [j.return_mean for j in judged], "o-", label="held-out return", **style)
        return
    rates = np.array([(j.success_frac, j.success_low_frac, j.success_high_frac) for j in judged], np.float64)
    spread = np.abs(rates[:, 1:] - rates[:, :1]).T
    axes.errorbar(steps, rates[:, 0], yerr=spread, fmt="o-", capsize=2, label="held-out success", **style)


def _draw_passed(axes: Any, curves: Curves) -> None:
    if "curriculum/passed" not in curves.series:
        return
    steps, passed = curves.series["curriculum/passed"]
    if passed.any():
        axes.axvline(
            steps[int(np.argmax(passed > 0))],
            color=GREEN,
            linewidth=1.4,
            linestyle=(0, (4, 3)),
            label="curriculum passed",
        )


def _draw_small(
    axes: Any,
    curves: Curves,
    spans: Sequence[tuple[int, float, float]],
    name: str,
    lines: Sequence[tuple[str, str, str]],
) -> None:
    _prepare(axes, curves, spans)
    for metric, label, colour in lines:
        if metric in curves.series:
            steps, value = curves.series[metric]
            axes.plot(steps, value, color=colour, alpha=0.3, linewidth=0.8)
            axes.plot(steps, smoothed_by_stage(steps, value, spans), color=colour, linewidth=1.6, label=label or None)
    axes.set_title(name, fontsize=10, color=INK, loc="left")
    settled = np.concatenate([_settled(*curves.series[metric]) for metric, _, _ in lines if metric in curves.series])
    low, high = float(settled.min()), float(settled.max())
    margin = 0.15 * (high - low) or 0.1 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)
    if any(label for _, label, _ in lines):
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def _settled(steps: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return ``value`` without the first tenth of the steps, whose start-up extremes would flatten the rest."""
    late = value[steps >= 0.1 * steps[-1]]
    return late if len(late) >= 3 else value


def _prepare(axes: Any, curves: Curves, spans: Sequence[tuple[int, float, float]]) -> None:
    """Bands of the stages, a light grid, step counts as 200k and 1.2M, no box."""
    from matplotlib.ticker import EngFormatter

    for stage, begin, end in spans:
        axes.axvspan(begin, end, color=BANDS[stage % len(BANDS)], linewidth=0, zorder=0)
    for _, begin, _ in spans[1:]:
        axes.axvline(begin, color="white", linewidth=1.5, zorder=0.5)
    axes.set_xlim(0.0, max(curves.last_step, 1.0))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    bare_axes(axes, size=8)
