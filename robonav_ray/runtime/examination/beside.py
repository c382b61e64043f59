"""Cells in several processes side by side, on the cores of this machine; no Ray."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.errors import PartLostError, UserError
from robonav_ray.evaluation.exam import ExamPlan
from robonav_ray.evaluation.exam_table import Cell
from robonav_ray.evaluation.find_entrants import LoadForeign
from robonav_ray.evaluation.kept_cells import KeptCells
from robonav_ray.runtime.examination.order import ExamOrder
from robonav_ray.runtime.examination.watch import ExamWatch
from robonav_ray.runtime.examination.worker import serve

_ROOT = Path(__file__).parents[3]
_LOOK_S = 0.2


class _Worker:
    """A process, and the cell that it plays."""

    def __init__(
        self, number: int, foreign: LoadForeign, order: ExamOrder, folder: Path, told: queue.Queue[tuple[int, Any]]
    ) -> None:
        # The current folder is no place to import from before an entrant names a module in it.
        paths = f"sys.path[:] = [p for p in sys.path if p] + [{str(_ROOT)!r}]"
        names = [f"from {function.__module__} import {function.__name__}" for function in (serve, foreign)]
        code = "; ".join(["import sys", paths, *names, f"{serve.__name__}({foreign.__name__})"])
        self.cell: Cell | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C asks this process alone, which ends them
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
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
    left = list(reversed(cells))
    with _ended([_Worker(i, foreign, order, kept.folder, told) for i in range(num_processes)]) as workers:
        busy = len(workers)
        while busy:
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
            if worker.cell is not None:
                watch.note(worker.cell, words["done"], words["steps"])
            if words.get("kept") or words.get("ready"):
                worker.cell = left.pop() if left else None
                if worker.cell is None:
                    busy -= 1
                else:
                    worker.say(json.dumps([*worker.cell, plan.key(worker.cell)]))


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
