"""Made-up episodes: a pure function of (stage, world, index), so that any number of workers can replay the same
ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robonav_ray.records import EpisodeResults, Outcome

Row = tuple[int, int, int, int, int, float, bool]
"""stage, world, started_at, length, outcome, task_return, on_gate"""


def make_results(worker: int, rows: Sequence[Row], watermark: int, watermark_stage: int) -> EpisodeResults:
    n = len(rows)
    stage, world, started_at, length, outcome, task_return, on_gate = zip(*rows, strict=True) if rows else ((),) * 7
    zeros = np.zeros(n, np.float32)
    return EpisodeResults(
        worker=worker,
        stage=np.array(stage, np.int32),
        world=np.array(world, np.int32),
        started_at=np.array(started_at, np.int64),
        length=np.array(length, np.int32),
        outcome=np.array(outcome, np.int8),
        task_return=np.array(task_return, np.float32),
        total_return=np.array(task_return, np.float32),
        goals_reached=np.zeros(n, np.int32),
        path_length_m=zeros,
        shortest_path_length_m=zeros,
        min_clearance_m=zeros,
        on_gate=np.array(on_gate, bool),
        watermark=watermark,
        watermark_stage=watermark_stage,
    )


def episode(stage: int, world: int, index: int) -> tuple[int, int, float]:
    """Return (length, outcome, task_return): collisions are short, and success grows slowly with the index."""
    rng = np.random.default_rng((stage, world, index))
    success = rng.random() < 0.3 + 0.02 * index
    if success:
        return int(rng.integers(20, 60)), int(Outcome.SUCCESS), 10.0
    if rng.random() < 0.6:
        return int(rng.integers(1, 15)), int(Outcome.COLLISION_DYNAMIC), -5.0
    return 100, int(Outcome.TIMEOUT), 0.0


class World:
    """One world that plays ``episode`` for ever and switches stage at a reset."""

    def __init__(self, index: int, on_gate: bool, stage: int = 0, clock: int = 0):
        self.index, self.on_gate, self.stage, self.clock = index, on_gate, stage, clock
        self.num_played = 0
        self.next_stage, self.next_clock = stage, clock
        self._begin()

    def _begin(self) -> None:
        if self.next_stage != self.stage:
            self.stage, self.clock, self.num_played = self.next_stage, self.next_clock, 0
        self.started_at = self.clock
        self.length, self.outcome, self.task_return = episode(self.stage, self.index, self.num_played)

    def step(self) -> Row | None:
        self.clock += 1
        if self.clock - self.started_at < self.length:
            return None
        row = (self.stage, self.index, self.started_at, self.length, self.outcome, self.task_return, self.on_gate)
        self.num_played += 1
        self._begin()
        return row


class Worker:
    """Worlds that share reports; keeps to the contract of the watermark."""

    def __init__(self, number: int, worlds: Sequence[World], source):
        self.number, self.worlds, self.source = number, worlds, source
        assignment = source.next_assignment(number)
        self.stage = assignment.stage
        for world in worlds:
            world.next_stage = world.stage = assignment.stage
            world.clock = assignment.clock
            world._begin()

    def play(self, num_steps: int) -> None:
        assignment = self.source.next_assignment(self.number)
        if assignment.stage != self.stage:
            self.stage = assignment.stage
            for world in self.worlds:
                world.next_stage, world.next_clock = assignment.stage, assignment.clock
        rows = [row for _ in range(num_steps) for world in self.worlds if (row := world.step()) is not None]
        self.source.report(make_results(self.number, rows, self.watermark(), self.stage))

    def watermark(self) -> int:
        marks = [w.started_at if w.stage == self.stage else w.next_clock for w in self.worlds if w.on_gate]
        return min(marks, default=2**62)
