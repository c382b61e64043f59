"""The rollout worker: many worlds stepped with one batched policy, folded into n-step transitions, shipped in
fragments.

::

    assignments --next_assignment--> [ acting --> worlds --> recording ] --insert--> sink    waits here while too far
    weights ------newer_than-------> [           collect             ] --report--> assignments    ahead of the learner

Everything that differs between worlds (random stream, exploration noise, rung on the ladder) depends on the world's own
global index, so sharing the worlds out over more workers changes nothing that happens in them.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from robonav_ray.algo.exploration import is_on_gate
from robonav_ray.algo.policy import Policy
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.rollout import RolloutConfig
from robonav_ray.histograms import count_between
from robonav_ray.interfaces import (
    AssignmentSource,
    HasDrivers,
    HasLevels,
    ParksLanes,
    Resumes,
    TransitionSink,
    WeightSource,
)
from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT32, MAX_VERSION, check_numbers, count, like, require, within
from robonav_ray.records import NO_OPPONENTS, Assignment, PolicySnapshot, TransitionSpec
from robonav_ray.rollout.acting import Acting
from robonav_ray.rollout.episode_book import LENGTH_EDGES, EpisodeBook
from robonav_ray.rollout.partners import Partners, PartnersTask
from robonav_ray.rollout.recording import HindsightTask, LaneStep, Recording
from robonav_ray.rollout.rollout_stats import RolloutStats
from robonav_ray.worlds.told import find_teller


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
        partners: PartnersTask | None = None,
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
            partners: None: all robots act by the newest policy; else worlds are shared as assignments say.
        """
        world_index = np.arange(first_world, first_world + env.num_envs, dtype=np.int64)
        self._worker, self._env = worker, env
        self._assignments, self._sink = assignments, sink
        self._num_steps = rollout.steps_per_fragment
        teller, is_known = find_teller(env)
        drivers = env if isinstance(env, HasDrivers) else None
        self._partners = None if partners is None else Partners(partners, world_index, seed, drivers)
        self._acting = Acting(
            policy, weights, seed, world_index, num_lanes_total, rollout.ladder_exponent, self._partners
        )
        on_gate = is_on_gate(world_index, num_lanes_total, gate_ladder_frac)
        self._book = EpisodeBook(worker, world_index, on_gate, num_stages, partners is not None)
        self._recording = Recording(worker, life, self._acting, self._book, algo, world_index, self._num_steps, teller)
        if hindsight is not None:
            self._recording.relabel(hindsight, seed)
        self._active: np.ndarray | None = None
        """(L,) bool: lanes that take part in the next step; None means all."""
        self._recorded: np.ndarray | None = None
        """(L,) bool: those of them that learn."""
        self._levels: HasLevels | None = env if isinstance(env, HasLevels) else None
        self._saved_env: Resumes | None = env if isinstance(env, Resumes) else None
        self._parks: ParksLanes | None = teller if is_known and isinstance(teller, ParksLanes) else None
        self._begin(assignments.next_assignment(worker))

    @property
    def spec(self) -> TransitionSpec:
        """Columns of the rows."""
        return self._recording.spec

    @property
    def sequence(self) -> int:
        """Number of the next fragment."""
        return self._recording.sequence

    def _begin(self, assignment: Assignment) -> None:
        if self._levels is not None:
            self._levels.set_level(assignment.stage)
        self._book.begin_stage(assignment.stage, assignment.clock, running_too=True)
        obs, info = self._env.reset()
        self._obs = np.array(obs, dtype=np.float32)
        self._note_waiting()
        if self._partners is not None:
            self._partners.meet(assignment.opponents or NO_OPPONENTS)
            self._partners.begin_all(self._active)
        self._note_recorded()
        self._book.follow(self._recorded)
        self._recording.begin(self._obs, info)

    def collect(self) -> RolloutStats:
        """Make one fragment: look for newer weights and the assignment, step, ship, report. Waits in the sink's
        ``insert``.
        """
        epsilon = self._practise(self._assignments.next_assignment(self._worker))
        lag = self._acting.look_for_newer()
        env_steps, began = 0, time.perf_counter()
        self._recording.begin_fragment()
        for _ in range(self._num_steps):
            env_steps += self._step(epsilon)
        fragment = self._recording.end_fragment()
        made_s = time.perf_counter() - began
        self._sink.insert(fragment)
        episodes, told = self._recording.take()
        self._assignments.report(episodes)
        lengths = tuple(count_between(episodes.length, LENGTH_EDGES).tolist())
        version, longest = self._acting.policy.version, self._book.longest
        return RolloutStats(
            env_steps, fragment.num_rows, 1, episodes.num_episodes, version, lag, made_s, longest, told, lengths,
            {} if self._partners is None else self._partners.take_missing(),
        )  # fmt: skip

    def use(self, snapshot: PolicySnapshot) -> None:
        """Act with ``snapshot`` from now on."""
        self._acting.use(snapshot)

    def _practise(self, assignment: Assignment) -> np.ndarray:
        """Switch the stage when told to, and return each lane's epsilon."""
        if assignment.stage != self._book.stage:
            if self._levels is not None:
                self._levels.set_level(assignment.stage)
            self._book.begin_stage(assignment.stage, assignment.clock)
        if self._partners is not None:
            self._partners.meet(assignment.opponents or NO_OPPONENTS)
        return self._acting.epsilon_of_lanes(assignment.epsilon)

    def _step(self, epsilon: np.ndarray) -> int:
        """Make one vector step; return how many robots moved."""
        active, recorded = self._active, self._recorded
        choice = self._acting.choose(self._obs, epsilon, active)
        next_obs, reward, terminated, truncated, info = self._env.step(choice.action)
        step = LaneStep(self._obs, choice, next_obs, reward, terminated, truncated, info)
        self._recording.step(step, recorded)
        self._acting.advance()
        np.copyto(self._obs, next_obs)
        self._note_waiting()
        sat: dict[str, np.ndarray] = {}
        if self._partners is not None:
            sat = {"member": self._partners.member, "seat": self._partners.seat}
            self._partners.begin_anew(terminated | truncated, active, self._active)
        self._note_recorded()
        self._recording.note(step, recorded, self._recorded, sat)
        return self._env.num_envs if active is None else int(active.sum())

    def _note_waiting(self) -> None:
        waiting = None if self._parks is None else self._parks.waiting()
        self._active = None if waiting is None else ~waiting

    def _note_recorded(self) -> None:
        self._recorded = self._active
        if self._partners is not None:
            learns = self._partners.learns
            self._recorded = learns if self._active is None else self._active & learns

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return what is needed to go on with the same bits (between two fragments; weights come from their source).

        An environment that cannot be saved (any but ours) begins new episodes on resume.
        """
        state = {"step_count": self._acting.step_count.copy(), "sequence": np.array([self.sequence])}
        if self._saved_env is None:
            return state
        state["obs"] = self._obs.copy()
        state["active"] = np.ones(len(self._obs), np.bool_) if self._active is None else self._active.copy()
        state |= {f"env_{name}": array for name, array in self._saved_env.state_dict().items()}
        if self._partners is not None:
            state |= {f"partners_{name}": array for name, array in self._partners.state_dict().items()}
        return state | self._recording.state_dict() | self._book.state_dict()

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Restore what ``state_dict`` returned; ValueError for a state of another shape, or with a number out of its
        range.
        """
        step_count = self._acting.step_count
        if ("obs" in state) != (self._saved_env is not None) or state["step_count"].shape != step_count.shape:
            raise ValueError(
                f"the state is of another environment or of {len(state['step_count'])} lanes, not {len(step_count)}"
            )
        parts = {prefix: _part(state, prefix) for prefix in ("hindsight_", "partners_", "folder_", "env_")}
        book = {name: array for name, array in state.items() if name.startswith("book_")}
        relabels = self._recording.hindsight is not None and self._saved_env is not None
        if bool(parts["hindsight_"]) != relabels:
            raise ValueError(
                "hindsight is on here and was off there, or the other way round: resume with the hindsight section as "
                "it was"
            )
        if bool(parts["partners_"]) != (self._partners is not None and self._saved_env is not None):
            raise ValueError(
                "worlds are shared with a league here and were not there, or the other way round: resume with the "
                "league section as it was"
            )
        self._check_own({name: array for name, array in state.items() if not name.startswith((*parts, "book_"))})
        require(state.get("env_started", True), "env_started: says that the worlds have not begun")
        step_count[:] = state["step_count"]
        self._recording.sequence = int(state["sequence"][0])
        if self._saved_env is None:
            return
        self._recording.load_state_dict(parts["folder_"], parts["hindsight_"])
        with within("env_"):
            self._saved_env.load_state_dict(parts["env_"])
        running = state["active"]
        if self._partners is not None:
            with within("partners_"):
                self._partners.load_state_dict(parts["partners_"])
            running = running & self._partners.learns
        self._book.load_state_dict(book, running)
        if self._levels is not None:
            self._levels.set_level(self._book.stage)
        self._obs[:] = state["obs"]
        self._note_waiting()
        self._note_recorded()
        self._book.follow(self._recorded)  # earlier programs wrote down the lanes of the step before

    def _check_own(self, own: dict[str, np.ndarray]) -> None:
        """ValueError unless what is the worker's own in a state is in its range."""
        declared = {"step_count": like(self._acting.step_count, 0, MAX_COUNT), "sequence": count(1)}
        if self._saved_env is not None:
            declared["obs"] = like(self._obs, -MAX_FLOAT32, MAX_FLOAT32)
            declared["active"] = like(np.ones(len(self._obs), np.bool_), 0, 1)
        check_numbers("the worker", own, declared)


def _part(state: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
