"""The product's own wiring over Ray (``runtime/topology.py``), driven without a controller, and the figures of a window
of time.
"""

from __future__ import annotations

import logging
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from robonav_ray.config.load import load_run_config
from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.nodes.connection import look_at_cluster, prepare_environment
from robonav_ray.nodes.private_folder import make_private_folder
from robonav_ray.nodes.resources import Plan, make_plan, split_worlds
from robonav_ray.part_names import Part
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.part_titles import part_of
from robonav_ray.runtime.wiring import RunSession, WiringFacts

POLL_S = 0.1
CPUS_PER_NODE = 100
"""Logical CPUs of a node: more than there are cores, so that what limits is what is measured and not a reservation."""
FIGURES = {Part.WORKER: "rollout", Part.CONTROLLER: "ray"}
"""Names of the figures that differ from those of the parts."""


def quiet_environment() -> None:
    """Say of Ray and BLAS what must be said before they are imported."""
    os.environ["RAY_AUTH_MODE"] = "disabled"  # a private session on this machine, gone at the end
    os.environ.pop("RAY_ADDRESS", None)
    prepare_environment(RuntimeConfig())


class Nodes:
    """Ray nodes on this machine, each with its own raylet and object store; the driver is on the first. Main thread
    only.
    """

    def __init__(self, object_store_bytes: int = 400_000_000) -> None:
        self._folder = make_private_folder("rs-", below="ray")
        os.environ["RAY_TMPDIR"] = str(self._folder)  # Ray notes the cluster there: no one else joins it
        (self._folder / "ray").mkdir()
        import ray
        from ray.cluster_utils import Cluster

        self._arguments = {
            "num_cpus": CPUS_PER_NODE,
            "object_store_memory": object_store_bytes,
            "include_dashboard": False,
        }
        head = {**self._arguments, "temp_dir": str(self._folder / "ray")}
        self._cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=True)
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level=logging.WARNING)
        self.count = 1

    def grow(self, count: int) -> None:
        """Have ``count`` nodes; they are never fewer than before."""
        while self.count < count:
            self._cluster.add_node(**{k: v for k, v in self._arguments.items() if k != "include_dashboard"})
            self.count += 1

    def close(self) -> None:
        """End Ray and its nodes."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def ray_nodes(count: int = 1) -> Iterator[Nodes]:
    """Start ``count`` nodes and end them."""
    quiet_environment()
    nodes = Nodes()
    try:
        nodes.grow(count)
        yield nodes
    finally:
        nodes.close()


@dataclass(frozen=True)
class Window:
    """What went through the system per second, and what it took."""

    seconds: float
    env_steps_per_s: float
    inserts_per_s: float
    samples_per_s: float
    updates_per_s: float
    learner_idle_frac: float
    """Part of the time in which the learner waited for a batch."""
    fragments_per_s: float
    cpu_frac: float
    """Part of all cores of the machine in use, by all processes."""
    own_cpu_frac: float
    """The same, by this system's processes."""
    cpu_cores: dict[str, float]
    """Cores in use by part; ``driver`` is this process, ``ray`` all processes of Ray itself."""

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return dict(self.__dict__)


class CpuMeter:
    """CPU seconds of this process and its descendants, by part."""

    def __init__(self, more: Mapping[str, Part] | None = None) -> None:
        """``more`` are parts beside the run's own, by the name of their class."""
        self._more = more or {}
        self._own = psutil.Process()
        self._before = self._read()
        self._began = time.perf_counter()
        psutil.cpu_percent()

    def read(self) -> tuple[float, dict[str, float]]:
        """Return (part of the machine's cores in use, cores in use by part) since the beginning."""
        busy = psutil.cpu_percent() / 100.0
        elapsed = time.perf_counter() - self._began
        cores: defaultdict[str, float] = defaultdict(float)
        for key, (kind, seconds) in self._read().items():
            cores[kind] += (seconds - self._before.get(key, (kind, 0.0))[1]) / elapsed
        return busy, {kind: round(value, 4) for kind, value in sorted(cores.items())}

    def _read(self) -> dict[tuple[int, float], tuple[str, float]]:
        found = {}
        for process in [self._own, *self._own.children(recursive=True)]:
            try:
                times, name = process.cpu_times(), " ".join(process.cmdline()[:1])
            except psutil.Error:  # it has just ended
                continue
            found[(process.pid, process.create_time())] = (self._kind(process, name), times.user + times.system)
        return found

    def _kind(self, process: psutil.Process, title: str) -> str:
        if process.pid == self._own.pid:
            return "driver"
        part = part_of(title, self._more)
        return "ray" if part is None else FIGURES.get(part, part.value)


