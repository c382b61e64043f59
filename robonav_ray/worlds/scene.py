"""What a picture of one world needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robonav_ray.config.worlds import WorldConfig
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels import randomization as rnd
from robonav_ray.worlds.maps.grid_map import GridMap


@dataclass(frozen=True)
class Scene:
    """What a picture of one world needs; copies, in SI units. R robots, those that take part in the episode, C circles,
    S inner walls, B beams.
    """

    half_side_m: float
    """Half the side of the arena."""
    walls: bool
    """Whether the arena's edge is a wall."""
    robot_pose: np.ndarray
    """(R, 3) float32: x, y, yaw."""
    robot_radius_m: np.ndarray | float
    """(R,) float32, or one number for all."""
    robot_ended: np.ndarray
    """(R,) bool: its episode is over, and it waits for the others."""
    goals: np.ndarray
    """(R, G, 2) float32: the goals of this episode in sequence."""
    goal_index: np.ndarray
    """(R,) int32: the current one; G when all are reached."""
    circles: np.ndarray
    """(C, 5) float32: x, y, radius, v_x, v_y."""
    circle_kind: np.ndarray
    """(C,) int32: index into ``layout.BEHAVIOURS``; 0 is static."""
    inner_walls: np.ndarray
    """(S, 4) float32: x0, y0, x1, y1."""
    ranges: np.ndarray
    """(R, B) float32: the last scan as sensed, m."""
    range_max_m: float
    beam_angle: np.ndarray
    """(B,) float32: beam angles in the body frame, rad."""
    step: int
    level: int
    episode: int
    outcome: np.ndarray
    """(R,) int32: ``Outcome`` so far; NONE while under way."""
    player: np.ndarray | None = None
    """(R,) int: who drives each robot, one colour for each; None gives every robot its own."""
    map: GridMap | None = None
    """The floor plan that the episode takes place in."""
    shown_m: tuple[float, float] | None = None
    """The width and height, at most, of what a picture shows at once of any of the worlds' maps; the same for all, so
    that all pictures have one size."""
    outline: np.ndarray | None = None
    """(V, 2) float64: corners of the bodies in the body frame, counter-clockwise; None for discs."""
    lidar_xy: tuple[float, float] = (0.0, 0.0)
    """Where the lidar is on the body, m."""
    routes: tuple[np.ndarray, ...] = ()
    """Of each robot the way along the map to its goal, (P, 2) float64; empty without a map."""
    path: np.ndarray | None = None
    """(R, K, 2) float64: the points of the way ahead that the robots observe, in the world frame."""

    def color_number(self, robot: int) -> int:
        """Return which of the robots' colours ``robot`` has."""
        return robot if self.player is None else int(self.player[robot])


_MOST_SHOWN_M, _LEAST_SHOWN_M, _SHOWN_ROBOTS, _STRETCH = 24.0, 10.0, 60.0, 1.3


def shown_part_m(maps: Sequence[GridMap], diameter_m: float) -> tuple[float, float]:
    """Return ``Scene.shown_m``: the largest map; where that has more than 1.3 times 60 diameters of the robot (10 to 24
    m), no more than these 60, so that the robot can be made out.
    """
    most = min(max(_SHOWN_ROBOTS * diameter_m, _LEAST_SHOWN_M), _MOST_SHOWN_M)
    width, height = (max(plan.size_m[axis] for plan in maps) for axis in (0, 1))
    if max(width, height) <= _STRETCH * most:
        return width, height
    return min(width, most), min(height, most)


@dataclass(frozen=True)
class Ground:
    """The map of one world, and the ways in it."""

    plan: GridMap
    shown_m: tuple[float, float]
    """See ``Scene``."""
    route: Callable[[int], np.ndarray]
    """Number of a robot -> its way to its goal, (P, 2) float64."""
    path: np.ndarray | None
    """(R, K, 2) float64 of all robots: the points that they observe, each in its own frame, m; None where they observe
    none.
    """


def scene_of(
    state: lay.State,
    params: lay.Params,
    config: WorldConfig,
    beam_angle: np.ndarray,
    world: int,
    ground: Ground | None = None,
) -> Scene:
    """Return what a picture of ``world`` needs; ``ground`` where it is in a map."""
    num, level = int(state.world[world, lay.NUM_CIRCLES]), int(state.world[world, lay.LEVEL])
    lane = state.lane[world]
    there = np.flatnonzero((lane[:, lay.STEP_LIMIT] > 0) | (state.world[world, lay.EPISODE] < 0))
    lane, robot, rows = lane[there], state.robot[world, there], state.circle[world, :, :num]
    pose = robot[:, (lay.X, lay.Y, lay.YAW)]
    return Scene(
        half_side_m=config.side_m / 2 if ground is None else max(ground.plan.size_m) / 2,
        walls=config.walls,
        robot_pose=pose.copy(),
        robot_radius_m=robot[:, lay.OWN_RADIUS].copy(),
        robot_ended=lane[:, lay.ENDED] != 0,
        goals=state.goal[world, there, : int(params.level[level, rnd.NUM_GOALS]), :2].copy(),
        goal_index=lane[:, lay.GOAL_INDEX].copy(),
        circles=rows[[lay.C_X, lay.C_Y, lay.C_RADIUS, lay.C_VX, lay.C_VY]].T.copy(),
        circle_kind=state.circle_kind[world, lay.KIND, :num].copy(),
        inner_walls=np.array(config.wall_lines(), np.float32).reshape(-1, 4),
        ranges=state.scan[world, there, lane[:, lay.HEAD]] * config.lidar.range_max_m,
        range_max_m=config.lidar.range_max_m,
        beam_angle=beam_angle,
        step=int(lane[:, lay.STEP].max()),
        level=level,
        episode=int(state.world[world, lay.EPISODE]),
        outcome=lane[:, lay.OUTCOME].copy(),
        outline=np.array(config.robot.body.corners) if config.robot.body.corners else None,
        lidar_xy=(config.lidar.x_m, config.lidar.y_m),
        map=None if ground is None else ground.plan,
        shown_m=None if ground is None else ground.shown_m,
        routes=() if ground is None else tuple(ground.route(int(r)) for r in there),
        path=None if ground is None or ground.path is None else _in_world(ground.path[there], pose),
    )


def _in_world(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Return (R, K, 2) points of the robots' frames in the world frame; ``pose`` is (R, 3)."""
    c, s = np.cos(pose[:, 2:]), np.sin(pose[:, 2:])
    ahead, left = points[..., 0], points[..., 1]
    turned = np.stack([c * ahead - s * left, s * ahead + c * left], axis=-1)
    return pose[:, None, :2].astype(np.float64) + turned
