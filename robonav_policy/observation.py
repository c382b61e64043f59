"""Observations from scans, poses and goals, exactly as the worlds of the training make them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from robonav_policy.alignment import Aligner
from robonav_policy.detour import DetourFinder
from robonav_policy.errors import ScanError
from robonav_policy.forecast import Forecaster
from robonav_policy.spec import DETOUR_SIZE, FORECAST_SCANS, FORECAST_SIZE, Spec

_TINY, _MOST, _FASTEST = np.float32(1e-6), np.float32(10.0), np.float32(2.0)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Observer:
    """Remembers the last scans and where they were taken, and writes observations: one for each call, ``spec.dt_s``
    apart.
    """

    def __init__(self, spec: Spec, time_left: float | None = None) -> None:
        """Begin an episode. ``time_left`` in [0, 1] is shown always; None counts from 1 to 0 within ``max_steps``, as
        the training did.
        """
        if time_left is not None and not 0.0 <= time_left <= 1.0:
            raise ScanError(f"time_left: is {time_left}, and must be a part from 0 to 1, or None")
        scan = spec.scan
        self._spec, self._time_left, self._max_steps = spec, time_left, spec.max_steps
        self._ring = (scan.stack - 1) * scan.stack_interval + 1
        self._back = np.arange(scan.stack) * scan.stack_interval
        self._scans = np.ones((self._ring, scan.num_beams), np.float32)
        self._poses = np.zeros((self._ring, 4), np.float32)
        contact_m = spec.radius_m if scan.contact_m is None else scan.contact_m
        self._contact = np.float32(contact_m) / np.float32(scan.range_max)
        self._commands = np.zeros((spec.recent_commands, 2), np.float32)
        self._aligner = Aligner(
            scan.num_beams, scan.angle_min, scan.angle_increment, scan.range_max, scan.join_m, scan.yaw
        )
        self._forecaster = Forecaster(spec) if spec.forecast else None
        self._find_detour = DetourFinder(spec) if spec.detour else None
        self._unit = np.array([spec.max_speed, spec.max_speed if spec.is_holonomic else spec.max_turn_rate], np.float32)
        self.step, self._head = 0, 0

    def reset(self, max_steps: int | None = None) -> None:
        """Begin an episode: the next scan stands for all older ones. ``max_steps`` is when its time is up."""
        self.step, self._max_steps = 0, self._spec.max_steps if max_steps is None else max_steps

    def observe(
        self,
        ranges: np.ndarray,
        pose: Sequence[float],
        goals: np.ndarray,
        twist: Sequence[float],
        command: Sequence[float],
        path: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the observation (D,) float32 of this moment.

        Args:
            ranges: (B,) m, one for each beam of the trained lidar, from where that stands.
            pose: x, y (m) and yaw (rad) of the robot's centre, in the frame of the goals.
            goals: (G, 2) m: those that are left, the current one first; at least one.
            twist: How the robot moves: (v, omega), or (v_x, v_y) in its own frame.
            command: What was asked for last, likewise.
            path: (P, 2) m: a path to the current goal, in the frame of the goals, where the policy sees one.

        Raises:
            ScanError: For a pose or a twist that is not finite, or a path that is none; nothing is remembered then.
        """
        where, ahead = as_where(pose), self._ahead(path, pose)
        speeds = np.array([as_twist(twist), command], dtype=np.float32)
        spec, out = self._spec, np.empty(self._spec.obs_dim, np.float32)
        sensor = self._at_sensor(where)
        self._remember(ranges, sensor)
        shown = self._shown_scans(sensor)
        at = shown.size
        out[:at] = self._encoded(shown).ravel()
        write_goal(where, goals[0], spec.goal_scale_m, out[at : at + 3])
        if len(goals) > 1:
            write_goal(where, goals[1], spec.goal_scale_m, out[at + 3 : at + 6])
        else:
            out[at + 3 : at + 6] = _ZERO
        out[at + 6 : at + 8] = (speeds[0] / self._unit).clip(-_FASTEST, _FASTEST)
        out[at + 8 : at + 10] = (speeds[1] / self._unit).clip(-_ONE, _ONE)
        out[at + 10] = min(len(goals), spec.max_goals) / spec.goals_scale
        counted = max(0.0, 1.0 - self.step / self._max_steps)
        out[at + 11] = counted if self._time_left is None else self._time_left
        end = at + 12
        if ahead is not None and spec.path is not None:
            write_path(where, ahead, spec.path.unit_m, out[end : end + 2 * len(ahead)])
            end += 2 * len(ahead)
        if self._forecaster is not None:
            out[end : end + FORECAST_SIZE] = self._forecaster(shown[:FORECAST_SCANS])
            end += FORECAST_SIZE
        if self._find_detour is not None:
            x, y, c, s = where
            dx, dy = np.float32(goals[0, 0]) - x, np.float32(goals[0, 1]) - y
            out[end : end + DETOUR_SIZE] = self._find_detour(shown[0], np.array([c * dx + s * dy, c * dy - s * dx]))
        if spec.recent_commands:
            self._note_command(out[at + 8 : at + 10])
            out[-self._commands.size :] = self._commands.ravel()
        self.step += 1
        return out

    def _note_command(self, asked: np.ndarray) -> None:
        """Put what was asked for last before the commands that were asked for earlier; an episode begins with none."""
        if self.step == 0:
            self._commands[:] = _ZERO
            return
        self._commands[1:] = self._commands[:-1].copy()
        self._commands[0] = asked

    def _at_sensor(self, where: np.ndarray) -> np.ndarray:
        """Return the pose of the lidar of a robot that is at ``where`` (x, y, cos, sin)."""
        mount = np.array(self._spec.scan.mount, np.float32)
        if not mount.any():
            return where
        x, y, c, s = where
        return np.array([x + c * mount[0] - s * mount[1], y + s * mount[0] + c * mount[1], c, s], np.float32)

    def _ahead(self, path: np.ndarray | None, pose: Sequence[float]) -> np.ndarray | None:
        """Return the next points (N, 2) of ``path``; None where the policy sees none."""
        seen = self._spec.path
        if seen is None:
            return None
        if path is None:
            raise ScanError(
                f"path: the policy sees the next {seen.num_points} points of a path to its goal, {seen.spacing_m:g} m "
                "apart, and none is given"
            )
        return points_ahead(as_path(path), float(pose[0]), float(pose[1]), seen.num_points, seen.spacing_m)

    def _remember(self, ranges: np.ndarray, where: np.ndarray) -> None:
        far, most = ranges.astype(np.float32), np.float32(self._spec.scan.range_max)
        scan = np.where(far >= most, _ONE, np.clip(far * (_ONE / most), _ZERO, _ONE))  # r * (1 / r) may be below 1
        if self.step == 0:
            self._head = 0
            self._scans[:], self._poses[:] = scan, where
            return
        self._head = (self._head + 1) % self._ring
        self._scans[self._head], self._poses[self._head] = scan, where

    def _shown_scans(self, where: np.ndarray) -> np.ndarray:
        """Return the scans (stack, B) of an observation, parts of the greatest range, as seen from ``where``."""
        spec = self._spec.scan
        slots = (self._head - self._back) % self._ring
        shown = self._scans[slots]
        if spec.align:
            shown[1:] = self._aligner(shown[1:], self._poses[slots[1:]], where)
        return shown

    def _encoded(self, shown: np.ndarray) -> np.ndarray:
        if self._spec.scan.encoding != "proximity":
            return shown
        scale = _ONE / (_ONE - self._contact)
        return self._contact / np.maximum(shown, self._contact) * scale - self._contact * scale


