"""A map as a picture: walls, what the body gets to, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config.worlds.robot import RobotConfig
from robonav_ray.files.plain_files import replacing_path
from robonav_ray.report.style import BLUE, FAINT, INK, RED, bare_axes, make_figure, save_figure
from robonav_ray.text import picture_text
from robonav_ray.worlds.maps.check_map import INFLATED, ISLAND, REACHED, UNKNOWN, WALL, MapReport

_COLOURS = {REACHED: "#ffffff", INFLATED: "#f5e3c8", UNKNOWN: "#d5dade", ISLAND: "#eab0b7", WALL: INK}
_LABELS = {
    REACHED: "the centre gets here: {:.0f} m²",
    INFLATED: "inflation, too near a wall: {:.0f} m²",
    ISLAND: "out of reach: {:.1f} m²",
    UNKNOWN: "unknown: {:.0f} m²",
    WALL: "wall",
}
_MAX_PIXELS = 1600
"""Cells that are drawn along an axis; more are put together, and a wall is never lost."""
_WIDTH_CM, _SHORTEST_CM, _LONGEST_CM = 24.0, 5.0, 40.0


def draw_map(report: MapReport, robot: RobotConfig, path: Path) -> None:
    """Draw a map into ``path`` (aside, then renamed): axes in metres of the map frame, or along the grid where that is
    turned, and the body, to scale, in the roomiest place.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    grid = report.grid
    width, height = grid.size_m
    high_cm = min(max(_WIDTH_CM * height / width, _SHORTEST_CM), _LONGEST_CM)
    figure = make_figure(_WIDTH_CM, high_cm + 3.2, dpi=150)
    axes = figure.add_subplot()
    bare_axes(axes, grid="")
    x, y, yaw = grid.origin
    if yaw:
        x = y = 0.0
    extent = (x, x + width, y, y + height)
    colours = ListedColormap([_COLOURS[state] for state in sorted(_COLOURS)])
    cells = _shrunk(report.state)
    axes.imshow(cells, cmap=colours, vmin=0, vmax=WALL, origin="lower", extent=extent, interpolation="nearest")
    _draw_body(axes, report, robot, x + 0.5 * width, y + 0.5 * height)
    for number, island in enumerate(report.islands, start=1):
        at = np.array((island.x_m, island.y_m))
        if yaw:
            at = grid.to_world(at) + 0.5 * np.array(grid.size_m)
        axes.text(*at, str(number), color=RED, fontsize=8, fontweight="bold", ha="center", va="center")
    axes.set_xlabel(
        "m along the grid (the map frame is turned)" if yaw else "x (m, map frame)", fontsize=8, color=FAINT
    )
    axes.set_xlim(extent[:2])
    axes.set_ylim(extent[2:])
    title = f"{grid.name}   {width:.4g} x {height:.4g} m, cells of {grid.resolution_m:g} m"
    axes.set_title(picture_text(title), fontsize=10, color=INK, loc="left")
    shown = [state for state in _LABELS if (report.state == state).any()]
    patches = [
        Patch(
            facecolor=_COLOURS[state],
            edgecolor=FAINT,
            linewidth=0.5,
            label=_LABELS[state].format(report.area_m2(state)),
        )
        for state in shown
    ]
    figure.legend(handles=patches, loc="outside lower left", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    with replacing_path(path) as aside:
        save_figure(figure, aside)


def _shrunk(state: np.ndarray) -> np.ndarray:
    """Return ``state`` with blocks of cells put together until an axis has _MAX_PIXELS at most."""
    step = -(-max(state.shape) // _MAX_PIXELS)
    if step == 1:
        return state
    rows, columns = (-(-size // step) * step for size in state.shape)
    padded = np.zeros((rows, columns), np.uint8)
    padded[: state.shape[0], : state.shape[1]] = state
    return padded.reshape(rows // step, step, columns // step, step).max(axis=(1, 3))


def _draw_body(axes: Any, report: MapReport, robot: RobotConfig, x: float, y: float) -> None:
    from matplotlib.patches import Circle, Polygon

    at = (report.roomiest[0] + x, report.roomiest[1] + y)
    style = {"facecolor": BLUE, "edgecolor": BLUE, "alpha": 0.85}
    body = (
        Polygon(np.add(robot.body.corners, at), **style) if robot.body.corners else Circle(at, robot.radius_m, **style)
    )
    axes.add_patch(body)
    axes.add_patch(Circle(at, report.clearance_m, fill=False, edgecolor=BLUE, linewidth=0.8, linestyle=(0, (3, 2))))
