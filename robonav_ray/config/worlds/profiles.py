"""What the profiles of the worlds set, and the levels that go with them."""

from __future__ import annotations

import math
from typing import Any

from robonav_ray.config.worlds.level import LevelConfig

CROWDNAV_LEVEL = LevelConfig(num_static=0, num_dynamic=5, behaviours=("orca",), num_goals=1, max_steps=100)
"""Five ORCA humans and 25 s at .25 s a step, as in CrowdNav."""

EVERETT_LEVEL = LevelConfig(num_static=0, num_dynamic=0, num_goals=1, max_steps=4000)
"""Robots alone; each robot's own limit of time is below these steps."""

PROFILES: dict[str, dict[str, Any]] = {
    "navigation": {},
    "crowdnav": {
        "placement": "circle_crossing",
        "dt_s": 0.25,
        "arena_size_m": 20.0,
        "walls": False,
        "observation": "state",
        "goal_tolerance_m": 0.3,
        "robot": {"drive": "holonomic", "actions": "holonomic81", "radius_m": 0.3, "max_speed": 1.0},
        "obstacles": {
            "radius_min_m": 0.3,
            "radius_max_m": 0.3,
            "max_speed": 1.0,
            "min_speed_frac": 1.0,
            "start_clearance_m": 0.2,
            "orca_reacts_prob": 0.0,
        },
    },
    "everett": {
        "placement": "everett",
        "num_robots": 4,
        "dt_s": 0.1,
        "arena_size_m": 40.0,
        "walls": False,
        "observation": "neighbors",
        "goal_tolerance_m": 0.2,
        "min_goal_distance_m": 0.5,
        "ended_robots": "stay",
        "collisions": "end_of_step",
        "time_limit_factor": 8.0,
        "obstacles": {"start_clearance_m": 0.2},
        "robot": {
            "motion": "turn_first",
            "actions": "everett11",
            "radius_m": 0.8,
            "radius_min_m": 0.2,
            "max_speed": 1.5,
            "min_speed": 0.5,
            "max_turn_rate": math.pi / 6 / 0.1,
        },
    },
}
