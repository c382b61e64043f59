"""What ``spec.json`` of a bundle says, checked by value: what the policy was trained to see and to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robonav_policy.errors import BundleError

KIND, FORMAT_VERSION = "robonav_policy", 1
UNITS = {"length": "m", "angle": "rad", "time": "s", "speed": "m/s", "turn_rate": "rad/s"}
PARTS = ("lidar", "goal", "next_goal", "twist", "previous_action", "goals_left", "time_left")
_TAIL = {"goal": 3, "next_goal": 3, "twist": 2, "previous_action": 2, "goals_left": 1, "time_left": 1}
FORECAST_SPEEDS, FORECAST_TURNS, FORECAST_SCANS = 3, 5, 3
"""Courses that a forecast looks along, and scans that it looks at."""
FORECAST_SIZE = 2 * FORECAST_SPEEDS * FORECAST_TURNS
DETOUR_SIZE = 3
MAX_BEAMS, MAX_STACK, MAX_ACTIONS, MAX_CORNERS, MAX_PATH, MAX_COMMANDS = 2048, 16, 4096, 64, 64, 64


@dataclass(frozen=True)
class ScanSpec:
    """The scan that the policy sees: beam i looks to ``angle_min + i * angle_increment``, counter-clockwise, in the
    robot's frame, from ``mount``.
    """

    num_beams: int
    angle_min: float
    angle_increment: float
    field_of_view: float
    """Angle (rad) that the beams stand for."""
    range_max: float
    """m; a beam that meets nothing nearer shows this."""
    stack: int
    """Scans in one observation, newest first."""
    stack_interval: int
    """Decisions between two of them."""
    align: bool
    """Whether older scans are shown as they lie seen from where the robot is now."""
    encoding: str
    """``range``: r / range_max; ``proximity``: (R / r - R / range_max) / (1 - R / range_max), R the body's radius or
    ``contact_m``."""
    join_m: float
    """Points of neighbouring beams nearer to each other than this belong to one thing."""
    mount: tuple[float, float] = (0.0, 0.0)
    """Where the lidar of the training stands: x, y (m) from the robot's centre."""
    yaw: float = 0.0
    """Where the middle of the field of view looks, rad."""
    range_min: float = 0.0
    """m; what is nearer, the lidar of the training does not see."""
    contact_m: float | None = None
    """The range at which the proximity is 1; None: the body's radius."""
    rate_hz: float | None = None
    """Scans per second in the training, where there are fewer than decisions: then one scan serves several."""

    @property
    def is_full_circle(self) -> bool:
        """Whether the beams look all around."""
        return self.field_of_view > 2.0 * math.pi - 1e-6


@dataclass(frozen=True)
class PathSpec:
    """The way ahead that the policy sees: the next points of a path to the goal, in the robot's frame."""

    num_points: int
    spacing_m: float
    """Way between two of them, along the path; the first is as far from where the robot is beside it."""
    unit_m: float
    """x and y are shown in this unit."""


@dataclass(frozen=True)
class Spec:
    """All that acting needs to know."""

    name: str
    """Of the run or the model."""
    obs_dim: int
    num_actions: int
    scan: ScanSpec
    drive: str
    """``unicycle``: actions are (v, omega); ``holonomic``: (v_x, v_y) in the robot's frame; ``bicycle``: as a unicycle,
    but it turns only as fast as it drives."""
    increments: bool
    """Whether an action is a change of the last command."""
    actions: np.ndarray
    """(A, 2) float32: what each action asks for, in m/s and rad/s."""
    dt_s: float
    """Seconds between two decisions."""
    radius_m: float
    """The body is a disc of this radius; where there is an ``outline``, this is its outer radius."""
    max_speed: float
    max_turn_rate: float
    max_acceleration: float | None
    """m/s^2; None where the training had no limit."""
    max_turn_acceleration: float | None
    """rad/s^2."""
    goal_tolerance_m: float
    goal_scale_m: float
    """Goal distances are shown in this unit."""
    goals_scale: float
    """The number of goals left is shown in this unit."""
    max_goals: int
    """Goals in sequence in the training, at most; the observation shows no more."""
    max_steps: int
    """Decisions after which an episode of the training was over."""
    document: Mapping[str, Any]
    """The whole of ``spec.json``: names and units of the observation, training, evaluation and provenance too."""
    outline: tuple[tuple[float, float], ...] = ()
    """Corners (x, y) of the body in the robot's frame, counter-clockwise; none of a disc."""
    min_turn_radius_m: float | None = None
    """Of a bicycle: the turn rate is at most the speed divided by this."""
    path: PathSpec | None = None
    """None: the policy sees no path."""
    recent_commands: int = 0
    """The last commands that the policy sees, newest first."""
    forecast: bool = False
    """Whether the policy sees how soon the robot would touch something on each of several courses."""
    detour: bool = False
    """Whether the policy sees the bearing of the shortest way past what the scan shows before the goal."""

    @property
    def is_holonomic(self) -> bool:
        """Whether the robot moves to the side."""
        return self.drive == "holonomic"


