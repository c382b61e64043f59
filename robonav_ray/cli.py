"""The door: verbs that parse, call one function and print.

Exit codes: 0 done, 1 failed, 2 your input is wrong (one message says what and where), 75 stopped before the end: resume.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from robonav_ray import __version__
from robonav_ray.launch.job_verbs import Address, jobs_app
from robonav_ray.launch.verbs import cluster_app

if TYPE_CHECKING:
    from robonav_ray.config import RunConfig

THREADS_END_S = 10.0
"""How long threads that were left running (an environment's) may keep a command that is over."""

app = typer.Typer(
    name="robonav",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Distributed reinforcement learning for mobile-robot navigation, on Ray.",
)
config_app = typer.Typer(no_args_is_help=True, help="Look at a config, or check one.")
app.add_typer(config_app, name="config")


class _RunByDefault(TyperGroup):
    """``robonav tune CONFIG`` is ``robonav tune run CONFIG``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


tune_app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Search over whole curriculum runs: `robonav tune CONFIG.yaml` searches, `robonav tune show DIR` shows what came of it.",
    epilog="Examples:\n\n`robonav tune configs/tuning/asha.yaml`\n\n`robonav tune configs/tuning/pbt.yaml num_trials=8 --time-limit 1h`\n\n"
    "`robonav tune --resume runs/asha-20261124-181500`\n\n`robonav tune show runs/asha-20261124-181500`",
)
app.add_typer(tune_app, name="tune")
app.add_typer(jobs_app, name="jobs")
app.add_typer(cluster_app, name="cluster")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONFIG.yaml] [section.key=value ...]", help="A YAML file with what differs from the defaults, then overrides."
    ),
]

Run = Annotated[
    str, typer.Argument(help="A run directory or one of its checkpoints, or the URI of either (`s3://bucket/runs/NAME`).")
]


@app.command(
    epilog="Examples:\n\n`robonav train`\n\n`robonav train configs/run/quick.yaml seed=3`\n\n`robonav train env.id=CartPole-v1 --local`\n\n"
    "`robonav train --resume latest --time-limit 20m`"
)
def train(
    arguments: Overrides = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="`auto` (the newest unfinished run, else a fresh one), `latest` (the newest run), or a run or checkpoint directory."
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Be over, with a checkpoint, after this long: `90s`, `20m`, `1.5h`.")
    ] = None,
    grace: Annotated[
        str | None, typer.Option(help="Be over this long after a signal, whatever hangs (default: budget.grace_s): `30s`.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for `seed=N`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of this run; must not exist yet.")] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="One process, without Ray: the same bits every time, unless the learning rate follows the clock."
        ),
    ] = False,
) -> None:
    """Train the curriculum, evaluate the result and draw it."""
    path, overrides = _split(arguments)
    if seed is not None:
        overrides.append(f"seed={seed}")
    if time_limit is not None:
        overrides.append(f"budget.max_time_s={parse_duration(time_limit)}")
    if grace is not None:
        overrides.append(f"budget.grace_s={parse_duration(grace, '--grace')}")
    from robonav_ray.runtime.train import train_command

    raise typer.Exit(train_command(path, overrides, resume=resume, directory=out, local=local))


@app.command(epilog="Example: `robonav evaluate runs/curriculum-20261122-181500 --episodes 1000`")
def evaluate(
    run: Run,
    episodes: Annotated[int | None, typer.Option(min=1, help="Episodes per stage (default: evaluation.num_episodes).")] = None,
    stages: Annotated[
        str | None, typer.Option(help="Stages by name or number from 0: `full_challenge`, `0,3`; default: all.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the held-out worlds (default: evaluation.seed).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results (default: a new one in the run).")] = None,
) -> None:
    """Judge the policy of a run on worlds that training never saw: rates with Wilson intervals, a table, evaluation.json."""
    from robonav_ray.runtime.judge import evaluate_command

    raise typer.Exit(evaluate_command(run, episodes=episodes, stages=stages, seed=seed, out=out))


@app.command(epilog="Example: `robonav play runs/curriculum-20261122-181500 --stage full_challenge --output robot.gif`")
def play(
    run: Run,
    output: Annotated[Path | None, typer.Option(help="GIF to write (default: play.gif in the run directory).")] = None,
    window: Annotated[
        bool, typer.Option("--window", help="Show a window instead (needs `pip install robonav_ray[human]`).")
    ] = False,
    stage: Annotated[str | None, typer.Option(help="Stage to play, by name or number from 0 (default: the last).")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes one after another.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the worlds.")] = 7,
) -> None:
    """Watch the policy of a run drive: as a GIF, or in a window."""
    from robonav_ray.runtime.judge import play_command

    raise typer.Exit(play_command(run, output=output, window=window, stage=stage, episodes=episodes, seed=seed))


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
    resume: Annotated[
        str | None,
        typer.Option(help="`auto` (the newest search of this name, else a fresh one), `latest`, or the directory of a search."),
    ] = None,
    time_limit: Annotated[str | None, typer.Option(help="Stop, to be resumed, after this long: `90s`, `20m`, `1.5h`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of this search; must not exist yet.")] = None,
    table: Annotated[
        str, typer.Option(help="`auto`, `live` (a table that is drawn anew), `plain` (a line for what happens) or `off`.")
    ] = "auto",
) -> None:
    """Run many whole curriculum runs, stop the bad ones early, keep the best configuration."""
    from robonav_ray.tuning.search import tune_command

    path, overrides = _split(arguments)
    limit = None if time_limit is None else parse_duration(time_limit)
    raise typer.Exit(tune_command(path, overrides, resume=resume, directory=out, time_limit_s=limit, table=table))


@tune_app.command("show", epilog="Example: `robonav tune show runs/asha-20261124-181500`")
def tune_show(experiment: Annotated[Path, typer.Argument(help="The directory of a search, finished or running.")]) -> None:
    """Show a search's trials and its best values; writes its report.html, plots and tables anew."""
    from robonav_ray.screen import make_screen
    from robonav_ray.tuning.views.show import show_command

    raise typer.Exit(show_command(experiment, make_screen(soft_wrap=False)))


@app.command(
    epilog="Examples:\n\n`robonav submit configs/run/cluster.yaml --address http://head:8265`\n\n"
    "`robonav submit configs/run/cluster.yaml seed=3 --resume auto --env WANDB_API_KEY --no-follow`\n\n"
    "`robonav submit --tune configs/tuning/asha.yaml`"
)
def submit(
    arguments: Overrides = None,
    address: Address = None,
    working_dir: Annotated[
        Path, typer.Option(help="Directory that the job is given; what .gitignore names and what may hold a secret stays here.")
    ] = Path(),
    include: Annotated[
        list[Path] | None, typer.Option(help="File or folder in it that travels though it would be left out; may be repeated.")
    ] = None,
    max_mb: Annotated[int, typer.Option(min=1, max=500, help="Most megabytes that are sent.")] = 100,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: list what would travel, and what stays and why.")
    ] = False,
    env: Annotated[
        list[str] | None, typer.Option(help="Variable for the job: `NAME` hands on its value here, `NAME=VALUE` sets it.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Show the log to the end, and end with the run's exit code.")] = True,
    name: Annotated[str | None, typer.Option(help="Name of the job; must be new to the cluster.")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="A search (`robonav tune`) instead of a run.")] = False,
    resume: Annotated[str | None, typer.Option(help="As for the run: `auto`, `latest`, or a directory on the cluster.")] = None,
    time_limit: Annotated[str | None, typer.Option(help="As for the run: `90s`, `20m`, `1.5h`.")] = None,
) -> None:
    """Run on a cluster from any machine with its token: packs the directory, starts `robonav train` there, shows its log."""
    from robonav_ray.launch.submit import Submission, options_of, submit_command
    from robonav_ray.screen import make_screen

    path, overrides = _split(arguments)
    if time_limit is not None:
        parse_duration(time_limit)
    submission = Submission(
        verb="tune" if tune else "train", config=path, overrides=overrides, options=options_of(resume=resume, time_limit=time_limit),
        working_dir=working_dir, env=env or (), name=name, include=include or (), max_mb=max_mb,
    )  # fmt: skip
    raise typer.Exit(submit_command(submission, address, follow=follow, console=make_screen(), dry_run=dry_run))


