"""``robonav ab``: does a challenger take the champion's place?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.errors import EXIT_FAILED, EXIT_RESUME
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav ab robot_nav@champion robot_nav@challenger --worlds 4000 --promote`\n\n"
    "`robonav ab orca runs/curriculum-20261122-181500 --suite standard --suite robustness`\n\n"
    "Exit codes: 0 the gate is passed (with `--promote`: promoted), 1 refused, 2 your input is wrong, 75 stopped: the "
    "same command goes on."
)
def ab(
    champion: Annotated[
        str,
        typer.Argument(
            help="A model by name (`robot_nav@champion`), a run, a checkpoint, a planner, `module:function`; any of "
            "them may be given a name (`old=runs/...`)."
        ),
    ],
    challenger: Annotated[str, typer.Argument(help="The same: what shall take its place.")],
    worlds: Annotated[int, typer.Option(help="Worlds that both play at most; it ends when it knows.")] = 4000,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="Suites by name or as YAML files, the option once for each (default: ab). Their scenarios are the "
            "paired test, their sweeps the robustness area."
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Move the champion's alias to the challenger when the gate is passed.")
    ] = False,
    collision_margin: Annotated[
        float, typer.Option(help="Collisions must surely not be more by this share of worlds.")
    ] = 0.02,
    least_gain: Annotated[
        float, typer.Option(help="A surely smaller gain in success is not worth a change, and ends the test.")
    ] = 0.01,
    alpha: Annotated[float, typer.Option(help="How probably one that is no better is promoted.")] = 0.05,
    latency_ms: Annotated[
        float | None,
        typer.Option(help="Most for a decision, 99th percentile (default: half of the worlds' time step)."),
    ] = None,
    area_margin: Annotated[
        float, typer.Option(help="Part of its clean score by which it must surely not keep less under disturbances.")
    ] = 0.1,
    area_worlds: Annotated[int, typer.Option(help="Worlds of each point of the robustness area.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the worlds.")] = 2_000_003,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the test (default: one below exams/ that belongs to this command).")
    ] = None,
    registry: Annotated[
        str | None, typer.Option(help="Folder or bucket of the models (default: ROBONAV_REGISTRY, else runs/models).")
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Open other libraries' policies: that runs code which is in their files."),
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="On this machine, without Ray.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to play on (default: RAY_ADDRESS, else this machine's cores).")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side on this machine (default: its cores).")
    ] = None,
    json: Json = False,
) -> None:
    """Have champion and challenger play the same worlds until it is known which is better, and hold the challenger
    against a gate: success, collisions not worse, latency, robustness area.
    """
    from robonav_ray.evaluation.ab.gate import Limits
    from robonav_ray.evaluation.ab.paired_test import Rules
    from robonav_ray.fronts.foreign_policies import load_foreign
    from robonav_ray.fronts.studies.ab_call import ask_ab, run_ab
    from robonav_ray.runs.session_facts import command_line
    from robonav_ray.runtime.examination.ab import Playing, said
    from robonav_ray.runtime.examination.examine import Where
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped
    from robonav_ray.screen import say_error
    from robonav_ray.text import path_word

    screen = screen_beside(json)
    asked = ask_ab(
        champion,
        challenger,
        num_worlds=worlds,
        suites=suite or ("ab",),
        registry=registry,
        seed=seed,
        rules=Rules(alpha, collision_margin, least_gain),
        limits=Limits(None if latency_ms is None else latency_ms / 1e3, area_margin),
        area_worlds=area_worlds,
        trust=trust,
    )
    folder = out or asked.default_folder()
    playing = Playing(
        load_foreign, Where(local, address, processes), screen, stopping=partial(stop_on_signals, needs_reader=False)
    )
    try:
        result = run_ab(asked, folder, playing, command_line(), promote=promote)
    except EvaluationStopped:
        screen.print(f"stopped; what is finished is kept in {path_word(folder)}, and the same command goes on")
        raise typer.Exit(EXIT_RESUME) from None
    said(result.record, folder, screen)
    if result.promoted:
        screen.print(f"promoted: {champion} is {result.record.challenger.name} now")
    if json:
        print_json(result.to_dict())
    if not result.passed:
        say_error(f"{'not promoted' if promote else 'refused'}: {result.gate.reason}")
        raise typer.Exit(EXIT_FAILED)
