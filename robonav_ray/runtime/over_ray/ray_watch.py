"""Who watches over a session's parts: the supervisor of shards and central actors, and the learner's watch, asked
together.
"""

from __future__ import annotations

from robonav_ray.calls_remote import RayCall
from robonav_ray.errors import PartLostError, ToldError
from robonav_ray.nodes.orphans import remove_orphans
from robonav_ray.nodes.own_ray import what_died
from robonav_ray.part_names import Part, event_name
from robonav_ray.records import PartEvent
from robonav_ray.replay.ledger_service import LedgerReport
from robonav_ray.runtime.over_ray.learner_watch import LearnerWatch
from robonav_ray.runtime.over_ray.supervision import ASK_INTERVAL_S, Supervisor
from robonav_ray.runtime.topology import Parts
from robonav_ray.runtime.wiring import RunSession


class RayWatch:
    """Looks at all parts but the workers, whom their fleet watches, and never waits for one."""

    def __init__(self, session: RunSession, parts: Parts) -> None:
        """Begin to ask."""
        limits = session.config.runtime
        self._note = parts.events.note
        self.last_commit = session.checkpoint
        """From which a shard comes back; None begins empty."""
        self.parts_lost = False
        """Whether a part was lost that ends the session."""
        self.ray_died: str | None = None
        """Which process of the run's own Ray has died; None while all live."""
        self.learner = LearnerWatch(
            parts.learner, self._note, session.lost_at, limits.start_timeout_s, lambda: remove_orphans(session.run.path)
        )
        self.supervisor = Supervisor(
            parts.replay,
            {
                "curriculum": (lambda: RayCall(parts.curriculum.actor.progress.remote()), 0.0),
                "mailbox": (lambda: RayCall(parts.mailbox.actor.latest.remote()), 0.0),
                "ledger": (lambda: RayCall(parts.replay.ledger.report.remote()), ASK_INTERVAL_S),
                "weight store": (lambda: RayCall(parts.store.version.remote()), ASK_INTERVAL_S),
            },
            timeout_s=limits.heartbeat_timeout_s,
            start_timeout_s=limits.start_timeout_s,
            note=self._note,
        )

    def look(self) -> LedgerReport:
        """Take in what has been answered and act on what has not; return what the ledger said last, waiting for its
        first word.

        Raises:
            PartLostError: When a part is lost that is not replaced.
        """
        self.learner.look()
        self._look_at_parts()
        return self.supervisor.first_answer("ledger")

    def look_at_ray(self) -> None:
        """ToldError when the run's own Ray has died."""
        self.ray_died = what_died()
        if self.ray_died is not None:
            raise ToldError(f"the {self.ray_died} of the run's own Ray has died")

    def note_end(self, error: PartLostError) -> None:
        """Note that ``error`` ends the session."""
        self.parts_lost = True
        self._note(PartEvent("failed", event_name(Part.SESSION), str(error).splitlines()[0]))

    def silent_parts(self, longer_than_s: float) -> list[str]:
        """Look, and return who is being replaced, has not answered yet, or lets a question wait for longer than
        that.
        """
        try:
            self._look_at_parts()
        except PartLostError as error:
            self.note_end(error)
            raise
        silent = self.supervisor.silent_parts(longer_than_s)
        return [*silent, "the learner"] if self.learner.is_silent else silent

    def _look_at_parts(self) -> None:
        self.supervisor.look(self.last_commit.rows if self.last_commit else None)
        self.learner.take_in(self.supervisor.answer("mailbox"))
