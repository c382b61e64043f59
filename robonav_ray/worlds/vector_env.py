"""``gymnasium.vector.VectorEnv`` on top of ``BatchedWorlds``, without an environment object per world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from robonav_ray.ranges import like
from robonav_ray.records import EpisodeFacts
from robonav_ray.worlds.batched import DISABLED, NEXT_STEP, SAME_STEP, BatchedWorlds, Scene
from robonav_ray.worlds.given import LevelsLike, WorldLike, as_levels, as_world
from robonav_ray.worlds.kernels import layout as lay

_MODES = {AutoresetMode.NEXT_STEP: NEXT_STEP, AutoresetMode.SAME_STEP: SAME_STEP, AutoresetMode.DISABLED: DISABLED}
_SUMS = {
    "task_return": lay.T_TASK,
    "total_return": lay.T_TOTAL,
    "path_length_m": lay.T_PATH,
    "shortest_path_length_m": lay.T_SHORTEST,
    "min_clearance_m": lay.T_CLEARANCE,
    "time_to_collision_s": lay.T_TTC,
    "max_acceleration": lay.T_MAX_ACC,
}
_MEANS = {"mean_speed": lay.T_SPEED, "mean_jerk": lay.T_JERK, "danger_frac": lay.T_DANGER}
_COLUMNS = {**_SUMS, **_MEANS, **{f"reward_{term}": lay.T_TERMS + i for i, term in enumerate(lay.REWARD_TERMS)}}
_MEAN_COLUMNS = list(_MEANS.values())
EPISODE_INFO = (
    "outcome",
    "length",
    "goals_reached",
    "num_goals",
    "level",
    *_COLUMNS,
)
"""Keys of an episode's info, each an (N,) array: ``outcome`` int8 (``records.Outcome``), the counts int32, the rest
float32 in SI units. ``min_clearance_m`` and ``time_to_collision_s`` (the least one, at constant velocities) look at
what comes within 1 m; farther reads as 1 m and 1000 s. ``danger_frac`` is the part of the steps with a clearance below
the discomfort distance."""


def episode_info(final_lane: np.ndarray, final_tally: np.ndarray, lanes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the ``EPISODE_INFO`` arrays (L,) from ``out.final_lane`` and ``out.final_tally``; 0 but for the indices
    ``lanes``.
    """
    counts = np.zeros((final_lane.shape[1], len(final_lane)), np.int32)
    sums = np.zeros((final_tally.shape[1], len(final_tally)), np.float32)
    ended, tally = final_lane[lanes], final_tally[lanes]
    tally[:, _MEAN_COLUMNS] /= np.maximum(ended[:, 1:2], 1).astype(np.float32)
    counts[:, lanes], sums[:, lanes] = ended.T, tally.T
    info: dict[str, np.ndarray] = {"outcome": counts[0].astype(np.int8)}
    info.update(zip(EPISODE_INFO[1:5], counts[1:], strict=True))
    info.update({name: sums[column] for name, column in _COLUMNS.items()})
    return info


