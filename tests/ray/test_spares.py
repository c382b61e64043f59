"""Spares as real processes: one is handed out while it is there, and not when it is killed or frozen (the policy:
unit/rollout)."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
import ray

from robonav_ray.calls import Call
from robonav_ray.rollout.remote import RayWorkerProcess, _WorkerActor
from robonav_ray.rollout.spares import Spares
from robonav_ray.rollout.worker_process import WorkerProcess

pytestmark = pytest.mark.ray


def test_one_that_was_killed_or_frozen_is_passed_over_and_one_that_could_not_begin_ends(ray_session: None) -> None:
    actor_class: Any = ray.remote(num_cpus=0)(_WorkerActor)
    started: list[RayWorkerProcess] = []

    def start(node: str) -> tuple[WorkerProcess, Call]:
        started.append(RayWorkerProcess(actor_class.remote(None)))
        return started[-1], started[-1].ping()

    spares = Spares(start)

    def until_ready() -> None:
        deadline = time.monotonic() + 200
        while spares.num_ready == 0:
            assert time.monotonic() < deadline
            spares.keep(())
            time.sleep(0.05)

    for signal_number in (signal.SIGKILL, signal.SIGSTOP):
        until_ready()
        os.kill(ray.get(started[-1].actor.__ray_call__.remote(lambda self: os.getpid())), signal_number)
        time.sleep(0.2)
        assert spares.take("") is None
    until_ready()
    taken = spares.take("")
    assert taken is started[2]
    failed = started[2].actor.begin.remote("no wiring")
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(started[2].actor.run.remote(0.0))
    with pytest.raises(ray.exceptions.RayTaskError):
        ray.get(failed)
