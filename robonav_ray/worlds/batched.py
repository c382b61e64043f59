"""Many worlds as one object: arrays in, arrays out, nothing allocated while stepping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.ranges import check_numbers
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels import randomization as rnd
from robonav_ray.worlds.kernels.actions import action_space, action_table, decode_discrete
from robonav_ray.worlds.kernels.draws import fill_world_keys
from robonav_ray.worlds.kernels.motion import clamp_commands
from robonav_ray.worlds.kernels.observation import ObservationLayout
from robonav_ray.worlds.kernels.orca import NEIGHBOR_COLS
from robonav_ray.worlds.kernels.step import DISABLED, NEXT_STEP, SAME_STEP, reset_batch, step_batch
from robonav_ray.worlds.state_ranges import check_together, declared

__all__ = ["DISABLED", "NEXT_STEP", "SAME_STEP", "BatchedWorlds", "Scene"]

_NO_LIMIT = 1.0e6


@dataclass(frozen=True)
class Scene:
    """What a picture of one world needs; copies, in SI units. R robots, C circles, S inner walls, B beams."""

    half_side_m: float
    """Half the side of the arena."""
    walls: bool
    """Whether the arena's edge is a wall."""
    robot_pose: np.ndarray
    """(R, 3) float32: x, y, yaw."""
    robot_radius_m: float
    robot_ended: np.ndarray
    """(R,) bool: out of the world, waiting for the others."""
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


def constants(world: WorldConfig, gamma: float) -> np.ndarray:
    """Return the (CONST_COLS,) float32 row of what all worlds share."""
    robot, lidar, circles, reward = world.robot, world.lidar, world.obstacles, world.reward
    full = lidar.field_of_view_rad > 2 * np.pi - 1e-6
    increment = lidar.field_of_view_rad / (lidar.num_beams if full else max(lidar.num_beams - 1, 1))
    value = {
        lay.DT: world.dt_s,
        lay.HALF_SIDE: world.side_m / 2,
        lay.WALLS: world.walls,
        lay.RADIUS: robot.radius_m,
        lay.MAX_SPEED: robot.max_speed,
        lay.MAX_TURN: robot.max_turn_rate,
        lay.MAX_ACC: robot.max_acceleration or _NO_LIMIT,
        lay.MAX_TURN_ACC: robot.max_turn_acceleration or _NO_LIMIT,
        lay.HOLONOMIC: robot.drive == "holonomic",
        lay.RANGE_MAX: lidar.range_max_m,
        lay.ANGLE_MIN: -lidar.field_of_view_rad / 2 if lidar.num_beams > 1 else 0.0,
        lay.ANGLE_INCREMENT: increment,
        lay.GAMMA: gamma,
        lay.R_GOAL: reward.goal,
        lay.R_FINISH: reward.finish,
        lay.R_COLLISION: reward.collision,
        lay.R_PROGRESS: reward.progress_per_m,
        lay.PROGRESS_OFFSET: reward.progress_offset_m,
        lay.R_DISCOMFORT: reward.discomfort,
        lay.DISCOMFORT_DISTANCE: reward.discomfort_distance_m,
        lay.R_TIME: reward.time,
        lay.R_EFFORT: reward.effort,
        lay.GOAL_TOLERANCE: world.goal_tolerance_m,
        lay.MIN_GOAL_DISTANCE: world.min_goal_distance_m,
        lay.START_CLEARANCE: circles.start_clearance_m,
        lay.RADIUS_MIN: circles.radius_min_m,
        lay.RADIUS_MAX: circles.radius_max_m,
        lay.SPEED_MIN: world.obstacle_speed * circles.min_speed_frac,
        lay.SPEED_MAX: world.obstacle_speed,
        lay.ORCA_HORIZON: circles.orca_time_horizon_s,
        lay.REACTS_PROB: circles.orca_reacts_prob,
        lay.CIRCLE_CROSSING: world.placement == "circle_crossing",
        lay.STATE_OBS: world.observation == "state",
        lay.STACK: lidar.stack,
        lay.STACK_INTERVAL: lidar.stack_interval,
        lay.ALIGN: lidar.align,
        lay.PROXIMITY: lidar.encoding == "proximity",
    }
    row = np.zeros(lay.CONST_COLS, dtype=np.float32)
    for column, number in value.items():
        row[column] = number
    return row


