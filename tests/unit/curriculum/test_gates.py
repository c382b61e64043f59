"""The gate: its window, and the order in which episodes enter."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robonav_ray.curriculum.gates import NO_GATE_EPISODE, GateWindow, StartOrder, WindowFigures
from robonav_ray.records import Outcome


def test_window_keeps_the_last_episodes_and_says_what_they_were():
    window = GateWindow(4)
    assert window.figures() == WindowFigures()
    for outcome, task_return in [
        (Outcome.TIMEOUT, 100.0),
        (1, 10.0),
        (1, 10.0),
        (Outcome.COLLISION_WALL, -5.0),
        (6, 1.0),
    ]:
        window.add(int(outcome), task_return)
    assert window.is_full
    assert window.figures() == WindowFigures(4, 0.5, 0.25, 4.0)
    twin = GateWindow(4)
    twin.load_state_dict(window.state_dict())
    assert twin.figures() == window.figures()
    with pytest.raises(ValueError, match=r"curriculum\.window"):
        GateWindow(3).load_state_dict(window.state_dict())


def entered(order: StartOrder) -> list[tuple[int, int]]:
    return [(e.started_at, e.world) for e in order.pop_ready()]


def test_an_episode_waits_until_no_earlier_one_can_be_running():
    order = StartOrder(max_pending=100)
    order.join(0), order.join(1)
    order.add(0, 5, 0, 1, 10.0)
    order.advance(0, 6)
    assert entered(order) == []
    order.advance(1, 5)
    assert entered(order) == [], "worker 1 may still be running one that began at 5 too, in a lower world"
    order.add(1, 2, 9, 1, 10.0)
    order.advance(1, 7)
    assert entered(order) == [(2, 9), (5, 0)]


def test_a_worker_without_gate_episodes_holds_nothing_back_and_does_not_move_the_clock():
    order = StartOrder(max_pending=100)
    order.join(0), order.join(1)
    order.advance(1, NO_GATE_EPISODE)
    order.add(0, 0, 0, 1, 10.0)
    order.advance(0, 40)
    assert entered(order) == [(0, 0)]
    assert order.clock == 40


def test_a_late_worker_begins_at_the_highest_watermark():
    order = StartOrder(max_pending=100)
    order.join(0), order.join(1)
    order.advance(0, 30), order.advance(1, 70)
    assert order.join(2) == 70


def test_a_lost_worker_stops_holding_back_and_takes_its_early_finishers_with_it():
    order = StartOrder(max_pending=100)
    order.join(0), order.join(1)
    order.advance(0, 50), order.advance(1, 10)
    order.add(0, 20, 0, 1, 10.0), order.add(1, 12, 1, 2, -5.0), order.add(1, 8, 1, 1, 10.0)
    order.leave(1)
    assert entered(order) == [(8, 1), (20, 0)]
    assert order.num_discarded == 1


def test_a_frozen_worker_cannot_hold_more_than_max_pending():
    order = StartOrder(max_pending=10)
    order.join(0), order.join(1)
    for i in range(25):
        order.add(0, i, 0, 1, 10.0)
        order.advance(0, i + 1)
    assert [s for s, _ in entered(order)] == list(range(15))
    assert (order.num_pending, order.num_let_go) == (10, 15)


def test_episodes_of_an_earlier_visit_and_of_strangers_do_not_enter():
    order = StartOrder(max_pending=10)
    order.join(0)
    order.begin_stage(100)
    order.add(0, 99, 0, 1, 10.0), order.add(7, 150, 0, 1, 10.0), order.add(0, 100, 0, 1, 10.0)
    order.advance(0, 200)
    assert entered(order) == [(100, 0)]


def test_state_round_trip_in_the_middle_of_random_traffic():
    rng = np.random.default_rng(0)
    order, twin = StartOrder(max_pending=50), StartOrder(max_pending=50)
    for worker in range(3):
        order.join(worker)
    num_entered = 0
    for step in range(300):
        worker = int(rng.integers(3))
        event = (
            worker,
            step + int(rng.integers(20)),
            int(rng.integers(8)),
            int(rng.integers(1, 7)),
            float(rng.normal()),
        )
        if step == 150:
            twin.load_state_dict(json.loads(json.dumps(order.state_dict())))
        for o in (order, twin) if step >= 150 else (order,):
            o.add(*event)
            o.advance(worker, step)
        entered_now = list(order.pop_ready())
        num_entered += len(entered_now)
        if step >= 150:
            assert list(twin.pop_ready()) == entered_now
    assert num_entered > 200
    with pytest.raises(ValueError, match="keys"):
        twin.load_state_dict({"base": 0})
