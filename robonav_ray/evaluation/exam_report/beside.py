"""What lies beside an exam and belongs into its report: pictures of its failures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.failures.files import FAILURES_GIF, FAILURES_HTML, PICTURES, are_told
from robonav_ray.files.plain_files import check_folder, is_plain, read_bytes

MAX_PICTURE_BYTES = 4_000_000
MAX_PICTURES = 200
_PNG = b"\x89PNG\r\n\x1a\n"
_NAME = re.compile(r"([1-9]\d{0,4})-([1-9]\d{0,4})\.png")


@dataclass(frozen=True)
class Beside:
    """What was found."""

    pictures: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    """PNG of the typical case of a cluster of failures, by (entrant, cluster) from 0."""
    replays: tuple[str, ...] = ()
    """Names of files that show failures."""


def find_beside(folder: Path, table: ExamTable) -> Beside:
    """Return what lies in ``folder`` beside the exam ``table``; what is of another exam is left out.

    Raises:
        UserError: For a picture that is none; the message names it.
    """
    if not are_told(folder, table):
        return Beside()
    replays = tuple(name for name in (FAILURES_HTML, FAILURES_GIF) if is_plain(folder / name))
    return Beside(_pictures(folder / PICTURES), replays)


def _pictures(folder: Path) -> dict[tuple[int, int], bytes]:
    check_folder(folder)
    if not folder.is_dir():
        return {}
    names = sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))[:MAX_PICTURES]
    pictures = {}
    for name in names:
        data = read_bytes(folder / name, MAX_PICTURE_BYTES)
        if not data.startswith(_PNG) or len(data) < 33:
            raise UserError(f"{folder / name}: is no PNG; remove it, or have `robonav compare` write it again")
        entrant, cluster = (int(part) - 1 for part in name.removesuffix(".png").split("-"))
        pictures[entrant, cluster] = data
    return pictures
