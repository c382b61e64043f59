"""``robonav fleet``: an A/B test on robots: who drives which episode, what came of it, and the end of a challenger that
collides more.
"""

from __future__ import annotations

import json as plain_json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robonav_ray.errors import EXIT_FAILED
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from robonav_ray.evaluation.fleet.guard import FleetStanding
    from robonav_ray.evaluation.fleet.split import Arm
    from robonav_ray.evaluation.fleet.watch import FleetWatch

fleet_app = typer.Typer(no_args_is_help=True, help="An A/B test on a fleet: split, exposures, automatic rollback.")

Folder = Annotated[Path, typer.Argument(help="Folder of the test, which `robonav fleet begin` made.")]
Place = Annotated[
    str | None,
    typer.Option(
        "--registry", metavar="DIR|URI", help="Folder or bucket of models (default: ROBONAV_REGISTRY, or runs/models)."
    ),
]


@fleet_app.command(epilog="Example: `robonav fleet begin robot_nav --out fleet/may --share 0.1`")
def begin(
    name: Annotated[str, typer.Argument(help="A model of the registry.")],
    out: Annotated[Path, typer.Option(help="Folder of the test; a split that is there is never changed.")],
    champion: Annotated[str, typer.Option(help="Alias or number of the version that drives.")] = "champion",
    challenger: Annotated[str, typer.Option(help="Alias or number of the version that is tried.")] = "challenger",
    share: Annotated[float, typer.Option(help="Part of the episodes that the challenger drives.")] = 0.1,
    salt: Annotated[str | None, typer.Option(help="Another one splits anew (default: drawn).")] = None,
    registry: Place = None,
) -> None:
    """Pin two versions and a split into a folder: a hash of robot and episode says who drives."""
    from robonav_ray.evaluation.fleet.split import FleetSplit
    from robonav_ray.fronts.models.registry_call import registry as registry_at
    from robonav_ray.screen import Screen, print_commands
    from robonav_ray.text import command_text, path_word

    models = registry_at(registry)
    refs = [str(models.version(name, ref).number) for ref in (champion, challenger)]
    salts = {} if salt is None else {"salt": salt}
    split = FleetSplit(name, refs[0], refs[1], share, **salts)
    split.save(out)
    screen = Screen(soft_wrap=True)
    screen.print(
        f"version {split.challenger} of {name} drives {100 * share:g} % of the episodes, version {split.champion} the "
        "others"
    )
    folder = path_word(out)
    print_commands(
        [
            (command_text("robonav", "fleet", "assign", folder, "ROBOT", "EPISODE"), "who drives; logs the exposure"),
            (
                command_text("robonav", "fleet", "watch", folder, "--follow"),
                f"outcomes come in {folder}/outcomes.jsonl",
            ),
        ],
        screen,
    )


@fleet_app.command(epilog="Example: `robonav fleet assign fleet/may AMR-7 4711`")
def assign(
    folder: Folder,
    robot: Annotated[str, typer.Argument(help="Its name, the same in every line.")],
    episode: Annotated[int, typer.Argument(help="Its number, which each robot counts for itself.")],
    json: Json = False,
) -> None:
    """Say which version drives an episode, and log the exposure; after a rollback it is the champion."""
    from robonav_ray.evaluation.fleet.exposures import ExposureLog
    from robonav_ray.evaluation.fleet.split import FleetSplit
    from robonav_ray.screen import say

    split = FleetSplit.load(folder)
    arm = ExposureLog(split, folder).assign(robot, episode)
    told = {"robot": robot, "episode": episode, "arm": arm, "model": split.name, "version": split.version_of(arm)}
    if json:
        print_json(told)
    else:
        say(f"{arm} {split.name}@{split.version_of(arm)}")


@fleet_app.command(
    epilog="Examples:\n\n`robonav fleet watch fleet/may`\n\n`robonav fleet watch fleet/may --follow --rail 0.03`\n\n"
    'A line of the outcomes: `{"robot": "AMR-7", "episode": 4711, "outcome": "success"}`.\n\n'
    "Exit codes: 0 nothing speaks against the challenger, 1 it was rolled back or the split is off, 2 your input is "
    "wrong."
)
def watch(
    folder: Folder,
    outcomes: Annotated[
        Path | None, typer.Option(help="The robots' lines of JSON (default: FOLDER/outcomes.jsonl).")
    ] = None,
    rail: Annotated[
        float | None,
        typer.Option(
            help="It is within the rail when it surely collides less than this share more (default: that of the first "
            "watch, 0.05); the first watch settles it."
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="How probably a bound is ever wrong, over all looks (default: that of the first, 0.05)."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as lines come, until Ctrl-C or a rollback.")] = False,
    registry: Place = None,
    json: Json = False,
) -> None:
    """Watch collisions and the split, and roll the challenger back when it has to go: the champion drives everything,
    and the registry's aliases leave the challenger.
    """
    from robonav_ray.evaluation.fleet.guard import Status
    from robonav_ray.evaluation.fleet.kept_rail import rail_of
    from robonav_ray.evaluation.fleet.watch import FleetWatch
    from robonav_ray.fronts.models.registry_call import registry as registry_at

    watched = FleetWatch(folder, registry_at(registry), rail_of(folder, collisions=rail, alpha=alpha), outcomes)
    standing = _followed(watched) if follow else watched.poll()
    if json:
        print_json({**standing.to_dict(), "rolled_back": watched.is_rolled_back})
    else:
        _show(standing)
    if watched.is_rolled_back or standing.status not in (Status.WATCHING, Status.WITHIN):
        raise typer.Exit(EXIT_FAILED)


def _followed(watched: FleetWatch) -> FleetStanding:
    """Poll each second until a rollback or a signal."""
    import time

    from robonav_ray.runtime.signals import stop_on_signals

    with stop_on_signals(needs_reader=False) as stop:
        standing = watched.poll()
        while not stop and not watched.is_rolled_back:
            time.sleep(1.0)
            standing = watched.poll()
    return standing


def _show(standing: FleetStanding) -> None:
    from robonav_ray.evaluation.ab.gate import points

    screen = screen_beside(False)
    arms: tuple[Arm, Arm] = ("champion", "challenger")
    for arm in arms:
        ended, collided = standing.ended.get(arm, 0), standing.collided.get(arm, 0)
        part = f", {100 * collided / ended:.1f} % with a collision" if ended else ""
        screen.print(f"{arm}: {standing.exposed.get(arm, 0):,} exposures, {ended:,} outcomes{part}")
    if standing.num_looks:
        screen.print(f"difference in collisions: {points(standing.difference)} after {standing.num_looks} looks")
    p = ", ".join(f"{what} p {value:.3g}" for what, value in standing.split_p.items())
    screen.print(f"split (chi-square): {p}")
    for file, fates in standing.lines.items():
        odd = {fate: count for fate, count in fates.items() if fate != "taken"}
        if odd:
            screen.print(f"lines of {file} that count for nothing: {plain_json.dumps(odd)}")
    screen.print(f"{standing.status}: {standing.reason}", style="bold")
