"""Where everything lies: the arrays of the simulator and the columns within them.

The state is a handful of arrays, world first, so that what one step of one world touches lies together in memory. The
last axis holds named columns (the constants below), which kernels and tests use alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robonav_ray.worlds.kernels.site.tables import Site

# robot (N, R, ROBOT_COLS) float32. V, W: twist (v, omega), for a holonomic drive the body-frame velocity.
X, Y, YAW, COS, SIN, V, W = 0, 1, 2, 3, 4, 5, 6
VX, VY = 7, 8  # velocity in the world frame
CMD0, CMD1, EXEC0, EXEC1 = 9, 10, 11, 12  # command asked for last; command that was executed last
OLD_X, OLD_Y = 13, 14  # position before the step
ACC_X, ACC_Y = 15, 16
GAIN0, GAIN1 = 17, 18
DRIFT_X, DRIFT_Y, DRIFT_YAW = 19, 20, 21
BLIND_COS, BLIND_SIN = 22, 23  # middle of the blind sector in the body frame
CLEARANCE = 24  # after the step, to the nearest obstacle, robot or wall
OWN_RADIUS, OWN_SPEED = 25, 26  # of this robot in this episode: radius, greatest (and preferred) speed
ROBOT_COLS = 27

# lane (N, R, LANE_COLS) int32
GOAL_INDEX, OUTCOME, STEP, ENDED, FREEZE_LEFT, BLACKOUT_LEFT, HEAD = 0, 1, 2, 3, 4, 5, 6
STEP_LIMIT = 7  # steps after which the episode of this robot is truncated; 0: it does not take part in this episode
GONE = 8  # no disc in the world any more: it has left, or does not take part
LANE_COLS = 9

# circle (N, CIRCLE_COLS, M) float32: obstacles; those that do not exist are FAR away.
# TX, TY: where a moving one goes.
C_X, C_Y, C_VX, C_VY, C_RADIUS, C_SPEED, C_TX, C_TY, C_OLD_X, C_OLD_Y = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
C_NEXT_VX, C_NEXT_VY = 10, 11  # velocity that steering chose for the coming step
CIRCLE_COLS = 12

# circle_kind (N, 2, M) int32: KIND, and whether it sees the robots.
KIND, REACTS = 0, 1
STATIC, WAYPOINT, BOUNCE, INTERCEPT, ORCA, SOCIAL_FORCE = 0, 1, 2, 3, 4, 5
BEHAVIOURS = ("static", "waypoint", "bounce", "intercept", "orca", "social_force")

# goal (N, R, G, GOAL_COLS) float32: position, and the length of the legs that follow it.
G_X, G_Y, LEGS_AFTER = 0, 1, 2
GOAL_COLS = 3

# world (N, WORLD_COLS) int64
EPISODE, LEVEL, NEXT_LEVEL, NUM_CIRCLES, NUM_STEERED = 0, 1, 2, 3, 4
INDEX = 5  # number of the world in the run
WORLD_COLS = 6

# driver (N, R) int8: what chooses a robot's commands.
GIVEN, DRIVE_ORCA, DRIVE_SOCIAL_FORCE, DRIVE_STRAIGHT, DRIVE_STAND = 0, 1, 2, 3, 4
DRIVERS = ("given", "orca", "social_force", "straight", "stand")

# case (C, R, CASE_COLS) float32: cases that are given; case_size (C,) int64 says how many rows of each are robots.
CASE_X, CASE_Y, CASE_GOAL_X, CASE_GOAL_Y, CASE_SPEED, CASE_RADIUS = 0, 1, 2, 3, 4, 5
CASE_COLS = 6

# stream (N, NUM_STREAMS, 2) uint64: key of this episode, numbers drawn so far. One stream per purpose, so that
# switching a fault on changes nothing else in the episode.
LAYOUT_STREAM, MOTION_STREAM, SENSOR_STREAM, ACTUATOR_STREAM = 0, 1, 2, 3
NUM_STREAMS = 4

# tally (N, R, TALLY_COLS) float32: what is added up over an episode.
(
    T_TASK,
    T_TOTAL,
    T_PATH,
    T_SHORTEST,
    T_CLEARANCE,
    T_TTC,
    T_SPEED,
    T_MAX_ACC,
    T_JERK,
    T_DANGER,
    T_POTENTIAL,
) = range(11)
T_TERMS = 11
TASK_TERMS = ("goal", "finish", "collision")
STEP_TERMS = ("progress", "discomfort", "time", "effort")
REWARD_TERMS = TASK_TERMS + STEP_TERMS
"""Names of the reward terms; the task terms alone make ``task_return``."""
TALLY_COLS = T_TERMS + len(REWARD_TERMS)

# const (num_levels, CONST_COLS) float32: body, sensor, reward and arena. Levels differ in the arena only, and only
# where parts of a stage's worlds have another one.
(
    DT,
    HALF_SIDE,
    WALLS,
    RADIUS,
    MAX_SPEED,
    MAX_TURN,
    MAX_ACC,
    MAX_TURN_ACC,
    HOLONOMIC,
    RANGE_MAX,
    ANGLE_MIN,
    ANGLE_INCREMENT,
    GAMMA,
    R_GOAL,
    R_FINISH,
    R_COLLISION,
    R_PROGRESS,
    PROGRESS_OFFSET,
    R_DISCOMFORT,
    DISCOMFORT_DISTANCE,
    R_TIME,
    R_EFFORT,
    GOAL_TOLERANCE,
    MIN_GOAL_DISTANCE,
    START_CLEARANCE,
    RADIUS_MIN,
    RADIUS_MAX,
    SPEED_MIN,
    SPEED_MAX,
    ORCA_HORIZON,
    REACTS_PROB,
    CIRCLE_CROSSING,
    TRUE_STATE,
    STACK,
    STACK_INTERVAL,
    ALIGN,
    PROXIMITY,
    RADIUS_LOW,
    SPEED_LOW,
    TURN_FIRST,
    STAYS,
    AT_END,
    TIME_FACTOR,
    EVERETT,
    NEIGHBOR_OBS,
    CASE_STRIDE,
    OWN_BODIES,
    COMMANDS,
    FORECAST,
    R_TIMEOUT,
    DETOUR,
) = range(51)
CONST_COLS = 51

# wall (S, WALL_COLS) float32: the ends of an inner wall, and of one that is longer by a robot's radius at both ends.
LONG_X0, LONG_Y0, LONG_X1, LONG_Y1 = 4, 5, 6, 7
WALL_COLS = 8

# corner (C, FIRST_WAY + most corners of a level) float32: where the ways around inner walls bend, and behind that how
# far it is to each corner of the same level.
CORNER_X, CORNER_Y, FIRST_WAY = 0, 1, 2

# ground (num_levels, GROUND_COLS) int64: which rows of ``wall``, ``box`` and ``corner`` belong to worlds of a level.
WALLS_FROM, WALLS_TO, BOXES_FROM, BOXES_TO, CORNERS_FROM, CORNERS_TO = range(6)
GROUND_COLS = 6

GOAL_SCALE_M = 10.0
"""Goal distances are shown in this unit."""
GOALS_SCALE = 4.0
"""The number of goals left is shown in this unit."""
FORECAST_SPEEDS, FORECAST_TURNS = 3, 5
"""Courses that a forecast looks along: speeds from 0 to the greatest, turn rates from one greatest to the other."""
FORECAST_PART = 2 * FORECAST_SPEEDS * FORECAST_TURNS
DETOUR_PART, DETOUR_SCALE_M = 3, 5.0
"""Columns of a detour, and the unit in which it tells how much longer a way is."""
SELF_STATE, HUMAN_STATE = 6, 7
"""Columns of the true-state observation: the robot's own, and per circle."""
OWN_PART, NEIGHBOR_PART = 6, 8
"""Columns of the observation of neighbours: the robot's own, and per neighbour."""
COURSES = (
    *((1.0, angle) for angle in (-90.0, -60.0, -30.0, -15.0, 0.0, 15.0, 30.0, 60.0, 90.0)),
    (0.5, 0.0),
    (0.0, 0.0),
)
"""Courses that an observation of encounters looks along: (part of the robot's greatest speed, degrees to the left of
its heading)."""
ENCOUNTER_OWN, ENCOUNTER_PART = 9, 9 + len(COURSES)
"""Columns of the observation of encounters: the robot's own, and per disc."""


