"""Spare processes: one per node, handed out when they are there, and passed over when they are dead, frozen or late."""

from __future__ import annotations

import itertools
import logging

import pytest

from robonav_ray.calls import CallFailedError, PartGoneError
from robonav_ray.rollout.spares import DROPS_TO_TELL, ON_ITS_WAY_S, PING_INTERVAL_S, SILENT_S, Spares
from tests.part_fakes import Clock, FakeCall, FakeProcess


class Started:
    """Starts spares and keeps them."""

    def __init__(self) -> None:
        self.clock, self.processes = Clock(), list[FakeProcess]()
        self.spares = Spares(self.start, pause_s=5.0, now=self.clock)

    def start(self, node: str) -> tuple[FakeProcess, FakeCall]:
        self.processes.append(FakeProcess(None, node))
        return self.processes[-1], self.processes[-1].rehearsal

    def ready(self, *nodes: str) -> Started:
        for _ in nodes:
            self.spares.keep(nodes)
            self.processes[-1].rehearsal.answer()
        self.spares.keep(nodes)
        assert self.spares.num_ready == len(nodes)
        return self


def test_one_per_node_is_ready_and_handed_out_once() -> None:
    started = Started().ready("a", "b")
    spares, (a, b) = started.spares, started.processes
    assert spares.take("b") is b
    assert spares.take("b") is a, "one that is ready elsewhere is better than none"
    assert spares.take("b") is None
    spares.keep(("a", "b", "a"))
    spares.keep(("a", "b", "a"))
    assert [process.node for process in started.processes] == ["a", "b", "a"], "one after the other"
    started.processes[-1].rehearsal.answer()
    spares.keep(("a", "b"))
    started.processes[-1].rehearsal.answer()
    spares.keep(("b",))
    assert started.processes[2].killed, "its node has no workers any more"
    spares.kill()
    assert [process.killed for process in started.processes] == [False, False, True, True], (
        "those handed out are the fleet's"
    )


def test_the_dead_and_the_frozen_are_passed_over() -> None:
    started = Started().ready("")
    started.processes[0].answers_pings = False  # frozen
    assert started.spares.take("") is None
    assert started.processes[0].killed
    started.ready("")
    started.processes[1].pings[-1].fail(PartGoneError("killed"))
    assert started.spares.take("") is None


def test_one_on_its_way_is_handed_out_too_unless_it_takes_too_long() -> None:
    started = Started()
    started.spares.keep(())
    assert started.spares.take("") is started.processes[0]
    started.spares.keep(())
    started.clock.pass_(ON_ITS_WAY_S + 0.1)
    assert started.spares.take("") is None


def test_one_that_falls_silent_makes_room_for_another() -> None:
    started = Started()
    started.spares.keep(())
    started.clock.pass_(SILENT_S + 1)
    started.spares.keep(())
    assert started.processes[0].killed
    assert len(started.processes) == 1, "not at once"
    started.clock.pass_(5.0)
    started.spares.keep(())
    assert len(started.processes) == 2


def test_one_that_is_ready_is_asked_now_and_then_whether_it_is_there() -> None:
    started = Started().ready("")
    (spare,) = started.processes
    started.spares.keep(())
    assert len(spare.pings) == 1
    started.clock.pass_(PING_INTERVAL_S)
    started.spares.keep(())
    assert len(spare.pings) == 2
    spare.pings[-1].fail(PartGoneError("killed"))
    started.clock.pass_(PING_INTERVAL_S)


def test_those_that_never_get_ready_are_said_once_and_tried_at_growing_intervals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    started = Started()
    began: list[float] = []
    with caplog.at_level(logging.WARNING, "robonav_ray.rollout.spares"):
        while len(began) < DROPS_TO_TELL + 2:
            before = len(started.processes)
            started.spares.keep(())
            if len(started.processes) > before:
                began.append(started.clock())
                started.processes[-1].rehearsal.fail(CallFailedError(ValueError("this cannot work")))
            started.clock.pass_(1.0)
    assert caplog.text.count("were lost") == 1
    assert "this cannot work" in caplog.text
    pauses = [after - before for before, after in itertools.pairwise(began)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 8 * 5.0
