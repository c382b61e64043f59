"""Hindsight in a worker: remembers the running episodes, and relabels those that have ended into the fragments that
travel.

::

    record --(episode ends)--> waiting episodes --write--> rows behind those of the fragment, as far as there is room

An env step makes at most ``rows_per_step`` rows more, and a fragment has room for that many per step, so what waits is
bounded: by the rows of the episodes that end together, ``lanes x max_segment x rows_per_step``, and those of one more
episode per lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robonav_ray.algo.hindsight import STRATEGIES, Relabelled, Rows, Steps, choose_goals, relabel
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.hindsight import HindsightConfig
from robonav_ray.counter_rng import ROLE_HINDSIGHT, seed_for
from robonav_ray.interfaces import GoalFunctions
from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT32, MAX_VERSION, Numbers, check_numbers, count, like, require

_FIRST_STEPS = 32
_INFO = "info."


@dataclass
class _Episode:
    """An ended episode (or a piece of one) of T steps that waits."""

    world: int
    world_step: int
    """Step of the world at which it began."""
    arrays: dict[str, np.ndarray]
    """Those of ``Steps`` by name, (T + 1, ...) each, info under ``info.NAME``."""
    next_step: int = 0
    """Steps before this one have been relabelled."""

    @property
    def num_steps(self) -> int:
        return len(self.arrays["action"]) - 1


class Hindsight:
    """The memory of one worker's lanes, and its relabelled rows."""

    def __init__(
        self,
        goals: GoalFunctions,
        config: HindsightConfig,
        algo: AlgoConfig,
        world_index: np.ndarray,
        seed: int,
        value: Callable[[np.ndarray], np.ndarray] | None = None,
        num_actions: int = MAX_VERSION,
    ) -> None:
        """Nothing is remembered before ``begin``.

        Args:
            goals: Rewards, terminations and features under other goals.
            config: Strategy and number of goals; not ``none``.
            algo: n-step, gamma and the scale of rewards.
            world_index: (L,) int64: global indices of the lanes.
            seed: Of the choice of goals, together with each lane's global index and step.
            value: Q (B, A) of observations (B, D), for initial priorities |td_error| as other rows have them (Horgan et
                al. 2018); None gives inf, the highest priority so far (Schaul et al. 2016).
            num_actions: What a saved state is held against.
        """
        self._num_actions = num_actions
        self._goals, self._algo, self._value = goals, algo, value
        self._strategy, self.rows_per_step = STRATEGIES[config.strategy], config.rows_per_step
        self._max_segment = config.max_segment
        self._world = world_index
        self._key = np.uint64(seed_for(seed, ROLE_HINDSIGHT))
        self._lane = np.arange(len(world_index))
        self._length = np.zeros(len(world_index), np.int64)
        self._began = np.zeros(len(world_index), np.int64)
        self._achieved = np.zeros((len(world_index), 0), np.float32)
        self._running: dict[str, np.ndarray] = {}
        self._waiting: deque[_Episode] = deque()
        self.num_waiting = 0
        """Rows that ended episodes will still give."""

    def begin(self, obs: np.ndarray, achieved_goal: np.ndarray) -> None:
        """New episodes begin in all lanes with ``obs`` (L, D) and ``achieved_goal`` (L, G); what was running is
        forgotten.
        """
        self._length[:] = 0
        self._achieved = np.array(achieved_goal, np.float32)
        steps = (len(self._lane), min(_FIRST_STEPS, self._max_segment) + 1)
        self._running = {
            "obs": np.zeros((*steps, obs.shape[1]), np.float32),
            "achieved_goal": np.zeros((*steps, self._achieved.shape[1]), np.float32),
            "action": np.zeros(steps, np.int32),
            "policy_version": np.zeros(steps, np.int32),
        }

    def record(
        self,
        obs: np.ndarray,
        action: np.ndarray,
        next_obs: np.ndarray,
        final_obs: np.ndarray,
        ended: np.ndarray,
        infos: dict[str, Any],
        policy_version: int,
        world_step: np.ndarray,
        active: np.ndarray | None,
    ) -> None:
        """Remember one vector step.

        Args:
            obs: (L, D) float32: what the actions were chosen on.
            action: (L,) int32.
            next_obs: (L, D): what came after the step.
            final_obs: (L, D): last observation of the episodes that ended in this step; other rows are not read.
            ended: (L,) bool.
            infos: Of a goal vector environment (see ``worlds.goal_vector``): ``achieved_goal``,
                ``final_achieved_goal``, ``goal_info``.
            policy_version: That chose the actions.
            world_step: (L,) int64: steps that the worlds had made before.
            active: (L,) bool: lanes that took part; None means all.
        """
        lane = self._lane if active is None else np.flatnonzero(active)
        at = self._length[lane]
        if at.max(initial=0) + 1 >= self._running["action"].shape[1]:
            self._grow()
        self._began[lane[at == 0]] = world_step[lane[at == 0]]
        self._write(lane, at, obs, self._achieved)
        self._running["action"][lane, at] = action[lane]
        self._running["policy_version"][lane, at] = policy_version
        self._write_info(lane, at, infos["goal_info"])
        self._length[lane] = at + 1
        closing = ended | (self._length >= self._max_segment)
        if closing.any():
            last_obs, achieved = next_obs, infos["achieved_goal"]
            if ended.any():
                last_obs = np.where(ended[:, None], final_obs, next_obs)
                achieved = np.where(ended[:, None], infos["final_achieved_goal"], achieved)
            self._close(np.flatnonzero(closing), last_obs, achieved)
        self._achieved[:] = infos["achieved_goal"]

    def write(self, columns: tuple[np.ndarray, ...], priority: np.ndarray, row: int) -> int:
        """Relabel waiting episodes, the oldest first, into ``columns`` from ``row`` on while there is room; return the
        next free row.
        """
        steps_left = (len(priority) - row) // self.rows_per_step
        chosen: list[tuple[_Episode, int, int]] = []
        while steps_left and self._waiting:
            episode = self._waiting[0]
            first = episode.next_step
            episode.next_step = min(first + steps_left, episode.num_steps)
            chosen.append((episode, first, episode.next_step))
            steps_left -= episode.next_step - first
            if episode.next_step == episode.num_steps:
                self._waiting.popleft()
        if not chosen:
            return row
        new = relabel(
            self._steps(chosen),
            self._rows(chosen),
            self._goals,
            self._algo.n_step,
            self._algo.gamma,
            self._algo.reward_scale,
        )
        end = row + len(new.reward)
        for column, values in zip(columns, new, strict=True):
            column[row:end] = values
        priority[row:end] = self._priority(new)
        self.num_waiting -= end - row
        return end

    def _priority(self, new: Relabelled) -> np.ndarray | float:
        if self._value is None:
            return np.inf
        q = self._value(new.obs)[np.arange(len(new.action)), new.action]
        return np.abs(new.reward + new.discount * self._value(new.next_obs).max(axis=1) - q)

    def _steps(self, chosen: list[tuple[_Episode, int, int]]) -> Steps:
        joined = {name: np.concatenate([e.arrays[name] for e, _, _ in chosen]) for name in chosen[0][0].arrays}
        info = {name.removeprefix(_INFO): joined[name] for name in joined if name.startswith(_INFO)}
        return Steps(joined["obs"], joined["achieved_goal"], joined["action"], joined["policy_version"], info)

    def _rows(self, chosen: list[tuple[_Episode, int, int]]) -> Rows:
        parts: list[Rows] = []
        begin = 0
        for episode, first, stop in chosen:
            last = begin + episode.num_steps
            at = np.arange(begin + first, begin + stop)
            goal = choose_goals(
                self._strategy, self._key, episode.world, episode.world_step, begin, last, at, self.rows_per_step
            )
            parts.append(Rows(np.repeat(at, self.rows_per_step), np.full(len(goal), last), goal))
            begin = last + 1
        return Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _write(self, lane: np.ndarray, at: np.ndarray, obs: np.ndarray, achieved: np.ndarray) -> None:
        self._running["obs"][lane, at] = obs[lane]
        self._running["achieved_goal"][lane, at] = achieved[lane]

    def _write_info(self, lane: np.ndarray, at: np.ndarray, goal_info: Mapping[str, np.ndarray]) -> None:
        """Keep what was told; what is told of some steps only is 0 in the others."""
        for name, told in goal_info.items():
            if _INFO + name not in self._running:
                self._running[_INFO + name] = np.zeros_like(self._running["action"], told.dtype)
        for name, array in self._running.items():
            if name.startswith(_INFO):
                told = goal_info.get(name.removeprefix(_INFO))
                array[lane, at] = 0 if told is None else told[lane]

    def _close(self, lanes: np.ndarray, last_obs: np.ndarray, achieved: np.ndarray) -> None:
        """Let the episodes of ``lanes`` wait for ``write``, and forget them here."""
        self._write(lanes, self._length[lanes], last_obs, achieved)
        for lane in lanes.tolist():
            stop = int(self._length[lane]) + 1
            arrays = {name: array[lane, :stop].copy() for name, array in self._running.items()}
            self._waiting.append(_Episode(int(self._world[lane]), int(self._began[lane]), arrays))
        self.num_waiting += int(self._length[lanes].sum()) * self.rows_per_step
        self._length[lanes] = 0

    def _grow(self) -> None:
        """Make room for twice as many steps per lane."""
        steps = self._running["action"].shape[1]
        more = min(2 * (steps - 1), max(self._max_segment, steps)) + 1 - steps
        self._running = {
            name: np.concatenate([array, np.zeros((len(array), more, *array.shape[2:]), array.dtype)], axis=1)
            for name, array in self._running.items()
        }

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of what is remembered and of what waits, as arrays."""
        state = {"length": self._length.copy(), "began": self._began.copy(), "achieved": self._achieved.copy()}
        state |= {f"running.{name}": array.copy() for name, array in self._running.items()}
        facts = [(e.world, e.world_step, e.next_step, e.num_steps) for e in self._waiting]
        state["waiting"] = np.array(facts, np.int64).reshape(-1, 4)
        for name, array in self._running.items():
            parts = [
                e.arrays.get(name, np.zeros((e.num_steps + 1, *array.shape[2:]), array.dtype)) for e in self._waiting
            ]
            state[f"waiting.{name}"] = np.concatenate([np.zeros((0, *array.shape[2:]), array.dtype), *parts])
        return state

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Restore what ``state_dict`` returned; ValueError, and nothing changed, when it does not fit."""
        running = {name.removeprefix("running."): a for name, a in state.items() if name.startswith("running.")}
        self._check_state(state, running)
        self._length[:], self._began[:], self._achieved[:] = state["length"], state["began"], state["achieved"]
        self._running = {name: array.copy() for name, array in running.items()}
        self._waiting.clear()
        self.num_waiting, begin = 0, 0
        for world, world_step, next_step, num_steps in state["waiting"].tolist():
            part = slice(begin, begin + num_steps + 1)
            arrays = {name: state[f"waiting.{name}"][part].copy() for name in running}
            self._waiting.append(_Episode(world, world_step, arrays, next_step))
            self.num_waiting += (num_steps - next_step) * self.rows_per_step
            begin = part.stop

    def _check_state(self, state: dict[str, np.ndarray], running: dict[str, np.ndarray]) -> None:
        """ValueError unless ``state``, with what runs in ``running`` by name, fits these lanes and can be gone on
        from.
        """
        mine = {name: array for name, array in self._running.items() if not name.startswith(_INFO)}
        fits = mine.keys() <= running.keys() and len(state.get("length", ())) == len(self._lane)
        if not fits or any(running[n].shape[2:] != a.shape[2:] or running[n].dtype != a.dtype for n, a in mine.items()):
            raise ValueError(
                f"hindsight: expected the arrays {sorted(mine)} of {len(self._lane)} lanes, got {sorted(state)}"
            )
        steps = running["action"].shape[1] if running["action"].ndim > 1 else 0
        require(steps > 1, "running.action: has room for no step")  # max_segment may have been another one
        most = [MAX_COUNT, MAX_COUNT, MAX_COUNT, len(state.get("waiting.action", ()))]
        waiting = state.get("waiting", np.zeros((0, 4), np.int64))
        count(None, 4, high=np.array(most)).check("waiting", waiting)
        declared = {
            "length": like(self._length, 0, steps - 1),
            "began": like(self._began, 0, MAX_COUNT),
            "achieved": like(self._achieved, -MAX_FLOAT32, MAX_FLOAT32),
            "waiting": like(waiting, 0, MAX_COUNT),
        }
        ranges = {"action": (0, self._num_actions - 1), "policy_version": (0, MAX_VERSION)}
        num_entries = int((waiting[:, 3] + 1).sum())
        for name, array in running.items():
            low, high = ranges.get(name, (0, 1) if array.dtype.kind == "b" else (-MAX_FLOAT32, MAX_FLOAT32))
            rest = mine[name].shape[2:] if name in mine else ()
            require(array.dtype.kind in "biuf", f"running.{name}: holds no numbers")
            declared[f"running.{name}"] = Numbers(array.dtype, (len(self._lane), steps, *rest), low, high)
            declared[f"waiting.{name}"] = Numbers(array.dtype, (num_entries, *rest), low, high)
        check_numbers("hindsight", state, declared)
        world, _, next_step, num_steps = waiting.T
        require(np.isin(world, self._world), "waiting: a world that this worker does not have")
        require(next_step < num_steps, "waiting: an episode of which no step is left")
