"""The rollout worker: many worlds stepped with one batched policy, folded into n-step transitions, shipped in
fragments.

::

    assignments --next_assignment--> [ collect ] --insert--> sink        waits here while too far ahead of the learner
    weights ------newer_than-------> [ collect ] --report--> assignments

Everything that differs between worlds (random stream, exploration noise, rung on the ladder) depends on the world's own
global index, so sharing the worlds out over more workers changes nothing that happens in them.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv

from robonav_ray.algo.exploration import epsilon_greedy, exploration_key, is_on_gate, ladder_epsilon
from robonav_ray.algo.n_step import NStepFolder
from robonav_ray.algo.policy import Policy
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.hindsight import HindsightConfig
from robonav_ray.config.rollout import RolloutConfig
from robonav_ray.histograms import count_between
from robonav_ray.interfaces import (
    AssignmentSource,
    GoalFunctions,
    HasLevels,
    ParksLanes,
    Resumes,
    TransitionSink,
    WeightSource,
)
from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT32, MAX_VERSION, check_numbers, count, like, require, within
from robonav_ray.records import Assignment, EpisodeFacts, Fragment, PolicySnapshot, TransitionSpec
from robonav_ray.rollout.env_numbers import NumberSums, sums_of
from robonav_ray.rollout.episode_book import LENGTH_EDGES, EpisodeBook
from robonav_ray.rollout.relabelling import Hindsight
from robonav_ray.worlds.told import find_teller


class RolloutStats(NamedTuple):
    """Sums over one or more fragments."""

    env_steps: int = 0
    rows: int = 0
    fragments: int = 0
    episodes: int = 0
    policy_version: int = -1
    policy_lag: int = 0
    """Versions that the policy was behind when newer weights were last found."""
    fragment_s: float = 0.0
    """Seconds that making a fragment took at most; waiting for leave to insert it is not in it."""
    longest_episode: int = 0
    """Env steps that an episode has gone on for that was running at the end of a fragment, at most."""
    told: NumberSums = NumberSums()
    """Numbers that the environment told of its episodes."""
    length_counts: tuple[int, ...] = (0,) * (len(LENGTH_EDGES) - 1)
    """How many episodes took how many env steps, between ``LENGTH_EDGES``."""

    def plus(self, other: RolloutStats) -> RolloutStats:
        """Return the sum; the later version, the larger lag and time."""
        return RolloutStats(
            self.env_steps + other.env_steps,
            self.rows + other.rows,
            self.fragments + other.fragments,
            self.episodes + other.episodes,
            max(self.policy_version, other.policy_version),
            max(self.policy_lag, other.policy_lag),
            max(self.fragment_s, other.fragment_s),
            max(self.longest_episode, other.longest_episode),
            self.told.plus(other.told),
            tuple(mine + theirs for mine, theirs in zip(self.length_counts, other.length_counts, strict=True)),
        )


class HindsightTask(NamedTuple):
    """What a worker that relabels is handed besides a goal vector environment."""

    goals: GoalFunctions
    config: HindsightConfig
    computed_priority: bool
    """Whether relabelled rows enter with their |td_error|, else at the highest priority."""


class RolloutWorker:
    """Worlds ``first_world ... first_world + L`` of a run; plain, no Ray."""

    def __init__(
        self,
        *,
        worker: int,
        life: int,
        env: VectorEnv[Any, Any, Any],
        policy: Policy,
        algo: AlgoConfig,
        rollout: RolloutConfig,
        seed: int,
        first_world: int,
        num_lanes_total: int,
        gate_ladder_frac: float,
        assignments: AssignmentSource,
        sink: TransitionSink,
        weights: WeightSource,
        hindsight: HindsightTask | None = None,
        num_stages: int = MAX_VERSION,
    ) -> None:
        """Reset the worlds under the first assignment.

        Args:
            worker: Index of the worker.
            life: Its life; fragments of different lives never share a name.
            env: SAME_STEP vector environment with flat observations; one lane per (world, robot).
            policy: Acts; shaped for ``env``.
            algo: n-step and gamma.
            rollout: Fragment length and ladder.
            seed: Of the exploration noise, together with each lane's global index.
            first_world: Global index of the first lane.
            num_lanes_total: Lanes over all workers (the length of the ladder).
            gate_ladder_frac: Part of the lanes, the least exploring, whose episodes count for the gate.
            assignments: What to practise; gets the episodes.
            sink: Gets the transitions.
            weights: Has the newest policy.
            hindsight: None relabels nothing; else ``env`` must be a goal vector environment.
            num_stages: Stages that there are; what a saved state is held against.
        """
        num_lanes = env.num_envs
        self._worker, self._life = worker, life
        self._env, self._policy = env, policy
        self._assignments, self._sink, self._weights = assignments, sink, weights
        self._num_steps, self._reward_scale = rollout.steps_per_fragment, algo.reward_scale
        self._ladder_exponent, self._num_lanes_total = rollout.ladder_exponent, num_lanes_total
        self.spec = TransitionSpec.for_discrete((policy.obs_dim,))
        self._world_index = np.arange(first_world, first_world + num_lanes, dtype=np.int64)
        on_gate = is_on_gate(self._world_index, num_lanes_total, gate_ladder_frac)
        self._book = EpisodeBook(worker, self._world_index, on_gate, num_stages)
        self._folder = NStepFolder(num_lanes, policy.obs_dim, algo.n_step, algo.gamma, policy.num_actions)
        self._key = exploration_key(seed)
        self._hindsight: Hindsight | None = None
        self._rows_per_step = 1
        if hindsight is not None:
            value = policy.q_values if hindsight.computed_priority else None
            self._hindsight = Hindsight(
                hindsight.goals, hindsight.config, algo, self._world_index, seed, value, policy.num_actions
            )
            self._rows_per_step += hindsight.config.rows_per_step
        self._step_count = np.zeros(num_lanes, np.int64)
        self._sequence = 0
        self._action = np.zeros(num_lanes, np.int32)
        self._q_taken = np.zeros(num_lanes, np.float32)
        self._q_max = np.zeros(num_lanes, np.float32)
        self._final_q_max = np.zeros(num_lanes, np.float32)
        self._active: np.ndarray | None = None
        """(L,) bool: lanes that take part in the next step; None means all."""
        self._levels: HasLevels | None = env if isinstance(env, HasLevels) else None
        self._saved_env: Resumes | None = env if isinstance(env, Resumes) else None
        self._teller, is_known = find_teller(env)
        self._parks: ParksLanes | None = self._teller if is_known and isinstance(self._teller, ParksLanes) else None
        self._told, self._told_names = NumberSums(), set[str]()
        self._begin(assignments.next_assignment(worker))

    @property
    def sequence(self) -> int:
        """Number of the next fragment."""
        return self._sequence

    def _begin(self, assignment: Assignment) -> None:
        if self._levels is not None:
            self._levels.set_level(assignment.stage)
        self._book.begin_stage(assignment.stage, assignment.clock, running_too=True)
        obs, info = self._env.reset()
        self._obs = np.array(obs, dtype=np.float32)
        self._note_waiting()
        if self._hindsight is not None:
            self._hindsight.begin(self._obs, info["achieved_goal"])

    def collect(self) -> RolloutStats:
        """Make one fragment: look for newer weights and the assignment, step, ship, report. Waits in the sink's
        ``insert``.
        """
        epsilon = self._practise(self._assignments.next_assignment(self._worker))
        lag = self._update_policy()
        max_rows = self._folder.max_rows(self._num_steps) * self._rows_per_step
        columns, priority = self.spec.allocate(max_rows), np.zeros(max_rows, np.float32)
        row, env_steps, began = 0, 0, time.perf_counter()
        for _ in range(self._num_steps):
            row, stepped = self._step(epsilon, columns, priority, row)
            env_steps += stepped
        if self._hindsight is not None:
            row = self._hindsight.write(columns, priority, row)
        made_s = time.perf_counter() - began
        priority = priority[:row]
        # the learner shall meet such a row soon: it says what is wrong with it
        priority[~np.isfinite(priority)] = np.inf
        fragment = Fragment(
            self._worker, self._life, self._sequence, tuple(column[:row] for column in columns), priority
        )
        self._sequence += 1
        self._sink.insert(fragment)
        episodes = self._book.take()
        self._assignments.report(episodes)
        told, self._told = self._told, NumberSums()
        lengths = tuple(count_between(episodes.length, LENGTH_EDGES).tolist())
        version, longest = self._policy.version, self._book.longest
        return RolloutStats(env_steps, row, 1, episodes.num_episodes, version, lag, made_s, longest, told, lengths)

    def use(self, snapshot: PolicySnapshot) -> None:
        """Act with ``snapshot`` from now on."""
        self._policy.load(snapshot)

    def _practise(self, assignment: Assignment) -> np.ndarray:
        """Switch the stage when told to, and return each lane's epsilon."""
        if assignment.stage != self._book.stage:
            if self._levels is not None:
                self._levels.set_level(assignment.stage)
            self._book.begin_stage(assignment.stage, assignment.clock)
        return ladder_epsilon(assignment.epsilon, self._world_index, self._num_lanes_total, self._ladder_exponent)

    def _update_policy(self) -> int:
        snapshot = self._weights.newer_than(self._policy.version)
        if snapshot is None:
            return 0
        lag = snapshot.version - self._policy.version
        self._policy.load(snapshot)
        return lag

    def _step(
        self, epsilon: np.ndarray, columns: tuple[np.ndarray, ...], priority: np.ndarray, row: int
    ) -> tuple[int, int]:
        obs, active = self._obs, self._active
        self._policy.resample_noise(self._key, int(self._step_count[0]))
        q = self._policy.q_values(obs)
        epsilon_greedy(
            q, epsilon, self._key, self._world_index, self._step_count, self._action, self._q_taken, self._q_max
        )
        next_obs, reward, terminated, truncated, info = self._env.step(self._action)
        final_obs = self._final_obs(next_obs, terminated, truncated, info)
        learned_from = (reward * self._reward_scale).astype(np.float32, copy=False)
        row = self._folder.push(
            obs, self._action, learned_from, terminated, truncated, self._q_taken, self._q_max,
            final_obs, self._final_q_max, self._policy.version, columns, priority, row, active,
        )  # fmt: skip
        if self._hindsight is not None:
            self._hindsight.record(
                obs,
                self._action,
                next_obs,
                final_obs,
                terminated | truncated,
                info,
                self._policy.version,
                self._step_count,
                active,
            )
        self._step_count += 1
        np.copyto(self._obs, next_obs)
        self._note_waiting()
        self._note_step(reward, terminated | truncated, active, info)
        return row, self._env.num_envs if active is None else int(active.sum())

    def _final_obs(
        self, next_obs: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: dict[str, Any]
    ) -> np.ndarray:
        """Return (L, D) with the last observation of each episode that ended; also values those that were truncated."""
        if not (terminated.any() or truncated.any()):
            return next_obs
        final = info["final_obs"]
        if final.dtype == object:  # Gymnasium's own vector environments: one array, or None, per lane
            rows = np.zeros_like(next_obs, dtype=np.float32)
            for lane in np.flatnonzero(info["_final_obs"]):
                rows[lane] = final[lane]
            final = rows
        cut = np.flatnonzero(truncated & ~terminated)
        if len(cut):
            self._final_q_max[cut] = self._policy.q_values(np.ascontiguousarray(final[cut])).max(axis=1)
        return final

    def _note_step(
        self, reward: np.ndarray, ended: np.ndarray, active: np.ndarray | None, info: dict[str, Any]
    ) -> None:
        """Book one vector step, and the numbers that were told of the episodes that ended in it."""
        facts = self._teller.episode_facts(info, ended) if ended.any() else EpisodeFacts()
        self._book.step(reward, ended, active, self._active, facts.columns)
        if facts.numbers or facts.dropped:
            self._told = self._told.plus(sums_of(facts, self._told_names))

    def _note_waiting(self) -> None:
        waiting = None if self._parks is None else self._parks.waiting()
        self._active = None if waiting is None else ~waiting

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return what is needed to go on with the same bits (between two fragments; weights come from their source).

        An environment that cannot be saved (any but ours) begins new episodes on resume.
        """
        state = {"step_count": self._step_count.copy(), "sequence": np.array([self._sequence])}
        if self._saved_env is None:
            return state
        state["obs"] = self._obs.copy()
        state["active"] = np.ones(len(self._obs), np.bool_) if self._active is None else self._active.copy()
        state |= {f"folder_{name}": array for name, array in self._folder.state_dict().items()}
        state |= {f"env_{name}": array for name, array in self._saved_env.state_dict().items()}
        if self._hindsight is not None:
            state |= {f"hindsight_{name}": array for name, array in self._hindsight.state_dict().items()}
        return state | self._book.state_dict()

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Restore what ``state_dict`` returned; ValueError for a state of another shape, or with a number out of its
        range.
        """
        if ("obs" in state) != (self._saved_env is not None) or state["step_count"].shape != self._step_count.shape:
            raise ValueError(
                f"the state is of another environment or of {len(state['step_count'])} lanes, not "
                f"{len(self._step_count)}"
            )
        parts = {prefix: _part(state, prefix) for prefix in ("hindsight_", "folder_", "env_")}
        book = {name: array for name, array in state.items() if name.startswith("book_")}
        if bool(parts["hindsight_"]) != (self._hindsight is not None and self._saved_env is not None):
            raise ValueError(
                "hindsight is on here and was off there, or the other way round: resume with the hindsight section as "
                "it was"
            )
        self._check_own({name: array for name, array in state.items() if not name.startswith((*parts, "book_"))})
        require(state.get("env_started", True), "env_started: says that the worlds have not begun")
        self._step_count[:] = state["step_count"]
        self._sequence = int(state["sequence"][0])
        if self._saved_env is None:
            return
        if self._hindsight is not None:
            with within("hindsight_"):
                self._hindsight.load_state_dict(parts["hindsight_"])
        with within("folder_"):
            self._folder.load_state_dict(parts["folder_"])
        with within("env_"):
            self._saved_env.load_state_dict(parts["env_"])
        self._book.load_state_dict(book, state["active"])
        if self._levels is not None:
            self._levels.set_level(self._book.stage)
        self._obs[:] = state["obs"]
        self._note_waiting()
        self._book.follow(self._active)  # earlier programs wrote down the lanes of the step before

    def _check_own(self, own: dict[str, np.ndarray]) -> None:
        """ValueError unless what is the worker's own in a state is in its range."""
        declared = {"step_count": like(self._step_count, 0, MAX_COUNT), "sequence": count(1)}
        if self._saved_env is not None:
            declared["obs"] = like(self._obs, -MAX_FLOAT32, MAX_FLOAT32)
            declared["active"] = like(np.ones(len(self._obs), np.bool_), 0, 1)
        check_numbers("the worker", own, declared)


def _part(state: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
