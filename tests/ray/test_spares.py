"""Spare processes: one per node, handed out when they are there, and passed over when they are dead or frozen."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import ray

from robonav_ray.rollout.remote import _WorkerActor
from robonav_ray.rollout.spares_remote import DROPS_TO_TELL, Spares

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


def make_actor_class() -> Any:
    """Return a class with what a spare must be able to do; a local one, as Ray's processes cannot import this file."""

    class Actor:
        def rehearse(self, seconds: float) -> None:
            if seconds < 0:
                raise ValueError("this cannot work")
            time.sleep(seconds)

        def ping(self) -> None:
            pass

        def pid(self) -> int:
            return os.getpid()

    return ray.remote(num_cpus=0)(Actor)


class Started:
    """Starts spares that take ``seconds`` to get ready, and keeps their actors."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.actors: list[Any] = []
        self._actor_class, self._seconds = make_actor_class(), seconds

    def __call__(self, strategy: Any) -> tuple[Any, Any]:
        self.actors.append(self._actor_class.remote())
        return self.actors[-1], self.actors[-1].rehearse.remote(self._seconds)


class Near:
    def __init__(self, node_id: str) -> None:
        self.node_id = node_id


def is_gone(actor: Any) -> bool:
    try:
        ray.get(actor.ping.remote())
    except ray.exceptions.RayActorError:
        return True
    return False


def until(spares: Spares, true: Callable[[], bool], strategies: tuple[Any, ...] | None = ()) -> None:
    """Wait, and see to the spares meanwhile, unless ``strategies`` is None."""
    deadline = time.monotonic() + 60
    while not true():
        if strategies is not None:
            spares.keep(strategies)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_per_node_is_ready_and_handed_out_once(ray_session: None) -> None:
    start = Started()
    spares = Spares(start)
    nodes = (Near("a"), Near("b"), Near("a"))
    until(spares, lambda: spares.num_ready == 2, nodes)
    assert len(start.actors) == 2
    assert spares.take(Near("b")) == start.actors[1]
    assert spares.take(Near("b")) == start.actors[0], "one that is ready elsewhere is better than none"
    assert spares.take(Near("b")) is None
    until(spares, lambda: spares.num_ready == 2, nodes)
    assert len(start.actors) == 4
    spares.keep((Near("b"),))  # the other node has no workers any more
    assert spares.num_ready == 1
    spares.kill()
    for actor in start.actors[2:]:
        until(Spares(start), lambda actor=actor: is_gone(actor), None)
    for actor in start.actors[:2]:
        ray.get(actor.ping.remote())  # they are somebody else's now
        ray.kill(actor)


def test_the_dead_and_the_frozen_are_passed_over(ray_session: None) -> None:
    start = Started()
    spares = Spares(start)
    for signal_number in (signal.SIGKILL, signal.SIGSTOP):
        until(spares, lambda: spares.num_ready == 1)
        os.kill(ray.get(start.actors[-1].pid.remote()), signal_number)
        time.sleep(0.2)
        assert spares.take(None) is None
    assert len(start.actors) == 2
    spares.kill()


def test_one_on_its_way_is_handed_out_too(ray_session: None) -> None:
    start = Started(1.0)
    spares = Spares(start)
    spares.keep(())
    taken = spares.take(None)
    assert taken == start.actors[0]
    assert ray.get(taken.pid.remote()) > 0
    ray.kill(taken)


def test_one_that_takes_too_long_is_left_alone(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robonav_ray.rollout.spares_remote.ON_ITS_WAY_S", 0.1)
    spares = Spares(Started(30.0))
    spares.keep(())
    time.sleep(0.2)
    assert spares.take(None) is None
    spares.kill()


def test_one_that_falls_silent_makes_room_for_another(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robonav_ray.rollout.spares_remote.SILENT_S", 0.5)
    start = Started(30.0)
    spares = Spares(start, pause_s=0.1)
    until(spares, lambda: len(start.actors) == 2)
    until(spares, lambda: is_gone(start.actors[0]), None)
    spares.kill()


def test_those_that_never_get_ready_are_said_and_tried_at_growing_intervals(
    ray_session: None, caplog: pytest.LogCaptureFixture
) -> None:
    start = Started(-1.0)
    spares = Spares(start, pause_s=0.1)
    with caplog.at_level(logging.WARNING, "robonav_ray.rollout.spares_remote"):
        until(spares, lambda: "this cannot work" in caplog.text)
        assert len(start.actors) == DROPS_TO_TELL
        until(spares, lambda: len(start.actors) == DROPS_TO_TELL + 2)
    assert caplog.text.count("were lost") == 1
    assert spares._troubles[""].drops == DROPS_TO_TELL + 1
    spares.kill()


def test_a_spare_that_could_not_begin_ends_when_it_shall_work(ray_session: None) -> None:
    actor_class: Any = ray.remote(num_cpus=0)(_WorkerActor)
    actor = actor_class.remote(None)
    ray.get(actor.ping.remote())
    failed = actor.begin.remote("no wiring")
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.run.remote(0.0))
    with pytest.raises(ray.exceptions.RayTaskError):
        ray.get(failed)
