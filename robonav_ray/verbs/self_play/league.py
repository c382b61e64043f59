"""``robonav league``: look at the league that a run trains in, and rate its members."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robonav_ray.errors import EXIT_RESUME
from robonav_ray.verbs.as_json import Json, print_json, screen_beside
from robonav_ray.verbs.self_play.exploit import app as exploit_app

if TYPE_CHECKING:
    from robonav_ray.league.cross_play import CrossPlay
    from robonav_ray.runtime.self_play.league_of_run import LeagueOfRun
    from robonav_ray.runtime.self_play.league_view import LeagueView
    from robonav_ray.screen import Screen

league_app = typer.Typer(
    no_args_is_help=True,
    help="Look at the league that a run trains in, and rate its members.",
    epilog="Examples:\n\n`robonav league show runs/league-20261130-181500`\n\n"
    "`robonav league rate runs/league-20261130-181500`",
)
league_app.add_typer(exploit_app)
Run = Annotated[
    str,
    typer.Argument(
        help="A run directory or one of its checkpoints, or the URI of either in a storage (`s3://bucket/runs/NAME`)."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(help="Picture to write (default: league.png in the run; for a URI NAME-league.png here)."),
]


@league_app.callback()
def _league() -> None:
    pass


@league_app.command(
    "show",
    epilog="Examples:\n\n`robonav league show runs/league-20261130-181500`\n\n"
    "`robonav league show s3://bucket/runs/NAME --json`\n\n"
    "`robonav league show runs/league-20261130-181500 --output league.svg`",
)
def show(run: Run, output: Output = None, json: Json = False) -> None:
    """Show who is in the league, how well the learner does with each, who is strong, what was forgotten, and draw it.

    Members are judged by `robonav league rate` where that has played all of them, else by the results of training:
    with its exploration, in the stages that it had. All is of the newest checkpoint. Picture and tables go to the run's
    trackers, too.
    """
    from robonav_ray.runtime.self_play.league_of_run import located_league

    with located_league(run) as found:
        target = _target(found, output)
        _present(found, None, target, screen_beside(json, soft_wrap=False), json)


@league_app.command(
    "rate",
    epilog="Examples:\n\n`robonav league rate runs/league-20261130-181500`\n\n"
    "`robonav league rate runs/league-20261130-181500 --cases 1000 --stage 0`",
)
def rate(
    run: Run,
    cases: Annotated[int, typer.Option(min=10, max=100_000, help="Cases that every two members share.")] = 200,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the held-out worlds (default: evaluation.seed).")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Stage whose worlds are played, by name or number from 0 (default: the last).")
    ] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Rate the members of a league: every two play the same held-out cases, greedily, half of the robots each.

    What has been played is kept in the run (league/cross_play.jsonl), so that a command that was stopped goes on, and
    later only new members play. `robonav league show` and `robonav report` take it from there.
    """
    from robonav_ray.files.plain_files import check_folder
    from robonav_ray.runs.located import refuse_unwritable
    from robonav_ray.runtime.judge import stage_numbers
    from robonav_ray.runtime.self_play.league_of_run import located_league
    from robonav_ray.runtime.self_play.rating import kept_file, rate_league
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped, EvaluationWatch, stopped_at_once

    screen = screen_beside(json, soft_wrap=False)
    with located_league(run) as found:
        target = _target(found, output)
        folder = kept_file(found).parent
        check_folder(folder)
        refuse_unwritable(folder, "RUN")
        number = None if stage is None else stage_numbers([stage], found.run.config, "--stage")[-1]
        with stop_on_signals(needs_reader=False) as stop:
            try:
                with stopped_at_once(stop), EvaluationWatch(screen) as watch:
                    shown = cache(lambda num: watch.begin("league", num))
                    played = rate_league(
                        found,
                        num_cases=cases,
                        seed=seed,
                        stage=number,
                        progress=lambda now: shown(now.num_episodes)(now),
                        told=lambda text: screen.print(text, soft_wrap=True),
                    )
            except EvaluationStopped:
                screen.print("stopped; what was played is kept, and the same command plays the rest")
                raise typer.Exit(EXIT_RESUME) from None
        _present(found, played, target, screen, json)


def _target(found: LeagueOfRun, output: Path | None) -> Path:
    """Return the picture to write; UserError, before any work, when it cannot be."""
    from robonav_ray.config.load import ConfigError
    from robonav_ray.files.plain_files import check_replaceable
    from robonav_ray.league.picture import SUFFIXES
    from robonav_ray.runs.located import refuse_unwritable, refuse_uri

    refuse_uri(output, "--output", "it is drawn into a folder here")
    own = found.run.path / "league.png" if found.uri is None else Path(f"{found.run.name}-league.png")
    target = output or own
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--output {target}: name a picture: {', '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise ConfigError(f"--output {target}: there is no folder {target.parent}; make it, or name another")
    refuse_unwritable(target.parent, "--output")
    check_replaceable(target)
    return target


def _present(found: LeagueOfRun, played: CrossPlay | None, target: Path, screen: Screen, json: bool) -> None:
    """Draw what is known of the league, give it to the run's trackers, and print it."""
    from robonav_ray.league.picture import draw_league
    from robonav_ray.runtime.self_play.kept_league import keep_tables, store_league
    from robonav_ray.runtime.self_play.league_view import view_of
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.text import path_word
    from robonav_ray.tracking.tracked_run import keep_tracked
    from robonav_ray.verbs.self_play.league_lines import print_league

    view: LeagueView = view_of(found, played)
    draw_league(found.league, view.results, target, view.title)
    if found.uri is None:
        tables = keep_tables(view)
        with stop_on_signals(needs_reader=False) as stop:
            keep_tracked(found.run, found.env_steps, [target, *tables], asked=lambda: bool(stop))
            store_league(found, [target.absolute(), *tables])
    if json:
        print_json(view.to_dict() | {"written": [target]})
    else:
        print_league(view, screen)
    screen.print(f"written: {path_word(target)}", soft_wrap=True)