@app.command()
def doctor() -> None:
    """Look at the machine, the packages, Ray and the GPU, and say what would stand in the way."""
    from robonav_ray.nodes.doctor import doctor_command

    raise typer.Exit(doctor_command())


@config_app.command("show", epilog="Example: `robonav config show configs/run/quick.yaml learner.batch_size=256`")
def config_show(arguments: Overrides = None) -> None:
    """Print the whole resolved config as YAML."""
    from robonav_ray.config.load import dump_config
    from robonav_ray.screen import say

    say(dump_config(_load(arguments)).rstrip("\n"))


@config_app.command("validate", epilog="Example: `robonav config validate configs/run/quick.yaml`")
def config_validate(arguments: Overrides = None) -> None:
    """Check a config, the environment that it names included."""
    from robonav_ray.runs.task import check_gates, describe_task
    from robonav_ray.runtime.budget import check_budget
    from robonav_ray.runtime.sizes import check_sizes
    from robonav_ray.screen import say

    config = _load(arguments)
    task = describe_task(config)
    check_sizes(config, task.spec)
    check_gates(config, task)
    check_budget(config)
    say(f"valid: {task.describe()}")


def parse_duration(text: str, option: str = "--time-limit") -> float:
    """Return seconds of ``90``, ``90s``, ``20m`` or ``1.5h``, as a config takes them; ConfigError that names ``option`` otherwise."""
    from robonav_ray.config.duration import seconds_of
    from robonav_ray.config.load import ConfigError

    try:
        seconds = seconds_of(text)
    except ValueError as error:
        raise ConfigError(f"{option} {error}") from None
    if seconds <= 0.0:
        raise ConfigError(f"{option} {text!r}: write a positive duration such as 30s, 20m or 1.5h")
    return seconds


