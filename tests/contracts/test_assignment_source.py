"""Every AssignmentSource keeps the same promises, in one process and over Ray."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from made_up_episodes import Worker, World, make_results

from robonav_ray.config.curriculum import CurriculumConfig, EpsilonConfig, GateConfig, StageConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.interfaces import AssignmentSource
from robonav_ray.runs.progress import CurriculumProgress

GATE = GateConfig(min_success_frac=0.7, min_return=5.0, max_collision_frac=0.3)
CONFIG = CurriculumConfig(
    stages=tuple(
        StageConfig(name=f"s{i}", gate=GATE, epsilon=EpsilonConfig(start=0.5, end=0.1, decay=0.99)) for i in range(3)
    )
)


@dataclass
class Setup:
    make_source: Callable[[], AssignmentSource]
    """One source per worker process."""
    progress: Callable[[], CurriculumProgress]
    worker_lost: Callable[[int], None]


@pytest.fixture(params=["plain", pytest.param("ray", marks=pytest.mark.ray)])
def setup(request) -> Iterator[Setup]:
    if request.param == "plain":
        curriculum = Curriculum(CONFIG)
        yield Setup(lambda: curriculum, curriculum.progress, curriculum.worker_lost)
        return
    request.getfixturevalue("ray_session")
    from robonav_ray.curriculum.remote import start_curriculum

    handle = start_curriculum(CONFIG)
    yield Setup(lambda: handle.source(max_in_flight=3), handle.progress, handle.worker_lost)
    handle.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120.0
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def test_it_is_one_and_begins_at_the_first_stage(setup):
    source = setup.make_source()
    assert isinstance(source, AssignmentSource)
    first = source.next_assignment(0)
    assert (first.stage, first.epsilon, first.clock) == (0, 0.5, 0)


def test_epsilon_falls_with_the_episodes_and_the_serial_rises(setup):
    source = setup.make_source()
    first = source.next_assignment(0)
    source.report(make_results(0, [(0, 0, 10 * i, 10, 6, 0.0, True) for i in range(20)], 200, 0))
    until(lambda: source.next_assignment(0).epsilon == pytest.approx(0.5 * 0.99**20))
    assert source.next_assignment(0).serial > first.serial


def test_a_lost_worker_does_not_hold_the_gate(setup):
    one, other = setup.make_source(), setup.make_source()
    one.next_assignment(0), other.next_assignment(1)
    one.report(make_results(0, [(0, 0, 10 * i, 10, 1, 10.0, True) for i in range(60)], 600, 0))
    until(lambda: setup.progress().num_pending == 60)
    assert setup.progress().stage == 0
    setup.worker_lost(1)
    until(lambda: setup.progress().stage == 1)
    until(lambda: one.next_assignment(0).stage == 1)


def test_the_same_transitions_at_the_same_episodes(setup):
    """Late news of a transition moves nothing: every live worker enters a stage at the same clock."""
    twin = Curriculum(CONFIG)
    alone = Worker(0, [World(i, i < 8) for i in range(16)], twin)
    while not twin.passed:
        alone.play(32)
    worlds = [World(i, i < 8) for i in range(16)]
    workers = [Worker(k, worlds[k::2], setup.make_source()) for k in range(2)]
    # by the clock: news travels every 50 ms, however many turns a machine makes in that time
    deadline = time.monotonic() + 120.0
    for turn in itertools.count():
        workers[turn % 2].play(16 + turn % 7)
        if turn % 50 == 49 and setup.progress().passed:
            break
        assert time.monotonic() < deadline
    got, expected = setup.progress().transitions, twin.progress().transitions
    assert [(t.world, t.started_at, t.num_gate_episodes) for t in got] == [
        (t.world, t.started_at, t.num_gate_episodes) for t in expected
    ]
    assert len(got) == 3
