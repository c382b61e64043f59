"""A question that is put to an actor again and again, one call at a time, whose answer is never waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray


class Question:
    """Keeps one call under way and the newest answer; how long it has been open tells whether the actor is still there."""

    def __init__(self, ask: Callable[[], Any], interval_s: float = 0.0) -> None:
        """``ask`` makes the call and returns its ObjectRef; at most one every ``interval_s`` seconds. Asks at once."""
        self._ask, self._interval_s = ask, interval_s
        self._asked_at = time.monotonic()
        self._ref: Any = ask()
        self.answer: Any = None
        self.num_answers = 0

    def look(self) -> bool:
        """Take an answer that has come in, and ask again when that is due; return whether there was one.

        Raises:
            RayError: What became of the call; the next look asks again.
        """
        now = time.monotonic()
        if self._ref is None:
            if now - self._asked_at >= self._interval_s:
                self._asked_at, self._ref = now, self._ask()
            return False
        if not ray.wait([self._ref], timeout=0)[0]:
            return False
        ref, self._ref = self._ref, None
        self.answer = ray.get(ref)
        self.num_answers += 1
        if now - self._asked_at >= self._interval_s:
            self._asked_at, self._ref = now, self._ask()
        return True

    def wait(self, timeout_s: float) -> Any:
        """Return the newest answer, waiting for the first one for up to ``timeout_s`` seconds (GetTimeoutError)."""
        if not self.num_answers:
            ray.get(self._ref, timeout=timeout_s)
            self.look()
        return self.answer

    @property
    def open_s(self) -> float:
        """Seconds for which the present call has been without an answer; 0 when none is under way."""
        return 0.0 if self._ref is None else time.monotonic() - self._asked_at
