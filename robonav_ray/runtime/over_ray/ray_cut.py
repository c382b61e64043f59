"""What stands the parts still over Ray: the cut of a checkpoint, the rows alone, and another run's checkpoint that is
taken over.

A part that does not answer is not asked to stand: ``_await_all`` looks first, and without one part nothing is cut. All
parts that were paused go on afterwards, also when a cut fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from robonav_ray.commands import Committed, Cut, Resume, TakeOver
from robonav_ray.errors import LearnerCallError
from robonav_ray.files.storage import join
from robonav_ray.part_names import Part, event_name
from robonav_ray.records import PartEvent
from robonav_ray.replay.remote import ReplaySave
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter
from robonav_ray.runtime.over_ray.league_part import LeagueHandle
from robonav_ray.runtime.over_ray.ray_save import RaySave
from robonav_ray.runtime.over_ray.ray_watch import RayWatch
from robonav_ray.runtime.self_play.member_store import MemberStore
from robonav_ray.runtime.self_play.start_league import LEAGUE_FILE
from robonav_ray.runtime.topology import CALL_TIMEOUT_S, Parts, load_league
from robonav_ray.runtime.wiring import RunSession

logger = logging.getLogger(__name__)
SILENT_S = 2.0
"""While a shard has been silent for so long, no part is asked to stand still for a checkpoint."""
LAST_WAIT_S = 20.0
"""Longest wait of the last checkpoint for parts that are silent, or being replaced."""
DRAIN_S = 1.0
"""Longest wait for inserts under way when a checkpoint is cut; the learner stands meanwhile."""


class RayCut:
    """Makes one cut at a time through the parts of a session."""

    def __init__(self, session: RunSession, parts: Parts, watch: RayWatch, act_on: Callable[[float], None]) -> None:
        """``act_on`` hears from the workers for so many seconds, and acts on it."""
        self._session, self._parts, self._watch, self._act_on = session, parts, watch, act_on

    def begin_save(self, writer: CheckpointWriter, *, last: bool = False) -> RaySave:
        """Cut: the learner pauses at a step boundary, the ledger admits nothing, every part sets a mark; then both go
        on (not if ``last``).

        At the cut are: nets, optimiser and counters of the learner after its step N; in every shard the rows of all
        inserts that were settled when the ledger closed, their ids and priorities, and its rng; the ledger's counts of
        just those rows, and of the rows handed to the learner; the curriculum's state while both stand. After the cut,
        so lost with a crash: prefetched batches, priorities under way, fragments that workers hold back meanwhile,
        episodes not yet reported. The env steps of ``writer.counters`` are those that workers had told the driver
        before it. An insert that is not settled within DRAIN_S may be in its shard and not in the ledger's count (see
        ``LedgerService.pause``).
        """
        mailbox, replay = self._parts.mailbox, self._parts.replay
        try:
            self._await_all(LAST_WAIT_S if last else 0.0)
            rows: ReplaySave | None = None
            try:
                patience_s = CALL_TIMEOUT_S if last else min(CALL_TIMEOUT_S, self._watch.learner.patience_s)
                standing = mailbox.call(Cut(writer.part("learner")), patience_s)
                replay.pause(DRAIN_S)
                if self._session.config.checkpoint.replay:
                    rows = replay.begin_save(writer.part("replay"))
                documents = {"curriculum.json": self._parts.curriculum.state()}
                if isinstance(self._parts.curriculum, LeagueHandle):
                    documents[LEAGUE_FILE] = self._parts.curriculum.league_state()
            finally:
                if not last:
                    self._go_on()
        except RayError as error:
            raise LearnerCallError(f"a part did not answer while the checkpoint was cut: {error}") from error
        return RaySave(writer, mailbox, rows, documents, standing.learner_step, self._before_commit)

    def _before_commit(self, documents: Mapping[str, Any]) -> None:
        """Have the run's storage hold the weights that the checkpoint's league names."""
        if LEAGUE_FILE in documents and self._session.notes is not None:
            MemberStore(str(self._session.run.path), self._session.notes.location).store(documents[LEAGUE_FILE])

    def save_replay(self, directory: Path) -> None:
        """Cut and write the rows; the learner waits meanwhile, as it finds nothing admitted."""
        replay = self._parts.replay
        try:
            self._await_all(LAST_WAIT_S)
            replay.pause()
            try:
                replay.save(directory)
            finally:
                replay.resume()
        except RayError as error:
            raise LearnerCallError(f"a part did not answer while the rows were saved: {error}") from error

    def take_over(self, donor: Checkpoint, changes: Mapping[str, Any]) -> None:
        """Go on from ``donor``; see ``RayWiring.take_over``."""
        mailbox = self._parts.mailbox
        try:
            mailbox.call(TakeOver(join(donor.location, "learner"), dict(changes)), CALL_TIMEOUT_S)
            self._parts.curriculum.load(donor.read_json("curriculum.json"))
            load_league(donor, self._parts.curriculum)
            self._parts.fleet.restart()
        except BaseException as error:
            self._go_on()
            if isinstance(error, RayError):
                raise LearnerCallError(
                    f"a part did not answer while another run's checkpoint was taken over: {error}"
                ) from error
            raise

    def committed(self, checkpoint: Checkpoint) -> None:
        """From now on a restarted rank or shard comes back from ``checkpoint``."""
        self._watch.last_commit = checkpoint
        self._parts.events.note(PartEvent("saved", event_name(Part.SESSION), checkpoint.path.name))
        try:
            self._parts.mailbox.call(Committed(checkpoint.location), CALL_TIMEOUT_S)
        except LearnerCallError as error:  # it is restarting; the checkpoint stays valid for the next session
            logger.warning("the learner has not heard of the checkpoint %s: %s", checkpoint.path.name, error)

    def _go_on(self) -> None:
        """Undo the pauses, also after a save that failed; a second call does no harm."""
        try:
            self._parts.replay.resume()
        finally:  # a ledger that does not answer must not keep the learner paused, nor one that is frozen the driver
            self._parts.mailbox.send(Resume(), self._session.config.runtime.start_timeout_s)

    def _await_all(self, wait_s: float) -> None:
        """Wait, bounded, until learner and shards answer: without one of them nothing is cut, and no part has to stand.

        Workers go on meanwhile. A checkpoint without a shard would lose its rows for good.
        """
        until = time.monotonic() + wait_s
        while True:
            silent = self._watch.silent_parts(SILENT_S)
            if not silent:
                return
            if time.monotonic() > until:
                raise LearnerCallError(f"{', '.join(silent)} did not answer just now")
            self._act_on(0.05)