class State(NamedTuple):
    """Everything that a step reads and writes; N worlds, R robots, M circles, G goals, a ring of H scans of B beams."""

    robot: np.ndarray
    """(N, R, ROBOT_COLS) float32."""
    lane: np.ndarray
    """(N, R, LANE_COLS) int32."""
    circle: np.ndarray
    """(N, CIRCLE_COLS, M) float32; the first ``world[w, NUM_CIRCLES]`` exist."""
    circle_kind: np.ndarray
    """(N, 2, M) int32."""
    goal: np.ndarray
    """(N, R, G, GOAL_COLS) float32."""
    world: np.ndarray
    """(N, WORLD_COLS) int64."""
    world_key: np.ndarray
    """(N,) uint64: key of the world over all episodes."""
    stream: np.ndarray
    """(N, NUM_STREAMS, 2) uint64."""
    tally: np.ndarray
    """(N, R, TALLY_COLS) float32."""
    scan: np.ndarray
    """(N, R, H, B) float32: sensed ranges / range_max in a ring; ``lane[..., HEAD]`` is the newest."""
    scan_pose: np.ndarray
    """(N, R, H, 4) float32: x, y, cos, sin of the robot at each scan, as its odometry had them."""
    obs_queue: np.ndarray
    """(N, R, Q, D) float32: the last observations, for observation latency."""
    command_queue: np.ndarray
    """(N, R, A, 2) float32: the last commands, for action latency and for observations that show them; row
    ``step % A`` is the one that was asked for in that step."""
    driver: np.ndarray
    """(N, R) int8: index into ``DRIVERS``."""
    map_of: np.ndarray
    """(N,) int32: the map of the episode; 0 where there are none."""
    goal_mark: np.ndarray
    """(N, R, G) int32: which of the maps' goals each goal is."""
    circle_mark: np.ndarray
    """(N, M) int32: which place of its map each moving obstacle walks to; -1: to none yet."""
    plan: np.ndarray
    """(N, R, PLAN_COLS) float32: where the route begins that each robot is shown, and to which goal it leads."""


