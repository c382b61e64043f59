"""``robonav evaluate``: judge a run's policy on worlds that training never saw."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robonav_ray.errors import EXIT_FAILED, EXIT_RESUME
from robonav_ray.verbs.arguments import Run, WhichCheckpoint, which_checkpoint
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from robonav_ray.evaluation.report import EvaluationReport

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav evaluate runs/curriculum-20261122-181500 --episodes 1000`\n\n"
    "`robonav evaluate runs/curriculum-20261122-181500 env.world.difficulty=fast --stages full_challenge "
    "--min-success 0.8`"
)
def evaluate(
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[section.key=value ...]",
            help="What is otherwise in the worlds that it is judged in, or in the judging: keys of env, "
            "curriculum.stages and evaluation.",
        ),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Episodes per stage (default: evaluation.num_episodes).")
    ] = None,
    stages: Annotated[
        str | None, typer.Option(help="Stages by name or number from 0: `full_challenge`, `0,3`; default: all.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the held-out worlds (default: evaluation.seed).")
    ] = None,
    checkpoint: WhichCheckpoint = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results (default: a new one in the run).")] = None,
    min_success: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="End with exit code 1 when the last stage has a lower success rate: `0.8`."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Judge the policy of a run on worlds that training never saw: rates with Wilson intervals, a table,
    evaluation.json.
    """
    from robonav_ray.evaluation.report import print_report, to_dict
    from robonav_ray.runtime import judge
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped

    screen = screen_beside(json)
    try:
        report, written = judge.evaluate(
            run,
            judge.Exam(
                episodes, None if stages is None else [stages], seed, overrides or (), which_checkpoint(checkpoint)
            ),
            out=out,
            screen=screen,
            stopping=partial(stop_on_signals, needs_reader=False),
            told=lambda report: None if json else print_report(report, screen),
        )
    except EvaluationStopped:
        screen.print(
            "the evaluation was stopped, and nothing is written: the episodes that were through are the short ones"
        )
        raise typer.Exit(EXIT_RESUME) from None
    screen.print(f"written: {', '.join(written)}", soft_wrap=True)
    if json:
        print_json({**to_dict(report), "written": written})
    if min_success is not None:
        _hold(report, min_success)


def _hold(report: EvaluationReport, least: float) -> None:
    """Say, and end with exit code 1, when the last stage's success rate is below ``least``; UserError when no success
    is told.
    """
    from robonav_ray.errors import UserError
    from robonav_ray.screen import say_error

    last = report.levels[-1]
    if last.summary.success is None:
        raise UserError(
            f"--min-success: {last.level} tells no success, so there is none to be held against {least:g}; leave it "
            "away"
        )
    if last.summary.success.frac < least:
        say_error(f"success of {last.level} is {last.summary.success.frac:.1%}, below --min-success {least:.1%}")
        raise typer.Exit(EXIT_FAILED)
