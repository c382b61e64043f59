"""Spare workers: on every node with workers one process that has everything loaded, and waits.

A worker that dies goes on in a spare within a fraction of a second; a process that has to be started first takes some
seconds. A spare reserves no CPU, neither while it waits, when it needs none, nor afterwards, when it takes the place of
one that did.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robonav_ray.calls import Call, CallFailedError, PartGoneError
from robonav_ray.rollout.worker_process import WorkerProcess

logger = logging.getLogger(__name__)
PING_INTERVAL_S = 5.0
"""How often a spare is asked whether it is there."""
ANSWER_S = 0.5
"""How long a spare that is wanted may take to say that it is there."""
MAX_ASKED = 2
"""How many spares are asked for one worker: the fleet must not wait long, it sees to all other workers too."""
ON_ITS_WAY_S = 10.0
"""A spare that is getting ready is handed out up to this age; one that takes longer may be frozen."""
SILENT_S = 60.0
"""A spare that has not answered for so long is ended, and another one started."""
MAX_PAUSE_S = 300.0
DROPS_TO_TELL = 3


@dataclass
class _Spare:
    process: WorkerProcess
    question: Call
    """What it was last asked: at first to get ready, then whether it is there."""
    asked_at: float
    ready: bool = False


@dataclass
class _Trouble:
    """Spares that a node has lost one after the other; none is started before ``until``."""

    drops: int = 0
    until: float = 0.0


class Spares:
    """The spares of a fleet, one per node; nothing here waits, but ``take`` for a moment."""

    def __init__(
        self,
        start: Callable[[str], tuple[WorkerProcess, Call]],
        pause_s: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is started yet.

        Args:
            start: Begins a spare on a node ("": any); returns it and a call that returns when it is ready.
            pause_s: How long a node whose spare was lost, not taken, stays without; twice as long each time, up to five
                minutes.
            now: The clock.
        """
        self._start, self._pause_s, self._now = start, pause_s, now
        self._spares: dict[str, _Spare] = {}
        self._troubles: dict[str, _Trouble] = {}

    @property
    def num_ready(self) -> int:
        """Spares that wait."""
        return sum(spare.ready for spare in self._spares.values())

    def keep(self, nodes: Sequence[str]) -> None:
        """See to one spare on each of the workers' ``nodes`` (none: one on any), one after the other."""
        wanted = dict.fromkeys(nodes or ("",))
        for node in [n for n in self._spares if n not in wanted]:
            self._spares.pop(node).process.kill()
        for node in list(self._spares):
            self._look(node)
        for node in [n for n in wanted if n not in self._spares]:
            if any(not spare.ready for spare in self._spares.values()):
                return  # one after the other: several nodes may be one machine, whose cores the run wants
            if self._now() >= self._troubles.get(node, _Trouble()).until:
                self._spares[node] = _Spare(*self._start(node), self._now())

    def take(self, node: str) -> WorkerProcess | None:
        """Return a spare and forget it, None when there is none.

        Best is one that is ready on ``node``, then one that is ready on another node (which has a worker more then,
        until the worlds are shared out anew), then one that is on its way on the node itself.
        """
        ready = sorted((name for name, spare in self._spares.items() if spare.ready), key=lambda name: name != node)
        for name in ready[:MAX_ASKED]:
            spare = self._spares.pop(name)
            if _answers(spare):
                return spare.process
            spare.process.kill()
        spare = self._spares.get(node)
        if spare is None or spare.ready or self._now() - spare.asked_at > ON_ITS_WAY_S:
            return None
        del self._spares[node]
        return spare.process

    def kill(self) -> None:
        """End all of them."""
        for spare in self._spares.values():
            spare.process.kill()
        self._spares = {}

    def _look(self, node: str) -> None:
        spare, now = self._spares[node], self._now()
        if not spare.question.is_done():
            if now - spare.asked_at > SILENT_S:
                self._drop(node, f"silent for {SILENT_S:.0f} s")
            return
        if spare.ready and now - spare.asked_at < PING_INTERVAL_S:
            return
        try:
            spare.question.result()
        except (PartGoneError, CallFailedError) as error:
            self._drop(node, str(error).strip().splitlines()[-1])
            return
        if spare.ready:  # it has been there for a while
            self._troubles.pop(node, None)
        spare.ready, spare.question, spare.asked_at = True, spare.process.ping(), now

    def _drop(self, node: str, why: str) -> None:
        self._spares.pop(node).process.kill()
        trouble = self._troubles.setdefault(node, _Trouble())
        trouble.drops += 1
        trouble.until = self._now() + min(MAX_PAUSE_S, self._pause_s * 2 ** (trouble.drops - 1))
        if trouble.drops == DROPS_TO_TELL:
            logger.warning(
                "the last %d spare workers on a node were lost (%s); another is tried now and then, and a worker that "
                "dies there may be back some seconds later for that",
                trouble.drops, why,
            )  # fmt: skip


def _answers(spare: _Spare) -> bool:
    """Whether it is there now: neither dead nor frozen."""
    try:
        for call in (spare.question, spare.process.ping()):
            if not call.is_done(ANSWER_S):
                return False
            call.result()
    except (PartGoneError, CallFailedError):
        return False
    return True
