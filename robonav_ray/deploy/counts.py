"""What a server has done, as sums that add up over processes, and as Prometheus reads them (text format 0.0.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 1024.0)


class Metric(NamedTuple):
    """A family of samples; ``bounds`` are the buckets of a histogram, none those of a counter."""

    name: str
    text: str
    bounds: tuple[float, ...] = ()


REQUESTS = Metric("robonav_serve_requests_total", "Requests by path and code of HTTP.")
SECONDS = Metric("robonav_serve_request_seconds", "Seconds from a request to its answer, in the replica.", _SECONDS)
OBSERVATIONS = Metric("robonav_serve_observations_total", "Observations that were acted on, by version and arm.")
BATCH = Metric("robonav_serve_batch_rows", "Observations that one call of the networks answered.", _ROWS)
METRICS = (REQUESTS, SECONDS, OBSERVATIONS, BATCH)

Sums = Mapping[tuple[str, str], float]
"""(name of the sample, its labels as they are written) -> value."""


class Counts:
    """Sums of one process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._sums: dict[tuple[str, str], float] = {}

    def add(self, metric: Metric, value: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        self._add(metric.name, value, labels)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        for bound in (*metric.bounds, math.inf):
            self._add(f"{metric.name}_bucket", float(value <= bound), {**labels, "le": _number(bound)})
        self._add(f"{metric.name}_sum", value, labels)
        self._add(f"{metric.name}_count", 1.0, labels)

    def sums(self) -> dict[tuple[str, str], float]:
        """Return a copy of all."""
        return dict(self._sums)

    def _add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        key = name, ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        self._sums[key] = self._sums.get(key, 0.0) + value


def page(several: Iterable[Sums], gauges: Mapping[str, float]) -> str:
    """Return the sums of several processes together, and ``gauges`` by name, as one page."""
    total: dict[tuple[str, str], float] = {}
    for sums in several:
        for key, value in sums.items():
            total[key] = total.get(key, 0.0) + value
    lines = list[str]()
    for metric in METRICS:
        kind = "histogram" if metric.bounds else "counter"
        lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {kind}"]
        names = [metric.name + end for end in (("_bucket", "_sum", "_count") if metric.bounds else ("",))]
        for name in names:
            lines += [
                f"{name}{{{labels}}} {_number(value)}" if labels else f"{name} {_number(value)}"
                for (sample, labels), value in total.items()
                if sample == name
            ]
    for name, value in gauges.items():
        lines += [f"# TYPE {name} gauge", f"{name} {_number(value)}"]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return "+Inf" if value == math.inf else f"{value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
