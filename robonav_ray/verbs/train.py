"""``robonav train``: a run from its beginning, or from a checkpoint, to its end, evaluated and drawn."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.errors import EXIT_DONE, EXIT_FAILED, EXIT_RESUME
from robonav_ray.verbs.arguments import Overrides, parse_duration, split_arguments

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav train`\n\n`robonav train quick seed=3`\n\n"
    "`robonav train env.id=CartPole-v1 --local`\n\n`robonav train --resume latest --time-limit 20m`\n\n"
    "`robonav train fast --init-from runs/curriculum-20261122-181500`"
)
def train(
    arguments: Overrides = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="`auto` (the newest unfinished run, else a fresh one), `latest` (the newest run), or a run or "
            "checkpoint directory."
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Be over, with a checkpoint, after this long: `90s`, `20m`, `1.5h`.")
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(help="End this long after a signal, even if a part hangs (default: budget.grace_s): `30s`."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for `seed=N`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of this run; must not exist yet.")] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Begin a new run with the weights of another: its directory, one of its checkpoints, or a URI.",
        ),
    ] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="One process, without Ray: the same bits every time, unless the learning rate follows the clock.",
        ),
    ] = False,
) -> None:
    """Train the curriculum, evaluate the result and draw it."""
    path, overrides = split_arguments(arguments)
    if seed is not None:
        overrides.append(f"seed={seed}")
    if time_limit is not None:
        overrides.append(f"budget.max_time_s={parse_duration(time_limit)}")
    if grace is not None:
        overrides.append(f"budget.grace_s={parse_duration(grace, '--grace')}")
    raise typer.Exit(train_command(path, overrides, resume=resume, directory=out, local=local, init_from=init_from))


def train_command(
    config_path: Path | None,
    overrides: Sequence[str],
    *,
    resume: str | None,
    directory: Path | None,
    local: bool,
    init_from: str | None = None,
) -> int:
    """Train to the end (or to the limit, or to a signal) and return the exit code.

    0: finished; 75: stopped before the end, resume; 1: a fault, or the last checkpoint could not be written. Mistakes
    of the user raise UserError before anything is made. A stop that takes longer than ``budget.grace_s`` ends the
    process by force (see ``signals.py``).
    """
    import psutil
    from rich.text import Text

    from robonav_ray.errors import RunFaultError, RunInterruptedError
    from robonav_ray.runtime.audience import Audience
    from robonav_ray.runtime.endings import Outcome
    from robonav_ray.runtime.opening import resolve_opening
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.runtime.train import train
    from robonav_ray.screen import make_screen, say_error, show_warnings
    from robonav_ray.text import message_text
    from robonav_ray.tracking.panel import make_panel

    began = time.monotonic() - (time.time() - psutil.Process().create_time())
    screen = make_screen()
    show_warnings()
    opening = resolve_opening(config_path, overrides, resume, directory, began, screen, init_from)
    audience = Audience(screen, lambda kind: make_panel(kind, make_screen(soft_wrap=False)), logging.root)
    try:
        with opening.held, stop_on_signals(opening.config.budget.grace_s, in_session=True) as stop:
            outcome = train(opening, stop, audience, local=local).verdict.outcome
            return {Outcome.DONE: EXIT_DONE, Outcome.TO_RESUME: stop.resume_code, Outcome.FAILED: EXIT_FAILED}[outcome]
    except RunInterruptedError as error:
        screen.print(
            Text.assemble(f"{message_text(error)}\ngo on later with the same command and ", ("--resume auto", "bold"))
        )
        return EXIT_RESUME
    except KeyboardInterrupt:
        say_error("ended at once; what was committed before is intact: go on with the same command and --resume auto")
        return EXIT_RESUME
    except RunFaultError as error:
        say_error(error)
        return EXIT_FAILED
