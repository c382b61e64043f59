"""Reports with leagues in them: of an exam the leagues of its entrants, of a run its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.evaluation.exam_report.files import report_exam
from robonav_ray.evaluation.exam_table import EXAM_JSON, ExamTable
from robonav_ray.files.plain_files import is_plain
from robonav_ray.report.document import Section
from robonav_ray.report.written import write_document
from robonav_ray.runs.run_directory import open_run
from robonav_ray.runtime.self_play.league_of_run import located_league
from robonav_ray.runtime.self_play.league_report import league_document, league_section
from robonav_ray.runtime.self_play.league_view import view_of

Told = Callable[[str], None]
_RUNS = ("run", "checkpoint")


def report_folder(
    folder: Path, out: Path | None = None, told: Told = lambda _: None, *, study: Path | None = None
) -> list[Path]:
    """Write the report of an exam with the leagues of its entrants, or of the league of a run, and return the paths of
    its files; see ``report_exam``.

    Raises:
        UserError: When ``folder`` is neither, or a run without a league; as ``report_exam``.
    """
    is_run = is_plain(folder / "config.yaml") and not os.path.lexists(folder / EXAM_JSON)
    if is_run and study is None:
        with located_league(folder) as found:
            return list(write_document(league_document(view_of(found)), folder if out is None else out, told))
    return report_exam(folder, out, told, study=study, more=lambda table: league_sections(table, told))


def league_sections(table: ExamTable, told: Told) -> Sequence[Section]:
    """Return a section for each entrant of an exam that is a run of this machine with a league; of one whose league
    cannot be shown ``told`` is given the reason.
    """
    sections: list[Section] = []
    for facts in table.entrants:
        if facts.kind not in _RUNS or not _has_league(Path(facts.source)):
            continue
        try:
            with located_league(facts.source) as found:
                sections.append(league_section(view_of(found), f"League of {facts.name}", len(sections) + 1))
        except (UserError, OSError) as error:
            told(f"the league of {facts.name} is left out: {error}")
    return sections


def _has_league(path: Path) -> bool:
    """Whether a run lies at ``path``, or around it where that is a checkpoint, that trains in a league."""
    run = path.parent.parent if path.parent.name == "checkpoints" else path
    try:
        return is_plain(run / "config.yaml") and open_run(run).config.league is not None
    except (UserError, OSError):
        return False
