"""``robonav tune show``: what a search, finished or running, has come to."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tuning.experiment import open_experiment
from robonav_ray.tuning.records import History, Records
from robonav_ray.tuning.views.report import write_report
from robonav_ray.tuning.views.summary import short_names, summarize
from robonav_ray.tuning.views.table import exploit_text, search_block

MAX_ROWS = 200


def show_command(directory: Path, console: Console) -> int:
    """Print the search in ``directory``, write its report anew, and say what to type next; UserError when it is none."""
    experiment = open_experiment(directory)
    history = Records(experiment.path).history
    print_history(history, experiment.config, experiment.path.name, console)
    try:
        written = write_report(experiment.path, history, experiment.config, title=experiment.shown)
        console.print(f"written: {written[0]} and {len(written) - 1} more", highlight=False, soft_wrap=True)
    except OSError as error:  # somebody else's search may be looked at all the same
        console.print(f"no report is written: {error}", style="yellow", highlight=False, soft_wrap=True)
    for command, what in next_commands(history, experiment.shown):
        console.print(f"  {command}   [dim]# {what}[/]", highlight=False, soft_wrap=True)
    return 0


def print_history(history: History, config: TuningConfig, name: str, console: Console) -> None:
    """Print all trials, who went on from whom, and what failed."""
    console.print(search_block(history, config, name, summarize(history, config), console, None, MAX_ROWS))
    names = short_names(config.space)
    exploits = [(exploit, trial) for trial in history.trials.values() for exploit in trial.exploits]
    for exploit, trial in sorted(exploits, key=lambda pair: pair[0].time):
        console.print(exploit_text(trial, exploit, names), highlight=False, markup=False, soft_wrap=True)
    for trial in history.trials.values():
        for failure in trial.failures:
            console.print(f"trial {trial.id} failed: {failure}", style="red", highlight=False, markup=False, soft_wrap=True)


def next_commands(history: History, shown: str) -> list[tuple[str, str]]:
    """Return (command, what it does) pairs that make sense now."""
    commands = [] if history.ended else [(f"robonav tune --resume {shown}", "go on")]
    best = history.best_trial
    if best is not None:
        commands.append((f"robonav train {shown}/best_config.yaml", "the best values, in a run of their own"))
        commands.append((f"robonav evaluate {shown}/trials/{best.id}", "the best trial as it is"))
        commands.append((f"tensorboard --logdir {shown}/trials", "all curves, and the hparams tab"))
    return commands
