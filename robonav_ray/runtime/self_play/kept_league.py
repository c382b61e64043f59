"""A league as files of its run: its picture, and its tables, which the run's trackers are given."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from robonav_ray.files.plain_files import check_folder, is_plain, read_bytes, replace
from robonav_ray.files.storage import exists, inside, join, write_bytes
from robonav_ray.league.picture import draw_league
from robonav_ray.report.document import to_csv
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.stored_notes import LARGEST_NOTE_BYTES, shown
from robonav_ray.runs.stored_runs import stored_run
from robonav_ray.runtime.self_play.league_of_run import LeagueOfRun, league_of
from robonav_ray.runtime.self_play.league_report import league_tables
from robonav_ray.runtime.self_play.league_view import EXPLOITS_FILE, LeagueView, view_of
from robonav_ray.runtime.self_play.member_store import FOLDER
from robonav_ray.runtime.self_play.rating import KEPT_FILE

logger = logging.getLogger(__name__)
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


def store_league(found: LeagueOfRun, written: Sequence[Path]) -> None:
    """Bring what is known of a league beyond its checkpoint to the run's storage, where it has one: what was played,
    exploits, and those of ``written`` that lie in the run; a storage that does not answer is a warning.
    """
    run, storage = found.run, found.run.config.checkpoint.storage
    if storage is None or found.uri is not None:
        return
    location = stored_run(storage, run)
    names = [f"{FOLDER}/{KEPT_FILE}", EXPLOITS_FILE]
    names += [path.relative_to(run.path).as_posix() for path in written if path.is_relative_to(run.path)]
    try:
        if exists(join(location, "config.yaml")):
            for name in [name for name in names if is_plain(run.path / name)]:
                write_bytes(inside(location, name), read_bytes(run.path / name, LARGEST_NOTE_BYTES))
    except OSError as error:
        logger.warning("the league is not stored in %s too (%s)", shown(location), error)


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
