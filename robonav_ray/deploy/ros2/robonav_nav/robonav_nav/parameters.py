"""The node's parameters: name, default, meaning; and ``Settings``, which is what they say, checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from robonav_policy import Lidar, Policy, PolicyError, SafetyLayer
from robonav_policy.bundle import read_bundle

TIMEOUT_PERIODS = 1.8
"""Periods of the policy without a scan after which the robot is stopped: its wheels stand within two."""
FULL_CIRCLE = 720
LIMITS = ("max_speed", "max_turn_rate", "max_acceleration", "max_turn_acceleration")


class SettingsError(PolicyError):
    """A parameter has a value that it cannot have; the message names it."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of the node."""

    default: Any
    text: str
    check: Callable[[str, Any], Any]
    """(name, value) -> the value as ``Settings`` has it; SettingsError for a value that cannot be."""


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{name}: is {value!r}, and must be a text")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{name}: is {value!r}, and must be true or false")
    return value


def _one_of(*words: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if value not in words:
            raise SettingsError(f"{name}: is {value!r}, and must be {' or '.join(map(repr, words))}")
        return str(value)

    return check


def _number(low: float, high: float) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        if not _is_number(value) or not low <= value <= high:
            raise SettingsError(f"{name}: is {value!r}, and must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def _numbers(multiple_of: int, exactly: int | None = None) -> Callable[[str, Any], tuple[float, ...]]:
    def check(name: str, value: Any) -> tuple[float, ...]:
        found = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else None
        right = found is not None and len(found) % multiple_of == 0 and exactly in (None, len(found))
        if found is None or not right or not all(map(_is_number, found)):
            wanted = f"{exactly} numbers" if exactly else "finite numbers x, y, x, y, ... (a pair for each goal)"
            raise SettingsError(f"{name}: is {value!r}, and must be {wanted}")
        return tuple(map(float, found))

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


PARAMETERS: dict[str, Parameter] = {
    "bundle": Parameter("", "folder of the bundle that `robonav export` has written", _text),
    "network": Parameter("", "onnx, numpy, or empty: what the bundle has, ONNX first", _one_of("", "onnx", "numpy")),
    "goal_source": Parameter(
        "goal_pose", "topic `goal_pose`, topic `path`, or parameter `goals`", _one_of("goal_pose", "path", "goals")
    ),
    "goals": Parameter([], "x, y, x, y, ... in metres, in the frame of the odometry, in sequence", _numbers(2)),
    "goal_pose_appends": Parameter(False, "whether a goal is driven to after those that are left, not at once", _flag),
    "path_spacing_m": Parameter(
        1.0, "goals taken from a path lie at least this far apart; its end is always one", _number(0.0, 1000.0)
    ),
    "twist_type": Parameter("TwistStamped", "message type of cmd_vel", _one_of("TwistStamped", "Twist")),
    "base_frame": Parameter("base_link", "frame_id of a TwistStamped", _text),
    "decide_on": Parameter(
        "scan",
        "scan: at scans, at most at the rate; timer: at the rate, as for a lidar that was slower in training",
        _one_of("scan", "timer"),
    ),
    "rate_hz": Parameter(0.0, "decisions per second; 0: that of the training", _number(0.0, 1000.0)),
    "timeout_s": Parameter(
        0.0, f"seconds without scan or odometry until it stops; 0: {TIMEOUT_PERIODS} periods", _number(0.0, 60.0)
    ),
    "use_odom_twist": Parameter(True, "whether the policy sees the twist of the odometry, or its own last one", _flag),
    "time_left": Parameter(
        -1.0, "part of its time that the policy is shown, always; -1: it counts down as in training", _number(-1.0, 1.0)
    ),
    "allow_less": Parameter(False, "whether the lidar may see less than that of the training", _flag),
    "lidar.mount": Parameter(
        [0.0, 0.0, 0.0], "x, y (m), yaw (rad) of the lidar on the robot; zeros: as in the training", _numbers(1, 3)
    ),
    "lidar.upside_down": Parameter(False, "whether the lidar hangs head down", _flag),
    "lidar.zeros": Parameter("invalid", "what a range of 0 means", _one_of("invalid", "nothing")),
    "safety.mode": Parameter("act", "safety layer: off, warn (counted) or act", _one_of("off", "warn", "act")),
    "safety.latency_s": Parameter(0.2, "from a scan until the wheels obey", _number(0.0, 10.0)),
    "safety.deceleration": Parameter(1.0, "m/s^2 with which the robot can brake", _number(1e-3, 100.0)),
    "safety.margin_m": Parameter(0.05, "kept free around the body", _number(0.0, 10.0)),
    "safety.min_time_to_collision_s": Parameter(0.5, "nothing is met sooner", _number(0.0, 60.0)),
    "limits.max_speed": Parameter(0.0, "m/s, below that of the bundle; 0: that", _number(0.0, 100.0)),
    "limits.max_turn_rate": Parameter(0.0, "rad/s, likewise", _number(0.0, 100.0)),
    "limits.max_acceleration": Parameter(0.0, "m/s^2, likewise", _number(0.0, 1000.0)),
    "limits.max_turn_acceleration": Parameter(0.0, "rad/s^2, likewise", _number(0.0, 1000.0)),
    "diagnostics_rate_hz": Parameter(1.0, "besides one at every change", _number(0.1, 100.0)),
    "autostart": Parameter(False, "whether the node configures and activates itself", _flag),
}


@dataclass(frozen=True)
class Settings:
    """Parameters that fit together: ``settings["rate_hz"]``."""

    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def goals(self) -> list[tuple[float, float]]:
        """The parameter ``goals`` as pairs."""
        flat = self["goals"]
        return list(zip(flat[::2], flat[1::2], strict=True))

    def limit(self, name: str, of_spec: float | None) -> float:
        """Return the lower one of a limit of the parameters and that of the bundle; inf where there is none."""
        own = self[f"limits.{name}"] or math.inf
        return min(own, math.inf if of_spec is None else of_spec)


def checked_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings of ``given``, name -> value; what is missing has its default.

    Raises:
        SettingsError: Naming the parameter whose value cannot be.
    """
    values = {name: one.check(name, given.get(name, one.default)) for name, one in PARAMETERS.items()}
    if -1.0 < values["time_left"] < 0.0:
        raise SettingsError(f"time_left: is {values['time_left']}, and must be -1, or a part from 0 to 1")
    return Settings(values)


def load_policy(settings: Settings) -> Policy:
    """Return the policy of the bundle that the settings name, whose files are held against their hashes.

    Raises:
        PolicyError: When the bundle is not whole, or the settings do not fit it; SettingsError when none is named.
    """
    if not settings["bundle"]:
        raise SettingsError("bundle: names no folder; set it to one that `robonav export` has written")
    bundle = read_bundle(settings["bundle"])
    scan, mount = bundle.spec.scan, settings["lidar.mount"]
    # Messages say their own angles; until one has come, no lidar is refused.
    lidar = Lidar(
        FULL_CIRCLE,
        -math.pi,
        2.0 * math.pi / FULL_CIRCLE,
        scan.range_max,
        mount=mount if any(mount) else (*scan.mount, scan.yaw),
        upside_down=settings["lidar.upside_down"],
        zeros=settings["lidar.zeros"],
    )
    safety = SafetyLayer(
        settings["safety.mode"],
        settings["safety.latency_s"],
        settings["safety.deceleration"],
        settings["safety.margin_m"],
        settings["safety.min_time_to_collision_s"],
    )
    return Policy.load(
        bundle,
        lidar=lidar,
        allow_less=settings["allow_less"],
        safety=None if safety.mode == "off" else safety,
        time_left=None if settings["time_left"] < 0.0 else settings["time_left"],
        kind=settings["network"] or None,
    )