class BatchedWorlds:
    """N worlds with R robots each; lane i is robot ``i % R`` of world ``i // R``.

    Everything that happens in world i depends on ``(seed, first_world + i)``, its episode number, the level and the
    actions only: any split of the worlds over several batches gives the same episodes, bit for bit. ``set_level`` takes
    effect for a world at its next reset. The arrays in ``out`` belong to this object and are overwritten by the next
    call.
    """

    def __init__(
        self,
        world: WorldConfig,
        levels: tuple[LevelConfig, ...],
        num_worlds: int,
        seed: int,
        gamma: float,
        first_world: int = 0,
    ) -> None:
        """Allocate everything; ``gamma`` is the learner's discount per step. Call ``reset`` before ``step``."""
        if num_worlds < 1:
            raise ValueError(f"num_worlds must be at least 1, got {num_worlds}")
        if not 0.0 < gamma <= 1.0:
            raise ValueError(f"gamma must be in (0, 1], got {gamma}")
        rnd.check_levels(world, levels)
        self.config, self.levels, self.gamma = world, tuple(levels), float(gamma)
        self.num_worlds, self.num_robots = num_worlds, world.num_robots
        self.num_lanes = num_worlds * world.num_robots
        self.seed, self.first_world = int(seed), int(first_world)
        self.max_circles = max(rnd.max_circles(level) for level in levels)
        self.max_goals = max(level.num_goals for level in levels)
        self.layout = ObservationLayout.of(world, self.max_circles)
        self.obs_dim = self.layout.size
        self.action_table = action_table(world.robot)
        self._increments = world.robot.actions == "increments9"
        self.params = self._make_params()
        self.state = self._make_state()
        self.out = self._make_output()
        self._scratch = lay.Scratch(
            np.zeros((4, world.lidar.num_beams), np.float32),
            np.zeros(self.max_circles + 1, np.int64),
            np.zeros((self.max_circles + self.num_robots + 1, NEIGHBOR_COLS), np.float32),
            np.zeros((2, self.max_circles + self.num_robots + 5, 4), np.float32),
        )
        self._command = np.zeros((num_worlds, self.num_robots, 2), np.float32)
        self._action = np.zeros(self.num_lanes, np.int64)
        self._all, self._everyone = np.ones(num_worlds, np.bool_), np.ones(self.num_lanes, np.bool_)
        self._begin(self.seed)

    def _make_params(self) -> lay.Params:
        world, const = self.config, constants(self.config, self.gamma)
        angle = const[lay.ANGLE_MIN] + const[lay.ANGLE_INCREMENT] * np.arange(world.lidar.num_beams, dtype=np.float32)
        self.beam_angle = angle.astype(np.float32)
        wall = np.array(world.wall_lines(), dtype=np.float32).reshape(-1, 4)
        box = [
            (b.x_m - b.width_m / 2, b.y_m - b.height_m / 2, b.x_m + b.width_m / 2, b.y_m + b.height_m / 2)
            for b in world.boxes
        ]
        return lay.Params(
            const,
            np.stack([rnd.level_row(level) for level in self.levels]),
            np.stack([rnd.behaviour_row(level) for level in self.levels]),
            np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32),
            wall,
            np.array(box, dtype=np.float32).reshape(-1, 4),
        )

    def _make_state(self) -> lay.State:
        columns = max(self.max_circles, 1)
        n, r, lidar = self.num_worlds, self.num_robots, self.config.lidar
        scans = (lidar.stack - 1) * lidar.stack_interval + 1
        obs_queue = 1 + int(self.params.level[:, rnd.OBS_LATENCY].max())
        command_queue = 1 + int(self.params.level[:, rnd.ACTION_LATENCY].max())
        return lay.State(
            robot=np.zeros((n, r, lay.ROBOT_COLS), np.float32),
            lane=np.zeros((n, r, lay.LANE_COLS), np.int32),
            circle=np.zeros((n, lay.CIRCLE_COLS, columns), np.float32),
            circle_kind=np.zeros((n, 2, columns), np.int32),
            goal=np.zeros((n, r, self.max_goals, lay.GOAL_COLS), np.float32),
            world=np.zeros((n, lay.WORLD_COLS), np.int64),
            world_key=np.zeros(n, np.uint64),
            stream=np.zeros((n, lay.NUM_STREAMS, 2), np.uint64),
            tally=np.zeros((n, r, lay.TALLY_COLS), np.float32),
            scan=np.ones((n, r, scans, lidar.num_beams), np.float32),
            scan_pose=np.zeros((n, r, scans, 4), np.float32),
            obs_queue=np.zeros((n, r, obs_queue, self.obs_dim if obs_queue > 1 else 1), np.float32),
            command_queue=np.zeros((n, r, command_queue, 2), np.float32),
        )

    def _make_output(self) -> lay.Output:
        lanes, dim = self.num_lanes, self.obs_dim
        return lay.Output(
            obs=np.zeros((lanes, dim), np.float32),
            reward=np.zeros(lanes, np.float32),
            terminated=np.zeros(lanes, np.bool_),
            truncated=np.zeros(lanes, np.bool_),
            parked=np.zeros(lanes, np.bool_),
            finished=np.zeros(lanes, np.bool_),
            final_obs=np.zeros((lanes, dim), np.float32),
            final_tally=np.zeros((lanes, lay.TALLY_COLS), np.float32),
            final_lane=np.zeros((lanes, 5), np.int32),
        )

    def _begin(self, seed: int) -> None:
        self.seed = int(seed)
        fill_world_keys(self.seed, self.first_world, self.state.world_key)
        self.state.world[:, lay.EPISODE] = -1

    def choose(self, index: np.ndarray) -> None:
        """Be the worlds with the indices ``index`` (N,) from the next reset on, at episode 0.

        A reset with a seed has the worlds from ``first_world`` on again.
        """
        self._begin(self.seed)
        for i, number in enumerate(index.tolist()):
            fill_world_keys(self.seed, number, self.state.world_key[i : i + 1])

    @property
    def action_space(self) -> gym.spaces.Space:
        """Action space of one robot."""
        return action_space(self.config.robot)

    @property
    def observation_space(self) -> gym.spaces.Box:
        """Observation space of one robot."""
        low, high = self.layout.bounds()
        return gym.spaces.Box(low, high, dtype=np.float32)

    def reset(self, mask: np.ndarray | None = None, seed: int | None = None) -> np.ndarray:
        """Begin the next episode of the worlds in ``mask`` (N,) bool (None: all); return ``out.obs``.

        ``seed`` begins all random streams anew, at episode 0, so it goes with all worlds only.
        """
        if seed is not None:
            if mask is not None and not np.all(mask):
                raise ValueError("a new seed begins all worlds anew: leave out seed or reset all worlds")
            self._begin(seed)
        chosen = self._all if mask is None else np.asarray(mask, np.bool_)
        if chosen.shape != (self.num_worlds,):
            raise ValueError(f"mask must have shape ({self.num_worlds},), one entry per world, got {chosen.shape}")
        reset_batch(self.state, self.params, self._scratch, self.out, chosen, self._everyone)
        return self.out.obs

    def step(self, action: np.ndarray, autoreset: int = SAME_STEP) -> int:
        """Take one action per lane, (L,) integers or (L, 2) floats in [-1, 1]; return how many episodes ended.

        Results are in ``out``. An ended robot is parked (no motion, reward 0) until all robots of its world ended.
        """
        table = self.action_table
        if table is None:
            self._decode_continuous(np.asarray(action, np.float32))
        else:
            if np.shape(action) != (self.num_lanes,):
                raise ValueError(f"action must have shape ({self.num_lanes},), got {np.shape(action)}")
            self._action[:] = action
            bad = decode_discrete(self._action, table, self._increments, self.state.robot, self._command)
            if bad >= 0:
                raise ValueError(f"action {int(self._action[bad])} of lane {bad} is not in 0..{len(table) - 1}")
        return self._step(autoreset)

    def step_command(self, command: np.ndarray, autoreset: int = SAME_STEP) -> int:
        """As ``step``, with (L, 2) float32 commands (v, omega) or body-frame (v_x, v_y) in SI units, clipped to the
        robot's range.
        """
        given = np.asarray(command, np.float32).reshape(self._command.shape)
        if not np.isfinite(given).all():
            raise ValueError("command holds a value that is not finite")
        self._command[:] = given
        return self._step(autoreset)

    def _step(self, autoreset: int) -> int:
        clamp_commands(self._command, self.params.const)
        return step_batch(self.state, self.params, self._scratch, self._command, self.out, autoreset, self._everyone)

    def _decode_continuous(self, action: np.ndarray) -> None:
        if action.shape != (self.num_lanes, 2):
            raise ValueError(f"action must have shape ({self.num_lanes}, 2), got {action.shape}")
        if not np.isfinite(action).all():
            raise ValueError("action holds a value that is not finite")
        robot, flat = self.config.robot, self._command.reshape(-1, 2)
        np.clip(action, -1.0, 1.0, out=flat)
        if robot.drive == "unicycle":
            flat[:, 0] = (flat[:, 0] + 1.0) * (0.5 * robot.max_speed)
            flat[:, 1] *= robot.max_turn_rate
        else:
            flat *= robot.max_speed

    def set_level(self, level: int, worlds: np.ndarray | slice = slice(None)) -> None:
        """From their next reset on, run ``worlds`` (all by default) under ``level``; running episodes finish as they
        are.
        """
        if not 0 <= level < len(self.levels):
            raise ValueError(f"there is no level {level}; the levels are 0 to {len(self.levels) - 1}")
        self.state.world[worlds, lay.NEXT_LEVEL] = level

    @property
    def level(self) -> np.ndarray:
        """(N,) int64: level of the running episodes."""
        return self.state.world[:, lay.LEVEL]

    @property
    def pose(self) -> np.ndarray:
        """(L, 3) float32: x, y, yaw of every robot (a copy)."""
        return self.state.robot[..., (lay.X, lay.Y, lay.YAW)].reshape(-1, 3)

    @property
    def current_goal(self) -> np.ndarray:
        """(L, 2) float32: the goal that every robot drives to (the last one when all are reached; a copy)."""
        num_goals = self.params.level[self.level, rnd.NUM_GOALS].astype(np.int64)
        index = np.minimum(self.state.lane[..., lay.GOAL_INDEX], num_goals[:, None] - 1)
        return np.take_along_axis(self.state.goal[..., :2], index[..., None, None].astype(np.int64), axis=2).reshape(
            -1, 2
        )

    def scene(self, world: int) -> Scene:
        """Return what a picture of ``world`` needs."""
        s, num = self.state, int(self.state.world[world, lay.NUM_CIRCLES])
        level = int(s.world[world, lay.LEVEL])
        rows = s.circle[world, :, :num]
        head = s.lane[world, :, lay.HEAD]
        return Scene(
            half_side_m=self.config.side_m / 2,
            walls=self.config.walls,
            robot_pose=s.robot[world][:, (lay.X, lay.Y, lay.YAW)].copy(),
            robot_radius_m=self.config.robot.radius_m,
            robot_ended=s.lane[world, :, lay.ENDED] != 0,
            goals=s.goal[world, :, : self.levels[level].num_goals, :2].copy(),
            goal_index=s.lane[world, :, lay.GOAL_INDEX].copy(),
            circles=rows[[lay.C_X, lay.C_Y, lay.C_RADIUS, lay.C_VX, lay.C_VY]].T.copy(),
            circle_kind=s.circle_kind[world, lay.KIND, :num].copy(),
            inner_walls=self.params.wall.copy(),
            ranges=s.scan[world, np.arange(self.num_robots), head] * self.config.lidar.range_max_m,
            range_max_m=self.config.lidar.range_max_m,
            beam_angle=self.beam_angle,
            step=int(s.lane[world, :, lay.STEP].max()),
            level=level,
            episode=int(s.world[world, lay.EPISODE]),
            outcome=s.lane[world, :, lay.OUTCOME].copy(),
        )

    def check_valid(self) -> None:
        """Raise ValueError when the state breaks an invariant: finite, inside the walls, clear at the start."""
        s, half = self.state, self.config.side_m / 2
        for name, array in s._asdict().items():
            if array.dtype == np.float32 and not np.isfinite(array).all():
                raise ValueError(f"state.{name} holds a value that is not finite")
        there = np.arange(s.circle.shape[2]) < s.world[:, lay.NUM_CIRCLES, None]
        reach = np.abs(s.circle[:, :2]).max(axis=1) + s.circle[:, lay.C_RADIUS]
        if self.config.placement == "arena" and (there & (reach > half + 1e-4)).any():
            raise ValueError(
                f"a circle in world {int(np.argmax((there & (reach > half + 1e-4)).any(axis=1)))} leaves the arena"
            )
        heading = np.hypot(s.robot[..., lay.COS], s.robot[..., lay.SIN])
        if np.abs(heading - 1.0).max() > 1e-3:
            raise ValueError("a heading is not of unit length")
        offset = s.robot[:, :, :2, None] - s.circle[:, None, :2]
        space = np.linalg.norm(offset, axis=2) - s.circle[:, None, lay.C_RADIUS] - self.config.robot.radius_m
        start = (s.lane[..., lay.STEP] == 0)[:, :, None] & there[:, None, :]
        if (start & (space < self.config.obstacles.start_clearance_m - 1e-4)).any():
            raise ValueError("a circle is too near to a robot at the start")

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all arrays and the scalars that identify the batch; ``np.savez`` can store it."""
        arrays = {f"state.{name}": array.copy() for name, array in self.state._asdict().items()}
        arrays["out.obs"] = self.out.obs.copy()
        return {**arrays, "seed": self.seed, "first_world": self.first_world, "gamma": self.gamma}

    def load_state_dict(self, state: dict[str, Any], under_way: bool = False) -> None:
        """Take over what ``state_dict`` returned.

        ``under_way``: worlds begin anew in the step in which their last robot ends, so one in which all have ended is
        none.

        Raises:
            ValueError: For an entry that is missing, unknown, of another shape or out of its range; nothing has changed
                then.
        """
        check_numbers("worlds", state, declared(self.state, self.out.obs, self.params, self.max_circles))
        for name, mine in (("first_world", self.first_world), ("gamma", self.gamma)):
            if float(state[name]) != mine:
                raise ValueError(f"worlds: {name} is {mine} here and {state[name]} in the saved state")
        check_together(state, self.params, under_way)
        for name, array in self.state._asdict().items():
            array[:] = state[f"state.{name}"]
        self.out.obs[:] = state["out.obs"]
        self.seed = int(state["seed"])
