"""Ray metrics: the same names as gauges that Prometheus can scrape from the node's agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.util.metrics import Gauge

from robonav_ray.records import Metrics
from robonav_ray.tracking.names import gauge_name


class PrometheusTracker:
    """A ``Tracker`` that sets one Ray gauge per metric, tagged with the run; needs ``ray.init`` and lives in the
    driver.

    Ray exports them as ``ray_robonav_...`` within its reporting interval (10 s by default).
    """

    def __init__(self, run: str):
        self._run = run
        self._gauges: dict[str, Any] = {}
        self._closed = False

    def log(self, metrics: Metrics, step: int) -> None:
        """Set the gauges, and ``robonav_env_step`` to ``step``."""
        self._check_open()
        for metric, value in {**metrics, "env_step": float(step)}.items():
            if metric not in self._gauges:
                gauge = Gauge(gauge_name(metric), description=metric, tag_keys=("run",))
                gauge.set_default_tags({"run": self._run})
                self._gauges[metric] = gauge
            self._gauges[metric].set(float(value))

    def save(self, path: Path) -> None:
        """Do nothing: gauges keep no files."""
        self._check_open()

    def close(self) -> None:
        """End; the gauges keep their last value until the driver goes."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the tracker is closed")
