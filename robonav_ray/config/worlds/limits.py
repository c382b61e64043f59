"""Limits of steps that follow from the worlds where they are not given."""

from __future__ import annotations

import math

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.config.worlds.level import usual_steps

TOUR_SLACK = 1.5
"""max_steps * dt * v_max must be at least this times the length of the shortest tour."""
_USUAL_STEP_S, _USUAL_SIDE_M = 0.1, 10.0
"""For which ``usual_steps`` is."""


def usual_level(*, num_static: int, num_dynamic: int, num_goals: int) -> LevelConfig:
    """Return a level whose limit of steps is not given."""
    counts = {"num_static": num_static, "num_dynamic": num_dynamic, "num_goals": num_goals}
    return LevelConfig.model_validate({**counts, "max_steps": None})


def levels_for(
    world: WorldConfig, levels: tuple[LevelConfig, ...], leg_m: float | None = None
) -> tuple[LevelConfig, ...]:
    """Return the levels as they hold in ``world``: each with its limit of steps as a number that is given.

    A limit that was given stays. So do those that were not, where the robot has no model, there is no map, and all of
    them can be passed.

    Args:
        world: Whose robot drives.
        levels: Of the run.
        leg_m: How far two goals in sequence lie apart, as a rule; None takes the side of the arena or of the map.
    """
    open_ones = [level for level in levels if "max_steps" not in level.model_fields_set]
    can_stay = all(level.max_steps >= least_steps(world, level.num_goals) for level in open_ones)
    follow = world.robot.model is not None or world.map is not None or not can_stay
    return tuple(
        level
        if "max_steps" in level.model_fields_set
        else level.model_copy(update={"max_steps": _following(world, level.num_goals, leg_m)})
        if follow
        else level.model_copy(update={"max_steps": level.max_steps})
        for level in levels
    )


def least_steps(world: WorldConfig, num_goals: int) -> int:
    """Return the fewest steps in which the robot drives the shortest tour of so many goals, with the slack."""
    shortest = 8.0 / TOUR_SLACK if world.placement == "circle_crossing" else world.min_goal_distance_m * num_goals
    return math.ceil(round(TOUR_SLACK * shortest / (world.dt_s * world.robot.max_speed), 6))


def _following(world: WorldConfig, num_goals: int, leg_m: float | None) -> int:
    """Return the usual steps, longer for a robot slower than 1 m/s, for legs of more than 10 m, for shorter steps."""
    robot = world.robot
    side = world.side_m if world.map is None else 0.5 * (world.map.width_m + world.map.height_m)
    time_s = usual_steps(num_goals) * _USUAL_STEP_S
    time_s *= max(1.0, (side if leg_m is None else leg_m) / _USUAL_SIDE_M)
    time_s /= min(1.0, robot.max_speed if robot.min_speed is None else robot.min_speed)
    return min(max(math.ceil(round(time_s / world.dt_s, 6)), least_steps(world, num_goals)), 1_000_000)
