"""A question that is put to a part again and again, one call at a time, whose answer is never waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from robonav_ray.calls import Call, PartGoneError


class Poll:
    """Keeps one call under way and the newest answer; how long it has been open tells whether the part is still
    there.
    """

    def __init__(
        self, ask: Callable[[], Call], interval_s: float = 0.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        """``ask`` makes the call, at most once every ``interval_s`` seconds of the clock ``now``. Asks at once."""
        self._ask, self._interval_s, self._now = ask, interval_s, now
        self._asked_at = now()
        self._call: Call | None = ask()
        self.answer: Any = None
        self.num_answers = 0

    def look(self) -> bool:
        """Take an answer that has come in, and ask again when that is due; return whether there was one.

        Raises:
            PartGoneError, CallFailedError: When the call was not answered; the next look asks again.
        """
        now = self._now()
        if self._call is None:
            if now - self._asked_at >= self._interval_s:
                self._asked_at, self._call = now, self._ask()
            return False
        if not self._call.is_done():
            return False
        call, self._call = self._call, None
        self.answer = call.result()
        self.num_answers += 1
        if now - self._asked_at >= self._interval_s:
            self._asked_at, self._call = now, self._ask()
        return True

    def wait(self, timeout_s: float) -> Any:
        """Return the newest answer, waiting for the first one for up to ``timeout_s`` seconds (PartGoneError)."""
        if not self.num_answers:
            if self._call is not None and not self._call.is_done(timeout_s):
                raise PartGoneError(f"no answer within {timeout_s:g} s")
            self.look()
        return self.answer

    @property
    def open_s(self) -> float:
        """Seconds for which the present call has been without an answer; 0 when none is under way."""
        return 0.0 if self._call is None else self._now() - self._asked_at
