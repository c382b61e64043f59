"""``robonav evaluate``: judge a run's policy on worlds that training never saw."""

from __future__ import annotations

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
    from robonav_ray.evaluation.report import print_report, write_report
    from robonav_ray.runs.faults import told_beside
    from robonav_ray.runs.located import located, refuse_judged, refuse_unwritable, refuse_uri
    from robonav_ray.runtime.judge import evaluate_run, stage_numbers
    from robonav_ray.runtime.signals import EXIT_RESUME, stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped
    from robonav_ray.screen import make_screen

    refuse_uri(out, "--out", "give the URI of a run that lies there, and the results are stored with it")
    if out is not None:
        refuse_unwritable(out, "--out")
        refuse_judged(out, "--out")
    with located(run, writes=out is None) as found, told_beside(found.run):
        changes = {
            "num_episodes": episodes,
            "levels": None if stages is None else stage_numbers(stages, found.run.config, "--stages"),
            "seed": seed,
        }
        config = found.run.resumed_config([f"evaluation.{key}={value}" for key, value in changes.items() if value is not None])
        screen = make_screen()
        with stop_on_signals(needs_reader=False) as stop:
            try:
                report = evaluate_run(found.run, found.checkpoint, config, screen, config.evaluation.levels, stop)
            except EvaluationStopped:
                screen.print(
                    "the evaluation was stopped, and nothing is written: the episodes that were through are the short ones"
                )
                raise typer.Exit(EXIT_RESUME) from None
        print_report(report, screen)
        written = found.keep(lambda folder: write_report(report, folder), "evaluations", out)
        screen.print(f"written: {', '.join(written)}", soft_wrap=True)
