"""Shards that die while they come up, cannot be restored, or find no room: their lives with processes that the test
answers for."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.calls import CallFailedError, PartGoneError
from robonav_ray.replay.shard_lives import MAX_FRUITLESS_LIVES, MAX_RESTORES, ShardLives
from tests.part_fakes import Clock, FakeCall


class Processes:
    """Implements ShardProcesses: a process is a number."""

    def __init__(self, clock: Clock) -> None:
        self._numbers, self._clock = itertools.count(), clock
        self.asked: list[tuple[int, int, object]] = []
        self.killed: set[int] = set()
        self.newest = FakeCall(clock)

    def start(self, index: int, life: int) -> int:
        return next(self._numbers)

    def first_answer(self, process: Any, index: int, life: int, directory: Path | str | None) -> FakeCall:
        self.asked.append((index, life, directory))
        self.newest = FakeCall(self._clock)
        return self.newest

    def kill(self, process: Any) -> None:
        self.killed.add(process)


class Lives:
    def __init__(self) -> None:
        self.clock = Clock()
        self.processes = Processes(self.clock)
        self.lives = ShardLives(self.processes, 2, self.clock)


def test_a_replacement_takes_the_place_once_it_has_answered() -> None:
    it = Lives()
    it.lives.begin_replacing(1, "old")
    it.lives.begin_replacing(1, "old")  # one is on its way
    assert it.processes.asked == [(1, 1, "old")]
    assert it.processes.killed == {1}
    it.clock.pass_(4.0)
    assert (it.lives.take_replaced(), it.lives.replacing_s(1), it.lives.present) == ([], 4.0, [0, 1])
    it.processes.newest.answer(7)
    assert (it.lives.take_replaced(), it.lives.replacing_s(1), it.lives.present) == ([1], None, [0, 2])
    assert it.lives.numbers == [0, 7], "what it restored goes on in this life"
    assert it.lives.num_restarts == 1


def test_storage_that_fails_is_tried_with_the_newest_checkpoint_and_then_left(caplog: pytest.LogCaptureFixture) -> None:
    it = Lives()
    it.lives.begin_replacing(0, "old")
    with caplog.at_level(logging.WARNING):
        for _ in range(MAX_RESTORES):
            it.processes.newest.fail(CallFailedError(OSError("away")))
            assert it.lives.take_replaced("newer") == []
    assert [directory for _, _, directory in it.processes.asked] == ["old", "newer", "newer", None]
    assert "begins empty" in caplog.text
    assert it.processes.killed == {0, 2, 3, 4}, "what is half restored does not stay"
    it.processes.newest.answer("stats")
    assert it.lives.take_replaced("newer") == [0]


def test_one_that_dies_again_and_again_while_it_comes_up_ends_the_run() -> None:
    it = Lives()
    it.lives.begin_replacing(0, None)
    for _ in range(MAX_FRUITLESS_LIVES):
        it.processes.newest.fail(PartGoneError("killed"))
        assert it.lives.take_replaced() == []
    it.processes.newest.fail(PartGoneError("killed"))
    with pytest.raises(RuntimeError, match="again and again"):
        it.lives.take_replaced()
    lives = [life for _, life, _ in it.processes.asked]
    assert lives == list(range(1, MAX_FRUITLESS_LIVES + 2)), "never one twice"


def test_one_that_finds_no_room_is_given_up_and_asked_for_anew() -> None:
    it = Lives()
    it.lives.begin_again(0, None)  # none is on its way
    assert it.processes.asked == []
    it.lives.begin_replacing(0, "old")
    it.clock.pass_(200.0)
    it.lives.begin_again(0, "newer")
    assert it.lives.replacing_s(0) == 0.0
    assert it.processes.asked[-1] == (0, 2, "newer")
    assert it.processes.killed == {0, 2}
    assert it.lives.take_replaced() == []
    it.processes.newest.answer(2)
    assert it.lives.take_replaced() == [0]
    it.lives.begin_replacing(1)
    it.lives.kill()
    assert it.processes.killed == {0, 1, 2, 3, 4}
