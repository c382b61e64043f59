"""``robonav evaluate``: judge a run's policy on worlds that training never saw."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.verbs.arguments import Run

app = typer.Typer()


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
    from robonav_ray.evaluation.report import print_report
    from robonav_ray.runtime import judge
    from robonav_ray.runtime.signals import EXIT_RESUME, stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped
    from robonav_ray.screen import make_screen

    screen = make_screen()
    try:
        _, written = judge.evaluate(
            run,
            judge.Exam(episodes, None if stages is None else [stages], seed),
            out=out,
            screen=screen,
            stopping=partial(stop_on_signals, needs_reader=False),
            told=lambda report: print_report(report, screen),
        )
    except EvaluationStopped:
        screen.print("the evaluation was stopped, and nothing is written: the episodes that were through are the short ones")
        raise typer.Exit(EXIT_RESUME) from None
    screen.print(f"written: {', '.join(written)}", soft_wrap=True)
