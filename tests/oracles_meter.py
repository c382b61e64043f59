"""The slow twin of the meter: plays one world's first episode, keeps everything, and computes each column from the
whole of it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from oracles_worlds import arena_walls

from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.way_around import way_around


class Moment:
    """One world as it is, in float64."""

    def __init__(self, worlds: BatchedWorlds, world: int):
        state = worlds.state
        self.robot = state.robot[world].astype(float)
        self.lane = state.lane[world].copy()
        num = int(state.world[world, lay.NUM_CIRCLES])
        self.circle = state.circle[world, :, :num].astype(float)
        self.is_static = state.circle_kind[world, lay.KIND, :num] == lay.STATIC
        self.goal = state.goal[world].astype(float)
        self.num_goals = worlds.levels[int(state.world[world, lay.LEVEL])].num_goals


def turned(vector: np.ndarray, yaw: float) -> np.ndarray:
    """Return ``vector`` as a body with heading ``yaw`` sees it."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([c * vector[0] + s * vector[1], c * vector[1] - s * vector[0]])


def wrap(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)


def wall_point(worlds: BatchedWorlds, position: np.ndarray) -> np.ndarray | None:
    """Return the nearest point of a wall."""
    config = worlds.config
    lines = [*(arena_walls(config.side_m / 2) if config.walls else ()), *map(np.array, config.wall_lines())]
    points = []
    for x0, y0, x1, y1 in lines:
        a, b = np.array([x0, y0]), np.array([x1, y1])
        t = np.clip((position - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        points.append(a + t * (b - a))
    return min(points, key=lambda point: np.linalg.norm(point - position), default=None)


def time_to_collision(offset: np.ndarray, velocity: np.ndarray, reach: float) -> float:
    if np.linalg.norm(offset) <= reach:
        return 0.0
    roots = (
        np.roots([velocity @ velocity, 2 * offset @ velocity, offset @ offset - reach**2])
        if velocity @ velocity > 0
        else np.zeros(0)
    )
    real = [root.real for root in roots if abs(root.imag) < 1e-9 and root.real >= 0]
    return min(real, default=math.inf)


def things(
    worlds: BatchedWorlds, now: Moment, parked: np.ndarray, r: int
) -> list[tuple[Any, np.ndarray, np.ndarray, float, bool]]:
    """Return (name, position, velocity, radius, whether it moves) of everything around robot ``r``."""
    found: list[Any] = [
        (
            j,
            now.circle[[lay.C_X, lay.C_Y], j],
            now.circle[[lay.C_VX, lay.C_VY], j],
            now.circle[lay.C_RADIUS, j],
            not now.is_static[j],
        )
        for j in range(now.circle.shape[1])
    ]
    for q in range(len(now.robot)):
        if q != r and not parked[q]:
            row = now.robot[q]
            found.append((("robot", q), row[[lay.X, lay.Y]], row[[lay.VX, lay.VY]], worlds.config.robot.radius_m, True))
    point = wall_point(worlds, now.robot[r, [lay.X, lay.Y]])
    if point is not None:
        found.append(("wall", point, np.zeros(2), 0.0, False))
    return found


def place_of(name: Any, moment: Moment, fixed: np.ndarray) -> np.ndarray:
    if name == "wall":
        return fixed
    return moment.robot[name[1], [lay.X, lay.Y]] if isinstance(name, tuple) else moment.circle[[lay.C_X, lay.C_Y], name]


def hit_thing(found: list[Any], before: Moment, now: Moment, r: int, outcome: int, is_static: np.ndarray) -> Any:
    """Return the thing that was hit: of the outcome's kind, the one that came nearest during the step."""
    kinds = {Outcome.COLLISION_ROBOT: tuple, Outcome.COLLISION_WALL: str}
    able = [thing for thing in found if isinstance(thing[0], kinds.get(Outcome(outcome), int))]
    if outcome in (Outcome.COLLISION_STATIC, Outcome.COLLISION_DYNAMIC):
        able = [thing for thing in able if is_static[thing[0]] == (outcome == Outcome.COLLISION_STATIC)]

    def least(thing: Any) -> float:
        a = place_of(thing[0], before, thing[1]) - before.robot[r, [lay.X, lay.Y]]
        b = thing[1] - now.robot[r, [lay.X, lay.Y]]
        t = np.linspace(0, 1, 2001)[:, None]
        return float(np.linalg.norm(a + t * (b - a), axis=1).min()) - thing[3]

    return min(able, key=least)


def measured(worlds: BatchedWorlds, act: Any, cut_off_after: int | None) -> dict[str, np.ndarray]:
    """Play the first episode of every lane (the worlds have just been reset); return the meter's columns, (L,) each."""
    n, robots = worlds.num_worlds, worlds.num_robots
    history = [[Moment(worlds, w)] for w in range(n)]
    rows: dict[int, dict[str, float]] = {}
    parked_then: dict[int, list[np.ndarray]] = {w: [np.zeros(robots, bool)] for w in range(n)}
    while len(rows) < worlds.num_lanes:
        worlds.step(act(worlds.out.obs), DISABLED)
        for w in range(n):
            history[w].append(Moment(worlds, w))
            parked_then[w].append(worlds.out.parked[w * robots : (w + 1) * robots].copy())
        for i in range(worlds.num_lanes):
            outcome = history[i // robots][-1].lane[i % robots, lay.OUTCOME]
            if i not in rows and (outcome != Outcome.NONE or len(history[0]) - 1 == cut_off_after):
                w = i // robots
                rows[i] = one_lane(worlds, history[w], parked_then[w], i % robots, int(outcome) or int(Outcome.CUT_OFF))
    return {name: np.array([rows[i][name] for i in range(worlds.num_lanes)]) for name in rows[0]}


def one_lane(
    worlds: BatchedWorlds, history: list[Moment], parked: list[np.ndarray], r: int, outcome: int
) -> dict[str, float]:
    config, dt = worlds.config, worlds.config.dt_s
    steps, now, radius = len(history) - 1, history[-1], config.robot.radius_m
    clearance, moving, ttc, standing, heading = [], [], math.inf, [0.0], 0.0
    course = None
    for k in range(1, steps + 1):
        moment = history[k]
        own, velocity = moment.robot[r, [lay.X, lay.Y]], moment.robot[r, [lay.VX, lay.VY]]
        found = things(worlds, moment, parked[k], r)
        gaps = [float(np.linalg.norm(thing[1] - own)) - thing[3] - radius for thing in found]
        clearance.append(max(min(gaps, default=math.nan), 0.0))
        moving.append(min((gap for gap, thing in zip(gaps, found, strict=True) if thing[4]), default=math.inf))
        for thing in found:
            if thing[0] != "wall":
                ttc = min(ttc, time_to_collision(thing[1] - own, thing[2] - velocity, thing[3] + radius))
        speed = float(np.linalg.norm(velocity))
        turn = wrap(moment.robot[r, lay.YAW] - history[k - 1].robot[r, lay.YAW])
        standing.append(float(speed < 0.01 and abs(turn / dt) < 0.02))
        if config.robot.drive == "unicycle":
            heading += abs(turn)
        elif speed >= 0.01:
            new = math.atan2(velocity[1], velocity[0])
            heading, course = heading + (0.0 if course is None else abs(wrap(new - course))), new
    moving = np.array(moving)
    left = now.goal[r, now.lane[r, lay.GOAL_INDEX] : now.num_goals, :2]
    legs = np.concatenate([now.robot[r, [lay.X, lay.Y]][None], left])
    row = {
        "near_s": dt * sum(c < 0.45 for c in clearance),
        "intimate_frac": float((moving < 0.45).mean()),
        "personal_frac": float(((moving >= 0.45) & (moving < 1.2)).mean()),
        "social_frac": float(((moving >= 1.2) & (moving < 3.6)).mean()),
        "mean_clearance_m": float(np.mean(clearance)),
        "least_time_to_collision_s": ttc if ttc < 1000 else math.nan,
        "heading_change_rad": heading,
        "standing_s": dt * sum(standing),
        "remaining_m": sum(map(partial(way, worlds), legs[:-1], legs[1:])),
        "top_speed": config.robot.max_speed,
    }
    return row | the_end(worlds, history, parked[-1], r, outcome)


def way(worlds: BatchedWorlds, start: np.ndarray, end: np.ndarray) -> float:
    """Return the length of the way between two points (2,) around inner walls; its own test compares it with a twin."""
    return float(way_around(worlds.params.wall, worlds.params.corner, *np.float32(start), *np.float32(end)))


def the_end(worlds: BatchedWorlds, history: list[Moment], parked: np.ndarray, r: int, outcome: int) -> dict[str, float]:
    dt, radius, now, before = worlds.config.dt_s, worlds.config.robot.radius_m, history[-1], history[-2]
    names = [
        "bearing_rad",
        "other_speed",
        "course_rad",
        "own_speed",
        "own_closing",
        "other_closing",
        "clearance_before_m",
    ]
    end = {f"end_{name}": math.nan for name in [*names, "density_per_m2", "standing_frac"]}
    looks = {
        f"last_{t:02d}_{what}": math.nan for t in (0, 5, 10, 15, 20) for what in ("x_m", "y_m", "speed", "turn_rate")
    }
    found = things(worlds, now, parked, r)
    if outcome == Outcome.SUCCESS or not found:
        return end | looks
    own, old = now.robot[r, [lay.X, lay.Y]], before.robot[r, [lay.X, lay.Y]]
    if outcome in (Outcome.TIMEOUT, Outcome.CUT_OFF):
        thing = min(found, key=lambda one: np.linalg.norm(one[1] - own) - one[3])
    else:
        thing = hit_thing(found, before, now, r, outcome, now.is_static)
    name, place, _, size, _ = thing
    was = place_of(name, before, place)
    velocity, mine = (place - was) / dt, (own - old) / dt
    t = np.linspace(0, 1, 20001)[:, None]
    way = (was - old) + t * ((place - own) - (was - old))
    far = np.linalg.norm(way, axis=1)
    first = np.argmax(far <= size + radius) if (far <= size + radius).any() else np.argmin(far)
    normal, yaw = way[first] / far[first], now.robot[r, lay.YAW]
    seen, speed = turned(place - own, yaw), float(np.linalg.norm(velocity))
    others = [p for what, p, *_ in found if what != "wall"]
    end |= {
        "end_bearing_rad": math.atan2(seen[1], seen[0]),
        "end_other_speed": speed,
        "end_own_speed": float(np.linalg.norm(mine)),
        "end_own_closing": float(mine @ normal),
        "end_other_closing": float(-velocity @ normal),
        "end_density_per_m2": sum(np.linalg.norm(p - own) <= 2.5 for p in others) / (math.pi * 2.5**2),
    }
    if speed >= 0.01:
        end["end_course_rad"] = math.atan2(*turned(velocity, yaw)[::-1])
    span, last = round(2.0 / dt), len(history) - 1
    speeds = [float(np.linalg.norm(m.robot[r, [lay.VX, lay.VY]])) for m in history]
    recent = speeds[1:][-span:]
    end["end_standing_frac"] = float(np.mean([s < 0.01 for s in recent]))
    for k, tenths in enumerate((0, 5, 10, 15, 20)):
        back = min(int(np.round(np.float32(0.25 * k * span))), span, last)
        then = history[last - back]
        offset = place_of(name, then, place) - then.robot[r, [lay.X, lay.Y]]
        x, y = turned(offset, then.robot[r, lay.YAW])
        turn = 0.0 if last == back else wrap(then.robot[r, lay.YAW] - history[last - back - 1].robot[r, lay.YAW]) / dt
        values = (x, y, speeds[last - back], turn)
        looks |= {
            f"last_{tenths:02d}_{what}": v for what, v in zip(("x_m", "y_m", "speed", "turn_rate"), values, strict=True)
        }
        if k == 2:
            end["end_clearance_before_m"] = float(np.linalg.norm(offset)) - size - radius
    return end | looks
