"""Domain randomisation and faults: what the levels 0 to 3 of each knob mean, and the table that kernels read."""

from __future__ import annotations

import math

import numpy as np

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.worlds.kernels.layout import BEHAVIOURS

STRENGTH: dict[str, tuple[float, float, float, float]] = {
    "range_noise": (0.0, 0.02, 0.08, 0.2),  # standard deviation, m
    "beam_dropout": (0.0, 0.05, 0.2, 0.5),  # probability per beam and step
    "blind_sector": (0.0, math.radians(30), math.radians(60), math.radians(120)),  # width, rad
    "frozen_scan": (0.0, 0.01, 0.03, 0.1),  # probability per step that FAULT_STEPS frozen ones begin
    "blackout": (0.0, 0.005, 0.02, 0.05),  # probability per step that FAULT_STEPS empty ones begin
    "odometry_noise": (0.0, 0.02, 0.05, 0.15),  # standard deviation, m; half as much in rad
    "odometry_drift": (0.0, 0.02, 0.05, 0.1),  # m per sqrt(m); a quarter as much in rad
    "observation_latency": (0, 1, 2, 4),  # steps
    "action_latency": (0, 1, 2, 3),  # steps
    "dropped_commands": (0.0, 0.05, 0.15, 0.3),  # probability per step
    "actuator_gain": (0.0, 0.05, 0.1, 0.2),  # half-width of the gain around 1
    "slip": (0.0, 0.05, 0.15, 0.3),  # greatest part of the motion that is lost
    "obstacle_count": (0, 1, 2, 3),  # half-width of the change of either count
}
FACTOR: dict[str, tuple[tuple[float, float], ...]] = {
    "obstacle_speed": ((1.0, 1.0), (0.8, 1.25), (0.65, 1.5), (0.5, 2.0)),
    "obstacle_size": ((1.0, 1.0), (0.85, 1.2), (0.7, 1.4), (0.5, 1.6)),
}
FAULT_STEPS = 5
"""Steps that a frozen scan or a blackout lasts."""

(
    NUM_STATIC,
    NUM_DYNAMIC,
    NUM_GOALS,
    MAX_STEPS,
    RANGE_NOISE,
    BEAM_DROPOUT,
    BLIND_SECTOR,
    FROZEN_SCAN,
    BLACKOUT,
    ODOMETRY_NOISE,
    ODOMETRY_DRIFT,
    OBS_LATENCY,
    ACTION_LATENCY,
    DROPPED_COMMANDS,
    ACTUATOR_GAIN,
    SLIP,
    OBSTACLE_COUNT,
    SPEED_LO,
    SPEED_HI,
    SIZE_LO,
    SIZE_HI,
    SENSOR_FAULTS,
    MOTION_FAULTS,
    NUM_BEHAVIOURS,
    NUM_ROBOTS,
    MIN_ROBOTS,
) = range(26)
LEVEL_COLS = 26

TOUR_SLACK = 1.5
"""max_steps * dt * v_max must be at least this times the length of the tour."""


def level_row(level: LevelConfig, world: WorldConfig) -> np.ndarray:
    """Return the (LEVEL_COLS,) float32 row of one level in ``world``, whose lidar has its own noise and whose robot its
    own delay.
    """
    knobs = level.randomization
    strength = {name: STRENGTH[name][getattr(knobs, name)] for name in STRENGTH}
    strength["range_noise"] = math.hypot(strength["range_noise"], world.lidar.noise_m)
    strength["action_latency"] += round(world.robot.command_delay_s / world.dt_s)
    factors = [*FACTOR["obstacle_speed"][knobs.obstacle_speed], *FACTOR["obstacle_size"][knobs.obstacle_size]]
    sensor = ("range_noise", "beam_dropout", "blind_sector", "frozen_scan", "blackout")
    motion = ("action_latency", "dropped_commands", "actuator_gain", "slip")
    faulty = [any(strength[name] > 0 for name in names) for names in (sensor, motion)]
    row = [level.num_static, level.num_dynamic, level.num_goals, level.max_steps, *strength.values(), *factors]
    robots = (level.num_robots or 0, level.min_robots or 0)
    return np.array([*row, *faulty, len(level.behaviours), *robots], dtype=np.float32)


def behaviour_row(level: LevelConfig) -> np.ndarray:
    """Return the (8,) int32 kinds that moving circles take in turn."""
    row = np.zeros(8, dtype=np.int32)
    row[: len(level.behaviours)] = [BEHAVIOURS.index(name) for name in level.behaviours]
    return row


def max_circles(level: LevelConfig) -> int:
    """Return the most circles that an episode of this level can hold."""
    extra = int(STRENGTH["obstacle_count"][level.randomization.obstacle_count])
    return level.num_static + level.num_dynamic + extra * ((level.num_static > 0) + (level.num_dynamic > 0))


def check_levels(world: WorldConfig, levels: tuple[LevelConfig, ...]) -> None:
    """Raise ValueError, naming the level, when one of them cannot be passed or does not go with ``world``."""
    if not levels:
        raise ValueError("levels: at least one level is needed")
    for i, level in enumerate(levels):
        reach = level.max_steps * world.dt_s * world.robot.max_speed
        shortest = world.min_goal_distance_m * level.num_goals
        if world.placement != "arena" and level.num_goals != 1:
            raise ValueError(f"level {i}: placement={world.placement!r} has one goal; num_goals is {level.num_goals}")
        if (level.num_robots or 0) > world.num_robots:
            raise ValueError(
                f"level {i}: num_robots ({level.num_robots}) must not be above the {world.num_robots} of the world "
                "(env.world.num_robots)"
            )
        for key, given in (("num_robots", level.num_robots), ("min_robots", level.min_robots)):
            if given is not None and world.cases is not None:
                raise ValueError(
                    f"level {i}: {key} would be ignored, because env.world.cases says how many: leave it out"
                )
        if (level.min_robots or 0) > (level.num_robots or world.num_robots):
            raise ValueError(
                f"level {i}: min_robots ({level.min_robots}) must not be above the level's num_robots "
                f"({level.num_robots or world.num_robots})"
            )
        if world.placement == "circle_crossing":
            shortest = 8.0 / TOUR_SLACK
        if reach < TOUR_SLACK * shortest:
            raise ValueError(
                f"level {i} cannot be passed: in max_steps={level.max_steps} the robot drives at most {reach:.1f} m, "
                f"and {level.num_goals} goals need at least {TOUR_SLACK * shortest:.1f} m; raise max_steps or lower "
                "num_goals"
            )
