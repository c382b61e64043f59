"""``robonav map``: floor plans, as robots find them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robonav_ray.verbs.arguments import split_arguments
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from robonav_ray.config.worlds import WorldConfig
    from robonav_ray.worlds.maps.check_map import MapReport

map_app = typer.Typer(no_args_is_help=True, help="Look at a floor plan.")


@map_app.command(
    "show",
    epilog="Examples:\n\n`robonav map show my_map.yaml --robot turtlebot3_burger`\n\n`robonav map show office`\n\n"
    "`robonav map show env.world.map.generator=rooms env.world.map.passage_m=1.2 --number 7`",
)
def map_show(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE] [env.world.key=value ...]",
            help="A map's YAML file as map_server takes it, a folder of such, or the name of a shipped map "
            "(`robonav config list`), then overrides; without FILE `env.world.map.generator=KIND`.",
        ),
    ] = None,
    robot: Annotated[
        str | None, typer.Option(metavar="NAME", help="Robot that drives there: a shipped one, or its YAML file.")
    ] = None,
    number: Annotated[int, typer.Option(min=0, help="Which map, where there are several.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Picture to write (default: MAP.png here).")] = None,
    json: Json = False,
) -> None:
    """Draw a map with its walls, what the robot keeps from them and what it gets to, and say what is wrong with it."""
    from robonav_ray.config.yaml_document import ConfigError
    from robonav_ray.files.plain_files import check_replaceable
    from robonav_ray.report.map_picture import draw_map
    from robonav_ray.runs.located import refuse_unwritable, refuse_uri
    from robonav_ray.text import path_word
    from robonav_ray.worlds.maps.check_map import require_room

    path, overrides = split_arguments(arguments)
    refuse_uri(output, "--output", "a map is drawn into the folder that you are in")
    world = _world(path, robot, overrides)
    report = _report(world, number)
    target = output or Path(f"{report.grid.name.replace(' ', '-')}-map.png")
    if target.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"--output {target}: name a picture: .png, .pdf or .svg")
    refuse_unwritable(target.parent, "--output")
    check_replaceable(target)
    draw_map(report, world.robot, target)
    if json:
        print_json({**report.to_dict(), "written": target})
    else:
        _print_report(report)
    screen_beside(json).print(f"written: {path_word(target)}")
    require_room(report)


def _world(path: Path | None, robot: str | None, overrides: list[str]) -> WorldConfig:
    """Return the world that is meant; ConfigError names the key."""
    from robonav_ray.config.base import Section
    from robonav_ray.config.load import checked_config
    from robonav_ray.config.worlds import EnvConfig
    from robonav_ray.config.yaml_document import ConfigError

    class Shown(Section):
        """The part of a run's config that a map is shown by."""

        env: EnvConfig = EnvConfig()

    world: dict[str, Any] = {}
    if path is not None:
        world["map"] = {"files": [str(path)]}
    if robot is not None:
        world["robot"] = {"model": robot}
    shown = checked_config(Shown, {"env": {"world": world}}, overrides, "--robot" if robot else "map show").env.world
    if shown.map is None:
        raise ConfigError("name a map: robonav map show FILE, or env.world.map.generator=rooms")
    return shown


def _report(world: WorldConfig, number: int) -> MapReport:
    from robonav_ray.config.yaml_document import ConfigError
    from robonav_ray.worlds.maps.check_map import check_map
    from robonav_ray.worlds.maps.find_maps import find_maps, map_paths
    from robonav_ray.worlds.maps.map_file import read_map_file
    from robonav_ray.worlds.maps.read_map import unknown_as_free_frac
    from robonav_ray.worlds.maps.routes import route_clearance_m

    config = world.map
    assert config is not None
    maps = find_maps(config)
    if number >= len(maps):
        raise ConfigError(f"--number {number}: there are maps 0 to {len(maps) - 1}")
    grey = 0.0 if config.generator else unknown_as_free_frac(read_map_file(map_paths(config)[number]))
    return check_map(maps[number], world.robot, route_clearance_m(world), grey)


def _print_report(report: MapReport) -> None:
    from rich.text import Text

    from robonav_ray.screen import make_screen
    from robonav_ray.worlds.maps.check_map import INFLATED, ISLAND, REACHED

    screen, grid = make_screen(), report.grid
    width, height = grid.size_m
    screen.print(
        Text.assemble((grid.name, "bold"), f": {width:.4g} x {height:.4g} m, cells of {grid.resolution_m:g} m")
    )
    free, reached = report.area_m2(REACHED, INFLATED, ISLAND), report.area_m2(REACHED)
    screen.print(
        f"free: {free:.1f} m²; the robot's centre, {report.clearance_m:.2f} m from walls, gets to {reached:.1f} m²"
    )
    if report.islands:
        screen.print(f"out of reach: {report.area_m2(ISLAND):.1f} m² in {report.num_islands} islands")
    for problem in report.problems:
        screen.print(f"- {problem.text}", style="yellow")
    if not report.problems:
        screen.print("nothing is wrong with it")
