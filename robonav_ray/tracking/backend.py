"""What every place that is tracked to is: points go in, in order, and may come again after a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from robonav_ray.files.locations import without_secrets
from robonav_ray.interfaces import Tracker
from robonav_ray.records import Metrics
from robonav_ray.tracking.items import ALL_KINDS, Asset, Item


class TrackerError(Exception):
    """A backend cannot take this now (its server is gone, its quota used); raised by backends, repeated by their
    feed.
    """


class RefusedPointsError(TrackerError):
    """A backend will never take some points, or parts of them; all else that it was given it has taken."""

    def __init__(self, count: int, why: str) -> None:
        """``count`` points are refused, the first for the reason ``why``."""
        super().__init__(why)
        self.count = count


class Refusals:
    """Collects, in one ``write``, what a backend will never take."""

    def __init__(self) -> None:
        self._points, self._why = set[object](), ""

    def note(self, point: object, error: Exception) -> None:
        """A point, by what tells it from others, is refused in whole or in part."""
        self._why = self._why or " ".join(str(error).split())[:300] or type(error).__name__
        self._points.add(point)

    def tell(self) -> None:
        """Raise RefusedPointsError where anything was noted."""
        if self._points:
            raise RefusedPointsError(len(self._points), without_secrets(self._why))


@dataclass(frozen=True)
class Point:
    """What was logged at once."""

    metrics: Metrics
    step: int
    """In env steps."""
    time: float
    """Seconds since 1970, as the spool keeps them: a point that is given again has the same."""
    items: tuple[Item, ...] = ()
    end: int | None = None
    """Byte of the spool behind the point; None where the spool does not hold it."""
    start: int | None = None
    """Byte of the spool at which it begins."""


@dataclass(frozen=True)
class RunEnding:
    """What became of a run, or of a session of it."""

    status: Literal["finished", "unfinished", "failed"]
    message: str
    """Why, in words; empty where there is nothing to say."""
    summary: Metrics
    """Figures that describe the run as a whole."""


@runtime_checkable
class Backend(Protocol):
    """A place that points are brought to. It is used from one thread, which nothing else waits for."""

    name: str
    """As in the config: ``mlflow``."""
    takes: frozenset[str]
    """Kinds: ``scalars``, ``histogram`` and the values of ``Kind``. What else a point has is left out of it, which is
    said once."""

    def write(self, points: Sequence[Point]) -> None:
        """Take points, in order.

        Raises:
            RefusedPointsError: When everything was taken but what never can be, however often it is given: the feed
                goes on.
            OSError, TrackerError: When that cannot be now. The very same points are given again, and nothing that was
                taken before stands twice for that.
        """
        ...

    def close(self, ending: RunEnding | None) -> None:
        """End; ``ending`` is None where nothing is said about what became of the run."""
        ...


class AdaptedTracker:
    """A ``Tracker`` (of the user, or Ray's metrics) as a backend: it is given metrics and files."""

    takes = ALL_KINDS

    def __init__(self, tracker: Tracker) -> None:
        self.name = type(tracker).__name__
        self._tracker = tracker
        self._num_done = 0  # calls of the points at hand that have succeeded: they are not repeated

    def write(self, points: Sequence[Point]) -> None:
        """Call ``log`` for the metrics of every point, and ``save`` for every file."""
        calls = [call for point in points for call in self._calls(point)]
        for metrics, step, asset in calls[self._num_done :]:
            if asset is None:
                self._tracker.log(metrics, step)
            else:
                self._tracker.save(asset.path)
            self._num_done += 1
        self._num_done = 0

    def close(self, ending: RunEnding | None) -> None:
        """End the tracker; it is not told how the run ended."""
        self._tracker.close()

    @staticmethod
    def _calls(point: Point) -> list[tuple[Metrics, int, Asset | None]]:
        logged: list[tuple[Metrics, int, Asset | None]] = [(point.metrics, point.step, None)] if point.metrics else []
        return [*logged, *(({}, point.step, item) for item in point.items if isinstance(item, Asset))]
