"""``robonav tune show``: the results of a search, finished or running."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.screen import Screen, print_commands
from robonav_ray.text import command_text
from robonav_ray.tuning.experiment import open_experiment
from robonav_ray.tuning.search_records import History, Records, best_checkpoint
from robonav_ray.tuning.views.html_report import write_report
from robonav_ray.tuning.views.search_block import search_block
from robonav_ray.tuning.views.summary import short_names, summarize
from robonav_ray.tuning.views.table import exploit_text

MAX_ROWS = 200
_FIGURES = (
    "objective",
    "success_frac",
    "collision_frac",
    "mean_return",
    "stage_name",
    "passed",
    "env_steps",
    "seconds",
)


def show_search(directory: Path, console: Screen) -> None:
    """Print the search in ``directory``, write its report anew, and say what to type next; UserError when it is
    none.
    """
    experiment = open_experiment(directory)
    history = Records(experiment.path).history
    print_history(history, experiment.config, experiment.path.name, console)
    try:
        written = write_report(experiment.path, history, experiment.config, title=experiment.shown)
        console.print(f"written: {written[0]} and {len(written) - 1} more", soft_wrap=True)
    except OSError as error:  # the search of another user may be looked at all the same
        console.print(f"no report is written: {error}", style="yellow", soft_wrap=True)
    print_commands(next_commands(history, experiment.shown), console)


def history_dict(history: History, shown: str) -> dict[str, Any]:
    """Return a search and all its trials as JSON takes them; figures of a trial are those of its best report."""
    best = history.best_trial
    trials = []
    for trial in history.trials.values():
        report = trial.best
        known = {} if report is None else asdict(report)
        figures = {name: known.get(name) for name in _FIGURES}
        told = {
            "reports": len(trial.reports),
            "exploits": len(trial.exploits),
            "failures": trial.failures,
            "reason": trial.reason,
        }
        trials.append({"trial": trial.id, "state": trial.state, "params": trial.params, **figures, **told})
    return {
        "search": shown,
        "ended": history.ended,
        "sessions": history.num_sessions,
        "env_steps": history.env_steps,
        "best": None
        if best is None
        else {"trial": best.id, "checkpoint": best_checkpoint(best), "params": best.params},
        "trials": trials,
    }


def print_history(history: History, config: TuningConfig, name: str, console: Screen) -> None:
    """Print all trials, who went on from whom, and what failed."""
    console.print(search_block(history, config, name, summarize(history, config), console, None, MAX_ROWS))
    names = short_names(config.space)
    exploits = [(exploit, trial) for trial in history.trials.values() for exploit in trial.exploits]
    for exploit, trial in sorted(exploits, key=lambda pair: pair[0].time):
        console.print(exploit_text(trial, exploit, names), soft_wrap=True)
    for trial in history.trials.values():
        for failure in trial.failures:
            console.print(f"trial {trial.id} failed: {failure}", style="red", soft_wrap=True)


def next_commands(history: History, shown: str) -> list[tuple[str, str]]:
    """Return (command, what it does) pairs that make sense now."""
    commands = [] if history.ended else [(command_text("robonav", "tune", "--resume", shown), "go on")]
    best = history.best_trial
    if best is not None:
        commands.append(
            (command_text("robonav", "train", f"{shown}/best_config.yaml"), "the best values, in a run of their own")
        )
        commands.append(
            (command_text("robonav", "evaluate", f"{shown}/{best_checkpoint(best)}"), "the best trial as it is")
        )
        commands.append((command_text("tensorboard", "--logdir", f"{shown}/trials"), "all curves, and the hparams tab"))
    return commands
