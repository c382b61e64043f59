"""Rollout workers as Ray actors: an actor makes fragments for a slice of a second per call and returns what they came
to.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ray

from robonav_ray.calls_remote import RayCall, wait_for_all
from robonav_ray.errors import ToldError, UserError
from robonav_ray.own_processes import ACTS, step_back
from robonav_ray.records import Assignment, EpisodeResults, Fragment
from robonav_ray.rollout.make_worker import WorkerOrder, make_worker
from robonav_ray.rollout.rollout_stats import RolloutStats
from robonav_ray.rollout.worker import RolloutWorker


class _WorkerActor:
    """One life of a worker in its own process, or a spare that waits for one."""

    def __init__(self, order: WorkerOrder | None) -> None:
        step_back(ACTS)
        self._worker: RolloutWorker | None = None
        self._failed: ToldError | UserError | None = None
        if order is not None:
            self.begin(order)

    def begin(self, order: WorkerOrder) -> None:
        """Begin the life; what its environment does wrong is told by ``run``, since an actor that cannot be made only
        dies.
        """
        if not order.config.env.is_native and threading.current_thread() is threading.main_thread():
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # Ctrl-C is the driver's; a KeyboardInterrupt here is the environment's own
        try:
            self._worker = _with_policy(order)
        except (ToldError, UserError) as error:
            self._failed = error

    def rehearse(self, order: WorkerOrder) -> None:
        """Load all that a life like ``order`` needs, by making a fragment that is dropped.

        Only in our own worlds: what another environment would take hold of a second time (a port, a display) is not
        ours to know.
        """
        if order.config.env.is_native:
            nowhere = _Nowhere()
            _with_policy(replace(order, assignments=nowhere, sink=nowhere)).collect()

    def ping(self) -> None:
        """Be there."""

    def run(self, seconds: float) -> RolloutStats:
        """Make fragments, at least one, for about ``seconds``."""
        if self._failed is not None:
            raise self._failed
        worker = self._worker
        if worker is None:  # `begin` has failed in this spare; a process of its own shall say why
            raise SystemExit("the spare could not begin")
        until = time.monotonic() + seconds
        total = worker.collect()
        while time.monotonic() < until:
            total = total.plus(worker.collect())
        return total


def _with_policy(order: WorkerOrder) -> RolloutWorker:
    """Build the worker, with the newest policy where there is one: a later life, or a resumed run, never acts
    without.
    """
    worker = make_worker(order)
    newest = order.weights.wait_newer_than(0)
    if newest is not None:
        worker.use(newest)
    return worker


class _Nowhere:
    """Assigns the first stage, and drops the fragments."""

    def next_assignment(self, worker: int) -> Assignment:
        return Assignment(stage=0, epsilon=1.0, clock=0, serial=0)

    def report(self, results: EpisodeResults) -> None:
        pass

    def insert(self, fragment: Fragment) -> None:
        pass


class RayWorkerProcess:
    """Implements WorkerProcess for one actor."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def begin(self, order: WorkerOrder) -> None:
        """As ``WorkerProcess.begin``."""
        self.actor.begin.remote(order)

    def run(self, seconds: float) -> RayCall:
        """As ``WorkerProcess.run``."""
        return RayCall(self.actor.run.remote(seconds))

    def rehearse(self, order: WorkerOrder) -> RayCall:
        """As ``WorkerProcess.rehearse``."""
        return RayCall(self.actor.rehearse.remote(order))

    def ping(self) -> RayCall:
        """As ``WorkerProcess.ping``."""
        return RayCall(self.actor.ping.remote())

    def kill(self) -> None:
        """As ``WorkerProcess.kill``."""
        ray.kill(self.actor)


class RayWorkerProcesses:
    """Implements WorkerProcesses over Ray."""

    def __init__(self, cpus_per_worker: float, near: Callable[[str], Any]) -> None:
        """``near`` returns Ray's scheduling strategy that prefers a node."""
        self._actor_class: Any = ray.remote(num_cpus=cpus_per_worker, max_restarts=0)(_WorkerActor)
        self._near = near

    def start(self, order: WorkerOrder | None, node: str) -> RayWorkerProcess:
        """As ``WorkerProcesses.start``."""
        options: dict[str, Any] = {} if order is not None else {"num_cpus": 0}
        if node:
            options["scheduling_strategy"] = self._near(node)
        actor_class = self._actor_class.options(**options) if options else self._actor_class
        return RayWorkerProcess(actor_class.remote(order))

    def wait(self, calls: Sequence[Any], timeout_s: float) -> Sequence[RayCall]:
        """As ``WorkerProcesses.wait``."""
        return wait_for_all(calls, timeout_s)
