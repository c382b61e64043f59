"""``robonav ab``: champion and challenger play the same worlds, batch by batch, until the test knows; what is played is
kept, and gone on with.

::

    AbOrder --> ExamOrder of batches --play_cells--> DIR/cells --_Batches--> PairedTest --> Standing, after each batch
                ExamOrder of sweeps ---play_cells--> DIR/cells ------------> robustness area
    rows --> Gate --> AbRecord --> DIR/ab.html, DIR/ab.json
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load import ConfigError
from robonav_ray.evaluation.ab.gate import (
    AREA,
    Gate,
    Limits,
    Row,
    area_row,
    collisions_row,
    latency_row,
    not_asked,
    points,
    success_row,
)
from robonav_ray.evaluation.ab.kept_rules import KeptRules
from robonav_ray.evaluation.ab.page import write_record
from robonav_ray.evaluation.ab.paired_test import Decision, PairedTest, Rules, Standing
from robonav_ray.evaluation.ab.record import AbRecord, found_before
from robonav_ray.evaluation.ab.worlds import Batches, sweeps_of
from robonav_ray.evaluation.comparing.robustness import Swept, area_difference
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.exam import ExamPlan
from robonav_ray.evaluation.exam_table import Cell, Decisions
from robonav_ray.evaluation.find_entrants import LoadForeign, Named
from robonav_ray.evaluation.kept_cells import KeptCells
from robonav_ray.records import Outcome
from robonav_ray.runs.located import refuse_unwritable, refuse_uri
from robonav_ray.runs.session_facts import session_facts
from robonav_ray.runtime.examination.examine import Where, play_cells
from robonav_ray.runtime.examination.order import ExamOrder
from robonav_ray.runtime.examination.watch import ExamWatch
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationWatch
from robonav_ray.screen import Screen
from robonav_ray.text import path_word

CHAMPION, CHALLENGER = 0, 1
"""Numbers of the two entrants in every exam of a test."""


@dataclass(frozen=True)
class AbOrder:
    """Who plays what, and what the challenger is held to."""

    entrants: tuple[str | Named, str | Named]
    """Champion and challenger."""
    batches: Batches
    area: Suite | None
    """Of the robustness area; None leaves the row out."""
    seed: int
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    trust: bool = False

    def exam(self, suite: Suite) -> ExamOrder:
        """Return the exam of both in ``suite``."""
        return ExamOrder(self.entrants, (suite,), trust=self.trust)


@dataclass(frozen=True)
class Playing:
    """On what a test is played, and who hears of it."""

    foreign: LoadForeign
    """Opens other libraries' policies: a function of a module, which other processes find there by its name."""
    where: Where
    screen: Screen
    stopping: Callable[[], AbstractContextManager[StopRequest]]
    """Gives the request to stop."""


def play_ab(order: AbOrder, out: Path, playing: Playing, command: Sequence[str]) -> tuple[AbRecord, bytes]:
    """Play until the test knows, or all worlds are played; write ``ab.html`` and ``ab.json``, and return the record and
    the bytes of ``ab.json``.

    Args:
        order: Who plays what.
        out: Folder of the test; made if missing. What is there of the same test is not played again.
        playing: On what.
        command: What was typed, for the record.

    Raises:
        EvaluationStopped: When it is stopped; what is finished is kept, and the same call goes on.
        UserError: For what is wrong, before the work, or when an entrant fails; for other rules than those by which the
            test began.
    """
    refuse_uri(out, "--out", "the cells of a test are kept as they are finished")
    refuse_unwritable(out, "--out")
    exam = order.exam(order.batches.suite)
    plan, kept = exam.plan(playing.foreign), KeptCells(out)
    _refuse_unfit(plan)
    with kept.locked():
        rules = KeptRules.of(out, plan.entrants, order.batches, order.area, order.rules, order.limits)
        rules.check()
        batches = _Batches(order, plan, kept, rules, playing.screen)
        batches.take_finished()
        if not batches.is_known:
            _play_until_known(batches, exam, playing)
        gate = _gate(order, batches, kept, playing)
        facts = [entrant.facts for entrant in plan.entrants]
        record = AbRecord.of(
            facts, order.batches.num_worlds, batches.test, order.limits, gate, **_origin(order, command)
        )
        record = found_before(record, out)
        return record, write_record(record, out)


