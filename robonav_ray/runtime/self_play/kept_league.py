"""A league as files of its run: its picture, and its tables, which the run's trackers are given."""

from __future__ import annotations

import os
from pathlib import Path

from robonav_ray.files.plain_files import check_folder, replace
from robonav_ray.league.picture import draw_league
from robonav_ray.report.document import to_csv
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runtime.self_play.league_of_run import league_of
from robonav_ray.runtime.self_play.league_report import league_tables
from robonav_ray.runtime.self_play.league_view import LeagueView, view_of

PICTURE, TABLES = "league.png", "league/tables"


def keep_league(run: RunDirectory) -> list[Path]:
    """Draw the league of ``run`` as its newest checkpoint has it, and write its tables; return the paths of all.

    Raises:
        UserError: When it has none yet, or what has the place of a file is none.
        OSError: When a file cannot be written.
    """
    view = view_of(league_of(run))
    picture = draw_league(view.found.league, view.results, run.path / PICTURE, view.title)
    return [picture, *keep_tables(view)]


def keep_tables(view: LeagueView) -> list[Path]:
    """Write members, partners, lineage and exploits as ``RUN/league/tables/*.csv``; return their paths, none where the
    run lies in a storage, or may not be written.

    Raises:
        OSError: When one cannot be written.
    """
    run = view.found.run.path
    if view.found.uri is not None or not os.access(run, os.W_OK):
        return []
    folder = run / TABLES
    for path in (folder.parent, folder):
        check_folder(path)
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for table in league_tables(view):
        paths.append(folder / f"{table.name}.csv")
        replace(paths[-1], to_csv(table))
    return paths