def parse_spec(document: Any) -> Spec:
    """Return what ``document``, the JSON of ``spec.json``, says.

    Raises:
        BundleError: Naming the key that is missing, out of its range, of another version or in other units.
    """
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise BundleError(f"spec.json: is no spec of a policy (its kind is not {KIND!r}); export the run again")
    version = document.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise BundleError(
            f"spec.json: format_version is {version!r}, and this robonav_policy reads {FORMAT_VERSION}; take the "
            "robonav_policy that lies in the bundle, or export the run again"
        )
    if document.get("units") != UNITS:
        raise BundleError(f"spec.json: units are {document.get('units')!r}, and must be {UNITS}; export the run again")
    scan = _scan(_Section(document, "scan"))
    observation, actions, limits = (_Section(document, key) for key in ("observation", "actions", "limits"))
    goal, rate, body = (_Section(document, key) for key in ("goal", "rate", "body"))
    path = _path(document)
    shown = 0 if path is None else path.num_points
    commands = observation.count("recent_commands", 0, MAX_COMMANDS) if observation.has("recent_commands") else 0
    forecast = observation.flag("forecast") if observation.has("forecast") else False
    if forecast:
        _refuse_forecast(scan, _Section(document, "scan"), actions)
    detour = observation.flag("detour") if observation.has("detour") else False
    layout = layout_of(scan.stack * scan.num_beams, shown, commands, forecast, detour)
    obs_dim = max(end for _, end in layout.values())
    observation.equal("size", obs_dim)
    observation.equal("layout", layout)
    table = _table(actions)
    return Spec(
        name=_Section(document, "").text("name"),
        obs_dim=obs_dim,
        num_actions=len(table),
        scan=scan,
        drive=actions.one_of("drive", ("unicycle", "holonomic", "bicycle")),
        increments=actions.one_of("kind", ("commands", "increments")) == "increments",
        actions=table,
        dt_s=rate.real("dt_s", 1e-4, 10.0),
        radius_m=body.real("radius_m", 1e-3, scan.range_max),
        max_speed=limits.real("max_speed", 1e-3, 100.0),
        max_turn_rate=limits.real("max_turn_rate", 1e-3, 100.0),
        max_acceleration=limits.real_or_none("max_acceleration"),
        max_turn_acceleration=limits.real_or_none("max_turn_acceleration"),
        goal_tolerance_m=goal.real("tolerance_m", 1e-3, 100.0),
        goal_scale_m=goal.real("distance_unit_m", 1e-3, 1e4),
        goals_scale=goal.real("count_unit", 1e-3, 1e4),
        max_goals=goal.count("max_goals", 1, 1000),
        max_steps=limits.count("max_steps", 1, 10**9),
        document=document,
        outline=_outline(body),
        min_turn_radius_m=limits.real_or_none("min_turn_radius") if limits.has("min_turn_radius") else None,
        path=path,
        recent_commands=commands,
        forecast=forecast,
        detour=detour,
    )


def layout_of(
    num_ranges: int, num_path_points: int = 0, recent_commands: int = 0, forecast: bool = False, detour: bool = False
) -> dict[str, list[int]]:
    """Return name -> [first, number behind the last] of each part of an observation, in order."""
    sizes = {name: num_ranges if name == "lidar" else _TAIL[name] for name in PARTS}
    shown = {
        "path": 2 * num_path_points,
        "forecast": FORECAST_SIZE * forecast,
        "detour": DETOUR_SIZE * detour,
        "commands": 2 * recent_commands,
    }
    sizes |= {name: size for name, size in shown.items() if size}
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = [start, start + size]
        start += size
    return found


def steered(v: float, omega: float, min_turn_radius_m: float | None) -> tuple[float, float]:
    """Return (v, omega) as a robot drives it that turns about circles of at least that radius; None: of any."""
    most = math.inf if min_turn_radius_m is None else abs(v) / min_turn_radius_m
    return v, min(max(omega, -most), most)


def _refuse_forecast(scan: ScanSpec, section: _Section, actions: _Section) -> None:
    """Refuse a scan, or a drive, with which there is no forecast."""
    if scan.stack < FORECAST_SCANS:
        raise section.wrong("stack", f"{FORECAST_SCANS} or more with observation.forecast")
    if not scan.align:
        raise section.wrong("align", "true with observation.forecast")
    if actions.get("drive") == "holonomic":
        raise actions.wrong("drive", "unicycle or bicycle with observation.forecast")


def _path(document: Mapping[str, Any]) -> PathSpec | None:
    """Return the path that is seen; None in a document without one, as all were once."""
    if document.get("path") is None:
        return None
    section = _Section(document, "path")
    return PathSpec(
        section.count("num_points", 1, MAX_PATH),
        section.real("spacing_m", 1e-3, 100.0),
        section.real("unit_m", 1e-3, 1e4),
    )


