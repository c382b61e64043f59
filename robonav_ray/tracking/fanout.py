"""One tracker in front of several: what fails is switched off, the run goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.interfaces import Tracker
from robonav_ray.records import Metrics
from robonav_ray.tracking.jsonl import JsonlTracker
from robonav_ray.tracking.tensorboard import TensorboardTracker

logger = logging.getLogger(__name__)


class TrackerError(Exception):
    """A backend cannot go on (its server is gone, its quota used); raised by backends, caught by the fan-out."""


class FanoutTracker:
    """Hands everything to every backend, in order.

    A backend that raises ``OSError`` (disk full, connection lost) or ``TrackerError`` is switched off with one warning and
    counted; any other error is a bug and is raised. With a backend off, ``tracking/backends_failed`` joins the metrics.
    """

    def __init__(self, backends: Sequence[Tracker]):
        self._backends = list(backends)
        self._closed = False
        self.num_failed = 0
        """Backends that were switched off."""

    def log(self, metrics: Metrics, step: int) -> None:
        """Record metrics at ``step``."""
        if self.num_failed:
            metrics = {**metrics, "tracking/backends_failed": float(self.num_failed)}
        self._each(lambda backend: backend.log(metrics, step))

    def save(self, path: Path) -> None:
        """Keep a file with the run."""
        self._each(lambda backend: backend.save(path))

    def close(self) -> None:
        """Flush and end all backends; a second call does nothing."""
        if not self._closed:
            self._each(lambda backend: backend.close())
            self._closed = True

    def _each(self, call: Callable[[Tracker], None]) -> None:
        if self._closed:
            raise RuntimeError("the tracker is closed")
        for backend in tuple(self._backends):
            try:
                call(backend)
            except (OSError, TrackerError) as error:
                self._backends.remove(backend)
                self.num_failed += 1
                logger.warning("%s is switched off for the rest of the run: %s", type(backend).__name__, error)


_BACKENDS: dict[str, Callable[[Path, int | None], Tracker]] = {"jsonl": JsonlTracker, "tensorboard": TensorboardTracker}


def open_trackers(
    config: TrackingConfig, directory: Path, resume_step: int | None = None, extra: Sequence[Tracker] = ()
) -> FanoutTracker:
    """Open the configured backends in ``directory``, and put ``extra`` (the Ray metrics) behind them.

    ``resume_step`` is the env step of the checkpoint that a resumed run starts from; None for a new run.
    """
    return FanoutTracker([*(_BACKENDS[name](directory, resume_step) for name in config.backends), *extra])
