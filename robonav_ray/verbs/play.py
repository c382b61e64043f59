"""``robonav play``: let a run's policy drive, for a GIF or in a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robonav_ray.errors import EXIT_RESUME
from robonav_ray.verbs.arguments import WhichCheckpoint, which_checkpoint
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from robonav_ray.algo.policy import Policy
    from robonav_ray.runs.located import LocatedRun
    from robonav_ray.runs.task import Task

app = typer.Typer()
_OF_A_LEAGUE = ("league", "runs", "output", "window", "stage", "seed", "case", "json")
_OF_A_CASE = ("runs", "output", "window", "seed", "case", "exam", "trust", "json")


@app.command(
    epilog="Examples:\n\n`robonav play runs/curriculum-20261122-181500 --stage full_challenge --output robot.gif`\n\n"
    "`robonav play --league runs/league-20261130-181500 newest best orca`"
)
def play(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="A run directory or one of its checkpoints, the URI of either, or NAME@champion; may be left out with "
            "--planner. With --league: its members.",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="GIF to write (default: play.gif in the run directory).")] = None,
    window: Annotated[
        bool, typer.Option("--window", help="Show a window instead (needs `pip install robonav_ray[human]`).")
    ] = False,
    stage: Annotated[
        str | None, typer.Option(help="Stage to play, by name or number from 0 (default: the last).")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes one after another.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the worlds.")] = 7,
    checkpoint: WhichCheckpoint = None,
    case: Annotated[
        str | None,
        typer.Option(
            help="Just one episode, as `robonav compare` plays it: SUITE:SCENARIO:INDEX; RUN is any entrant then, and "
            "with several each has its film. With --league: the number of the world, from 0."
        ),
    ] = None,
    exam: Annotated[
        Path | None,
        typer.Option(help="With --case: folder of an exam, whose worlds and entrants are taken and which is checked."),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="With --case: open other libraries' policies, which runs code in them.")
    ] = False,
    planner: Annotated[
        str | None, typer.Option(help="Let a planner drive instead, e.g. dwa, or dwa:default as it comes untuned.")
    ] = None,
    league: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Let members of a run's league share one world: name them by id or as newest, best, orca, "
            "social_force, straight, stand, other runs, NAME@champion (default: newest best).",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Watch the policy of a run drive, or a planner, or members of a league together: as a GIF, or in a window."""
    from robonav_ray.config.load import ConfigError
    from robonav_ray.registry.by_name import located
    from robonav_ray.runs.faults import told_beside
    from robonav_ray.runs.located import refuse_uri
    from robonav_ray.verbs.play_planner import play_planner

    given = [name for name in ctx.params if (source := ctx.get_parameter_source(name)) and source.name == "COMMANDLINE"]
    if league is not None:
        from robonav_ray.verbs.self_play.play_league import play_league

        ignored = [f"--{name}" for name in given if name not in _OF_A_LEAGUE]
        given_seed = seed if "seed" in given else None
        raise typer.Exit(play_league(league, runs or [], output, window, stage, case, given_seed, ignored, json))
    if case is not None:
        from robonav_ray.verbs.play_case import play_case

        ignored = [f"--{name}" for name in given if name not in _OF_A_CASE]
        given_seed = seed if "seed" in given else None
        raise typer.Exit(play_case(case, runs or [], output, window, exam, given_seed, trust, ignored, json))
    if runs and len(runs) > 1:
        raise ConfigError(f"{runs[1]}: one run is played at a time; several go with --case, which films each")
    run = runs[0] if runs else None
    if exam is not None or trust:
        raise ConfigError(f"{'--exam' if exam is not None else '--trust'} goes with --case only; leave it out")
    if window and json:
        raise ConfigError("--json goes with a GIF; leave it away together with --window")
    refuse_uri(output, "--output", "the film of a run in a storage is written to the folder that you are in")
    if planner is not None:
        if checkpoint is not None:
            raise ConfigError("--checkpoint would be ignored: a planner has none; leave it out")
        raise typer.Exit(play_planner(planner, run, output, window, stage, episodes, seed, json))
    if run is None:
        raise ConfigError("name the run whose policy shall drive, or a planner with --planner")
    with located(run, which=which_checkpoint(checkpoint)) as found, told_beside(found.run):
        if window:
            _show_window(found, output, stage, seed)
        else:
            raise typer.Exit(_film(found, output, stage, episodes, seed, json))


def _show_window(found: LocatedRun, output: Path | None, stage: str | None, seed: int) -> None:
    from robonav_ray.config.load import ConfigError
    from robonav_ray.runtime.filming import show_window
    from robonav_ray.verbs.play_planner import with_pygame

    number, task, policy = _chosen(found, stage)
    config = found.run.config
    if not task.is_native:
        raise ConfigError(f"--window: shows our own worlds only, not env.id={task.env_id!r}; leave it away for a GIF")
    if output is not None:
        raise ConfigError("--output goes with a GIF; leave it away together with --window")
    with_pygame(lambda: show_window(policy, config, task, stage=number, seed=seed), screen_beside(False))


def _film(found: LocatedRun, output: Path | None, stage: str | None, episodes: int, seed: int, json: bool) -> int:
    from robonav_ray.runtime.filming import draw_gif
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.tracking.tracked_run import keep_tracked
    from robonav_ray.verbs.play_planner import write_film

    screen = screen_beside(json)
    number, task, policy = _chosen(found, stage)
    config = found.run.config
    name = f"play-{f'stage{number}-' * task.has_stages}seed{seed}.gif"
    target = output or (found.run.path / name if found.takes_notes else Path(f"{found.run.name}-{name}"))
    num_frames = write_film(
        target,
        lambda: draw_gif(target, policy, config, task, stage=number, num_episodes=episodes, seed=seed),
        screen,
    )
    if num_frames is None:
        return EXIT_RESUME
    if found.takes_notes:
        with stop_on_signals(needs_reader=False) as stop:
            keep_tracked(found.run, found.checkpoint.counters.env_steps, [target], asked=lambda: bool(stop))
    screen.print(f"written: {target} ({num_frames:,} pictures)")
    if json:
        print_json({"written": [target], "pictures": num_frames, "stage": task.shown_name(number), "seed": seed})
    return 0


def _chosen(found: LocatedRun, stage: str | None) -> tuple[int, Task, Policy]:
    """Return the number of the stage to play, the task that it belongs to, and the policy."""
    from robonav_ray.runs.policies import load_policy
    from robonav_ray.runs.task import describe_task
    from robonav_ray.runtime.judge import checked_stages, stage_numbers

    config = found.run.config
    task = describe_task(config)
    number = checked_stages(task, None if stage is None else stage_numbers([stage], config, "--stage"))[-1]
    return number, task, load_policy(found.checkpoint, config, task)
