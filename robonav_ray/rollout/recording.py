"""Recording in a worker: vector steps become n-step rows, relabelled rows, fragments and finished episodes.

::

    begin_fragment --> step, step, ... --> end_fragment: Fragment
                              +------> take: EpisodeResults and the numbers that were told
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from robonav_ray.algo.n_step import NStepFolder
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.hindsight import HindsightConfig
from robonav_ray.interfaces import GoalFunctions, TellsEpisodes
from robonav_ray.ranges import within
from robonav_ray.records import EpisodeFacts, EpisodeResults, Fragment, TransitionSpec
from robonav_ray.rollout.acting import Acting, Choice
from robonav_ray.rollout.env_numbers import NumberSums, sums_of
from robonav_ray.rollout.episode_book import EpisodeBook
from robonav_ray.rollout.relabelling import Hindsight


class HindsightTask(NamedTuple):
    """What a worker that relabels is handed besides a goal vector environment."""

    goals: GoalFunctions
    config: HindsightConfig
    computed_priority: bool
    """Whether relabelled rows enter with their |td_error|, else at the highest priority."""


class LaneStep(NamedTuple):
    """One vector step of L lanes, as acting and the environment give it."""

    obs: np.ndarray
    """(L, D) float32: what the actions were chosen on."""
    choice: Choice
    next_obs: np.ndarray
    """(L, D): what came after the step."""
    reward: np.ndarray
    """(L,) float."""
    terminated: np.ndarray
    """(L,) bool."""
    truncated: np.ndarray
    """(L,) bool."""
    info: dict[str, Any]


class Recording:
    """What one worker remembers of its lanes and ships of them.

    Each step is told which lanes are recorded; of the others nothing enters rows, episodes or watermarks.
    """

    def __init__(
        self,
        worker: int,
        life: int,
        acting: Acting,
        book: EpisodeBook,
        algo: AlgoConfig,
        world_index: np.ndarray,
        num_steps: int,
        teller: TellsEpisodes,
    ) -> None:
        """Nothing is recorded yet.

        Args:
            worker: Index of the worker.
            life: Its life; fragments of different lives never share a name.
            acting: Values the observations after truncated episodes, and counts the steps of the lanes.
            book: Of the running episodes.
            algo: n-step, gamma and the scale of rewards.
            world_index: (L,) int64 global indices of the lanes.
            num_steps: Vector steps of a fragment.
            teller: Tells of the episodes that ended.
        """
        policy = acting.policy
        self.book, self.sequence = book, 0
        self._worker, self._life = worker, life
        self._acting, self._algo, self._teller = acting, algo, teller
        self._world_index, self._num_steps = world_index, num_steps
        self.spec = TransitionSpec.for_discrete((policy.obs_dim,))
        self.folder = NStepFolder(len(world_index), policy.obs_dim, algo.n_step, algo.gamma, policy.num_actions)
        self.hindsight: Hindsight | None = None
        self._rows_per_step = 1
        self._final_q_max = np.zeros(len(world_index), np.float32)
        self._told, self._told_names = NumberSums(), set[str]()
        self._columns: tuple[np.ndarray, ...] = ()
        self._priority = np.zeros(0, np.float32)
        self._row = 0

    def relabel(self, task: HindsightTask, seed: int) -> None:
        """Ship relabelled rows too; ``seed`` chooses their goals, together with each lane's global index."""
        policy = self._acting.policy
        value = policy.q_values if task.computed_priority else None
        self.hindsight = Hindsight(
            task.goals, task.config, self._algo, self._world_index, seed, value, policy.num_actions
        )
        self._rows_per_step += task.config.rows_per_step

    def begin(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """New episodes have begun in all lanes with ``obs`` (L, D) and what ``reset`` told."""
        if self.hindsight is not None:
            self.hindsight.begin(obs, info["achieved_goal"])

    def begin_fragment(self) -> None:
        """Begin a fragment."""
        max_rows = self.folder.max_rows(self._num_steps) * self._rows_per_step
        self._columns, self._priority = self.spec.allocate(max_rows), np.zeros(max_rows, np.float32)
        self._row = 0

    def step(self, step: LaneStep, lanes: np.ndarray | None) -> None:
        """Fold one vector step of the recorded ``lanes`` (L,) bool into rows; None records all."""
        ended = step.terminated | step.truncated
        if lanes is not None:
            ended &= lanes
        final_obs = self._final_obs(step, ended)
        policy_version = self._acting.policy.version
        learned_from = (step.reward * self._algo.reward_scale).astype(np.float32, copy=False)
        action, q_taken, q_max = step.choice
        self._row = self.folder.push(
            step.obs, action, learned_from, step.terminated, step.truncated, q_taken, q_max,
            final_obs, self._final_q_max, policy_version, self._columns, self._priority, self._row, lanes,
        )  # fmt: skip
        if self.hindsight is not None:
            self.hindsight.record(
                step.obs, action, step.next_obs, final_obs, ended, step.info, policy_version,
                self._acting.step_count, lanes,
            )  # fmt: skip

    def _final_obs(self, step: LaneStep, ended: np.ndarray) -> np.ndarray:
        """Return (L, D) with the last observation of each episode that ``ended``; also values those that were
        truncated.
        """
        if not ended.any():
            return step.next_obs
        final = step.info["final_obs"]
        if final.dtype == object:  # Gymnasium's own vector environments: one array, or None, per lane
            rows = np.zeros_like(step.next_obs, dtype=np.float32)
            for lane in np.flatnonzero(step.info["_final_obs"]):
                rows[lane] = final[lane]
            final = rows
        cut = np.flatnonzero(ended & ~step.terminated)
        if len(cut):
            self._final_q_max[cut] = self._acting.values(final[cut])
        return final

    def note(
        self,
        step: LaneStep,
        lanes: np.ndarray | None,
        next_lanes: np.ndarray | None,
        partners: Mapping[str, np.ndarray],
    ) -> None:
        """Book the episodes of one vector step, and the numbers that were told of those that ended in it.

        ``lanes`` (L,) bool are recorded in this step, ``next_lanes`` in the next one; None is all. ``partners`` are the
        columns ``member`` and ``seat`` of the lanes in this step; empty where no world is shared.
        """
        ended = step.terminated | step.truncated
        if lanes is not None:
            ended &= lanes
        facts = self._teller.episode_facts(step.info, ended) if ended.any() else EpisodeFacts()
        self.book.step(step.reward, ended, lanes, next_lanes, {**facts.columns, **partners})
        if facts.numbers or facts.dropped:
            self._told = self._told.plus(sums_of(facts, self._told_names))

    def end_fragment(self) -> Fragment:
        """End the fragment."""
        row = self._row
        if self.hindsight is not None:
            row = self.hindsight.write(self._columns, self._priority, row)
        priority = self._priority[:row]
        # the learner shall meet such a row soon: it says what is wrong with it
        priority[~np.isfinite(priority)] = np.inf
        columns = tuple(column[:row] for column in self._columns)
        fragment = Fragment(self._worker, self._life, self.sequence, columns, priority)
        self._columns, self._priority = (), np.zeros(0, np.float32)
        self.sequence += 1
        return fragment

    def take(self) -> tuple[EpisodeResults, NumberSums]:
        """Return the finished episodes and what was told of them, and forget both."""
        told, self._told = self._told, NumberSums()
        return self.book.take(), told

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of what is kept from one fragment to the next, but ``sequence`` and the book."""
        state = {f"folder_{name}": array for name, array in self.folder.state_dict().items()}
        if self.hindsight is not None:
            state |= {f"hindsight_{name}": array for name, array in self.hindsight.state_dict().items()}
        return state

    def load_state_dict(self, folder: dict[str, np.ndarray], hindsight: dict[str, np.ndarray]) -> None:
        """Restore both; ValueError when one does not fit."""
        if self.hindsight is not None:
            with within("hindsight_"):
                self.hindsight.load_state_dict(hindsight)
        with within("folder_"):
            self.folder.load_state_dict(folder)
