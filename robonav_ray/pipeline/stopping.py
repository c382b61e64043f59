"""When a step shall end: by a signal, at the session's time limit, or when the pipeline's budget is used up."""

from __future__ import annotations

import time
from collections.abc import Callable

from robonav_ray.runtime.signals import StopRequest

TIME_LIMIT, BUDGET = "the time limit", "budget.time_s"


class StepStop(StopRequest):
    """A StopRequest that is true as soon as the one around it is, or its time is over."""

    def __init__(
        self,
        around: StopRequest,
        *,
        limit: float | None = None,
        budget: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limit`` and ``budget`` are when the session and the budget end (by ``now``); None never."""
        super().__init__()
        self._around, self._now = around, now
        self._ends = [(until, why) for until, why in ((limit, TIME_LIMIT), (budget, BUDGET)) if until is not None]

    def __bool__(self) -> bool:
        if self.signal_name is None and self.loss is None:
            if self._around:
                self.signal_name, self.loss, self.at_once = (
                    self._around.signal_name,
                    self._around.loss,
                    self._around.at_once,
                )
            else:
                over = [(until, why) for until, why in self._ends if self._now() >= until]
                self.signal_name = min(over)[1] if over else None
        return super().__bool__()

    @property
    def is_out_of_budget(self) -> bool:
        """Whether the budget's end came first; asking notes what has come."""
        return bool(self) and self.signal_name == BUDGET