class System:
    """All parts of a run on the Ray session that there is."""

    def __init__(
        self, overrides: Sequence[str], *, workers: int, start_workers: int | None = None, num_nodes: int = 1
    ) -> None:
        """Start ``workers`` workers, or ``start_workers`` now and the others by ``grow_to``.

        ``overrides`` are those of a config; worlds are shared out over ``workers`` in any case.
        """
        from robonav_ray.runtime.over_ray.ray_wiring import RayWiring
        from robonav_ray.runtime.topology import worker_orders

        self._directory = tempfile.TemporaryDirectory(prefix="robonav-scale-", ignore_cleanup_errors=True)
        config = load_run_config(
            None,
            ["runtime.auth_mode=disabled", "runtime.heartbeat_timeout_s=120", "runtime.start_timeout_s=300",
             f"rollout.num_workers={workers}", "rollout.spares=false", "runtime.cpus_per_rank=0.5", *overrides],
        )  # fmt: skip
        session = RunSession(
            config,
            describe_task(config),
            create_run(config, Path(self._directory.name) / "run"),
            None,
            time.monotonic(),
        )
        cluster = look_at_cluster(started_here=True)
        plan = make_plan(config, cluster)
        self.config = config
        self._plan: Plan = replace(plan, placement=plan.placement if num_nodes > 1 else None)
        first = workers if start_workers is None else start_workers
        self._wiring = RayWiring(
            session, replace(self._plan, num_workers=first, worlds=self._plan.worlds[:first]), cluster.nodes
        )
        parts, spread = self._wiring.parts, replace(self._plan, worlds=split_worlds(config.rollout.num_worlds, workers))
        self._orders = worker_orders(session, spread, parts.curriculum, parts.replay, parts.weights)
        self.row_bytes = session.task.spec.row_bytes

    def grow_to(self, workers: int) -> None:
        """Add workers to those that are at work, as the run does when nodes join."""
        self._wiring.parts.fleet.resize(self._orders[:workers])

    def wait_running(self, timeout_s: float, is_ready: Callable[[WiringFacts], bool] = lambda facts: True) -> None:
        """Poll until every worker has delivered, the learner has learned, and ``is_ready``.

        Raises:
            TimeoutError: When that takes longer than ``timeout_s``.
        """
        until, fleet = time.monotonic() + timeout_s, self._wiring.parts.fleet
        while True:
            facts = self._wiring.poll(POLL_S)
            if fleet.num_running == fleet.num_workers and facts.learner_steps > 0 and is_ready(facts):
                return
            if time.monotonic() > until:
                raise TimeoutError(
                    f"{fleet.num_running} of {fleet.num_workers} workers delivered and the learner made "
                    f"{facts.learner_steps} steps within {timeout_s:.0f} s: {facts.message}"
                )

    def measure(self, seconds: float) -> Window:
        """Return the figures of about ``seconds``: from one moment at which a worker was heard of to another."""
        began, first = self._next_news()
        meter, idle = CpuMeter(), []
        while time.perf_counter() - began < seconds:
            facts = self._wiring.poll(POLL_S)
            idle.append(facts.metrics.get("learner/wait_frac", 0.0))
        ended, last = self._next_news()
        busy, cores = meter.read()
        elapsed = ended - began

        def rate(name: str) -> float:
            return (last.metrics.get(name, 0.0) - first.metrics.get(name, 0.0)) / elapsed

        return Window(
            seconds=round(elapsed, 2),
            env_steps_per_s=(last.env_steps - first.env_steps) / elapsed,
            inserts_per_s=rate("replay/rows_inserted"),
            samples_per_s=rate("replay/rows_sampled"),
            updates_per_s=(last.learner_steps - first.learner_steps) / elapsed,
            learner_idle_frac=statistics.fmean(idle),
            fragments_per_s=rate("rollout/fragments"),
            cpu_frac=busy,
            own_cpu_frac=sum(cores.values()) / (psutil.cpu_count() or 1),
            cpu_cores=cores,
        )

    def _next_news(self) -> tuple[float, WiringFacts]:
        facts = self._wiring.poll(POLL_S)
        while True:
            before, facts = facts.env_steps, self._wiring.poll(POLL_S)
            if facts.env_steps > before:
                return time.perf_counter(), facts

    def close(self) -> None:
        """End all parts."""
        self._wiring.close()
        self._directory.cleanup()


@contextmanager
def running(overrides: Sequence[str], **arguments: Any) -> Iterator[System]:
    """Start a System and end it."""
    system = System(overrides, **arguments)
    try:
        yield system
    finally:
        system.close()
