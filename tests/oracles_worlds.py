"""Slow and obvious twins of the simulator's kernels, in float64 and plain Python."""

from __future__ import annotations

import math

import numpy as np


def ray_circle(x: float, y: float, angle: float, cx: float, cy: float, radius: float) -> float:
    """Distance along a ray from (x, y) to a circle, by the quadratic formula; infinite when it misses."""
    dx, dy = math.cos(angle), math.sin(angle)
    fx, fy = x - cx, y - cy
    b, c = 2 * (fx * dx + fy * dy), fx * fx + fy * fy - radius * radius
    disc = b * b - 4 * c
    if disc <= 0:
        return math.inf
    t = (-b - math.sqrt(disc)) / 2
    return t if t > 0 else math.inf


def ray_segment(x: float, y: float, angle: float, wall: np.ndarray) -> float:
    """Distance along a ray to a segment, by solving the 2 x 2 system; infinite when it misses."""
    x0, y0, x1, y1 = (float(v) for v in wall)
    system = np.array([[math.cos(angle), x0 - x1], [math.sin(angle), y0 - y1]])
    if abs(np.linalg.det(system)) < 1e-12:
        return math.inf
    t, k = np.linalg.solve(system, [x0 - x, y0 - y])
    return float(t) if t > 0 and 0 <= k <= 1 else math.inf


def lidar(pose: np.ndarray, angles: np.ndarray, circles: np.ndarray, walls: np.ndarray, range_max: float) -> np.ndarray:
    """Ranges of every beam against circles (C, 3) and wall segments (S, 4), at most ``range_max``."""
    x, y, yaw = (float(v) for v in pose)
    ranges = []
    for angle in angles:
        hits = [ray_circle(x, y, yaw + angle, *(float(v) for v in c)) for c in circles]
        hits += [ray_segment(x, y, yaw + angle, wall) for wall in walls]
        ranges.append(min([range_max, *hits]))
    return np.array(ranges)


def arena_walls(half: float) -> np.ndarray:
    """The four walls of a square arena as segments."""
    return np.array(
        [(-half, -half, half, -half), (half, -half, half, half), (half, half, -half, half), (-half, half, -half, -half)]
    )


def swept_distance(a: np.ndarray, b: np.ndarray, samples: int = 20001) -> float:
    """Least length of the vector on its way from a to b, by looking at many points of the way."""
    t = np.linspace(0.0, 1.0, samples)[:, None]
    return float(np.linalg.norm(a + t * (b - a), axis=1).min())


def unicycle(pose: np.ndarray, v: float, omega: float, dt: float) -> np.ndarray:
    """One midpoint step, from the definition."""
    x, y, yaw = pose
    middle = yaw + omega * dt / 2
    yaw = yaw + omega * dt
    return np.array(
        [x + v * dt * math.cos(middle), y + v * dt * math.sin(middle), math.atan2(math.sin(yaw), math.cos(yaw))]
    )


def outline_points(corners: np.ndarray, every_m: float) -> np.ndarray:
    """Points (P, 2) along the sides of a polygon (E, 2), at most so far apart."""
    points = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        num = max(2, math.ceil(float(np.linalg.norm(b - a)) / every_m) + 1)
        points.append(a + np.linspace(0.0, 1.0, num)[:, None] * (b - a))
    return np.concatenate(points)


