"""Cells as tasks of Ray, on all nodes that there are; their results are kept here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.errors import PartLostError, UserError
from robonav_ray.evaluation.entrants import Entrant
from robonav_ray.evaluation.exam import ExamPlan, Played, Seat, play
from robonav_ray.evaluation.exam_table import Cell
from robonav_ray.evaluation.kept_cells import KeptCells
from robonav_ray.nodes.connection import connected
from robonav_ray.runtime.examination.watch import ExamWatch

_LOOK_S = 0.5
_RETRIES = 2
"""How often a task is begun again whose node was lost."""


def play_over_ray(
    plan: ExamPlan, cells: Sequence[Cell], kept: KeptCells, watch: ExamWatch, address: str | None
) -> None:
    """Play ``cells`` as tasks of the cluster at ``address`` (None: the one that this process has joined, or is named
    by RAY_ADDRESS).

    Raises:
        EvaluationStopped: When ``watch`` does; the cells under way are lost.
        UserError: When an entrant fails, or there is no such cluster.
        PartLostError: When a task is lost again and again.
    """
    with connected(RuntimeConfig(address=address)):
        entrants: dict[int, Any] = {e: ray.put(plan.entrants[e]) for e in {cell[0] for cell in cells}}
        task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_task)
        under_way: dict[Any, Cell] = {task.remote(entrants[cell[0]], plan.seats[cell]): cell for cell in cells}
        try:
            while under_way:
                watch.tell()
                done, _ = ray.wait(list(under_way), timeout=_LOOK_S)
                for ref in done:
                    cell = under_way.pop(ref)
                    kept.write(plan, cell, _result(ref))
                    watch.finish(cell)
        finally:
            for ref in under_way:
                ray.cancel(ref, force=True)


def _task(entrant: Entrant, seat: Seat) -> Played:
    return play(entrant, seat)


def _result(ref: Any) -> Played:
    try:
        return ray.get(ref)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from error
        raise
    except RayError as error:
        raise PartLostError(f"a cell could not be played: {str(error).splitlines()[0]}") from error
