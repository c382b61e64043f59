"""The cells of an exam as they are finished: each an exam of its own, so that a broken-off one goes on where it was.

::

    DIR/cells/KEY/episodes.parquet, exam.json      KEY is a hash of all that the cell depends on; exam.json says by
                                                   which version of the meter it was measured
    DIR/.lock                                      held by the command that plays
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.evaluation.exam import ExamPlan, Played
from robonav_ray.evaluation.exam_table import EXAM_JSON, Cell, ExamTable, ExamTableError
from robonav_ray.evaluation.metrics.meter import METER_VERSION
from robonav_ray.files.plain_files import PlainFileError, check_folder, is_plain, open_lock, read_json

CELLS = "cells"
_METER, _FIRST_METER = "meter", 1
"""Cells that say nothing of it were measured by this one."""


@dataclass(frozen=True)
class KeptCells:
    """The finished cells in the folder of an exam."""

    folder: Path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, which is made if missing, while cells are played.

        Raises:
            ExamTableError: When another command does, or it is the folder of something else.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        check_folder(self.folder / CELLS)
        others = [path.name for path in self.folder.iterdir()]
        if others and not {CELLS, EXAM_JSON, ".lock"} & set(others):
            raise ExamTableError(
                f"--out {self.folder}: holds something else ({sorted(others)[0]}); name a new folder, or that of an "
                f"exam"
            )
        with open_lock(self.folder / ".lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ExamTableError(
                    f"{self.folder}: another command is playing this exam; wait for it, or name another folder"
                ) from None
            yield

    def has(self, key: str) -> bool:
        """Whether the cell ``key`` is finished, as it is measured today."""
        return is_plain(self.folder / CELLS / key / EXAM_JSON) and not self.is_outdated(key)

    def is_outdated(self, key: str) -> bool:
        """Whether the cell ``key`` is finished, and was measured by another version of the meter."""
        try:
            document = read_json(self.folder / CELLS / key / EXAM_JSON)
        except (FileNotFoundError, PlainFileError):  # ``read`` says what is wrong
            return False
        told = document.get("provenance") if isinstance(document, dict) else None
        return isinstance(told, dict) and told.get(_METER, _FIRST_METER) != METER_VERSION

    def num_outdated(self, plan: ExamPlan) -> int:
        """How many cells of ``plan`` are."""
        return sum(map(self.is_outdated, {plan.key(cell) for cell in plan.seats}))

    def write(self, plan: ExamPlan, cell: Cell, played: Played) -> None:
        """Keep the result of a cell; its ``exam.json``, written last, makes it finished."""
        entrant, question = plan.entrants[cell[0]].facts, plan.questions[cell[1]].facts
        table = ExamTable.of_cells(
            [entrant],
            [question],
            {(0, 0): played.episodes},
            decisions={(0, 0): played.decisions},
            provenance={_METER: METER_VERSION},
        )
        folder = self.folder / CELLS / plan.key(cell)
        (folder / EXAM_JSON).unlink(missing_ok=True)  # an outdated one; its rows go next
        table.save(folder)

    def read(self, plan: ExamPlan, cell: Cell) -> Played:
        """Return the result of a finished cell.

        Raises:
            ExamTableError: When its files are damaged.
        """
        folder = self.folder / CELLS / plan.key(cell)
        try:
            table = ExamTable.load(folder)
            seat, episodes = plan.seats[cell], table.cell(0, 0)
            if episodes.num_episodes != seat.num_episodes or (0, 0) not in table.decisions:
                raise ExamTableError(
                    f"{folder}: holds {episodes.num_episodes} episodes in place of {seat.num_episodes}"
                )
        except ExamTableError as error:
            raise ExamTableError(f"{error}; remove {folder}, and the same command plays it again") from None
        return Played(episodes, table.decisions[0, 0])

    def table(self, plan: ExamPlan, provenance: dict[str, object]) -> ExamTable:
        """Return the table of all cells of ``plan``, each of which is finished or missing."""
        played = {cell: self.read(plan, cell) for cell in plan.seats}
        return ExamTable.of_cells(
            [entrant.facts for entrant in plan.entrants],
            [question.facts for question in plan.questions],
            {cell: one.episodes for cell, one in played.items()},
            missing=plan.missing,
            decisions={cell: one.decisions for cell, one in played.items()},
            provenance=provenance,
        )

    def open_cells(self, plan: ExamPlan) -> list[Cell]:
        """Return the cells that are still to be played, one of those that are the same."""
        first: dict[str, Cell] = {}
        for cell in plan.seats:
            first.setdefault(plan.key(cell), cell)
        return [cell for key, cell in first.items() if not self.has(key)]
