"""``robonav tune``: many whole runs, the bad ones stopped early, the best configuration kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from typer.core import TyperGroup

from robonav_ray.errors import EXIT_DONE, EXIT_FAILED
from robonav_ray.verbs.arguments import parse_duration, split_arguments
from robonav_ray.verbs.as_json import Json, print_json, screen_beside


class _RunByDefault(TyperGroup):
    """``robonav tune CONFIG`` is ``robonav tune run CONFIG``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


tune_app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Search over whole curriculum runs: `robonav tune CONFIG.yaml` searches, `robonav tune show DIR` shows its "
    "results.",
    epilog="Examples:\n\n`robonav tune configs/tuning/asha.yaml`\n\n"
    "`robonav tune configs/tuning/pbt.yaml num_trials=8 --time-limit 1h`\n\n"
    "`robonav tune --sweep sweep.yaml run.preset=navigation`\n\n"
    "`robonav tune --resume runs/asha-20261124-181500`\n\n`robonav tune show runs/asha-20261124-181500`",
)


@tune_app.command(
    "run",
    epilog="Examples:\n\n`robonav tune configs/tuning/asha.yaml`\n\n"
    "`robonav tune configs/tuning/asha.yaml num_trials=32 scheduler.kind=median`\n\n`robonav tune --resume latest`",
)
def tune_run(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG.yaml] [section.key=value ...]",
            help="A search's YAML file, then overrides: `num_trials=32`, `run.learner.num_ranks=2`, "
            "`space.algo.gamma={uniform: [0.95, 0.999]}`.",
        ),
    ] = None,
    sweep: Annotated[
        Path | None,
        typer.Option(
            metavar="SWEEP.yaml",
            help="A sweep file of W&B, in place of a search's: our own tuner runs it (docs/sweeps.md).",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="`auto` (the newest search of this name, else a fresh one), `latest`, or the directory of a search."
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Stop, to be resumed, after this long: `90s`, `20m`, `1.5h`.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of this search; must not exist yet.")] = None,
    table: Annotated[
        str,
        typer.Option(help="`auto`, `live` (a table that is drawn anew), `plain` (a line for what happens) or `off`."),
    ] = "auto",
) -> None:
    """Run many whole curriculum runs, stop the bad ones early, keep the best configuration."""
    path, overrides = split_arguments(arguments)
    limit = None if time_limit is None else parse_duration(time_limit)
    raise typer.Exit(
        tune_command(path, overrides, sweep=sweep, resume=resume, directory=out, time_limit_s=limit, table=table)
    )


def tune_command(
    config_path: Path | None,
    overrides: Sequence[str],
    *,
    sweep: Path | None = None,
    resume: str | None = None,
    directory: Path | None = None,
    time_limit_s: float | None = None,
    table: str = "auto",
) -> int:
    """Search to the end (or to the limit, or to a signal) and return the exit code.

    0: finished; 75: stopped before the end, resume; 1: every trial failed. Mistakes of the user raise UserError before
    anything is made. After a signal the process is ended by force when it is not over within the run's
    ``budget.grace_s`` (see ``signals.py``).
    """
    from robonav_ray.config.load import ConfigError
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.screen import make_screen, show_warnings
    from robonav_ray.tuning.search import grace_of, resolve_search, search, tell_end
    from robonav_ray.tuning.sweeps import asked_sweep, tell_sweep
    from robonav_ray.tuning.views.table import Mode

    if table not in get_args(Mode):
        raise ConfigError(f"--table {table}: choose {', '.join(get_args(Mode))}")
    screen = make_screen()
    show_warnings()
    asked = None if sweep is None else asked_sweep(sweep, config_path, overrides, resume)
    if asked is None:
        config, experiment = resolve_search(config_path, overrides, resume, directory)
    else:
        with asked.named():
            config, experiment = resolve_search(asked.config, (), resume, directory)
        tell_sweep(asked, screen)
    with stop_on_signals(grace_of(config), in_session=True) as stop:
        found = search(
            config,
            experiment,
            directory=directory,
            stop=stop,
            time_limit_s=time_limit_s,
            table=cast("Mode", table),
            console=screen,
            on_begin=None if asked is None else asked.register,
        )
    tell_end(found, screen)
    if found.interrupted:
        return stop.resume_code
    return EXIT_FAILED if found.best is None else EXIT_DONE


@tune_app.command("show", epilog="Example: `robonav tune show runs/asha-20261124-181500`")
def tune_show(
    experiment: Annotated[Path, typer.Argument(help="The directory of a search, finished or running.")],
    json: Json = False,
) -> None:
    """Show a search's trials and its best values; writes its report.html, plots and tables anew."""
    from robonav_ray.tuning.experiment import open_experiment
    from robonav_ray.tuning.search_records import Records
    from robonav_ray.tuning.views.show import history_dict, show_search

    screen = screen_beside(json, soft_wrap=False)
    if json:
        found = open_experiment(experiment)
        print_json(history_dict(Records(found.path).history, found.shown))
    else:
        show_search(experiment, screen)