class _KnownError(Exception):
    """The test knows: nothing more has to be played."""


class _Batches:
    """Takes in batches in their order, as soon as both have played them."""

    def __init__(self, order: AbOrder, plan: ExamPlan, kept: KeptCells, rules: KeptRules, screen: Screen) -> None:
        self.test = PairedTest(order.rules)
        self.plan, self.kept, self._rules = plan, kept, rules
        self._order, self._screen = order.batches, screen
        self._taken = 0
        self._standing: Standing | None = None
        self.decisions: tuple[list[Decisions], list[Decisions]] = ([], [])
        """Times of decisions of champion and challenger, of each cell that was taken in."""

    @property
    def is_known(self) -> bool:
        """Whether nothing more has to be played."""
        decided = self._standing is not None and self._standing.decision is not Decision.NOT_YET
        return decided or self._taken == len(self._order.sizes)

    def open_cells(self) -> list[Cell]:
        """Return the cells that are still to be played, batch by batch."""
        return sorted(self.kept.open_cells(self.plan), key=lambda cell: (cell[1], cell[0]))

    def take_finished(self) -> None:
        """Take in the batches that are whole, up to the one that decides."""
        while not self.is_known:
            scenarios = self._order.scenarios_of(self._taken)
            if not all(self.kept.has(self.plan.key((e, s))) for e in (CHAMPION, CHALLENGER) for s in scenarios):
                return
            if not self._taken:
                self._rules.keep()
            played = [[self.kept.read(self.plan, (e, s)) for s in scenarios] for e in (CHAMPION, CHALLENGER)]
            for times, cells in zip(self.decisions, played, strict=True):
                times += [cell.decisions for cell in cells]
            pairs = [
                _pair(challenger.episodes, champion.episodes) for champion, challenger in zip(*played, strict=True)
            ]
            self._standing = self.test.add(*(np.concatenate(one, axis=1) for one in zip(*pairs, strict=True)))
            self._taken += 1
            self._screen.print(_line(self._standing))


class _Watch(ExamWatch):
    """Ends the playing when the test knows."""

    def __init__(self, batches: _Batches, cells: Sequence[Cell], bars: EvaluationWatch) -> None:
        most = sum(batches.plan.seats[cell].num_episodes for cell in cells)
        super().__init__(batches.plan, cells, bars.begin("playing, at most", most), bars.tell_compiling)
        self._batches = batches

    def note(self, cell: Cell, num_done: int, num_steps: int) -> None:
        super().note(cell, num_done, num_steps)
        if num_done >= self._batches.plan.seats[cell].num_episodes:
            self._batches.take_finished()
            if self._batches.is_known:
                raise _KnownError


def _play_until_known(batches: _Batches, exam: ExamOrder, playing: Playing) -> None:
    cells = batches.open_cells()
    with playing.stopping() as stop, EvaluationWatch(playing.screen, stop) as bars:
        watch = _Watch(batches, cells, bars)
        try:
            play_cells(batches.plan, cells, batches.kept, watch, exam, stop, playing.foreign, playing.where)
        except _KnownError:
            return
    batches.take_finished()  # cells that are the same as others were never told of


def _gate(order: AbOrder, batches: _Batches, kept: KeptCells, playing: Playing) -> Gate:
    standing = batches.test.standings[-1]
    champion, challenger = batches.decisions
    rows = [
        success_row(standing, order.rules),
        collisions_row(standing, order.rules),
        latency_row(challenger, champion, order.limits, min(seat.world.dt_s for seat in batches.plan.seats.values())),
    ]
    return Gate((*rows, _area_row(order, kept, playing, is_open=Gate(tuple(rows)).passed)))


def _area_row(order: AbOrder, kept: KeptCells, playing: Playing, *, is_open: bool) -> Row:
    """Play the sweeps, unless the gate is shut already, and return their row."""
    if order.area is None:
        return not_asked(AREA, "the suite has no sweeps")
    if not is_open:
        return not_asked(AREA, "not played, since another row fails")
    exam = order.exam(order.area)
    plan = exam.plan(playing.foreign)
    if plan.missing:
        (e, s), why = next(iter(plan.missing.items()))
        return Row(
            AREA, "failed", f"{plan.entrants[e].facts.name} cannot play {plan.questions[s].facts.name}: {why}", {}
        )
    if cells := kept.open_cells(plan):
        with playing.stopping() as stop, EvaluationWatch(playing.screen, stop) as bars:
            most = sum(plan.seats[cell].num_episodes for cell in cells)
            watch = ExamWatch(plan, cells, bars.begin("robustness area", most), bars.tell_compiling)
            play_cells(plan, cells, kept, watch, exam, stop, playing.foreign, playing.where)
    return _area_of(order.area, order, plan, kept)