def _split(arguments: list[str] | None) -> tuple[Path | None, list[str]]:
    """Tell the config file from the overrides, whose keys have no slash; ``lr=0.1.yaml`` is a file where there is one of that name."""
    from robonav_ray.config.load import ConfigError

    def is_override(argument: str) -> bool:
        key, equals, _ = argument.partition("=")
        named_so = argument.lower().endswith((".yaml", ".yml")) and os.path.lexists(argument)
        return bool(equals) and "/" not in key and not named_so

    files = [argument for argument in arguments or [] if not is_override(argument)]
    if "" in files:
        raise ConfigError("'': an argument is empty (a variable that is not set?); name a YAML file, or leave it out")
    if len(files) > 1:
        raise ConfigError(f"one config file at most, not {', '.join(files)}; overrides are written section.key=value")
    return (Path(files[0]) if files else None), [argument for argument in arguments or [] if is_override(argument)]


def _load(arguments: list[str] | None) -> RunConfig:
    from robonav_ray.config.load import load_run_config

    path, overrides = _split(arguments)
    return load_run_config(path, overrides)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"robonav_ray {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the user's mistakes end with one message and exit code 2, faults with one and 1.

    Output that nobody takes any more (``| head -1``, a closed terminal, a full disk) never ends a verb with a traceback: a training or a
    search stops and is saved, the others go on, and end with 1 where what was to be kept could not be written.
    """
    from robonav_ray.runtime.streams import guarded_streams
    from robonav_ray.screen import say_error

    with guarded_streams() as streams:
        code = _exit_code()
        sys.stdout.flush()
        if code == 0 and streams.loss is not None and not streams.loss.is_gone:
            say_error(streams.loss.why)
            code = streams.loss.exit_code
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        timer = threading.Timer(THREADS_END_S, _leave_threads, (code,))
        timer.daemon = True
        timer.start()
    raise SystemExit(code)


def _leave_threads(code: int) -> None:
    """End a process that has nothing left to do but to wait for threads which somebody's environment has left running."""
    if not threading.main_thread().is_alive():  # Python waits for them already
        os._exit(code)


def _exit_code() -> int:
    from robonav_ray.errors import PartLostError, RunFaultError, ToldError, UserError
    from robonav_ray.files.plain_files import refusal, sentence
    from robonav_ray.screen import say_error, write_to

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding (ASCII, for LC_ALL=C) has no bytes for is shown as escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except UserError as error:
        say_error(error)
        return 2
    except UnicodeEncodeError as error:
        if error.encoding not in (sys.getfilesystemencoding(), "utf-8"):
            raise
        say_error(
            f"{error.object[:80]!a}: is no name in this locale ({error.encoding}); set PYTHONUTF8=1 or LC_ALL=C.UTF-8, or "
            "choose a name of plain letters"
        )
        return 2
    except OSError as error:
        said = refusal(error)  # a name that is too long, a folder where a file belongs, what one may not open
        say_error(said or sentence(error))  # a disk that is full or broken, a storage that does not answer
        return 1 if said is None else 2
    except (FloatingPointError, ToldError, RunFaultError, PartLostError) as error:
        for trace in getattr(error, "__notes__", ()):  # no run's error.txt has it
            write_to(sys.stderr, f"{trace}\n")
        say_error(error)
        return 1
    return 0


if __name__ == "__main__":
    main()
