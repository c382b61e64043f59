"""Many worlds as one object: arrays in, arrays out, nothing allocated while stepping."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.config.worlds.limits import levels_for
from robonav_ray.ranges import check_numbers
from robonav_ray.worlds.cases import case_stride, load_cases
from robonav_ray.worlds.constants import constants, grounds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels import randomization as rnd
from robonav_ray.worlds.kernels.actions import Decoder, action_space, action_table
from robonav_ray.worlds.kernels.adversary import OBSTACLE, aim_obstacles, settle_obstacles
from robonav_ray.worlds.kernels.draws import fill_world_keys
from robonav_ray.worlds.kernels.drivers import drive
from robonav_ray.worlds.kernels.motion import clamp_commands
from robonav_ray.worlds.kernels.observation import ObservationLayout
from robonav_ray.worlds.kernels.orca import NEIGHBOR_COLS
from robonav_ray.worlds.kernels.sight.forecast import POINTS, SEEN_COLS
from robonav_ray.worlds.kernels.site.tables import PLAN_COLS
from robonav_ray.worlds.kernels.step import DISABLED, NEXT_STEP, SAME_STEP, reset_batch, step_batch
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.route_of import route_of
from robonav_ray.worlds.mix import Mix, with_parts, worlds_with_parts
from robonav_ray.worlds.scene import Ground, Scene, scene_of, shown_part_m
from robonav_ray.worlds.site import OF_STATE, maps_for, site_of
from robonav_ray.worlds.state_ranges import check_together, declared, widened

__all__ = ["DISABLED", "NEXT_STEP", "SAME_STEP", "BatchedWorlds", "Scene"]


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
        levels = levels_for(world, tuple(levels))
        rnd.check_levels(world, levels)
        self.config, self.levels, self.gamma = world, with_parts(levels), float(gamma)
        self.worlds_of_levels = worlds_with_parts(world, levels)
        self._mix = Mix(levels)
        self.num_worlds, self.num_robots = num_worlds, world.num_robots
        self.num_lanes = num_worlds * world.num_robots
        self.seed, self.first_world = int(seed), int(first_world)
        self.max_circles = max(rnd.max_circles(level) for level in self.levels)
        self.max_goals = max(level.num_goals for level in levels)
        self.layout = ObservationLayout.of(world, self.max_circles)
        self.obs_dim = self.layout.size
        self.action_table = action_table(world.robot)
        self._decoder = Decoder(world, self.num_lanes)
        self._atlas = maps_for(world, self.levels)
        self.params = self._make_params()
        self.state = self._make_state()
        self._place_in_maps()
        self.out = self._make_output()
        others = self.max_circles + self.num_robots + len(self.params.wall)
        self._scratch = lay.Scratch(
            np.zeros((4, world.lidar.num_beams), np.float32),
            np.zeros(self.max_circles + 1, np.int64),
            np.zeros((others + 1, NEIGHBOR_COLS), np.float32),
            np.zeros((2, others + 5, 4), np.float32),
            np.zeros((4, world.lidar.num_beams, SEEN_COLS), np.float32),
            np.zeros((5, POINTS), np.float32),
        )
        self._is_driven = self._has_obstacles = False
        self._command = np.zeros((num_worlds, self.num_robots, 2), np.float32)
        self._all, self._everyone = np.ones(num_worlds, np.bool_), np.ones(self.num_lanes, np.bool_)
        self._begin(self.seed)

    def _make_params(self) -> lay.Params:
        world, cases = self.config, load_cases(self.config)
        const = np.stack([constants(one, self.gamma, self.maps) for one in self.worlds_of_levels])
        const[:, lay.CASE_STRIDE] = case_stride(len(cases[0]))
        first, step = const[0, [lay.ANGLE_MIN, lay.ANGLE_INCREMENT]]
        angle = first + step * np.arange(world.lidar.num_beams, dtype=np.float32)
        self.beam_angle = angle.astype(np.float32)
        return lay.Params(
            const,
            np.stack([rnd.level_row(level, world) for level in self.levels]),
            np.stack([rnd.behaviour_row(level) for level in self.levels]),
            np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32),
            *grounds(self.worlds_of_levels),
            *cases,
            site_of(world, self._atlas),
        )

    def _place_in_maps(self) -> None:
        """Let kernels that look maps up find the state's own arrays beside them."""
        if self.params.site is not None:
            state = self.state
            own = {name: getattr(state, name) for name in OF_STATE}
            self.params = self.params._replace(site=self.params.site._replace(**own))

    def _make_state(self) -> lay.State:
        columns = max(self.max_circles, 1)
        n, r, lidar = self.num_worlds, self.num_robots, self.config.lidar
        scans = (lidar.stack - 1) * lidar.stack_interval + 1
        obs_queue = 1 + int(self.params.level[:, rnd.OBS_LATENCY].max())
        late = int(self.params.level[:, rnd.ACTION_LATENCY].max())
        command_queue = 1 + max(late, self.config.recent_commands)
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
            driver=np.zeros((n, r), np.int8),
            map_of=np.zeros(n, np.int32),
            goal_mark=np.zeros((n, r, self.max_goals), np.int32),
            circle_mark=np.full((n, columns), -1, np.int32),
            plan=np.zeros((n, r, PLAN_COLS), np.float32),
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
        self.state.world[:, lay.INDEX] = self.first_world + np.arange(self.num_worlds)
        self._spread()

    def choose(self, index: np.ndarray) -> None:
        """Be the worlds with the indices ``index`` (N,) from the next reset on, at episode 0.

        A reset with a seed has the worlds from ``first_world`` on again.
        """
        self._begin(self.seed)
        for i, number in enumerate(index.tolist()):
            fill_world_keys(self.seed, number, self.state.world_key[i : i + 1])
        self.state.world[: len(index), lay.INDEX] = index
        self._spread()

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
        self._decoder.decode(action, self.state.robot, self._command)
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
        state, params, scratch = self.state, self.params, self._scratch
        if self._is_driven:
            drive(state, params, scratch.neighbor, scratch.line, self._command)
        if self._has_obstacles:
            return self._step_with_obstacles(autoreset)
        clamp_commands(self._command, state.robot, params.const[0])
        return step_batch(state, params, scratch, self._command, self.out, autoreset, self._everyone)

    def _step_with_obstacles(self, autoreset: int) -> int:
        """As ``_step``; worlds begin anew in the same step only when their obstacles have been paid."""
        state, params, out = self.state, self.params, self.out
        aim_obstacles(state.robot, state.lane, state.goal, state.driver, params.const[0])
        clamp_commands(self._command, state.robot, params.const[0])
        mode = DISABLED if autoreset == SAME_STEP else autoreset
        num_ended = step_batch(state, params, self._scratch, self._command, out, mode, self._everyone)
        num_ended += settle_obstacles(
            state.lane, state.tally, state.world, state.driver, params.const[0], params.level, out.obs,
            out.reward, out.terminated, out.parked, out.finished, out.final_obs, out.final_tally, out.final_lane,
        )  # fmt: skip
        if autoreset == SAME_STEP and num_ended:
            self.reset((state.lane[..., lay.ENDED] != 0).all(axis=1))
        return num_ended

    def set_drivers(self, driver: np.ndarray) -> None:
        """Let ``driver`` (L,) int8 drive the robots from now on: 0 the given action, 1 ORCA, 2 social force, 3 straight
        to the goal without reacting, 4 standing (see ``layout.DRIVERS``), 5 the given action as an obstacle (see
        ``kernels.adversary``).
        """
        given = np.asarray(driver)
        if given.shape != (self.num_lanes,) or given.dtype != np.int8:
            raise ValueError(f"driver must be int8 ({self.num_lanes},), got {given.dtype} {given.shape}")
        if given.min() < 0 or given.max() > OBSTACLE:
            known = ", ".join(f"{i} ({name})" for i, name in enumerate((*lay.DRIVERS, "obstacle")))
            raise ValueError(f"driver {int(given[(given < 0) | (given > OBSTACLE)][0])}: there are {known}")
        self.state.driver[:] = given.reshape(self.state.driver.shape)
        self._note_drivers()

    def _note_drivers(self) -> None:
        driver = self.state.driver
        self._has_obstacles = bool((driver == OBSTACLE).any())
        self._is_driven = bool(((driver > lay.GIVEN) & (driver < OBSTACLE)).any())

    def set_level(self, level: int, worlds: np.ndarray | slice = slice(None)) -> None:
        """From their next reset on, run ``worlds`` (all by default) under ``level``; running episodes finish as they
        are.
        """
        if not 0 <= level < self._mix.num_levels:
            raise ValueError(f"there is no level {level}; the levels are 0 to {self._mix.num_levels - 1}")
        self.state.world[worlds, lay.NEXT_LEVEL] = level
        self._spread()

    def _spread(self) -> None:
        """Give every world the part of its level that its number has."""
        world = self.state.world
        world[:, lay.NEXT_LEVEL] = self._mix.of_worlds(world[:, lay.NEXT_LEVEL], world[:, lay.INDEX])

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

    @property
    def maps(self) -> tuple[GridMap, ...]:
        """The maps that episodes take place in; none in a bare arena."""
        return () if self._atlas is None else self._atlas.maps

    @property
    def map_index(self) -> np.ndarray:
        """(N,) int32: which of ``maps`` each running episode takes place in."""
        return self.state.map_of

    def route(self, world: int, robot: int) -> np.ndarray:
        """Return (P, 2) float64: the route that a robot follows to its goal, in the world frame; straight where there
        are no maps.
        """
        lane = world * self.num_robots + robot
        return route_of(self.state, self.params, world, robot, self.current_goal[lane])

    def scene(self, world: int) -> Scene:
        """Return what a picture of ``world`` needs."""
        return scene_of(self.state, self.params, self._config_of(world), self.beam_angle, world, self._ground(world))

    def _config_of(self, world: int) -> WorldConfig:
        return self.worlds_of_levels[int(self.level[world])]

    def _ground(self, world: int) -> Ground | None:
        """Return the map that ``world`` is in."""
        if not self.maps:
            return None
        path = None
        if "path" in self.layout.slices:
            lanes = slice(world * self.num_robots, (world + 1) * self.num_robots)
            path = self.out.obs[lanes, self.layout.slices["path"]].astype(np.float64) * lay.GOAL_SCALE_M
            path = path.reshape(self.num_robots, -1, 2)
        shown_m = shown_part_m(self.maps, 2.0 * self.config.robot.radius_m)
        return Ground(self.maps[int(self.map_index[world])], shown_m, lambda robot: self.route(world, robot), path)

    def check_valid(self) -> None:
        """Raise ValueError when the state breaks an invariant: finite, inside the walls, clear at the start."""
        s = self.state
        half = self.params.const[s.world[:, lay.LEVEL], lay.HALF_SIDE, None]
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
        space = np.linalg.norm(offset, axis=2) - s.circle[:, None, lay.C_RADIUS] - s.robot[..., None, lay.OWN_RADIUS]
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
        saved = widened(state, self.state, self.params, self.first_world)
        check_numbers("worlds", saved, declared(self.state, self.out.obs, self.params, self.max_circles))
        for name, mine in (("first_world", self.first_world), ("gamma", self.gamma)):
            if float(saved[name]) != mine:
                raise ValueError(f"worlds: {name} is {mine} here and {saved[name]} in the saved state")
        check_together(saved, self.params, under_way)
        for name, array in self.state._asdict().items():
            array[:] = saved[f"state.{name}"]
        self.out.obs[:] = saved["out.obs"]
        self._note_drivers()
        self.seed = int(saved["seed"])