def _area_of(suite: Suite, order: AbOrder, plan: ExamPlan, kept: KeptCells) -> Row:
    scenarios = suite.all_scenarios()
    numbers = {scenario.name: s for s, scenario in enumerate(scenarios)}
    sweeps = list[Swept]()
    num_worlds = 0
    for points_of in sweeps_of(scenarios).values():
        values: list[list[np.ndarray]] = [[], []]
        for point in points_of:
            pair = [kept.read(plan, (e, numbers[point.name])).episodes for e in (CHALLENGER, CHAMPION)]
            num_worlds = min(one.num_episodes for one in pair)
            for of_one, episodes in zip(values, pair, strict=True):
                of_one.append((episodes.outcome[:num_worlds] == Outcome.SUCCESS).astype(np.float64))
        sweeps.append(Swept([float(point.level or 0.0) for point in points_of], *values))
    # its lower bound alone decides: each side is missed with alpha, and the area is looked at once
    first, second, difference = area_difference(sweeps, 1.0 - 2.0 * order.rules.alpha)
    if np.isnan(second):
        return not_asked(AREA, "the champion reaches no goal without a disturbance")
    return area_row((first, second), difference, len(sweeps), num_worlds, order.limits.area_margin)


def _pair(challenger: EpisodeTable, champion: EpisodeTable) -> tuple[np.ndarray, np.ndarray]:
    """Return (2, W) bool of both, success and collision, in the worlds that both have played."""
    count = min(challenger.num_episodes, champion.num_episodes)
    kinds = [int(kind) for kind in Outcome if kind.is_collision]

    def told(episodes: EpisodeTable) -> np.ndarray:
        outcome = episodes.outcome[:count]
        return np.stack([outcome == Outcome.SUCCESS, np.isin(outcome, kinds)])

    return told(challenger), told(champion)


def _refuse_unfit(plan: ExamPlan) -> None:
    """Raise ConfigError for more than two entrants, one that cannot play a scenario, or robots that share a world."""
    if len(plan.entrants) != 2:
        names = ", ".join(one.facts.name for one in plan.entrants[:4])
        raise ConfigError(
            f"an A/B test has two entrants, and {len(plan.entrants)} are named ({names}); name one run each"
        )
    for (e, s), why in plan.missing.items():
        raise ConfigError(
            f"{plan.entrants[e].facts.name}: cannot play {plan.questions[s].scenario.stage}: {why}; name a suite that "
            "both can play"
        )
    if any(seat.world.num_robots > 1 and seat.company is None for seat in plan.seats.values()):
        raise ConfigError(
            "env.world.num_robots: robots that share a world depend on each other, and the pairs of an A/B test must "
            "not; name a suite with one robot in a world, or with beside, where an episode is a whole case"
        )


def _line(standing: Standing) -> str:
    return (
        f"{standing.num_worlds:,} worlds: success {points(standing.success)}, collisions "
        f"{points(standing.collisions)}: {standing.decision}"
    )


def _origin(order: AbOrder, command: Sequence[str]) -> dict[str, Any]:
    first = order.batches.suite.all_scenarios()[: order.batches.num_scenarios]
    scenarios = [{"stage": one.stage, "family": one.family, "changes": one.changes} for one in first]
    return {"seed": order.seed, "scenarios": scenarios, **session_facts(list(command))}


def said(record: AbRecord, out: Path, screen: Screen) -> None:
    """Print the rows of the gate, and where the page lies."""
    for row in record.gate.rows:
        screen.print(f"{row.name}: {row.verdict}: {row.text}", soft_wrap=True)
    screen.print(record.headline, style="bold", soft_wrap=True)
    screen.print(f"written: {path_word(out)}/ab.html, ab.json", soft_wrap=True)
