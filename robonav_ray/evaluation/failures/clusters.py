"""Failures by what led to them: clusters of the last 2 s in the robot's frame, named after what is common to each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robonav_ray.evaluation.failures.medoids import cluster_points
from robonav_ray.evaluation.failures.rows import Failures, looks
from robonav_ray.records import Outcome

_AHEAD, _BEHIND = np.radians(30.0), np.radians(150.0)
_FAST, _SLOW, _STILL = 0.5, 0.2, 0.02
"""m/s."""
_TURNS, _SPINS = 0.3, 0.6
"""rad/s."""
_CLOSE_M = 0.5
_SPEED_SCALE, _TURN_SCALE, _WAY_SCALE_M = 0.5, 1.0, 10.0
"""What makes one unit of distance between two failures: m/s, rad/s, m."""


@dataclass(frozen=True)
class Cluster:
    """Failures that came about in the same way."""

    name: str
    """``moving obstacle from the left, crossing, fast``"""
    outcome: int
    members: np.ndarray
    """(N,) int64: positions in the ``Failures``."""
    typical: int
    """Position of the medoid: the episode that is nearest to all others."""

    @property
    def size(self) -> int:
        """Episodes."""
        return len(self.members)


def clusters_of(failures: Failures) -> tuple[Cluster, ...]:
    """Return clusters of ``failures``, largest first: of one kind each, and no two of one name."""
    points, outcome = what_led_there(failures), failures.of("outcome")
    found: dict[str, Cluster] = {}
    for kind in (kind for kind in Outcome if (outcome == kind).any()):
        members = np.flatnonzero(outcome == kind)
        label, medoids = cluster_points(points[members])
        for c, medoid in enumerate(medoids):
            own = members[label == c]
            name = name_of(failures, own, kind)
            before = found.get(name)
            if before is None:
                found[name] = Cluster(name, int(kind), own, int(members[medoid]))
            else:  # the names say all that people see, so these are one
                typical = before.typical if before.size >= len(own) else int(members[medoid])
                found[name] = Cluster(name, int(kind), np.sort(np.concatenate([before.members, own])), typical)
    return tuple(sorted(found.values(), key=lambda cluster: (-cluster.size, cluster.name)))


def what_led_there(failures: Failures) -> np.ndarray:
    """Return what failures are compared by, (F, D) float64.

    Where the thing was, how it and the robot moved, and of those whose time was up what was left of the way.
    """
    way, course, speed = looks(failures), failures.of("end_course_rad"), failures.of("end_other_speed")
    bearing = np.arctan2(way[..., 1], way[..., 0])
    moves = np.minimum(np.nan_to_num(speed) / _SPEED_SCALE, 1.0)
    columns = [
        *(f(bearing[:, k]) for k in (0, 2) for f in (np.cos, np.sin)),
        moves * np.cos(course),
        moves * np.sin(course),
        speed / _SPEED_SCALE,
        failures.of("end_own_speed") / _SPEED_SCALE,
        way[:, :3, 3].mean(axis=1) / _TURN_SCALE,
        np.abs(way[..., 3]).mean(axis=1) / _TURN_SCALE,
        failures.of("end_standing_frac"),
        np.minimum(failures.of("remaining_m") / _WAY_SCALE_M, 2.0) * (failures.of("outcome") >= Outcome.TIMEOUT),
    ]
    return np.nan_to_num(np.stack(columns, axis=1), posinf=0.0, neginf=0.0)


def name_of(failures: Failures, members: np.ndarray, kind: Outcome) -> str:
    """Return what ``members`` of one kind share, in a few words."""
    some = failures.only(members)
    if not np.isfinite(some.of("end_bearing_rad")).any():
        return _THINGS.get(kind) or _ENDS[kind]
    if kind in _ENDS:
        return ", ".join((_ENDS[kind], *_waiting_words(some)))
    side = _side(_mean_angle(some.of("end_bearing_rad")))
    if kind in (Outcome.COLLISION_STATIC, Outcome.COLLISION_WALL):
        return ", ".join((f"{_THINGS[kind]} {_AT[side]}", *_own_words(some)))
    return ", ".join((f"{_THINGS[kind]} {_FROM[side]}", *_course_words(some), *_own_words(some)))


_THINGS = {
    Outcome.COLLISION_STATIC: "static obstacle",
    Outcome.COLLISION_DYNAMIC: "moving obstacle",
    Outcome.COLLISION_WALL: "wall",
    Outcome.COLLISION_ROBOT: "other robot",
}
_ENDS = {Outcome.TIMEOUT: "time up", Outcome.CUT_OFF: "cut off"}
_FROM = {"ahead": "from ahead", "behind": "from behind", "left": "from the left", "right": "from the right"}
_AT = {"ahead": "ahead", "behind": "behind", "left": "on the left", "right": "on the right"}


def _side(bearing: float) -> str:
    if abs(bearing) < _AHEAD:
        return "ahead"
    return "behind" if abs(bearing) > _BEHIND else "left" if bearing > 0.0 else "right"


def _course_words(some: Failures) -> tuple[str, ...]:
    """Say how what was hit moved, seen from the robot."""
    speed = float(np.nanmedian(some.of("end_other_speed")))
    if speed < _STILL or not np.isfinite(some.of("end_course_rad")).any():
        return ("standing",)
    course = abs(_mean_angle(some.of("end_course_rad")))
    how = "head-on" if course > np.radians(135.0) else "going the same way" if course < np.radians(45.0) else "crossing"
    return (how, *(("fast",) if speed >= _FAST else ("slow",) if speed < _SLOW else ()))


def _own_words(some: Failures) -> tuple[str, ...]:
    """Say what the robot did."""
    if np.nanmedian(some.of("end_standing_frac")) > 0.5:
        return ("while the robot stands",)
    turn = float(np.nanmedian(looks(some)[:, :3, 3]))
    if abs(turn) > _TURNS:
        return (f"while turning {'left' if turn > 0.0 else 'right'}",)
    return ("while hardly moving",) if np.nanmedian(some.of("end_own_speed")) < _SLOW else ()


def _waiting_words(some: Failures) -> tuple[str, ...]:
    """Say what the robot did when its time was up."""
    way = looks(some)
    turn = float(np.nanmedian(np.abs(way[..., 3])))
    did = "driving on"
    if np.nanmedian(some.of("end_standing_frac")) > 0.5:
        did = "spinning on the spot" if turn > _SPINS else "standing"
    elif turn > _SPINS:
        did = "driving in circles"
    near = float(np.nanmedian(some.of("end_clearance_before_m")))
    if near >= _CLOSE_M:
        return did, "nothing near"
    return did, f"something close {_AT[_side(_mean_angle(some.of('end_bearing_rad')))]}"


def _mean_angle(angle: np.ndarray) -> float:
    told = angle[np.isfinite(angle)]
    return float(np.arctan2(np.sin(told).mean(), np.cos(told).mean()))
