"""The report of the exam in a folder, as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from robonav_ray.evaluation.ablation.table import ABLATION_JSON, load_ablation
from robonav_ray.evaluation.comparing.verdict import TooFewEpisodesError
from robonav_ray.evaluation.exam_report.ablation import ablation_document, ablation_section
from robonav_ray.evaluation.exam_report.beside import find_beside
from robonav_ray.evaluation.exam_report.build import exam_document
from robonav_ray.evaluation.exam_table import EPISODES_PARQUET, EXAM_JSON, MAX_TABLE_BYTES, ExamTable
from robonav_ray.files.plain_files import read_bytes
from robonav_ray.files.plain_files import replace as replace_file
from robonav_ray.report.document import Section
from robonav_ray.report.written import write_document


def report_exam(
    folder: Path,
    out: Path | None = None,
    told: Callable[[str], None] = lambda _: None,
    *,
    study: Path | None = None,
    more: Callable[[ExamTable], Sequence[Section]] = lambda _: (),
) -> list[Path]:
    """Write the report of the exam in ``folder`` into ``out``, or beside it (None), and return the paths of its files.

    An ablation (``ablation.json``) that lies in ``folder``, or in ``study`` where that is named, is a section of it, or
    all of it where there is no exam.

    ``more`` gives sections that belong to the exam and are made elsewhere, such as the leagues of its entrants.

    The files are report.pdf, report.html, summary.json, tables/*.csv and episodes.parquet; the same exam gives the same
    bytes. ``told`` is given a line where something is done in a plainer way, such as a PDF without typst.

    Raises:
        UserError: When ``folder`` holds no exam, or a damaged one, or one of too few episodes; when something stands in
            the place of a file.
    """
    target = folder if out is None else out
    has_ablation = study is not None or os.path.lexists(folder / ABLATION_JSON)
    ablation = load_ablation(study or folder) if has_ablation else None
    if ablation is not None and not os.path.lexists(folder / EXAM_JSON):
        return list(write_document(ablation_document(ablation), target, told))
    table = ExamTable.load(folder)
    try:
        document = exam_document(table, find_beside(folder, table))
    except TooFewEpisodesError as error:
        raise TooFewEpisodesError(f"{folder / EXAM_JSON}: scenarios.num_episodes: {error}") from None
    added = [*([] if ablation is None else [ablation_section(ablation)]), *more(table)]
    if added:
        *before, origin = document.sections
        document = replace(document, sections=(*before, *added, origin))
    written = write_document(document, target, told)
    if target.resolve() != folder.resolve():
        replace_file(target / EPISODES_PARQUET, read_bytes(folder / EPISODES_PARQUET, MAX_TABLE_BYTES))
    return [*written, target / EPISODES_PARQUET]
