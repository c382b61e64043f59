"""What the driver knows of the learner: its newest metrics, whether it is up, silent, failing or back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from robonav_ray.errors import PartLostError, ToldError, UserError
from robonav_ray.part_names import Part, event_name
from robonav_ray.records import Metrics, PartEvent
from robonav_ray.runtime.over_ray.mailbox import MetricsPost

logger = logging.getLogger(__name__)
JOIN_TIMEOUT_S = 20.0
SILENT_S = 3.0
"""A learner that has posted nothing for so long (or for three times its longest pause so far) is not asked to stand for
a checkpoint."""

PATIENCE_S = 8.0
"""A learner may take so long to pause for a checkpoint, or three times its longest pause so far: the driver attends to
no other part meanwhile."""


class WatchedLearner(Protocol):
    """What the watch asks of a learner; ``LearnerHandle`` answers for the one under Ray Train."""

    @property
    def error(self) -> BaseException | None:
        """What ended it; None while it runs and after it stopped as told."""
        ...

    def failures(self) -> list[str]:
        """Return a line for each time that ranks have failed so far."""
        ...

    def ended_because(self) -> str | None:
        """Return why it is gone, None while it runs."""
        ...

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; return whether it has ended."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class LearnerWatch:
    """Takes in what rank 0 posts and what Ray Train says of its ranks, and notes what happened to them."""

    def __init__(
        self,
        learner: WatchedLearner,
        note: Callable[[PartEvent], None],
        lost_at: float | None,
        start_timeout_s: float,
        remove_orphans: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to watch.

        Args:
            learner: Just started.
            note: Gets what happens.
            lost_at: When the session before this one was lost, on the clock ``now``; None when there was none.
            start_timeout_s: How long it may take to come up.
            remove_orphans: Removes the placement groups that a learner that was ended by force leaves; returns how
                many.
            now: The clock.
        """
        self._learner, self._note, self._lost_at, self._start_timeout_s = learner, note, lost_at, start_timeout_s
        self._remove_orphans, self._now = remove_orphans, now
        self._began = self._posted_at = now()
        self._posted = (0, 0)
        self._longest_pause_s = 0.0
        self._num_failures = 0
        self.metrics: Metrics = {}
        """The newest; empty before the first."""

    @property
    def is_up(self) -> bool:
        """Whether it has posted anything in this session."""
        return self._posted != (0, 0)

    @property
    def is_silent(self) -> bool:
        """Whether it was up and has posted nothing for long."""
        return self.is_up and self._now() - self._posted_at > max(SILENT_S, 3.0 * self._longest_pause_s)

    @property
    def patience_s(self) -> float:
        """How long it may take to answer while others wait for the driver."""
        return max(PATIENCE_S, 3.0 * self._longest_pause_s)

    def waiting_text(self) -> str:
        """Return what to say while the learner has not come up, nothing once it has; RuntimeError when that takes too
        long.
        """
        if self.is_up:
            return ""
        waited = self._now() - self._began
        if waited > self._start_timeout_s:
            raise ToldError(
                f"the learner has not come up within runtime.start_timeout_s ({waited:.0f} s); `ray status` shows what "
                "it waits for"
            )
        return "starting: the learner is coming up"

    def look(self) -> None:
        """Note the failures that Ray Train has heard of since the last look.

        Raises:
            PartLostError: When the learner has ended, or has posted nothing for twice the time-out of a start: ranks
                that answer Train's questions but do not train (storage that never returns) are given up here alone.
            UserError, FloatingPointError: When that has ended it.
        """
        silent_s = self._now() - self._posted_at
        if self.is_up and silent_s > max(2.0 * self._start_timeout_s, 10.0 * self._longest_pause_s):
            raise PartLostError(f"the learner has posted nothing for {silent_s:.0f} s")
        failures = self._learner.failures()
        for text in failures[self._num_failures :]:
            self._note(PartEvent("fenced" if "silent" in text else "lost", event_name(Part.RANK), text))
        self._num_failures = len(failures)
        reason = self._learner.ended_because()
        if reason is not None:
            if isinstance(self._learner.error, UserError | FloatingPointError):
                raise self._learner.error
            raise PartLostError(reason) from self._learner.error

    def end(self, *, by_force: bool) -> None:
        """Wait for the learner, which has been told to stop; end it ``by_force``, or when it does not end."""
        if not by_force and self._learner.join(timeout=JOIN_TIMEOUT_S):
            return
        self._learner.kill()
        removed = self._remove_orphans()
        logger.warning("the learner was ended by force, and %d of its placement groups removed", removed)

    def take_in(self, post: MetricsPost | None) -> None:
        """Keep what was posted; a post of a new life tells that the learner is back."""
        if post is None or (post.life, post.number) == self._posted:
            return
        now, pause_s = self._now(), self._now() - self._posted_at
        step = int(post.metrics.get("learner/learner_step", 0))
        if self.is_up and post.life > self._posted[0]:
            redone = max(0, int(self.metrics.get("learner/learner_step", 0)) - step)
            self._note(
                PartEvent(
                    "restarted",
                    event_name(Part.RANK),
                    f"ranks begin again at step {step}, {redone} steps again",
                    round(pause_s, 3),
                )
            )
        elif self.is_up:
            self._longest_pause_s = max(self._longest_pause_s, pause_s)
        elif self._lost_at is not None:
            self._note(
                PartEvent(
                    "restarted",
                    event_name(Part.SESSION),
                    f"goes on at learner step {step}",
                    round(now - self._lost_at, 3),
                )
            )
        self._posted_at, self._posted, self.metrics = now, (post.life, post.number), post.metrics
