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
from robonav_ray.league.standing import Results
from robonav_ray.report.matrix import draw_matrix
from robonav_ray.report.style import BLUE, FAINT, GREEN, INK, ORANGE, bare_axes, make_figure, save_figure
from robonav_ray.text import picture_text

_LONGEST = 18
SUFFIXES = (".png", ".svg", ".pdf")


def draw_league(league: League, results: Results, path: Path, title: str) -> Path:
    """Draw matrix and ratings by ``results``, and diversity, into ``path`` (aside, then renamed); return it.

    Raises:
        LeagueError: For a suffix that is none of a picture, or a folder that is not there.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise LeagueError(f"{path}: a picture ends in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise LeagueError(f"{path}: there is no folder {path.parent}; make it, or name another")
    figure = league_figure(league, results, title)
    with replacing_path(path) as aside:
        save_figure(figure, aside)
    return path


def league_figure(league: League, results: Results, title: str = "", *, with_behaviour: bool = True) -> Any:
    """Return a figure of matplotlib: the matrix of ``results``, ratings, diversity, and how differently members behave
    where that is known and wanted.
    """
    side = _side(len(results.members))
    points = league.diversity.history
    behaviour = _behaviour(results) if with_behaviour else None
    figure = make_figure(side + 10.0 + (side if behaviour else 0.0), side + 2.0)
    ratios = [side, 9.0] if behaviour is None else [side, 9.0, side]
    grid = figure.add_gridspec(2, len(ratios), width_ratios=ratios, height_ratios=[2.0, 1.0])
    _draw_scores(figure.add_subplot(grid[:, 0]), results)
    rated = {member for member, games in zip(results.members, results.games.sum(axis=1), strict=True) if games}
    shown = [rating for rating in results.ratings if rating.member in rated]
    if shown:
        _draw_ratings(figure.add_subplot(grid[0 if points else slice(None), 1]), shown)
    if points:
        _draw_diversity(figure.add_subplot(grid[1, 1]), league)
    if behaviour is not None:
        _draw_behaviour(figure.add_subplot(grid[:, 2]), *behaviour)
    if title:
        figure.suptitle(picture_text(title), x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def behaviour_figure(results: Results) -> Any | None:
    """Return a figure of how differently members behave; None where that is not known."""
    behaviour = _behaviour(results)
    if behaviour is None:
        return None
    side = _side(len(behaviour[0]))
    figure = make_figure(side, side)
    _draw_behaviour(figure.add_subplot(), *behaviour)
    return figure


def _side(num_members: int) -> float:
    """Return the side of a matrix, cm."""
    return float(np.clip(0.62 * num_members + 4.0, 8.0, 34.0))


def _draw_scores(axes: Any, results: Results) -> None:
    """The expected score of each row with each column; a pair without results is empty."""
    shown = np.where(results.games > 0.0, results.mean, np.nan)
    what = (
        "training results" if results.cross_play is None else f"{results.cross_play.setting.num_cases} held-out cases"
    )
    names = [_short(member) for member in results.members]
    draw_matrix(axes, shown, names, names, f"score with the column, %: {what}", form="{:.0f}", is_square=True)


def _draw_behaviour(axes: Any, members: Sequence[str], distance: np.ndarray) -> None:
    """How differently two policies choose in the same states: total variation of softmax(Q / spread), from 0 to 1."""
    names = [_short(member) for member in members]
    draw_matrix(
        axes, distance, names, names, "behavioural distance, from 0 to 1", colour=ORANGE, form="{:.2f}", times=1.0,
        is_square=True,
    )  # fmt: skip


def _behaviour(results: Results) -> tuple[list[str], np.ndarray] | None:
    """Return the policies and the distances between them; None where there are not two, or it was not measured."""
    played = results.cross_play
    if played is None or played.distance is None:
        return None
    own = np.flatnonzero(np.isfinite(np.diag(played.distance)))
    return ([played.members[i] for i in own], played.distance[np.ix_(own, own)]) if len(own) > 1 else None


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
