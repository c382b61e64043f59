"""A league as one picture: who does how well with whom, how strong each is, how different they are over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.files.plain_files import replacing_path
from robonav_ray.league.league import League
from robonav_ray.league.member import LeagueError
from robonav_ray.league.ratings import Rating
from robonav_ray.report.style import BLUE, FAINT, GREEN, INK, ORANGE, bare_axes, make_figure, save_figure
from robonav_ray.text import picture_text

_LONGEST = 18
SUFFIXES = (".png", ".svg", ".pdf")


def draw_league(league: League, ratings: Sequence[Rating], path: Path, title: str) -> Path:
    """Draw matrix, ratings and diversity into ``path`` (aside, then renamed) and return where they are.

    Raises:
        LeagueError: For a suffix that is none of a picture, or a folder that is not there.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise LeagueError(f"{path}: a picture ends in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise LeagueError(f"{path}: there is no folder {path.parent}; make it, or name another")
    num_members = len(league.payoff.ids)
    side = float(np.clip(0.62 * num_members + 4.0, 8.0, 34.0))
    points = league.diversity.history
    figure = make_figure(side + 10.0, side + 2.0)
    grid = figure.add_gridspec(2, 2, width_ratios=[side, 9.0], height_ratios=[2.0, 1.0])
    _draw_matrix(figure.add_subplot(grid[:, 0]), league)
    rated = {member for member, games in zip(league.payoff.ids, league.payoff.games.sum(axis=1), strict=True) if games}
    shown = [rating for rating in ratings if rating.member in rated]
    if shown:
        _draw_ratings(figure.add_subplot(grid[0 if points else slice(None), 1]), shown)
    if points:
        _draw_diversity(figure.add_subplot(grid[1, 1]), league)
    figure.suptitle(picture_text(title), x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK)
    with replacing_path(path) as aside:
        save_figure(figure, aside)
    return path


def _draw_matrix(axes: Any, league: League) -> None:
    """The expected score of each row with each column; a pair without results is empty."""
    from matplotlib.colors import LinearSegmentedColormap

    mean, games = league.payoff.mean, league.payoff.games
    shown = np.ma.masked_where(games <= 0.0, mean)
    colours = LinearSegmentedColormap.from_list("score", ["#ffffff", BLUE])
    axes.imshow(shown, cmap=colours, vmin=0.0, vmax=1.0, aspect="equal")
    names = [_short(member) for member in league.payoff.ids]
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90)
    axes.set_yticks(places, names)
    axes.xaxis.tick_top()
    bare_axes(axes, grid="", size=7.0)
    if len(names) <= 24:
        for i, j in np.argwhere(games > 0.0).tolist():
            colour = "white" if mean[i, j] > 0.6 else INK
            axes.text(j, i, f"{100 * mean[i, j]:.0f}", ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_xlabel("score of the row with the column, %", color=FAINT, fontsize=8)


def _draw_ratings(axes: Any, ratings: Sequence[Rating]) -> None:
    """Ability with its interval, and the Nash average beside it, the most able on top."""
    ranked = sorted(ratings, key=lambda rating: rating.ability)
    places = np.arange(len(ranked))
    ability = np.array([rating.ability for rating in ranked])
    spread = np.abs(np.array([(rating.low, rating.high) for rating in ranked]) - ability[:, None]).T
    axes.errorbar(ability, places, xerr=spread, fmt="o", color=BLUE, markersize=4, capsize=2, label="Bradley-Terry")
    nash = [rating.nash_skill for rating in ranked]
    axes.plot(nash, places, "D", color=ORANGE, markersize=3.5, label="Nash average")
    axes.set_yticks(places, [_short(rating.member) for rating in ranked])
    bare_axes(axes, grid="x", size=7.0)
    axes.set_title("points (400: odds of ten to one)", fontsize=8, color=INK, loc="left")
    axes.legend(frameon=False, fontsize=7, labelcolor=INK, loc="lower right")


def _draw_diversity(axes: Any, league: League) -> None:
    """Log-determinant of the snapshots' results over env steps, and the behavioural distance where it was measured."""
    from matplotlib.ticker import EngFormatter

    points = league.diversity.history
    steps = [point.step for point in points]
    axes.plot(steps, [point.log_det / max(point.num_members, 1) for point in points], color=GREEN, linewidth=1.5)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("env steps", color=FAINT, fontsize=8)
    axes.set_title("diversity: log-determinant a snapshot", fontsize=8, color=GREEN, loc="left")
    bare_axes(axes, size=7.0)
    measured = [(point.step, point.distance) for point in points if point.distance is not None]
    if measured:
        other = axes.twinx()
        other.plot(*zip(*measured, strict=True), color=ORANGE, linewidth=1.5)
        other.set_ylim(0.0, 1.0)
        bare_axes(other, grid="", size=7.0)
        other.set_title("total variation", fontsize=8, color=ORANGE, loc="right")


def _short(member: str) -> str:
    text = member if len(member) <= _LONGEST else f"...{member[3 - _LONGEST :]}"
    return picture_text(text)