class Params(NamedTuple):
    """What a step only reads."""

    const: np.ndarray
    """(num_levels, CONST_COLS) float32."""
    level: np.ndarray
    """(num_levels, LEVEL_COLS) float32; columns in ``randomization.py``."""
    behaviour: np.ndarray
    """(num_levels, 8) int32: kinds that moving circles take in turn."""
    beam: np.ndarray
    """(2, B) float32: cos and sin of the beam angles in the body frame."""
    wall: np.ndarray
    """(S, WALL_COLS) float32: inner walls (x0, y0, x1, y1, ...) of all levels, one after another."""
    box: np.ndarray
    """(K, 4) float32: boxes (x_min, y_min, x_max, y_max) of all levels, used to place nothing inside."""
    corner: np.ndarray
    """(C, FIRST_WAY + C') float32: see ``way_around.py``; C' is the most that a level has."""
    ground: np.ndarray
    """(num_levels, GROUND_COLS) int64."""
    case: np.ndarray
    """(C, R, CASE_COLS) float32: cases that worlds go through; none where they draw theirs."""
    case_size: np.ndarray
    """(C,) int64: robots of each case."""
    site: Site | None
    """Floor plans; None where there are none, and kernels are compiled without them."""


class Scratch(NamedTuple):
    """Working memory of the kernels, overwritten for every robot."""

    rays: np.ndarray
    """(4, B) float32: beam directions in the world frame, the distance along each, and a scan seen from elsewhere."""
    near: np.ndarray
    """(M + 1,) int64: the circles near a robot; every candidate is written, so one more than there are."""
    neighbor: np.ndarray
    """(M + R + S, NEIGHBOR_COLS) float32; see ``orca.py``."""
    line: np.ndarray
    """(2, M + R + S + 4, 4) float32: half-planes of ORCA."""
    seen: np.ndarray
    """(4, B, SEEN_COLS) float32: what scans show; see ``forecast.py``."""
    course: np.ndarray
    """(5, POINTS) float32: places along the courses of a forecast, and how near things are to them; see there."""


class Output(NamedTuple):
    """Buffers that a step writes; L = N * R lanes, world first."""

    obs: np.ndarray
    """(L, D) float32."""
    reward: np.ndarray
    """(L,) float32."""
    terminated: np.ndarray
    """(L,) bool."""
    truncated: np.ndarray
    """(L,) bool."""
    parked: np.ndarray
    """(L,) bool: the robot had ended before this step, so the row is padding."""
    finished: np.ndarray
    """(L,) bool: the episode ended in this step; the three below hold its last values."""
    final_obs: np.ndarray
    """(L, D) float32."""
    final_tally: np.ndarray
    """(L, TALLY_COLS) float32."""
    final_lane: np.ndarray
    """(L, 5) int32: outcome, length, goals reached, number of goals, level."""