def _outline(body: _Section) -> tuple[tuple[float, float], ...]:
    """Return the corners of the body; none where there are none, as in all documents once."""
    rows = body.get("outline") if body.has("outline") else []
    if not rows:
        return ()
    return tuple((x, y) for x, y in _pairs(rows, 3, MAX_CORNERS, "body.outline", "corners").astype(float).tolist())


def _scan(section: _Section) -> ScanSpec:
    scan = ScanSpec(
        num_beams=section.count("num_beams", 1, MAX_BEAMS),
        angle_min=section.real("angle_min", -4.0 * math.pi, 4.0 * math.pi),
        angle_increment=section.real("angle_increment", 1e-6, 2.0 * math.pi + 1e-6),
        field_of_view=section.real("field_of_view", 1e-6, 2.0 * math.pi + 1e-6),
        range_max=section.real("range_max", 1e-3, 1000.0),
        stack=section.count("stack", 1, MAX_STACK),
        stack_interval=section.count("stack_interval", 1, 32),
        align=section.flag("align"),
        encoding=section.one_of("encoding", ("range", "proximity")),
        join_m=section.real("join_m", 0.0, 100.0),
        mount=_mount(section),
        yaw=section.real("yaw", -2.0 * math.pi, 2.0 * math.pi) if section.has("yaw") else 0.0,
        range_min=section.real("range_min", 0.0, 1000.0) if section.has("range_min") else 0.0,
        contact_m=section.real_or_none("contact_m") if section.has("contact_m") else None,
        rate_hz=section.real_or_none("rate_hz") if section.has("rate_hz") else None,
    )
    if scan.angle_increment * (scan.num_beams - 1) > 2.0 * math.pi + 1e-6:
        raise BundleError("spec.json: scan: the beams go round more than once; export the run again")
    return scan


def _mount(section: _Section) -> tuple[float, float]:
    if not section.has("mount"):
        return 0.0, 0.0
    x, y = _pairs([section.get("mount")], 1, 1, "scan.mount", "places")[0].tolist()
    return x, y


def _table(section: _Section) -> np.ndarray:
    return _pairs(section.get("table"), 1, MAX_ACTIONS, "actions.table", "commands").astype(np.float32)


def _pairs(rows: Any, low: int, high: int, key: str, what: str) -> np.ndarray:
    """Return a list of pairs as (N, 2) float64; BundleError for another number of them, or what is none."""
    if not isinstance(rows, list) or not low <= len(rows) <= high:
        raise BundleError(f"spec.json: {key}: is no list of {low} to {high} {what}; export the run again")
    for row in rows:
        if not (
            isinstance(row, list) and len(row) == 2 and all(_is_real(value) and abs(value) <= 1e3 for value in row)
        ):
            raise BundleError(f"spec.json: {key}: holds what is no pair of numbers; export the run again")
    return np.array(rows, np.float64)


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300  # nan is not


class _Section:
    """A part of the document, whose values are asked for by name; "" is the document itself."""

    def __init__(self, document: Mapping[str, Any], name: str) -> None:
        found = document.get(name) if name else document
        if not isinstance(found, dict):
            raise BundleError(f"spec.json: {name}: is missing; export the run again")
        self._found, self._name = found, name

    def has(self, key: str) -> bool:
        """Whether the section has a value that documents of earlier versions have not."""
        return key in self._found

    def get(self, key: str) -> Any:
        """Return the value; BundleError when there is none."""
        if key not in self._found:
            raise BundleError(f"spec.json: {self._key(key)}: is missing; export the run again")
        return self._found[key]

    def real(self, key: str, low: float, high: float) -> float:
        """Return a number within [low, high]."""
        value = self.get(key)
        if not _is_real(value) or not low <= value <= high:
            raise self.wrong(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def real_or_none(self, key: str) -> float | None:
        """Return a number above 0, or None."""
        return None if self.get(key) is None else self.real(key, 1e-6, 1e6)

    def count(self, key: str, low: int, high: int) -> int:
        """Return a whole number within [low, high]."""
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str) -> str:
        """Return a text."""
        value = self.get(key)
        if not isinstance(value, str) or len(value) > 4096:
            raise self.wrong(key, "a text")
        return value

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        """Return one of ``known``."""
        value = self.get(key)
        if value not in known:
            raise self.wrong(key, " or ".join(known))
        return str(value)

    def equal(self, key: str, wanted: Any) -> None:
        """Refuse another value than ``wanted``."""
        if self.get(key) != wanted:
            raise self.wrong(key, str(wanted))

    def wrong(self, key: str, wanted: str) -> BundleError:
        """Return the error that says what a value is and what it must be."""
        return BundleError(
            f"spec.json: {self._key(key)}: is {str(self.get(key))[:80]!r}, and must be {wanted}; export the run again"
        )

    def _key(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key
