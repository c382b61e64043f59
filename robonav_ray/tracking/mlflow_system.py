"""How busy the driver's machine is (CPU, memory, disk, network, GPUs), measured by the collectors of MLflow's client.

Its own thread that sends them is not used: it ends for good at the first call that fails, and counts steps of its own.
Here they wait for the next points, with the moment at which they were measured, and go out with the env step of then.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from robonav_ray.errors import UserError
from robonav_ray.tracking.mlflow_place import check_client

INTERVAL_S = 10.0
MAX_WAITING = 8640
"""A day of a server that is away; what is older is dropped."""
Sample = tuple[float, Mapping[str, float]]
"""When it was measured (seconds since 1970), and ``system/cpu_utilization_percentage`` and its like."""


def find_collectors() -> list[Any]:
    """Return the collectors for what this machine has; none without the package, which is told of elsewhere."""
    try:
        check_client()
    except UserError:
        return []
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    collectors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    with contextlib.suppress(ImportError, RuntimeError):  # no GPU that can be asked
        collectors.append(GPUMonitor())
    return collectors


class SystemMetrics:
    """Measures in a thread of its own until it is closed."""

    def __init__(
        self, interval_s: float = INTERVAL_S, find: Callable[[], list[Any]] = find_collectors,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._interval_s, self._find, self._now = interval_s, find, now
        self._samples: deque[Sample] = deque(maxlen=MAX_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-system-metrics", daemon=True)
        self._thread.start()

    def take(self) -> list[Sample]:
        """Return what was measured since the last call, the oldest first."""
        taken = list[Sample]()
        while self._samples:
            taken.append(self._samples.popleft())
        return taken

    def close(self) -> None:
        """Measure no more."""
        self._closing.set()

    def _run(self) -> None:
        collectors = list[Any]()
        while not self._closing.wait(self._interval_s):
            collectors = collectors or self._find()
            figures = dict[str, float]()
            for collector in collectors:
                collector.collect_metrics()
                figures |= {f"system/{name}": float(value) for name, value in collector.aggregate_metrics().items()}
                collector.clear_metrics()
            if figures:
                self._samples.append((self._now(), figures))
