"""A process that plays cells: it is told which, one line each, and answers in lines of JSON.

::

    in   the order, the folder            out  {"ready": true}
         [entrant, scenario, key]              {"compiling": [kernel, number done]} ... while it compiles
                                               {"done": episodes, "steps": env steps} ... {"kept": true}, or
         {"refused": why}
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.evaluation.exam import ExamPlan, play
from robonav_ray.evaluation.exam_table import Cell
from robonav_ray.evaluation.find_entrants import LoadForeign
from robonav_ray.evaluation.kept_cells import KeptCells
from robonav_ray.runtime.examination.compiling import Compiling, watch_compiling
from robonav_ray.runtime.examination.order import ExamOrder
from robonav_ray.runtime.watching import EvaluationStopped

TELL_S = 0.5
"""Seconds between two words of how far a cell is."""


def serve(foreign: LoadForeign) -> None:
    """Play what standard input asks for, until it ends; what an entrant prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command that has started this one ends it
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def tell(**words: Any) -> None:
        answers.write(json.dumps(words) + "\n")

    try:
        order, folder = ExamOrder.from_json(sys.stdin.readline()), Path(json.loads(sys.stdin.readline()))
        plan, kept = order.plan(foreign), KeptCells(folder)
        tell(ready=True)
        for line in sys.stdin:
            e, s, key = json.loads(line)
            if (e, s) not in plan.seats or plan.key((e, s)) != key:
                raise UserError(
                    f"{plan.entrants[e].facts.name}: has changed since the exam began; give the same command again"
                )
            _play(plan, (e, s), kept, tell)
    except UserError as error:
        tell(refused=str(error))
    except (EvaluationStopped, BrokenPipeError):
        return


def _play(plan: ExamPlan, cell: Cell, kept: KeptCells, tell: Any) -> None:
    last = 0.0

    def show(progress: EvaluationProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= TELL_S:  # at once after the first step: all that it needs is compiled
            last = time.monotonic()
            tell(done=progress.num_done, steps=progress.num_steps)

    def say(now: Compiling) -> None:
        tell(compiling=now)

    with watch_compiling(say):
        played = play(plan.entrants[cell[0]], plan.seats[cell], show)
    kept.write(plan, cell, played)
    tell(done=played.episodes.num_episodes, steps=int(played.episodes.length.sum()), kept=True)
