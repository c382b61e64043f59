"""How long a session of a cloud notebook may last, and what is left of it.

Colab and Kaggle end a session after so many hours, whatever runs in it. A kernel that is started anew is in the same
session, so its beginning is written down where files go with the session.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import PlainFileError, read_json, replace
from robonav_ray.fronts.notebooks.places import Place
from robonav_ray.tracking.panel import format_seconds

BEGAN_FILE = "robonav_session.json"


@dataclass(frozen=True)
class Session:
    """A session of a cloud notebook."""

    began: float
    """Seconds since 1970."""
    limit_s: float
    """How long it may last."""
    margin_s: float
    """How long before that a training has ended."""

    def used_s(self, now: float | None = None) -> float:
        """Return the seconds that it has lasted."""
        return max(0.0, (time.time() if now is None else now) - self.began)

    def left_s(self, now: float | None = None) -> float:
        """Return the seconds in which to train; 0 or less when there are none."""
        return self.limit_s - self.margin_s - self.used_s(now)

    @property
    def stops_at(self) -> str:
        """The time of day at which a training ends, in UTC."""
        return time.strftime("%H:%M UTC", time.gmtime(self.began + self.limit_s - self.margin_s))

    def _repr_markdown_(self) -> str:
        return (
            f"**Session**: {format_seconds(self.used_s())} of {format_seconds(self.limit_s)} used. "
            f"A training ends by itself at {self.stops_at}, {format_seconds(self.margin_s)} before the limit."
        )


def open_session(place: Place, hours: float, stop_minutes_before: float) -> Session:
    """Return this session, which lasts ``hours`` and in which a training ends ``stop_minutes_before`` its end.

    Its beginning is the moment at which this was called first in it, or the start of this process on a machine that is
    no cloud's.

    Raises:
        UserError: For numbers that leave no time.
    """
    if not 0.0 < stop_minutes_before * 60.0 < hours * 3600.0:
        raise UserError(
            f"a session of {hours:g} hours that stops {stop_minutes_before:g} minutes before its end leaves no time to "
            "train: give more than 0 minutes, and less than the session has"
        )
    return Session(_began(place), hours * 3600.0, stop_minutes_before * 60.0)


def _began(place: Place) -> float:
    if place.platform == "here":
        return psutil.Process().create_time()
    path, now = place.scratch / BEGAN_FILE, time.time()
    try:
        began = read_json(path)
    except (FileNotFoundError, PlainFileError):
        began = None
    if isinstance(began, int | float) and not isinstance(began, bool) and psutil.boot_time() - 1.0 <= began <= now:
        return float(began)
    replace(path, f"{now}\n")
    return now
