"""The results of a search: counts, order, best trial and short words for them, shared by the table, the pictures and
the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from robonav_ray.config.load import ConfigError, check_run_config
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tracking.panel import format_count
from robonav_ray.tuning.keys import EVERY
from robonav_ray.tuning.search_records import History, State, TrialHistory, TrialReport
from robonav_ray.tuning.space import Space

STATES: tuple[State, ...] = ("running", "pending", "finished", "stopped", "failed")
_MIN_ENDED = 3
"""Trials that must have ended before one that may be stopped early can be said to take as long as they did."""


@dataclass(frozen=True)
class Summary:
    """A search at one moment."""

    counts: Mapping[State, int]
    """Trials by state; those that are not made yet count as pending."""
    best: TrialHistory | None
    env_steps: int
    trial_s: float
    """Seconds at work, all trials together."""
    elapsed_s: float | None
    """Since this session began; None when no session watches it."""
    eta_s: float | None
    """Seconds to go; None when that cannot be told."""

    @property
    def num_trials(self) -> int:
        """Trials in all."""
        return sum(self.counts.values())

    @property
    def counts_text(self) -> str:
        """For instance ``4 running, 9 finished, 3 failed of 16``."""
        there = [f"{self.counts[state]} {state}" for state in STATES if self.counts[state]]
        return f"{', '.join(there) or 'none'} of {self.num_trials}"


def summarize(
    history: History, config: TuningConfig, *, began: tuple[float, int] | None = None, now: float | None = None
) -> Summary:
    """Return what ``history`` comes to.

    Args:
        history: All that has happened.
        config: Of the search.
        began: When this session began (seconds since the epoch), and the env steps of all trials then.
        now: Seconds since the epoch.
    """
    counts: dict[State, int] = dict.fromkeys(STATES, 0)
    for trial in history.trials.values():
        counts[trial.state] += 1
    counts["pending"] += max(planned_trials(history, config) - len(history.trials), 0)
    elapsed = None if began is None or now is None else max(now - began[0], 0.0)
    made = history.env_steps - (began[1] if began else 0)
    rate = made / elapsed if elapsed else 0.0
    left = None if history.ended or rate <= 0.0 else _env_steps_to_go(history, config, counts["pending"])
    trial_s = sum(at_work_s(trial, now) for trial in history.trials.values())
    return Summary(
        counts, history.best_trial, history.env_steps, trial_s, elapsed, None if left is None else left / rate
    )


def planned_trials(history: History, config: TuningConfig) -> int:
    """Return how many trials there will be: all there are once the search has ended, fewer than asked for in a small
    grid.
    """
    if history.ended:
        return len(history.trials)
    points = Space(config.space).grid_size if config.search.method == "grid" else None
    return max(config.num_trials if points is None else min(points, config.num_trials), len(history.trials))


def _env_steps_to_go(history: History, config: TuningConfig, num_pending: int) -> float | None:
    """Return the env steps still to be made; None while too few trials have ended to know where they are stopped."""
    whole = config.trial.max_env_steps
    typical: float = whole
    if config.scheduler.kind in ("asha", "median"):
        ended = [t.last.env_steps for t in history.trials.values() if t.state in ("stopped", "finished") and t.last]
        if len(ended) < _MIN_ENDED:
            return None
        typical = sum(ended) / len(ended)
    running = [
        trial.last.env_steps if trial.last else 0 for trial in history.trials.values() if trial.state == "running"
    ]
    return num_pending * typical + sum(
        (typical if made < typical else whole) - made for made in running if made < whole
    )


def at_work_s(trial: TrialHistory, now: float | None = None) -> float:
    """Return how long the trial has been at work; for one that runs ``now``, up to now."""
    if trial.last is None:
        return 0.0
    return trial.last.seconds + (
        max(now - trial.last.time, 0.0) if now is not None and trial.state == "running" else 0.0
    )


def params_at(trial: TrialHistory, report: TrialReport) -> dict[str, Any]:
    """Return the values that the trial had on its way to ``report``: a population's change at exploits."""
    earlier = [exploit for exploit in trial.exploits if exploit.env_steps < report.env_steps]
    return earlier[-1].params if earlier else trial.first_params


def shown_params(trial: TrialHistory) -> dict[str, Any]:
    """Return the values behind the figures that are shown of a trial: those of its best report, or of now before the
    first.
    """
    return trial.params if trial.best is None else params_at(trial, trial.best)


def ranked(trials: Iterable[TrialHistory]) -> list[TrialHistory]:
    """Return the trials, the highest best objective first, those without a report last; equals by id."""
    return sorted(
        trials, key=lambda trial: (trial.best is None, -trial.best.objective if trial.best else 0.0, trial.id)
    )


def has_success(history: History) -> bool:
    """Whether the environment knows success, as far as has been reported; True before the first report."""
    reports = [report for trial in history.trials.values() for report in trial.reports]
    return not reports or any(report.success_frac is not None for report in reports)


def stage_names(config: TuningConfig) -> tuple[str, ...]:
    """Return the names of the stages that the trials go through; none when ``config.run`` is not valid here."""
    try:
        run = check_run_config(config.run, "run")
    except ConfigError:
        return ()
    return tuple(stage.name for stage in run.curriculum.stages_for(run.env.is_native))


def stage_text(report: TrialReport | None, *, with_name: bool = True) -> str:
    """Return the stage's name, or its number from 0 where there is no room."""
    if report is None:
        return "-"
    return report.stage_name if with_name else str(report.stage)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return by key the fewest last components that tell it from the others, ``*`` left away."""
    parts = {key: [part for part in key.split(".") if part != EVERY] or [key] for key in keys}
    names: dict[str, str] = {}
    for key, own in parts.items():
        for num in range(1, len(own) + 1):
            names[key] = ".".join(own[-num:])
            if sum(other[-num:] == own[-num:] for other in parts.values()) == 1:
                break
    return names


def short_value(value: Any) -> str:
    """Return a value in few characters."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(short_value, value))}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def short_params(params: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return for instance ``learning_rate=0.000321 discount=0.99``."""
    return " ".join(f"{names.get(key, key)}={short_value(value)}" for key, value in params.items())


def changes_text(before: Mapping[str, Any], after: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return for instance ``learning_rate 0.001 -> 0.0008``; ``the same values`` when nothing differs."""
    changed = [key for key in after if before.get(key) != after[key]]
    told = [f"{names.get(key, key)} {short_value(before.get(key))} -> {short_value(after[key])}" for key in changed]
    return ", ".join(told) or "the same values"


def number_text(value: float | None) -> str:
    """Return an objective or a return in at most 6 characters where it is not huge."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.4g}"


def percent_text(value: float | None) -> str:
    """Return a fraction as a percentage."""
    return "-" if value is None else f"{value:.0%}"


def report_text(report: TrialReport, names: tuple[str, ...], *, with_name: bool = True) -> str:
    """Return for instance ``2.61 (stage multi_goal_planning, success 61%, 250k env steps)``."""
    told = [f"stage {stage_text(report, with_name=with_name)}", f"success {percent_text(report.success_frac)}"]
    if report.success_frac is None:
        told = [f"mean return, stage {stage_text(report, with_name=with_name)}"] if len(names) > 1 else ["mean return"]
    return f"{number_text(report.objective)} ({', '.join([*told, f'{format_count(report.env_steps)} env steps'])})"


def outcome_text(trial: TrialHistory) -> str:
    """Return why the trial ended, or what last went wrong."""
    return trial.reason or (trial.failures[-1] if trial.failures else "")
