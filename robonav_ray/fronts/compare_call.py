"""``robonav_ray.compare`` and ``robonav_ray.exam``: what ``robonav compare`` does, and reading what it left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load_suite import load_suite
from robonav_ray.errors import UserError
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.shared_cases import suite_of_cases
from robonav_ray.fronts.foreign_policies import load_foreign
from robonav_ray.runs.located import refuse_uri
from robonav_ray.runs.session_facts import command_line
from robonav_ray.runtime.examination.examine import Where, examine
from robonav_ray.runtime.examination.order import ExamOrder
from robonav_ray.runtime.signals import stop_on_interrupt
from robonav_ray.screen import plain_screen

EXAMS = Path("exams")
Function = Callable[..., Any]


def compare(
    *entrants: str | Path | Mapping[str, str | Path | Function],
    suite: str | Path | Suite | Sequence[str | Path | Suite] | None = None,
    partners: Sequence[str] = (),
    cases: str | Path | None = None,
    out: str | Path | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    trust: bool = False,
    local: bool = False,
    address: str | None = None,
    processes: int | None = None,
    failures: bool = False,
    metrics: Sequence[str] = (),
    quiet: bool = False,
) -> ExamTable:
    """Have all entrants play the same worlds, as ``robonav compare`` does.

    ::

        table = robonav_ray.compare("runs/curriculum-20261122-181500", "orca", {"mine": act}, suite="standard",
        out="exams/mine")
        table.cell(0, 0).outcome                     # of each episode of the first entrant in the first scenario

    Args:
        entrants: Runs, checkpoints, planners by name, ``module:function``; or a mapping of names to any of them, or
            to functions
            obs (N, D) float32 -> actions (N,).
        suite: One suite or several: by name, as YAML files, or made of scenarios; None takes ``quick``, and
            ``partners`` where partners are given.
        partners: Beside whom the entrants play: runs, checkpoints, planners, or the worlds' drivers (``orca``,
            ``social_force``, ``straight``, ``stand``). An episode is then a whole case of several robots.
        cases: File of cases that are played in place of a suite: .npz or a JSON list, each case rows (start x, y,
            goal x, y, preferred speed, radius).
        out: Folder of the exam; None takes one below ``exams`` that belongs to these arguments.
        episodes: Of each scenario, at least 50; None takes what the suites say.
        seed: Of the worlds; None takes what the suites say.
        trust: Open Stable-Baselines3 zips and RLlib checkpoints, which runs code that is in them.
        local: On this machine, without Ray.
        address: Ray cluster to play on; None takes the one that the program has joined, or RAY_ADDRESS, else the
            cores of this machine.
        processes: Side by side on this machine; None takes its cores. With functions among the entrants, this
            process plays.
        failures: Write what led to failures too: rows, clusters, pictures, a film and a page that replays them.
        metrics: Of your own, ``module:function`` each: EpisodeTable -> one number per episode; columns ``own_NAME``.
        quiet: Say nothing of how far it is.

    Returns:
        The table, one row for each entrant, scenario and world; ``out`` holds it as ``episodes.parquet`` and
        ``exam.json``.

    Raises:
        UserError: For an entrant that is none or fits no scenario, a suite that is none, too few episodes.
        KeyboardInterrupt: After Ctrl-C; what is finished is kept, and the same call goes on.
    """
    named = () if suite is None else (suite,) if isinstance(suite, str | Path | Suite) else tuple(suite)
    order = ask(entrants, named, episodes=episodes, seed=seed, trust=trust, partners=partners, cases=cases)
    return examine(
        order,
        default_folder(order) if out is None else Path(out),
        foreign=load_foreign,
        where=Where(local, address, processes),
        screen=plain_screen(silent=quiet),
        stopping=stop_on_interrupt,
        command=command_line(),
        failures=failures,
        metrics=metrics,
    )


def exam(folder: str | Path) -> ExamTable:
    """Return the exam that ``compare`` has left in ``folder``.

    Raises:
        UserError: When there is none, or its files are damaged.
    """
    return ExamTable.load(Path(folder))


def ask(
    entrants: Sequence[str | Path | Mapping[str, str | Path | Function]],
    suites: Sequence[str | Path | Suite],
    *,
    episodes: int | None = None,
    seed: int | None = None,
    trust: bool = False,
    partners: Sequence[str | Path] = (),
    cases: str | Path | None = None,
) -> ExamOrder:
    """Return the order of an exam; UserError for a suite that is none, or too few episodes.

    Without ``suites`` it is about ``cases``, or the suite ``partners`` where there are some, or ``quick``.
    """
    asked: list[str | tuple[str, Function]] = []
    for entrant in entrants:
        for name, what in entrant.items() if isinstance(entrant, Mapping) else [("", entrant)]:
            if isinstance(what, str | Path):
                asked.append(f"{name}={what}" if name and name != str(what) else str(what))
            elif callable(what):
                asked.append((str(name), what))
            else:
                raise UserError(
                    f"{name}: {type(what).__name__} is no entrant; give a run, a planner's name or a function"
                )
    refuse_uri(None if cases is None else Path(cases), "--cases", "copy the file here")
    if cases is not None and suites:
        raise UserError("--cases: is played in place of a suite; leave one of the two out")
    names = suites or (() if cases is not None else ("partners",) if partners else ("quick",))
    found = [one if isinstance(one, Suite) else load_suite(Path(one)) for one in names]
    if cases is not None:
        found.append(suite_of_cases(Path(cases)))
    if seed is not None:
        found = [_with_seed(one, seed) for one in found]
    return ExamOrder(tuple(asked), tuple(found), episodes, trust, tuple(map(str, partners)))


def default_folder(order: ExamOrder) -> Path:
    """Return the folder of an exam that names none: the same for the same order, so that the same command goes on."""
    digest = hashlib.sha256(order.to_json().encode()).hexdigest()
    return EXAMS / f"{'-'.join(suite.name for suite in order.suites)}-{digest[:8]}"


def _with_seed(suite: Suite, seed: int) -> Suite:
    scenarios = tuple(scenario.model_copy(update={"seed": seed}) for scenario in suite.scenarios)
    return suite.model_copy(update={"seed": seed, "scenarios": scenarios})
