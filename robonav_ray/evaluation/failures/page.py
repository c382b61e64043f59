"""One HTML file that replays episodes in a browser: no network, no other file, text from outside shown as text."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from robonav_ray.evaluation.failures.replays import Recording
from robonav_ray.files.plain_files import read_text, replace
from robonav_ray.text import html_text, one_line
from robonav_ray.worlds.kernels.layout import BEHAVIOURS
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.pictures.floor_plan import FloorPlan

MAX_EPISODES = 200
_HERE = Path(__file__)
_FULL = 32_000
"""What the largest coordinate or value of an episode is written as: int16."""
_MAX_BEAMS = 72


@dataclass(frozen=True)
class Shown:
    """An episode of the page."""

    recording: Recording
    entrant: str
    case: str
    """``SUITE:SCENARIO:INDEX``"""
    how: str
    """How it ended, for people."""
    cluster: str
    """Name of what led to it."""
    notes: tuple[str, ...] = ()
    """``typical``, ``one of the worst``."""
    facts: tuple[tuple[str, str], ...] = ()
    """What is said of it: (label, value)."""


def write_page(path: Path, title: str, episodes: Sequence[Shown]) -> None:
    """Write the page; the same episodes give the same bytes.

    Raises:
        ValueError: For none, or more than ``MAX_EPISODES``.
    """
    if not 1 <= len(episodes) <= MAX_EPISODES:
        raise ValueError(f"a page shows 1 to {MAX_EPISODES} episodes, not {len(episodes)}")
    page = read_text(_HERE.with_name("page.html"), follow=True)
    parts = {
        "<!--TITLE-->": html_text(one_line(title)),
        "/*STYLE*/": read_text(_HERE.with_name("page.css"), follow=True),
        "/*DATA*/": script_json(_book(title, episodes)),
        "/*SCRIPT*/": read_text(_HERE.with_name("page.js"), follow=True),
    }
    for mark, text in parts.items():
        before, _, after = page.partition(mark)
        page = before + text + after
    replace(path, page)


def _book(title: str, episodes: Sequence[Shown]) -> dict[str, Any]:
    """Return all that the page shows; a map that several episodes took place in is in it once."""
    plans: dict[str, GridMap] = {}
    for shown in episodes:
        plan = shown.recording.scenes[0].map
        if plan is not None:
            plans.setdefault(_name_of(plan), plan)
    number = {name: k for k, name in enumerate(plans)}
    return {
        "title": one_line(title),
        "episodes": [_episode(shown) | _on_map(shown.recording, number) for shown in episodes],
        "maps": [
            {"size": _rounded(plan.size_m), "png": base64.b64encode(FloorPlan(plan).png()).decode()}
            for plan in plans.values()
        ],
    }


def _name_of(plan: GridMap) -> str:
    return f"{plan.content}{hashlib.sha256(plan.unknown.tobytes()).hexdigest()}"


def _on_map(recording: Recording, number: Mapping[str, int]) -> dict[str, Any]:
    """Return where an episode took place, and the ways that the robot had to its goals: [from which step, points]."""
    first, robot = recording.scenes[0], recording.robot
    routes: list[tuple[int, Any]] = []
    for k, scene in enumerate(recording.scenes):
        route = _rounded(scene.routes[robot]) if robot < len(scene.routes) else []
        if not routes or routes[-1][1] != route:
            routes.append((k, route))
    return {
        "map": -1 if first.map is None else number[_name_of(first.map)],
        "body": [] if first.outline is None else _rounded(first.outline),
        "mount": _rounded(first.lidar_xy),
        "routes": routes,
    }


def script_json(value: Any) -> str:
    """Return JSON that stays inside of a script element with every text: ASCII, no ``<``, ``>`` and ``&``."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _episode(shown: Shown) -> dict[str, Any]:
    recording = shown.recording
    scenes, robot = recording.scenes, recording.robot
    first, beams = scenes[0], _beams(scenes[0].ranges.shape[1])
    pose = np.stack([scene.robot_pose for scene in scenes])
    circles = np.stack([scene.circles[:, :2] for scene in scenes])
    path = np.stack([np.zeros((0, 2)) if scene.path is None else scene.path[robot] for scene in scenes])
    reach = max(*(float(np.abs(xy).max(initial=0.0)) for xy in (pose[..., :2], circles, path)), 1e-6)
    ranges = np.stack([scene.ranges[robot, beams] for scene in scenes]) / first.range_max_m
    q = np.stack(recording.q_values) if recording.q_values else np.zeros((0, 0), np.float32)
    q_reach = max(float(np.abs(q).max(initial=0.0)), 1e-6)
    arrays = [
        _int16(pose[..., :2] / reach),
        _int16(pose[..., 2] / np.pi),
        _int16(circles / reach),
        _int16(q / q_reach),
        _int16(path / reach),
        np.stack([scene.goal_index for scene in scenes]).astype(np.uint8),
        np.stack([scene.robot_ended for scene in scenes]).astype(np.uint8),
        np.clip(np.round(ranges * 255), 0, 255).astype(np.uint8),
        np.array(recording.actions, np.uint8).reshape(-1)
        if recording.action_table is not None
        else np.zeros(0, np.uint8),
    ]
    return {
        "entrant": one_line(shown.entrant),
        "case": one_line(shown.case),
        "how": one_line(shown.how),
        "cluster": one_line(shown.cluster),
        "notes": list(shown.notes),
        "facts": [[one_line(label), one_line(value)] for label, value in shown.facts],
        "dt": round(recording.dt_s, 6),
        "steps": recording.num_steps,
        "robot": robot,
        "robots": pose.shape[1],
        "reach": reach,
        "path": path.shape[1],
        "half": round(first.half_side_m, 4),
        "walled": bool(first.walls),
        "walls": _rounded(first.inner_walls),
        "radius": _rounded(np.broadcast_to(first.robot_radius_m, pose.shape[1])),
        "goals": _rounded(first.goals[robot]),
        "circles": [
            [round(float(row[2]), 4), BEHAVIOURS[kind]]
            for row, kind in zip(first.circles, first.circle_kind, strict=True)
        ],
        "beams": _rounded(first.beam_angle[beams]),
        "range": round(first.range_max_m, 4),
        "q": [int(q.shape[1]) if len(q) else 0, q_reach],
        "table": [] if recording.action_table is None else _rounded(recording.action_table),
        "data": base64.b64encode(zlib.compress(b"".join(array.tobytes() for array in arrays), 9)).decode(),
    }


def _beams(num: int) -> np.ndarray:
    """Return which beams are kept, at most ``_MAX_BEAMS`` of them spread evenly."""
    return np.arange(num) if num <= _MAX_BEAMS else np.linspace(0, num, _MAX_BEAMS, endpoint=False).astype(np.int64)


def _int16(part: np.ndarray) -> np.ndarray:
    return np.round(np.clip(part, -1.0, 1.0) * _FULL).astype("<i2")


def _rounded(array: ArrayLike) -> Any:
    return np.round(np.asarray(array, np.float64), 4).tolist()
