"""Checkpoints in the background: the cut is made in the controller's loop, waiting for the writers and committing in a
thread.

::

    controller --begin--> cut (parts stand for a moment) --> thread: parts written? --> commit --> prune --> parts told
               <--take------------------------------------------ SaveOutcome
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace

from robonav_ray.errors import LearnerCallError
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters
from robonav_ray.runs.commit_watch import CommitWatch, ForeignCommitError
from robonav_ray.runs.stored_runs import prune_stored
from robonav_ray.runs.superseded import prune_checkpoints
from robonav_ray.runtime.wiring import PendingSave, RunSession, Saves

logger = logging.getLogger(__name__)
WRITE_TIMEOUT_S = 600.0
"""A save whose parts have not written by then is given up, so that the next one is tried."""
_POLL_S = 0.1


@dataclass(frozen=True)
class SaveOutcome:
    """The outcome of a save."""

    checkpoint: Checkpoint | None
    """None when it failed, which has been logged."""
    cut_s: float
    """Seconds that the cut took in the controller's loop."""
    total_s: float
    """Seconds from its beginning until it was committed, or had failed."""


class Saver:
    """Makes checkpoints of a running wiring, one at a time. ``begin``, ``take`` and ``wait`` are called by one
    thread.
    """

    def __init__(self, session: RunSession, wiring: Saves) -> None:
        """Nothing is saved yet."""
        self._session, self._wiring = session, wiring
        self._pending: PendingSave | None = None
        self._thread: threading.Thread | None = None
        self._outcome: SaveOutcome | None = None
        self._broken: Exception | None = None
        self._closing = False
        self._kept: frozenset[str] = frozenset()
        self._notes = session.notes
        self._watch = None if self._notes is None else CommitWatch(self._notes.location, session.stored_seen)

    @property
    def is_busy(self) -> bool:
        """Whether a save is under way, or its outcome has not been taken."""
        return self._thread is not None

    def begin(self, counters: Counters, *, last: bool = False, kept: frozenset[str] = frozenset()) -> None:
        """Cut a checkpoint now; ``take`` says later what has become of it. Not while ``is_busy``.

        With ``last`` the parts need not go on working after the cut. The checkpoints named in ``kept`` stay, however
        old.
        """
        if self.is_busy:
            raise RuntimeError("a checkpoint is being written already: take its outcome first")
        began, self._kept = time.monotonic(), kept
        writer: CheckpointWriter | None = None
        try:
            writer = CheckpointWriter(self._session.run.checkpoints, counters, self._notes and self._notes.location)
            self._pending = pending = self._wiring.begin_save(writer, last=last)
            writer.counters = replace(counters, learner_steps=pending.learner_step)
        except (OSError, LearnerCallError, ValueError) as error:
            self._fail(error, writer, began)
            self._thread = threading.Thread(target=lambda: None)
        else:
            self._thread = threading.Thread(
                target=self._run, args=(pending, writer, began, last), name="checkpoint-commit", daemon=True
            )
        self._thread.start()

    def take(self, timeout_s: float = 0.0) -> SaveOutcome | None:
        """Return the outcome of the save that was begun, once; None when there is none or it is still under way.

        Raises an error of another kind in the thread that finished it.
        """
        if self._thread is None:
            return None
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return None
        outcome, self._thread, self._pending, self._outcome = self._outcome, None, None, None
        broken, self._broken = self._broken, None
        if broken is not None:
            raise broken
        return outcome

    def close(self, timeout_s: float = 5.0) -> None:
        """Give up the save that is under way, if any."""
        self._closing = True
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, pending: PendingSave, writer: CheckpointWriter, began: float, last: bool) -> None:
        try:
            self._finish(pending, writer, began, last)
        except Exception as error:  # noqa: BLE001  a thread's only way to hand on what ended it; ``take`` raises it
            self._broken = error

    def _finish(self, pending: PendingSave, writer: CheckpointWriter, began: float, last: bool) -> None:
        cut_s = time.monotonic() - began
        try:
            while not pending.poll(_POLL_S):
                if self._closing:
                    raise LearnerCallError("the run ended before it was written")
                if time.monotonic() - began > WRITE_TIMEOUT_S:
                    raise LearnerCallError(f"it was not written within {WRITE_TIMEOUT_S:.0f} s")
            if self._notes is not None and self._watch is not None:
                self._watch.check()
                self._notes.update()
                self._watch.add(writer.final.name)
            checkpoint = writer.commit()
        except (OSError, LearnerCallError, ValueError) as error:
            pending.abandon()
            self._fail(error, writer, began, cut_s)
            return
        except ForeignCommitError:
            pending.abandon()
            writer.discard()
            raise
        if not last:
            self._wiring.committed(checkpoint)
        prune(self._session, self._kept)
        self._outcome = SaveOutcome(checkpoint, cut_s, time.monotonic() - began)

    def _fail(self, error: Exception, writer: CheckpointWriter | None, began: float, cut_s: float = 0.0) -> None:
        logger.warning("no checkpoint this time (%s); the previous one is intact", error)
        if writer is not None:
            writer.discard()
        total_s = time.monotonic() - began
        self._outcome = SaveOutcome(None, cut_s or total_s, total_s)


def prune(session: RunSession, kept: frozenset[str]) -> None:
    """Remove all but the newest checkpoints of a run and those named in ``kept``, here and in its storage; a failure is
    logged.
    """
    keep = session.config.checkpoint.keep
    try:
        prune_checkpoints(session.run.checkpoints, keep, kept)
        if session.notes is not None:
            prune_stored(session.notes.location, keep, kept)
    except OSError as error:
        logger.warning("older checkpoints could not be removed (%s)", error)