def write_goal(where: np.ndarray, goal: np.ndarray, unit_m: float, out: np.ndarray) -> None:
    """Write distance, cos and sin of the bearing of ``goal`` (x, y), seen from ``where`` (x, y, cos, sin), into ``out``
    (3,).
    """
    x, y, c, s = where
    dx, dy = np.float32(goal[0]) - x, np.float32(goal[1]) - y
    distance = np.sqrt(dx * dx + dy * dy)
    inverse = _ONE / max(distance, _TINY)
    out[0] = min(distance / np.float32(unit_m), _MOST)
    out[1] = min(max((c * dx + s * dy) * inverse, -_ONE), _ONE)
    out[2] = min(max((c * dy - s * dx) * inverse, -_ONE), _ONE)


def as_path(path: Any) -> np.ndarray:
    """Return a path as (P, 2) float64; ScanError for anything else than finite pairs, and for none at all."""
    try:
        found = np.asarray(path, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScanError("path: give a list of x and y in metres") from None
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise ScanError(f"path: has shape {found.shape}; give (P, 2), from the robot to its goal")
    if not np.isfinite(found).all():
        raise ScanError("path: holds a number that is not finite")
    return found


def points_ahead(path: np.ndarray, x: float, y: float, num: int, spacing_m: float) -> np.ndarray:
    """Return (num, 2): points of ``path`` (P, 2), ``spacing_m`` apart along it, from where it passes nearest to (x, y)
    on; past its end the end repeats.
    """
    a, step = path[:-1], np.diff(path, axis=0)
    length2 = (step * step).sum(axis=1)
    part = np.clip(((np.array([x, y]) - a) * step).sum(axis=1) / np.maximum(length2, 1e-9), 0.0, 1.0)
    gone = np.concatenate([[0.0], np.cumsum(np.sqrt(length2))])
    if not len(step):
        return np.repeat(path, num, axis=0)
    near = int(np.argmin(((a + part[:, None] * step - (x, y)) ** 2).sum(axis=1)))
    along = gone[near] + part[near] * math.sqrt(length2[near]) + spacing_m * np.arange(1, num + 1)
    return np.stack([np.interp(along, gone, path[:, axis]) for axis in (0, 1)], axis=1)


def write_path(where: np.ndarray, points: np.ndarray, unit_m: float, out: np.ndarray) -> None:
    """Write ``points`` (N, 2), seen from ``where`` (x, y, cos, sin), into ``out`` (2 N,): x and y of each."""
    x, y, c, s = where
    dx, dy = (points.astype(np.float32) - np.array([x, y], np.float32)).T
    unit = _ONE / np.float32(unit_m)
    out[0::2] = ((c * dx + s * dy) * unit).clip(-_MOST, _MOST)
    out[1::2] = ((c * dy - s * dx) * unit).clip(-_MOST, _MOST)


def as_twist(twist: Sequence[float]) -> tuple[float, float]:
    """Return a twist as two numbers; ScanError for anything else than two finite ones."""
    try:
        a, b = (float(value) for value in twist)
    except (TypeError, ValueError):
        raise ScanError(f"twist: is {str(twist)[:80]}, and must be two numbers") from None
    if not (math.isfinite(a) and math.isfinite(b)):
        raise ScanError(f"twist: is ({a}, {b}), and must be finite")
    return a, b


def as_where(pose: Sequence[float]) -> np.ndarray:
    """Return (x, y, cos, sin) float32 of a pose."""
    try:
        x, y, yaw = (float(value) for value in pose)
    except (TypeError, ValueError):
        raise ScanError("pose: give x and y in metres and yaw in rad") from None
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(yaw)):
        raise ScanError(f"pose: is ({x}, {y}, {yaw}), and must be finite")
    return np.array([x, y, math.cos(yaw), math.sin(yaw)], np.float32)
