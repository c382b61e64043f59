"""One cell after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.evaluation.exam import ExamPlan, play
from robonav_ray.evaluation.exam_table import Cell
from robonav_ray.evaluation.kept_cells import KeptCells
from robonav_ray.runtime.examination.watch import ExamWatch
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import stopped_at_once


def play_here(plan: ExamPlan, cells: Sequence[Cell], kept: KeptCells, watch: ExamWatch, stop: StopRequest) -> None:
    """Play ``cells`` and keep each when it is finished.

    Raises:
        EvaluationStopped: As soon as ``stop`` asks for it; the cell under way is lost.
        EntrantError: When an entrant fails.
    """
    with stopped_at_once(stop):
        for cell in cells:

            def show(progress: EvaluationProgress, cell: Cell = cell) -> None:
                watch.note(cell, progress.num_done, progress.num_steps)

            kept.write(plan, cell, play(plan.entrants[cell[0]], plan.seats[cell], show))
            watch.finish(cell)
