"""``robonav compare`` and its calls: plan, play what is not played yet, write the table."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.evaluation.exam import ExamPlan
from robonav_ray.evaluation.exam_table import Cell, ExamTable
from robonav_ray.evaluation.failures.files import are_told, write_failures
from robonav_ray.evaluation.find_entrants import LoadForeign
from robonav_ray.evaluation.kept_cells import KeptCells
from robonav_ray.evaluation.metrics.own_columns import with_own_metrics
from robonav_ray.evaluation.metrics.registry import own_metrics
from robonav_ray.runs.located import refuse_unwritable, refuse_uri
from robonav_ray.runs.session_facts import session_facts
from robonav_ray.runtime.examination.beside import play_beside
from robonav_ray.runtime.examination.here import play_here
from robonav_ray.runtime.examination.order import ExamOrder
from robonav_ray.runtime.examination.watch import ExamWatch
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationWatch, stopped_at_once
from robonav_ray.screen import Screen
from robonav_ray.text import path_word

FEW_EPISODES = 4000
"""So many are played before other processes have started."""


@dataclass(frozen=True)
class Where:
    """Where cells are played."""

    local: bool = False
    """On this machine, without Ray."""
    address: str | None = None
    """Ray cluster to join; None takes one that is named by RAY_ADDRESS, or that this process has joined already."""
    num_processes: int | None = None
    """Side by side on this machine; None takes its cores."""

    @property
    def is_over_ray(self) -> bool:
        """Whether there is a Ray to play on; it is not imported to find out."""
        if self.local:
            return False
        joined = "ray" in sys.modules and sys.modules["ray"].is_initialized()
        return bool(self.address or os.environ.get("RAY_ADDRESS")) or joined


def examine(
    order: ExamOrder,
    out: Path,
    *,
    foreign: LoadForeign,
    where: Where,
    screen: Screen,
    stopping: Callable[[], AbstractContextManager[StopRequest]],
    command: Sequence[str],
    failures: bool = False,
    metrics: Sequence[str] = (),
) -> ExamTable:
    """Have every entrant of ``order`` play, keep it in ``out``, and return the table; what is there already is not
    played again.

    Args:
        order: Who plays what.
        out: Folder of the exam; made if missing.
        foreign: Opens other libraries' policies: a function of a module, which other processes find there by its name.
        where: On what it is played.
        screen: Shows how far it is.
        stopping: Gives the request to stop.
        command: What was typed, for the table.
        failures: Whether failures are told, replayed, filmed and shown on a page; see ``evaluation.failures.files``.
        metrics: The user's own, ``module:function`` each; their numbers are columns of the table.

    Raises:
        EvaluationStopped: When it is stopped; what is finished is kept, and the same call goes on.
        UserError: For what is wrong, before the work, or when an entrant fails.
    """
    refuse_uri(out, "--out", "the cells of an exam are kept as they are finished")
    refuse_unwritable(out, "--out")
    own = own_metrics(tuple(metrics))
    plan, kept = order.plan(foreign), KeptCells(out)
    with kept.locked():
        cells = kept.open_cells(plan)
        _say_what(plan, cells, out, screen)
        if num := kept.num_outdated(plan):
            screen.print(
                f"{_counted(num, 'cell')} there {'was' if num == 1 else 'were'} measured by another version of "
                "robonav_ray, whose metrics mean something else: played again"
            )
        if cells:
            with stopping() as stop, EvaluationWatch(screen, stop) as bars:
                told = bars.begin("playing", sum(plan.seats[cell].num_episodes for cell in cells))
                watch = ExamWatch(plan, cells, told, bars.tell_compiling)
                play_cells(plan, cells, kept, watch, order, stop, foreign, where)
        table = with_own_metrics(kept.table(plan, _provenance(order, command)), own)
        table.save(out)
        if failures and not are_told(out, table):
            with stopping() as stop, stopped_at_once(stop):
                write_failures(out, table, plan.entrants, plan.seats, screen.print)
    return table


def play_cells(
    plan: ExamPlan,
    cells: Sequence[Cell],
    kept: KeptCells,
    watch: ExamWatch,
    order: ExamOrder,
    stop: StopRequest,
    foreign: LoadForeign,
    where: Where,
) -> None:
    """Play ``cells`` in their order, each kept as it is finished; where that is, ``where`` says.

    Raises:
        EvaluationStopped: When ``stop`` asks for it; what ``watch`` raises ends it too.
        UserError: When an entrant fails.
    """
    if where.is_over_ray and not order.has_functions:  # other nodes may lack the module of a function
        from robonav_ray.runtime.examination.over_ray import play_over_ray

        play_over_ray(plan, cells, kept, watch, where.address)
        return
    num_processes = min(where.num_processes or len(os.sched_getaffinity(0)), len(cells))
    few = where.num_processes is None and watch.num_episodes < FEW_EPISODES
    if order.has_functions or num_processes == 1 or few:
        play_here(plan, cells, kept, watch, stop)
    else:
        play_beside(plan, cells, kept, watch, order, foreign, num_processes)


def _say_what(plan: ExamPlan, cells: Sequence[Cell], out: Path, screen: Screen) -> None:
    num_there = len({plan.key(cell) for cell in plan.seats}) - len(cells)
    there = f"; {_counted(num_there, 'cell')} {'are' if num_there > 1 else 'is'} there already" if num_there else ""
    entrants, scenarios = _counted(len(plan.entrants), "entrant"), _counted(len(plan.questions), "scenario")
    screen.print(f"{entrants} in {scenarios}: {_counted(len(cells), 'cell')} to play into {path_word(out)}{there}")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _provenance(order: ExamOrder, command: Sequence[str]) -> dict[str, Any]:
    facts = session_facts(list(command))
    return {**facts, "suites": [suite.model_dump(mode="json") for suite in order.suites], "episodes": order.episodes}
