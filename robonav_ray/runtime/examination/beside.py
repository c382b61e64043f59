"""Cells in several processes side by side, on the cores of this machine; no Ray.

What two processes need at the same time both would compile. So one begins alone, and the next kind of entrant begins
when each that has begun has made a step; meanwhile the others play what is compiled.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.errors import PartLostError, UserError
from robonav_ray.evaluation.entrants import PlannerEntrant
from robonav_ray.evaluation.exam import ExamPlan
from robonav_ray.evaluation.exam_table import Cell
from robonav_ray.evaluation.find_entrants import LoadForeign
from robonav_ray.evaluation.kept_cells import KeptCells
from robonav_ray.runtime.examination.child import start_child
from robonav_ray.runtime.examination.compiling import Compiling
from robonav_ray.runtime.examination.order import ExamOrder
from robonav_ray.runtime.examination.watch import ExamWatch
from robonav_ray.runtime.examination.worker import serve

_LOOK_S = 0.2


class _Worker:
    """A process, and the cell that it plays."""

    def __init__(
        self, number: int, foreign: LoadForeign, order: ExamOrder, folder: Path, told: queue.Queue[tuple[int, Any]]
    ) -> None:
        self.cell: Cell | None = None
        self.process = start_child(serve, foreign)
        self.say(order.to_json(), json.dumps(str(folder)))
        threading.Thread(target=self._listen, args=(number, told), daemon=True).start()

    def _listen(self, number: int, told: queue.Queue[tuple[int, Any]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told.put((number, json.loads(line)))
        told.put((number, None))

    def say(self, *lines: str) -> None:
        """Write lines to the process; one that is gone says so itself, by its end."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("".join(f"{line}\n" for line in lines))
            self.process.stdin.flush()


def play_beside(
    plan: ExamPlan,
    cells: Sequence[Cell],
    kept: KeptCells,
    watch: ExamWatch,
    order: ExamOrder,
    foreign: LoadForeign,
    num_processes: int,
) -> None:
    """Play ``cells`` in ``num_processes`` processes, each of which keeps what it has finished.

    ``foreign`` opens other libraries' policies: a function of a module, which the processes find there by its name.

    Raises:
        EvaluationStopped: When ``watch`` does; the cells under way are lost.
        UserError: When an entrant fails.
        PartLostError: When a process ends before it is told to.
    """
    told: queue.Queue[tuple[int, Any]] = queue.Queue()
    turns, idle = _Turns(plan, cells), list[_Worker]()
    with _ended([_Worker(i, foreign, order, kept.folder, told) for i in range(num_processes)]) as workers:
        while turns.left or any(worker.cell is not None for worker in workers):
            watch.tell()
            try:
                number, words = told.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            worker = workers[number]
            if words is None:
                raise PartLostError(
                    f"a process that played ended too soon (exit code {worker.process.wait()}); its output is above"
                )
            if "refused" in words:
                raise UserError(words["refused"])
            if "compiling" in words:
                watch.tell_compiling(Compiling(*words["compiling"]))
            if worker.cell is not None and "done" in words:
                turns.note_step(worker.cell)
                watch.note(worker.cell, words["done"], words["steps"])
            if words.get("kept") or words.get("ready"):
                worker.cell = None
                idle.append(worker)
            while idle and (cell := turns.take()) is not None:
                worker = idle.pop(0)
                worker.cell = cell
                worker.say(json.dumps([*cell, plan.key(cell)]))


class _Turns:
    """Which cell is next, so that no two processes compile the same."""

    def __init__(self, plan: ExamPlan, cells: Sequence[Cell]) -> None:
        """``cells`` are taken in their order, but for those that wait for the first step of another."""
        self._plan, self.left = plan, list(cells)
        self._begun, self._stepped = set[str](), set[str]()

    def take(self) -> Cell | None:
        """Return the next cell, which is begun then; None while all that are left wait."""
        for cell in self.left:
            kind = self._kind(cell)
            if kind in self._stepped or self._begun <= self._stepped:
                self._begun.add(kind)
                self.left.remove(cell)
                return cell
        return None

    def note_step(self, cell: Cell) -> None:
        """Take in that a cell has made a step, or more."""
        self._stepped.add(self._kind(cell))

    def _kind(self, cell: Cell) -> str:
        """Return what stands for the kernels that an entrant brings along; all need those of the worlds."""
        entrant = self._plan.entrants[cell[0]]
        return entrant.name.partition(":")[0] if isinstance(entrant, PlannerEntrant) else ""


@contextlib.contextmanager
def _ended(workers: list[_Worker]) -> Iterator[list[_Worker]]:
    """End the processes when the block is left."""
    try:
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.wait()
            for stream in (worker.process.stdin, worker.process.stdout):
                assert stream is not None
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
