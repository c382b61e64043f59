"""Learner and shards are asked how their numbers are distributed; nothing waits for their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from robonav_ray.calls import Call, CallFailedError, PartGoneError
from robonav_ray.histograms import Histogram
from robonav_ray.runtime.metrics import LearnerHistograms, priority_histogram


class DistributionPoll:
    """Keeps one question to all of them under way. A part that is lost meanwhile is left out: its watch sees to it."""

    def __init__(self, ask_learner: Callable[[], Call], ask_shards: Callable[[], Sequence[Call]]) -> None:
        """``ask_learner`` puts a ``Describe``, ``ask_shards`` asks each shard for its counts; both at the first
        ``take``.
        """
        self._ask_learner, self._ask_shards = ask_learner, ask_shards
        self._learner: Call | None = None
        self._shards: Sequence[Call] = ()
        self._histograms = LearnerHistograms()

    def take(self) -> tuple[Histogram, ...] | None:
        """Return what all have answered, once; None while there is one that has not. The next call asks anew."""
        if self._learner is None:
            self._learner, self._shards = self._ask_learner(), self._ask_shards()
        if not all(call.is_done() for call in (self._learner, *self._shards)):
            return None
        answer, counts = _result(self._learner), [_result(call) for call in self._shards]
        self._learner = None
        of_learner = self._histograms.of(answer)
        known = [part for part in counts if part is not None]
        return (*of_learner, priority_histogram(known)) if known else of_learner


def _result(call: Call) -> Any:
    try:
        return call.result()
    except (PartGoneError, CallFailedError):  # the supervisor and the learner's watch hear of it, and act
        return None