class NavVectorEnv(VectorEnv):
    """Lanes are worlds x robots, world first; ``num_envs`` counts lanes.

    SAME_STEP: ``infos["final_obs"]`` (N, obs_dim) and ``infos["final_info"]`` (``EPISODE_INFO`` and a mask ``_key`` for
    each) are there in a step in which an episode ended, valid where ``infos["_final_obs"]``. The other two modes put
    the episode's info into ``infos`` itself. With several robots ``infos["parked"]`` (N,) bool is always there: those
    lanes had ended before this step and wait for the other robots of their world; their rows are padding (reward 0) and
    shall be dropped. The world resets when its last robot has ended.

    With ``copy=False`` the arrays returned are overwritten by the next ``step`` or ``reset``.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        world: WorldLike | None = None,
        levels: LevelsLike | None = None,
        seed: int = 0,
        gamma: float = 0.99,
        first_world: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        copy: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """Make the worlds ``first_world`` to ``first_world + num_envs / num_robots - 1`` of the run with ``seed``."""
        config = as_world(world)
        if num_envs < 1 or num_envs % config.num_robots:
            raise ValueError(f"num_envs ({num_envs}) must be a positive multiple of num_robots ({config.num_robots})")
        if render_mode is not None:
            raise ValueError(
                "many worlds draw no pictures: leave out render_mode, or use gymnasium.make for a single one"
            )
        self.worlds = BatchedWorlds(
            config, as_levels(levels, config), num_envs // config.num_robots, seed, gamma, first_world
        )
        self.num_envs, self.num_robots, self.copy = num_envs, config.num_robots, copy
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode, "render_modes": []}
        self._mode = _MODES[self.autoreset_mode]
        self.watch: Callable[[], None] | None = None
        """Called after every step, before the worlds that ended in it begin anew; it may read their state, and must not
        write to it."""
        self.single_observation_space = self.worlds.observation_space
        self.single_action_space = self.worlds.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._started = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes and return (obs, {}).

        ``seed`` begins all random streams anew; without it the worlds go on to their next episode. ``options``:
        ``reset_mask`` (num_envs,) bool, the lanes to reset (all robots of a world together); ``level``, as
        ``set_level`` before.
        """
        options = dict(options or {})
        mask, level = options.pop("reset_mask", None), options.pop("level", None)
        if options:
            raise ValueError(f"unknown options {sorted(options)}; there are 'reset_mask' and 'level'")
        if seed is not None and not isinstance(seed, int | np.integer):
            raise ValueError(
                f"seed must be one integer (every world derives its own from it), got {type(seed).__name__}"
            )
        if level is not None:
            self.set_level(level)
        if mask is not None:
            mask = self._world_mask(np.asarray(mask))
        elif not self._started and seed is None:
            seed = self.worlds.seed
        obs = self.worlds.reset(mask, None if seed is None else int(seed))
        self._started = True
        return (obs.copy() if self.copy else obs), {}

    def _world_mask(self, mask: np.ndarray) -> np.ndarray:
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"options['reset_mask'] must be bool ({self.num_envs},), got {mask.dtype} {mask.shape}")
        if not self._started:
            raise ValueError("options['reset_mask'] needs worlds that have begun: call reset() without it first")
        per_world = mask.reshape(-1, self.num_robots)
        if (per_world.any(axis=1) != per_world.all(axis=1)).any():
            raise ValueError("options['reset_mask'] must hold the same value for all robots of a world")
        return per_world[:, 0]

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all lanes; see the class for what ``infos`` holds."""
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before step()")
        worlds, out = self.worlds, self.worlds.out
        num_ended = worlds.step(actions, self._mode) if self.watch is None else self._step_watched(actions, self.watch)
        infos: dict[str, Any] = {}
        if num_ended:
            mask = out.finished.copy()
            info = episode_info(out.final_lane, out.final_tally, np.flatnonzero(mask))
            info.update({f"_{name}": mask for name in EPISODE_INFO})
            if self._mode == SAME_STEP:
                final_obs = out.final_obs.copy() if self.copy else out.final_obs
                infos = {"final_obs": final_obs, "_final_obs": mask, "final_info": info, "_final_info": mask}
            else:
                infos = info
        if self.num_robots > 1:
            infos["parked"] = out.parked.copy() if self.copy else out.parked
        if self.copy:
            return out.obs.copy(), out.reward.copy(), out.terminated.copy(), out.truncated.copy(), infos
        return out.obs, out.reward, out.terminated, out.truncated, infos

    def _step_watched(self, actions: np.ndarray, watch: Callable[[], None]) -> int:
        num_ended = self.worlds.step(actions, DISABLED if self._mode == SAME_STEP else self._mode)
        watch()
        if self._mode == SAME_STEP and num_ended:
            self.worlds.reset((self.worlds.state.lane[:, :, lay.ENDED] != 0).all(axis=1))
        return num_ended

    def episode_facts(self, infos: Mapping[str, Any], ended: np.ndarray) -> EpisodeFacts:
        """See ``interfaces.TellsEpisodes``."""
        final_info = infos["final_info"] if self._mode == SAME_STEP else infos
        return EpisodeFacts({name: final_info[name] for name in EPISODE_INFO})

    def waiting(self) -> np.ndarray | None:
        """Return (N,) bool: lanes that will be parked in the next step; None where no robot waits for another, being
        alone in its world.
        """
        return (self.worlds.state.lane[:, :, lay.ENDED] != 0).ravel() if self.num_robots > 1 else None

    def observe(self) -> np.ndarray:
        """Return a copy of the last observations (N, obs_dim); what a resumed run acts on."""
        return self.worlds.out.obs.copy()

    def set_level(self, level: int) -> None:
        """From its next reset on, every world runs ``level``; running episodes finish under their old one."""
        self.worlds.set_level(level)

    def scene(self, world: int = 0) -> Scene:
        """Return what a picture of one world needs."""
        return self.worlds.scene(world)

    def set_drivers(self, driver: np.ndarray) -> None:
        """See ``interfaces.HasDrivers``."""
        self.worlds.set_drivers(driver)

    def state_dict(self) -> dict[str, Any]:
        """Return arrays and scalars from which ``load_state_dict`` goes on bit for bit."""
        return {**self.worlds.state_dict(), "started": self._started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned; ValueError, and nothing changed, for anything else."""
        rest = dict(state)
        if "started" not in rest:
            raise ValueError("worlds: the saved state has no 'started'")
        started = rest.pop("started")
        like(np.zeros((), np.bool_), 0, 1).check("started", started)
        self.worlds.load_state_dict(rest, under_way=bool(started) and self._mode == SAME_STEP)
        self._started = bool(started)


def find_own(env: VectorEnv[Any, Any, Any]) -> NavVectorEnv | None:
    """Return the vector environment of our worlds that ``env`` is, or wraps; None where there is none."""
    inner = env.unwrapped
    return inner if isinstance(inner, NavVectorEnv) else None
