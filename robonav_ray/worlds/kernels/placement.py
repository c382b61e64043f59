"""How an episode begins: everything is drawn, with bounded tries, from the world's own random streams."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.draws import between, start_streams, uniform, varied_count, whole_between
from robonav_ray.worlds.kernels.everett import place_everett
from robonav_ray.worlds.kernels.geometry import inner_wall_clearance
from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, HALF, kernel
from robonav_ray.worlds.kernels.layout import (
    ACTUATOR_STREAM,
    BLIND_COS,
    BLIND_SIN,
    BOUNCE,
    C_OLD_X,
    C_OLD_Y,
    C_RADIUS,
    C_SPEED,
    C_TX,
    C_TY,
    C_VX,
    C_VY,
    C_X,
    C_Y,
    CASE_STRIDE,
    CIRCLE_CROSSING,
    COS,
    DT,
    ENDED,
    EPISODE,
    EVERETT,
    G_X,
    G_Y,
    GAIN0,
    GAIN1,
    GOAL_TOLERANCE,
    GONE,
    HALF_SIDE,
    INDEX,
    INTERCEPT,
    KIND,
    LAYOUT_STREAM,
    LEGS_AFTER,
    LEVEL,
    MAX_SPEED,
    MIN_GOAL_DISTANCE,
    NEXT_LEVEL,
    NUM_CIRCLES,
    NUM_STEERED,
    OLD_X,
    OLD_Y,
    OWN_RADIUS,
    OWN_SPEED,
    PROGRESS_OFFSET,
    R_PROGRESS,
    RADIUS,
    RADIUS_LOW,
    RADIUS_MAX,
    RADIUS_MIN,
    REACTS,
    REACTS_PROB,
    SENSOR_STREAM,
    SIN,
    SPEED_LOW,
    SPEED_MAX,
    SPEED_MIN,
    START_CLEARANCE,
    STATIC,
    STEP_LIMIT,
    T_CLEARANCE,
    T_POTENTIAL,
    T_SHORTEST,
    T_TTC,
    TIME_FACTOR,
    WAYPOINT,
    YAW,
    X,
    Y,
)
from robonav_ray.worlds.kernels.obstacles import draw_waypoint
from robonav_ray.worlds.kernels.randomization import (
    ACTUATOR_GAIN,
    MAX_STEPS,
    MIN_ROBOTS,
    NUM_BEHAVIOURS,
    NUM_DYNAMIC,
    NUM_GOALS,
    NUM_ROBOTS,
    NUM_STATIC,
    OBSTACLE_COUNT,
    SIZE_HI,
    SIZE_LO,
    SPEED_HI,
    SPEED_LO,
    TOUR_SLACK,
)
from robonav_ray.worlds.kernels.site.lookup import has_map
from robonav_ray.worlds.kernels.site.places import (
    circle_fits,
    draw_goal,
    draw_heading,
    draw_map,
    draw_place,
    draw_start,
    fall_back,
    note_goal,
    robot_fits,
)
from robonav_ray.worlds.kernels.site.walking import leg_length, way_to_mark
from robonav_ray.worlds.kernels.way_around import way_around

_TRIES, _TOURS = 64, 16
_GAP = np.float32(0.1)
_SLACK = np.float32(TOUR_SLACK)
_PI = np.float32(np.pi)
CROSSING_RADIUS_M = np.float32(4.0)


@kernel
def distance(ax, ay, bx, by):
    """Return |a - b|."""
    return np.sqrt((ax - bx) * (ax - bx) + (ay - by) * (ay - by))


@kernel
def place_robots(robot, stream, const, wall, box, site, w, there):
    """Draw a start pose for the first ``there`` robots, apart from each other and from inner walls."""
    for r in range(there):
        best, radius = -FAR, robot[w, r, OWN_RADIUS]
        room = const[HALF_SIDE] - radius - _GAP
        fall_back(site, robot, stream, w, r)
        for _ in range(_TRIES):
            x, y = draw_start(site, stream, const, room, w)
            slack = min(inner_wall_clearance(wall, box, x, y) - radius - _GAP, robot_fits(site, w, x, y))
            for q in range(r):
                apart = distance(x, y, robot[w, q, X], robot[w, q, Y]) - radius - robot[w, q, OWN_RADIUS]
                slack = min(slack, apart - const[START_CLEARANCE])
            if slack > best:
                best, robot[w, r, X], robot[w, r, Y] = slack, x, y
            if slack >= F0:
                break
        robot[w, r, YAW] = draw_heading(site, stream, w)


@kernel
def add_circle(robot, circle, circle_kind, stream, const, wall, box, site, w, i, kind, reacts, speed, size):
    """Draw circle ``i`` clear of robots and inner walls; False when no try found room (then it is left out)."""
    radius = min(
        between(stream, w, LAYOUT_STREAM, const[RADIUS_MIN], const[RADIUS_MAX]) * size, HALF * const[HALF_SIDE]
    )
    room = const[HALF_SIDE] - radius
    found = False
    for _ in range(_TRIES):
        x, y = draw_place(site, stream, const, room, w)
        slack = min(inner_wall_clearance(wall, box, x, y) - radius, circle_fits(site, robot, w, x, y, radius, kind))
        for q in range(robot.shape[1]):
            apart = distance(x, y, robot[w, q, X], robot[w, q, Y]) - radius - robot[w, q, OWN_RADIUS]
            slack = min(slack, apart - const[START_CLEARANCE])
        if slack >= F0:
            found = True
            circle[w, C_X, i], circle[w, C_Y, i], circle[w, C_RADIUS, i] = x, y, radius
            break
    if found:
        circle_kind[w, KIND, i], circle_kind[w, REACTS, i] = kind, reacts
        circle[w, C_SPEED, i] = speed if kind != STATIC else F0
    return found


@kernel
def place_dynamic(
    robot, circle, circle_kind, world, stream, const, behaviour, level, wall, box, site, w, k, num, speed_factor, size
):
    """Add ``num`` moving circles behind the static ones, each on its way."""
    for m in range(num):
        kind = behaviour[k, m % np.int64(level[k, NUM_BEHAVIOURS])]
        speed = between(stream, w, LAYOUT_STREAM, const[SPEED_MIN], const[SPEED_MAX]) * speed_factor
        reacts = np.int32(1) if uniform(stream, w, LAYOUT_STREAM) < const[REACTS_PROB] else np.int32(0)
        i = world[w, NUM_CIRCLES]
        if add_circle(robot, circle, circle_kind, stream, const, wall, box, site, w, i, kind, reacts, speed, size):
            draw_waypoint(circle, stream, const, site, w, i)
            if kind not in (WAYPOINT, BOUNCE):
                circle[w, C_VX, i], circle[w, C_VY, i] = F0, F0
                world[w, NUM_STEERED] += 1
            if kind in (BOUNCE, INTERCEPT):
                circle[w, C_TX, i], circle[w, C_TY, i] = FAR, FAR
            world[w, NUM_CIRCLES] += 1


@kernel
def goal_slack(robot, circle, goal, world, const, wall, box, site, w, r, g, x, y):
    """Return how clear a goal at (x, y) is of circles placed so far, inner walls, the arena's edge and others'
    goals.
    """
    need = robot[w, r, OWN_RADIUS] + _GAP
    slack = inner_wall_clearance(wall, box, x, y) - need
    if not has_map(site):
        slack = min(slack, const[HALF_SIDE] - max(abs(x), abs(y)) - need)
    for i in range(world[w, NUM_CIRCLES]):
        slack = min(slack, distance(x, y, circle[w, C_X, i], circle[w, C_Y, i]) - circle[w, C_RADIUS, i] - need)
    for q in range(r):
        other = robot[w, q, OWN_RADIUS] + _GAP
        slack = min(slack, distance(x, y, goal[w, q, g, G_X], goal[w, q, g, G_Y]) - need - other)
    return slack


@kernel
def draw_tour(robot, circle, goal, world, stream, const, wall, box, site, w, r, num, budget, bounded):
    """Draw ``num`` goals in sequence, each away from the last; return the length of the tour.

    With ``bounded`` every leg is so short that the tour keeps within ``budget`` metres.
    """
    apart, total, in_map = const[MIN_GOAL_DISTANCE], F0, has_map(site)
    room = const[HALF_SIDE] - robot[w, r, OWN_RADIUS] - _GAP
    x0, y0 = robot[w, r, X], robot[w, r, Y]
    for g in range(num):
        best, length = -FAR, F0
        longest = max(budget - total - np.float32(num - 1 - g) * apart, apart)
        for _ in range(_TRIES):
            mark = np.int64(-1)
            if bounded and not in_map:
                leg = between(stream, w, LAYOUT_STREAM, apart, longest)
                angle = between(stream, w, LAYOUT_STREAM, -_PI, _PI)
                x, y = x0 + leg * np.cos(angle), y0 + leg * np.sin(angle)
                slack = F1
            else:
                mark, x, y = draw_goal(site, stream, const, room, w)
                far = way_to_mark(site, w, mark, x0, y0, x, y)
                slack = min(far - apart, longest - far) if bounded else far - apart
            slack = min(slack, goal_slack(robot, circle, goal, world, const, wall, box, site, w, r, g, x, y))
            if slack > best:
                best, goal[w, r, g, G_X], goal[w, r, g, G_Y] = slack, x, y
                length = way_to_mark(site, w, mark, x0, y0, x, y)
                note_goal(site, w, r, g, mark)
            if slack >= F0:
                break
        total += length
        x0, y0 = goal[w, r, g, G_X], goal[w, r, g, G_Y]
    return np.float32(total)


@kernel
def place_goals(robot, circle, goal, world, stream, const, level, wall, box, site, w, k, there):
    """Draw feasible tours: max_steps dt v_max >= 1.5 times their length; after 16 tours too long, legs are bounded
    instead.
    """
    num = np.int64(level[k, NUM_GOALS])
    for r in range(there):
        budget = level[k, MAX_STEPS] * const[DT] * robot[w, r, OWN_SPEED] / _SLACK
        for attempt in range(_TOURS + 1):
            if (
                draw_tour(
                    robot, circle, goal, world, stream, const, wall, box, site, w, r, num, budget, attempt == _TOURS
                )
                <= budget
            ):
                break


@kernel
def place_crossing(robot, circle, circle_kind, goal, world, stream, const, w, num, kind, speed_factor, size):
    """CrowdNav's circle crossing: the robot goes from (0, -4) to (0, 4), humans from about the circle to the other
    side.
    """
    radius, gap = CROSSING_RADIUS_M, const[START_CLEARANCE]
    robot[w, 0, X], robot[w, 0, Y], robot[w, 0, YAW] = F0, -radius, HALF * _PI
    goal[w, 0, 0, G_X], goal[w, 0, 0, G_Y] = F0, radius
    for _ in range(num):
        i = world[w, NUM_CIRCLES]
        speed = between(stream, w, LAYOUT_STREAM, const[SPEED_MIN], const[SPEED_MAX]) * speed_factor
        own = between(stream, w, LAYOUT_STREAM, const[RADIUS_MIN], const[RADIUS_MAX]) * size
        reacts = np.int32(1) if uniform(stream, w, LAYOUT_STREAM) < const[REACTS_PROB] else np.int32(0)
        for _try in range(4 * _TRIES):
            angle = between(stream, w, LAYOUT_STREAM, F0, _PI + _PI)
            x = radius * np.cos(angle) + (uniform(stream, w, LAYOUT_STREAM) - HALF) * speed
            y = radius * np.sin(angle) + (uniform(stream, w, LAYOUT_STREAM) - HALF) * speed
            slack = min(distance(x, y, F0, -radius), distance(x, y, F0, radius)) - own - robot[w, 0, OWN_RADIUS] - gap
            for j in range(i):
                other = own + circle[w, C_RADIUS, j] + gap
                slack = min(slack, distance(x, y, circle[w, C_X, j], circle[w, C_Y, j]) - other)
                slack = min(slack, distance(x, y, circle[w, C_TX, j], circle[w, C_TY, j]) - other)
            if slack >= F0:
                circle[w, C_X, i], circle[w, C_Y, i], circle[w, C_TX, i], circle[w, C_TY, i] = x, y, -x, -y
                circle[w, C_RADIUS, i], circle[w, C_SPEED, i] = own, speed
                circle_kind[w, KIND, i], circle_kind[w, REACTS, i] = kind, reacts
                world[w, NUM_CIRCLES] += 1
                world[w, NUM_STEERED] += 1
                break


@kernel
def clear_circles(circle, circle_kind, world, w):
    """Put every circle where it touches nothing: loops run over all columns, whether a circle is there or not."""
    for c in range(circle.shape[1]):
        circle[w, c, :] = F0
    for c in (C_X, C_Y, C_OLD_X, C_OLD_Y, C_TX, C_TY):
        circle[w, c, :] = FAR
    circle_kind[w, KIND, :], circle_kind[w, REACTS, :] = STATIC, 0
    world[w, NUM_CIRCLES], world[w, NUM_STEERED] = 0, 0


@kernel
def begin_robots(robot, lane, goal, stream, const, w, there):
    """Draw the bodies of the first ``there`` robots; put the others where they touch nothing."""
    for r in range(robot.shape[1]):
        robot[w, r, OWN_RADIUS], robot[w, r, OWN_SPEED] = const[RADIUS], const[MAX_SPEED]
        if r >= there:
            lane[w, r, ENDED], lane[w, r, GONE] = 1, 1
            robot[w, r, X], robot[w, r, Y], goal[w, r, 0, G_X], goal[w, r, 0, G_Y] = FAR, FAR, FAR, FAR
            continue
        if const[RADIUS_LOW] > F0:
            robot[w, r, OWN_RADIUS] = between(stream, w, LAYOUT_STREAM, const[RADIUS_LOW], const[RADIUS])
        if const[SPEED_LOW] > F0:
            one = between(stream, w, LAYOUT_STREAM, const[SPEED_LOW], const[MAX_SPEED])
            robot[w, r, OWN_SPEED] = max(one, between(stream, w, LAYOUT_STREAM, const[SPEED_LOW], const[MAX_SPEED]))


@kernel
def draw_world(
    robot, lane, circle, circle_kind, goal, world, world_key, stream, tally, const, level, behaviour, wall, box, corner,
    case, case_size, site, w,
):  # fmt: skip
    """Begin the next episode of world ``w`` under its next level: place everything and clear all sums."""
    k = world[w, NEXT_LEVEL]
    world[w, LEVEL] = k
    world[w, EPISODE] += 1
    start_streams(world_key, world[w, EPISODE], stream, w)
    robot[w], lane[w], tally[w], goal[w] = F0, 0, F0, F0
    clear_circles(circle, circle_kind, world, w)
    draw_map(site, stream, world, w)
    speed = level[k, SPEED_LO] * (level[k, SPEED_HI] / level[k, SPEED_LO]) ** uniform(stream, w, LAYOUT_STREAM)
    size = level[k, SIZE_LO] * (level[k, SIZE_HI] / level[k, SIZE_LO]) ** uniform(stream, w, LAYOUT_STREAM)
    num_static = varied_count(level[k, NUM_STATIC], level[k, OBSTACLE_COUNT], uniform(stream, w, LAYOUT_STREAM))
    num_dynamic = varied_count(level[k, NUM_DYNAMIC], level[k, OBSTACLE_COUNT], uniform(stream, w, LAYOUT_STREAM))
    row, there = -1, robot.shape[1]
    if case.shape[0] > 0:
        row = (world[w, INDEX] + world[w, EPISODE] * np.int64(const[CASE_STRIDE])) % case.shape[0]
        there = case_size[row]
    else:
        if level[k, NUM_ROBOTS] > F0:
            there = min(there, np.int64(level[k, NUM_ROBOTS]))
        if level[k, MIN_ROBOTS] > F0:
            there = whole_between(stream, w, LAYOUT_STREAM, np.int64(level[k, MIN_ROBOTS]), there)
    begin_robots(robot, lane, goal, stream, const, w, there)
    if const[CIRCLE_CROSSING] > F0:
        place_crossing(
            robot, circle, circle_kind, goal, world, stream, const, w, num_dynamic, behaviour[k, 0], speed, size
        )
    else:
        if const[EVERETT] > F0:
            place_everett(robot, goal, stream, const, case, w, row, there)
        else:
            place_robots(robot, stream, const, wall, box, site, w, there)
        for _ in range(num_static):
            i = world[w, NUM_CIRCLES]
            if add_circle(
                robot, circle, circle_kind, stream, const, wall, box, site, w, i, STATIC, np.int32(0), F0, size
            ):
                world[w, NUM_CIRCLES] += 1
        if const[EVERETT] <= F0:
            place_goals(robot, circle, goal, world, stream, const, level, wall, box, site, w, k, there)
        place_dynamic(
            robot, circle, circle_kind, world, stream, const, behaviour, level, wall, box, site, w, k, num_dynamic,
            speed, size,
        )  # fmt: skip
    for i in range(world[w, NUM_CIRCLES]):
        circle[w, C_OLD_X, i], circle[w, C_OLD_Y, i] = circle[w, C_X, i], circle[w, C_Y, i]
    for r in range(robot.shape[1]):
        start_robot(robot, lane, goal, stream, tally, const, level, wall, corner, site, w, r, k)


@kernel
def start_robot(robot, lane, goal, stream, tally, const, level, wall, corner, site, w, r, k):
    """Set what follows from pose and goals: heading, legs, limit of time, potential, actuator gains, blind sector."""
    yaw = robot[w, r, YAW]
    robot[w, r, COS], robot[w, r, SIN] = np.cos(yaw), np.sin(yaw)
    robot[w, r, OLD_X], robot[w, r, OLD_Y] = robot[w, r, X], robot[w, r, Y]
    after = F0
    for g in range(np.int64(level[k, NUM_GOALS]) - 1, -1, -1):
        goal[w, r, g, LEGS_AFTER] = after
        x0, y0 = robot[w, r, X], robot[w, r, Y]
        if g > 0:
            x0, y0 = goal[w, r, g - 1, G_X], goal[w, r, g - 1, G_Y]
        if wall.shape[0] == 0 or has_map(site):
            after += leg_length(site, goal, w, r, g, x0, y0)
        else:
            after += way_around(wall, corner, x0, y0, goal[w, r, g, G_X], goal[w, r, g, G_Y])
    tally[w, r, T_SHORTEST], tally[w, r, T_POTENTIAL] = after, const[R_PROGRESS] * (const[PROGRESS_OFFSET] - after)
    tally[w, r, T_CLEARANCE], tally[w, r, T_TTC] = FAR, FAR
    if lane[w, r, GONE] == 0:
        steps = level[k, MAX_STEPS]
        if const[TIME_FACTOR] > F0:
            least_s = max(after - const[GOAL_TOLERANCE], F0) / robot[w, r, OWN_SPEED]
            steps = min(steps, max(np.ceil(const[TIME_FACTOR] * least_s / const[DT]), F1))
        lane[w, r, STEP_LIMIT] = np.int32(steps)
    gain = level[k, ACTUATOR_GAIN]
    robot[w, r, GAIN0] = F1 + between(stream, w, ACTUATOR_STREAM, -gain, gain)
    robot[w, r, GAIN1] = F1 + between(stream, w, ACTUATOR_STREAM, -gain, gain)
    angle = between(stream, w, SENSOR_STREAM, -_PI, _PI)
    robot[w, r, BLIND_COS], robot[w, r, BLIND_SIN] = np.cos(angle), np.sin(angle)
