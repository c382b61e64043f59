"""``robonav league``: look at the league that a run trains in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robonav_ray.verbs.as_json import Json, print_json, screen_beside
from robonav_ray.verbs.self_play.exploit import app as exploit_app

if TYPE_CHECKING:
    from robonav_ray.league.standing import Standing
    from robonav_ray.screen import Screen

league_app = typer.Typer(
    no_args_is_help=True,
    help="Look at the league that a run trains in.",
    epilog="Example: `robonav league show runs/league-20261130-181500`",
)
league_app.add_typer(exploit_app)
MAX_EVENTS = 8


@league_app.callback()
def _league() -> None:
    pass


@league_app.command(
    "show",
    epilog="Examples:\n\n`robonav league show runs/league-20261130-181500`\n\n"
    "`robonav league show runs/league-20261130-181500 --json`\n\n"
    "`robonav league show runs/league-20261130-181500 --output league.svg`",
)
def show(
    run: Annotated[Path, typer.Argument(help="The directory of a run.")],
    output: Annotated[Path | None, typer.Option(help="Picture to write (default: league.png in the run).")] = None,
    json: Json = False,
) -> None:
    """Show who is in the league, how well the learner does with each, who is strong, what was forgotten, and draw it.

    All is of the newest checkpoint, by the results of training: with its exploration, in the stages that it had. The
    picture goes to the run's trackers, too.
    """
    from robonav_ray.config.load import ConfigError
    from robonav_ray.files.plain_files import check_replaceable
    from robonav_ray.fronts.self_play.league_of_run import league_of
    from robonav_ray.league.picture import SUFFIXES, draw_league
    from robonav_ray.league.standing import make_rng, standing_of
    from robonav_ray.runs.located import refuse_unwritable, refuse_uri
    from robonav_ray.runs.run_directory import open_run
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.text import path_word
    from robonav_ray.tracking.tracked_run import keep_tracked

    refuse_uri(run, "RUN", "the league of a run in a storage is shown where the run lies")
    refuse_uri(output, "--output", "it is drawn into a folder here")
    found = open_run(run)
    target = found.path / "league.png" if output is None else output
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--output {target}: name a picture: {', '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise ConfigError(f"--output {target}: there is no folder {target.parent}; make it, or name another")
    refuse_unwritable(target.parent, "--output")
    check_replaceable(target)
    league, env_steps = league_of(found)
    ratings = league.ratings(make_rng())
    standing = standing_of(league, ratings)
    draw_league(league, ratings, target, found.name)
    with stop_on_signals(needs_reader=False) as stop:
        keep_tracked(found, env_steps, [target], asked=lambda: bool(stop))
    screen = screen_beside(json, soft_wrap=False)
    if json:
        print_json(standing.to_dict() | {"written": [target]})
    else:
        _print_standing(standing, screen)
    screen.print(f"written: {path_word(target)}", soft_wrap=True)


def _print_standing(standing: Standing, screen: Screen) -> None:
    from rich.table import Table

    from robonav_ray.text import visible

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("member", overflow="fold")
    for name in ("met", "score with it, %", "forgot", "rating", "Nash", "Elo"):
        table.add_column(name, justify="right")
    for one in sorted(standing.members, key=lambda member: (member.is_rated, member.ability), reverse=True):
        score = f"{100 * one.score:.0f} [{100 * one.score_low:.0f}, {100 * one.score_high:.0f}]"
        strength = (
            f"{one.ability:+.0f} [{one.ability_low:+.0f}, {one.ability_high:+.0f}]",
            f"{one.nash_skill:+.0f} {one.nash_weight:.0%}",
            f"{one.elo:+.0f}",
        )
        table.add_row(
            visible(one.id + (" (best)" if one.is_best else "")),
            f"{one.met_frac:.0%}",
            score if one.games else "-",
            f"{one.forgotten:.0%}",
            *(strength if one.is_rated else ("-", "-", "-")),
        )
    screen.print(table)
    line = [one.id for one in standing.members if one.role == "main" and one.id != standing.learner]
    told = f"line of {standing.learner}: {', '.join(line) or 'no snapshot yet'}; {len(standing.lineage)} members ever"
    screen.print(visible(told), soft_wrap=True)
    screen.print(
        visible(f"{standing.learner} does worst with {standing.worst}: {standing.worst_score:.0%}"), soft_wrap=True
    )
    if standing.diversity:
        last = standing.diversity[-1]
        behaviour = "" if last["distance"] is None else f", total variation {last['distance']:.2f}"
        screen.print(f"diversity of {last['num_members']} snapshots: log-determinant {last['log_det']:.1f}{behaviour}")
    for exploit in standing.exploits:
        screen.print(
            visible(
                f"{exploit['id']} ({exploit['role']}, {exploit['start']}, {exploit['used_env_steps']:,} env steps) "
                f"gained {exploit['gain']:.1%} over {exploit['target']}: a lower bound of its exploitability"
            ),
            soft_wrap=True,
        )
    for event in standing.events[-MAX_EVENTS:]:
        detail = f": {event.detail}" if event.detail else ""
        screen.print(visible(f"at {event.step:,} {event.event} {event.member}{detail}"), style="dim", soft_wrap=True)
