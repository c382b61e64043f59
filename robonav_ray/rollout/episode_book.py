"""Keeping book of the episodes that run side by side in one worker: when each began, what it has been paid, how it
ended.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT32, MAX_VERSION, check_numbers, count, like, require
from robonav_ray.records import EpisodeResults, Outcome

_NOT_RUNNING = np.iinfo(np.int64).max

_FIELDS: tuple[tuple[str, type], ...] = (
    ("stage", np.int32),
    ("world", np.int32),
    ("started_at", np.int64),
    ("length", np.int32),
    ("outcome", np.int8),
    ("task_return", np.float32),
    ("total_return", np.float32),
    ("goals_reached", np.int32),
    ("path_length_m", np.float32),
    ("shortest_path_length_m", np.float32),
    ("min_clearance_m", np.float32),
    ("on_gate", np.bool_),
)
_OF_PARTNERS: tuple[tuple[str, type], ...] = (("member", np.str_), ("seat", np.int32))
"""Fields of episodes in worlds that are shared with others."""
LENGTH_EDGES = np.unique(np.geomspace(1, 100_000, 61).round())
"""Edges, in env steps, between which the lengths of episodes are counted."""
_TOLD = frozenset({
    "outcome", "task_return", "goals_reached", "path_length_m", "shortest_path_length_m", "min_clearance_m",
    "member", "seat",
})  # fmt: skip


class EpisodeBook:
    """The running episode of every lane, and the finished ones since the last ``take``.

    The clock counts the vector steps that the worker has made under the present stage; an episode is ordered by the
    clock at which it began, and belongs to the stage that was assigned at that moment.
    """

    def __init__(
        self,
        worker: int,
        world_index: np.ndarray,
        on_gate: np.ndarray,
        num_stages: int = MAX_VERSION,
        has_partners: bool = False,
    ) -> None:
        """Start with one episode per lane.

        ``world_index`` (L,) int64 global indices, ``on_gate`` (L,) bool; ``num_stages`` is what a saved state is held
        against. With ``has_partners`` every ``step`` is told the ``member`` and the ``seat`` of the lanes too.
        """
        num_lanes = len(world_index)
        self._num_stages = num_stages
        self._worker = worker
        self._world_index = world_index
        self._on_gate = on_gate
        self.stage = 0
        self.clock = 0
        self._lane_stage = np.zeros(num_lanes, np.int32)
        self._started_at = np.zeros(num_lanes, np.int64)
        self._length = np.zeros(num_lanes, np.int32)
        self._total_return = np.zeros(num_lanes, np.float64)
        self._fields = (*_FIELDS, *_OF_PARTNERS) if has_partners else _FIELDS
        self._finished: dict[str, list[np.ndarray]] = {name: [] for name, _ in self._fields}

    def begin_stage(self, stage: int, clock: int, running_too: bool = False) -> None:
        """The worker is assigned another stage; episodes that begin from now on belong to it (with ``running_too``
        those of now too).
        """
        self.stage, self.clock = stage, clock
        if running_too:
            self._lane_stage[:] = stage
            self._started_at[:] = clock

    def step(
        self,
        reward: np.ndarray,
        ended: np.ndarray,
        active: np.ndarray | None,
        now_active: np.ndarray | None,
        told: Mapping[str, np.ndarray],
    ) -> None:
        """Book one vector step.

        Args:
            reward: (L,) float.
            ended: (L,) bool: episodes that ended in this step.
            active: (L,) bool: lanes that took part in this step; None means all.
            now_active: (L,) bool: lanes that take part in the next one; None means all.
            told: Arrays (L,) of what is known of the episodes that ended (``records.EpisodeFacts.columns``, ``member``
                and ``seat``); may be empty.
        """
        if active is None:
            self._length += 1
            self._total_return += reward
        else:
            self._length += active
            self._total_return += np.where(active, reward, 0.0)
        self.clock += 1
        if ended.any():
            lanes = np.flatnonzero(ended)
            self._finish(lanes, told)
            self._started_at[lanes] = self.clock if now_active is None else _NOT_RUNNING
            self._begin(lanes)
        self.follow(now_active)

    def follow(self, active: np.ndarray | None) -> None:
        """Begin episodes in the lanes that take part from now on (L,) bool; in the others none runs. None means all, as
        ever.
        """
        if active is None:
            return
        waking = np.flatnonzero(active & (self._started_at == _NOT_RUNNING))
        self._started_at[waking] = self.clock
        self._begin(waking)
        self._started_at[~active] = _NOT_RUNNING

    def take(self) -> EpisodeResults:
        """Return the finished episodes and the watermark, and forget the episodes."""
        columns = {
            name: np.concatenate(self._finished[name]) if self._finished[name] else np.zeros(0, dtype)
            for name, dtype in self._fields
        }
        self._finished = {name: [] for name, _ in self._fields}
        return EpisodeResults(worker=self._worker, watermark=self.watermark, watermark_stage=self.stage, **columns)

    @property
    def watermark(self) -> int:
        """Smallest clock at which a running episode of this stage that counts began; the clock itself when there is
        none.
        """
        counts = self._on_gate & (self._lane_stage == self.stage)
        return min(self.clock, int(self._started_at[counts].min(initial=_NOT_RUNNING)))

    @property
    def longest(self) -> int:
        """Env steps that the longest running episode has gone on for."""
        return int(self._length.max(initial=0))

    def _begin(self, lanes: np.ndarray) -> None:
        self._lane_stage[lanes] = self.stage
        self._length[lanes] = 0
        self._total_return[lanes] = 0.0

    def _finish(self, lanes: np.ndarray, told: Mapping[str, np.ndarray]) -> None:
        known = {
            "stage": self._lane_stage[lanes],
            "world": self._world_index[lanes],
            "started_at": self._started_at[lanes],
            "length": self._length[lanes],
            "total_return": self._total_return[lanes],
            "on_gate": self._on_gate[lanes],
        }
        for name, dtype in self._fields:
            if name in _TOLD and name in told:
                value = told[name][lanes]
            elif name == "task_return":
                value = known["total_return"]  # an environment without task terms: everything it pays is the task
            elif name == "outcome":
                value = np.full(len(lanes), Outcome.NONE)
            else:
                value = known.get(name, np.zeros(len(lanes)))
            self._finished[name].append(value.astype(dtype))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of the running episodes; finished ones must have been taken."""
        if self._finished["stage"]:
            raise ValueError("take() the finished episodes before saving")
        return {
            "book_level": np.array([self.stage]),
            "book_clock": np.array([self.clock]),
            "book_lane_level": self._lane_stage.copy(),
            "book_started_at": self._started_at.copy(),
            "book_length": self._length.copy(),
            "book_total_return": self._total_return.copy(),
        }

    def load_state_dict(self, state: dict[str, np.ndarray], active: np.ndarray | None = None) -> None:
        """Restore what ``state_dict`` returned; ValueError, and nothing changed, when it does not fit.

        ``active`` (L,) bool: lanes that take part in the next step, so that an episode runs in them; None means all.
        """
        stages = (0, self._num_stages - 1)
        started_at = state.get("book_started_at", self._started_at)
        running = started_at != _NOT_RUNNING
        declared = {
            "book_level": count(1, high=stages[1]),
            "book_clock": count(1),
            "book_lane_level": like(self._lane_stage, *stages),
            "book_started_at": like(self._started_at, 0, np.where(running, MAX_COUNT, _NOT_RUNNING)),
            "book_length": like(self._length, 0, MAX_VERSION),
            "book_total_return": like(self._total_return, -MAX_FLOAT32, MAX_FLOAT32),
        }
        check_numbers(f"the book of {len(self._length)} lanes", state, declared)
        require(
            running if active is None else running | ~active, "book_started_at: a lane that is under way has no episode"
        )
        self.stage, self.clock = int(state["book_level"][0]), int(state["book_clock"][0])
        self._lane_stage[:] = state["book_lane_level"]
        self._started_at[:] = state["book_started_at"]
        self._length[:] = state["book_length"]
        self._total_return[:] = state["book_total_return"]