def holds(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether a polygon (E, 2) holds each of ``points`` (T, 2): it goes all around those."""
    to = corners - points[:, None]
    angle = np.arctan2(to[..., 1], to[..., 0])
    turn = np.roll(angle, -1, axis=1) - angle
    return np.abs(((turn + np.pi) % (2 * np.pi) - np.pi).sum(axis=1)) > np.pi


def body_gap(
    corners: np.ndarray, poses: np.ndarray, places: np.ndarray, radius: float, every_m: float = 0.002
) -> float:
    """Least space between a polygon (E, 2), in the body frame, at ``poses`` (T, 3) and a disc at ``places`` (T, 2) of
    the same moments; 0 at most where they overlap.
    """
    c, s, (dx, dy) = np.cos(poses[:, 2]), np.sin(poses[:, 2]), (places - poses[:, :2]).T
    own = np.column_stack([c * dx + s * dy, c * dy - s * dx])
    apart = np.linalg.norm(outline_points(corners, every_m) - own[:, None], axis=2).min(axis=1)
    return float(np.where(holds(corners, own), -apart, apart).min()) - radius


def poses_of_step(old: np.ndarray, new: np.ndarray, turn: float, num: int = 200) -> np.ndarray:
    """Poses (num, 3) of a robot on its straight way from ``old`` (2,) to ``new`` (3,), turning by ``turn`` on it."""
    part = np.linspace(0.0, 1.0, num)
    return np.column_stack([old + part[:, None] * (new[:2] - old), new[2] - (1.0 - part) * turn])


def tour_length(position: np.ndarray, goals: np.ndarray, index: int) -> float:
    """Distance to the current goal and along all legs that follow."""
    points = np.vstack([position, goals[index:]])
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def orca_reference(
    agent: np.ndarray, want: np.ndarray, top: float, others: np.ndarray, horizon: float, dt: float
) -> tuple[float, float]:
    """The RVO2 library's own answer for one agent (x, y, vx, vy, radius) among others (n, 5)."""
    import pyrvo

    sim = pyrvo.RVOSimulator(dt, 100.0, len(others) + 1, horizon, horizon, 0.3, top)
    for row in np.vstack([agent[None], others]):
        x, y, vx, vy, radius = (float(v) for v in row)
        sim.add_agent((x, y), 100.0, len(others) + 1, horizon, horizon, radius, top, (vx, vy))
        sim.set_agent_pref_velocity(sim.get_num_agents() - 1, (0.0, 0.0))
    sim.set_agent_pref_velocity(0, (float(want[0]), float(want[1])))
    sim.do_step()
    velocity = sim.get_agent_velocity(0)
    return float(velocity.x), float(velocity.y)


def aligned_scan(old: np.ndarray, pose: np.ndarray, now: np.ndarray, range_max_m: float, join_m: float) -> np.ndarray:
    """Return (B,) the scan ``old`` (B,), taken at ``pose`` (x, y, yaw), as its points look from ``now``: every ray
    against every line.

    Points of neighbouring beams nearer than ``join_m`` are joined by a line; every point also counts for the beam
    nearest to it.
    """
    beams = len(old)
    angle = -np.pi + 2 * np.pi / beams * np.arange(beams)
    far = old.astype(np.float64) * range_max_m
    world = pose[:2] + far[:, None] * np.stack([np.cos(pose[2] + angle), np.sin(pose[2] + angle)], axis=1)
    c, s = np.cos(now[2]), np.sin(now[2])
    point = (world - now[:2]) @ np.array([[c, -s], [s, c]])
    shown = np.ones(beams)
    for i in range(beams):
        if old[i] >= 1.0:
            continue
        p, q = point[i], point[(i + 1) % beams]
        b = int(np.floor((np.arctan2(p[1], p[0]) + np.pi) * beams / (2 * np.pi) + 0.5)) % beams
        shown[b] = min(shown[b], np.hypot(*p) / range_max_m)
        if old[(i + 1) % beams] >= 1.0 or np.hypot(*(q - p)) >= join_m:
            continue
        for k in range(beams):
            d = np.array([np.cos(angle[k]), np.sin(angle[k])])
            matrix = np.stack([d, p - q], axis=1)
            if abs(np.linalg.det(matrix)) < 1e-9:
                continue
            t, along = np.linalg.solve(matrix, p)
            if t > 0 and 0 <= along <= 1:
                shown[k] = min(shown[k], t / range_max_m)
    return shown


def neighbor_items(robot: dict, others: list[dict]) -> np.ndarray:
    """Return (len(others), 8): what an observation of neighbours says of each of ``others``, in their order.

    Everyone has position ``p``, velocity ``v`` and ``radius``; ``robot`` has its ``goal`` too.
    """
    ahead = (robot["goal"] - robot["p"]) / np.linalg.norm(robot["goal"] - robot["p"])
    turn = np.array([ahead, [-ahead[1], ahead[0]]])
    rows = []
    for other in others:
        apart, moves, radii = other["p"] - robot["p"], other["v"] - robot["v"], robot["radius"] + other["radius"]
        rows.append([1.0, *(turn @ apart), *(turn @ moves), other["radius"], radii, np.linalg.norm(apart) - radii])
    return np.array(rows)


def encounter_items(robot: dict, others: list[dict]) -> np.ndarray:
    """Return (len(others), 20): what an observation of encounters says of each of ``others``, in their order; when two
    touch is found by going forward in small steps.

    Everyone has position ``p``, velocity ``v`` and ``radius``; ``robot`` has ``yaw`` and greatest ``speed`` too.
    """
    c, s = np.cos(robot["yaw"]), np.sin(robot["yaw"])
    turn = np.array([[c, s], [-s, c]])
    times = np.concatenate((np.arange(0.0, 20.0, 0.001), np.geomspace(20.0, 900.0, 4000)))
    rows = []
    for other in others:
        apart, moves, radii = turn @ (other["p"] - robot["p"]), turn @ other["v"], robot["radius"] + other["radius"]
        far, soon = np.linalg.norm(apart), []
        for part, angle in [*((1, a) for a in (-90, -60, -30, -15, 0, 15, 30, 60, 90)), (0.5, 0), (0, 0)]:
            own = part * robot["speed"] * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
            touch = np.linalg.norm(apart + times[:, None] * (moves - own), axis=1) < radii
            soon.append(1.0 / (1.0 + times[touch.argmax()]) if touch.any() else 0.0)
        rows.append(
            [1.0, *(apart / 10), *(apart / far), 0.5 / (0.5 + max(far - radii, 0.0)), *moves, other["radius"], *soon]
        )
    return np.array(rows)
